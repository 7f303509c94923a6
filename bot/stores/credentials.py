"""The App's credentials: kept once, in the place that the deployment names, and read from there.

GitHub shows a private key once. So the place is tried before GitHub is asked, what is there is never written
over, and what cannot be kept there after all goes to a file of its own that only this user can read: it is
lost to nobody, and it is not on a screen, in a scroll-back or in a log.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What is kept: by these names a service reads it, from the file or from its environment.
NAMES = (
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_APP_URL",
    "GITHUB_CLIENT_ID",
    "GITHUB_CLIENT_SECRET",
    "GITHUB_WEBHOOK_SECRET",
)
COMMAND_SECONDS = 120


class CredentialsError(Exception):
    """Why they cannot be kept or read: a sentence that has no secret in it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file (`CREDENTIALS_FILE`), or a command that a secret store gives (`CREDENTIALS_COMMAND`)."""

    file: Path | None = None
    command: str = ""

    def __str__(self) -> str:
        return f"the file {self.file}" if self.file else f"what `{self.command}` does"

    def try_it(self) -> None:
        """Raises CredentialsError if nothing could be kept there, before there is anything to keep."""
        if self.file is not None:
            if self.file.exists():
                raise CredentialsError(
                    f"{self.file} is there already: it may be the only copy of an App's key, so it is not "
                    "written over. Move it away to register another App"
                )
            _try(self.file.parent)
            return
        words = _words(self.command)
        if shutil.which(words[0]) is None:
            raise CredentialsError(
                f"CREDENTIALS_COMMAND begins with {words[0]}, and there is no such program"
            )
        _try(_aside())

    def keep(self, values: Mapping[str, str]) -> None:
        """Keep them at once. Raises CredentialsError that names the file where they are instead."""
        text = json.dumps(dict(values), indent=2) + "\n"
        try:
            if self.file is not None:
                _write(self.file, text)
            else:
                _hand_over(self.command, text)
        except (CredentialsError, OSError) as error:
            raise CredentialsError(_kept_aside(text, error, self)) from error


def read(file: Path) -> dict[str, str]:
    """What a file has kept. Raises CredentialsError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsError(f"CREDENTIALS_FILE {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CredentialsError(f"CREDENTIALS_FILE {file} is not JSON") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise CredentialsError(f"CREDENTIALS_FILE {file} must be one object of texts: {', '.join(NAMES)}")
    return {name: found[name] for name in NAMES if name in found}


def others_may_read(file: Path) -> bool:
    """Whether anybody but its owner can."""
    return bool(file.stat().st_mode & 0o077)


def _write(file: Path, text: str) -> None:
    """The whole file or none of it, for its owner alone, over nothing that is there."""
    scratch = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(text)
            made.flush()
            os.fsync(made.fileno())
        os.link(scratch, file)  # unlike a renaming it fails where something is
    finally:
        with suppress(OSError):
            scratch.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _try(folder: Path) -> None:
    """Do what `_write` will do there. Raises CredentialsError."""
    probe = folder / f".tollgate-probe-{secrets.token_hex(8)}"
    try:
        _write(probe, "probe\n")
        probe.unlink()
    except OSError as error:
        raise CredentialsError(f"no credentials can be kept in {folder}: {error.strerror}") from error


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CredentialsError(f"CREDENTIALS_COMMAND cannot be read as a command: {error}") from error
    if not words:
        raise CredentialsError("CREDENTIALS_COMMAND is empty")
    return words


def _hand_over(command: str, text: str) -> None:
    # What it says is not shown: it might repeat what it was given.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        done = subprocess.run(
            _words(command), input=text.encode(), timeout=COMMAND_SECONDS, check=False, **quiet
        )  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        raise CredentialsError(f"it did not end within {COMMAND_SECONDS} s") from None
    if done.returncode:
        raise CredentialsError(f"it ended with {done.returncode}")


def _aside() -> Path:
    return Path(tempfile.gettempdir())


def _kept_aside(text: str, error: Exception, place: Place) -> str:
    """A sentence that says where they are instead."""
    file = _aside() / f"tollgate-credentials-{secrets.token_hex(8)}.json"
    said = f"the credentials could not be kept by {place} ({error})"
    try:
        _write(file, text)
    except OSError as second:
        return (
            f"{said}, and not in {file} either ({second}). They are gone, but not the App: on its settings "
            "page at GitHub make a new private key and a new webhook secret, and set GITHUB_APP_ID, "
            "GITHUB_APP_PRIVATE_KEY and GITHUB_WEBHOOK_SECRET"
        )
    return (
        f"{said}. They are in {file}, which only this user can read: move them to where they belong, and "
        "remove that file"
    )
