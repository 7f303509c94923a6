"""The commit that the agent works on: fetched with the job's token, handed over without it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.runner.isolation import User

DEPTH = 50  # commits of history for `git log` and `git blame`
FETCH_SECONDS = 600.0
TRIES = 3
# No configuration but what we say, no hook, no question; and never a password prompt that hangs.
QUIET = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "LC_ALL": "C.UTF-8",
}


class CheckoutError(Exception):
    """Why the commit is not there; a sentence."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A run's folder: `git` is out of the agent's reach, `work` and `home` are the agent's."""

    place: Path
    git: Path
    work: Path
    home: Path


@contextmanager
def place(user: User | None, name: str) -> Iterator[Checkout]:
    """The folders of a run, gone at its end."""
    # Not under the job's own folders: the agent's user may not be able to enter those.
    top = Path(tempfile.mkdtemp(prefix="tollgate-")).resolve()
    try:
        top.chmod(0o711 if user else 0o700)
        made = Checkout(top, top / "git", top / (_safe(name) or "work"), top / "home")
        for folder in (made.git, made.work, made.home):
            folder.mkdir(mode=0o700)
        if user:
            os.chown(made.home, user.uid, user.gid)  # the rest when it is filled
        yield made
    finally:
        shutil.rmtree(top, ignore_errors=True)


def fetch(
    checkout: Checkout,
    url: str,
    sha: str,
    ref: str,
    token: str,
    user: User | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fill `git` with the commit and `work` with its tree, owned by the agent. Raises CheckoutError."""
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", sha):
        raise CheckoutError(f"{sha[:80]!r} is not the SHA of a commit")
    _git(["init", "--quiet", "--bare", "--template=", str(checkout.git)], {})
    secret = _authorization(url, token)  # by the environment: an argument is for everyone to see
    command = ["--git-dir", str(checkout.git), "fetch", "--quiet", "--no-tags", f"--depth={DEPTH}", "--", url]
    for left in reversed(range(TRIES)):
        try:
            # Any commit that a ref reaches may be asked for; a fork's pull request is reached by its own.
            _git([*command, sha], secret, FETCH_SECONDS)
            break
        except CheckoutError as error:
            if not left:
                raise CheckoutError(f"the commit {sha[:12]} of {ref} cannot be fetched: {error}") from error
            sleep(2.0 ** (TRIES - left))
    hand_over(checkout, sha, ref, url, user)


def hand_over(checkout: Checkout, sha: str, ref: str, url: str, user: User | None) -> None:
    """The agent's own clone: a copy, with the remote's address and no credentials. Raises CheckoutError."""
    clone = checkout.work / ".git"
    shutil.copytree(checkout.git, clone)
    (clone / "FETCH_HEAD").unlink(missing_ok=True)
    branch = ref if _is_branch(ref) else "agent"
    here = ["-C", str(checkout.work)]
    _git(["--git-dir", str(clone), "config", "core.bare", "false"], {})
    _git(["--git-dir", str(clone), "config", "remote.origin.url", url], {})
    _git([*here, "checkout", "--quiet", "-B", branch, sha], {}, FETCH_SECONDS)
    if user:
        own(checkout.work, user)


def own(tree: Path, user: User) -> None:
    """Give a whole tree to a user; links themselves, never where they lead."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), user.uid, user.gid, follow_symlinks=False)
    os.chown(tree, user.uid, user.gid)


def _authorization(url: str, token: str) -> dict[str, str]:
    if not token:
        return {}
    given = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {given}",
    }


def _is_branch(ref: str) -> bool:
    return subprocess.run(
        ["git", "check-ref-format", "--branch", ref], capture_output=True, check=False, env=_env({})
    ).returncode == 0 and not ref.startswith("-")


def _git(args: list[str], extra: Mapping[str, str], seconds: float = 60.0) -> None:
    try:
        done = subprocess.run(
            [
                "git",
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "gc.auto=0",
                "-c",
                "maintenance.auto=false",
                *args,
            ],
            env=_env(extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckoutError(str(error)) from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise CheckoutError(lines[-1][:300] if lines else f"git ended with {done.returncode}")


def _env(extra: Mapping[str, str]) -> dict[str, str]:
    path = {"PATH": os.defpath if shutil.which("git", path=os.defpath) else _path()}
    return {**path, "HOME": os.devnull, **QUIET, **extra}


def _path() -> str:
    found = shutil.which("git")
    return f"{Path(found).parent}:{os.defpath}" if found else os.defpath


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", name).strip(".-")[:60]
