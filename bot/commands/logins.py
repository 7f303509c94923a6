"""This machine's logins to services: a file that only its user can read, a token for each service."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class LoginsError(Exception):
    """Why the file of logins cannot be read or written; a phrase that has no token in it."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in to which service; `expires_at` in ms. Its token is kept out of its repr."""

    url: str
    actor: str
    id: str
    expires_at: int
    token: str = field(repr=False)


def service_url(text: str) -> str:
    """A service's address as it is kept. Raises LoginsError for one to which no token may be sent.

    Over http a token could be read on its way: only on this machine itself.
    """
    url = text.strip().rstrip("/")
    none = LoginsError(f"{text!r} is not the address of a service, such as https://tollgate.example.com")
    try:
        parts = urlsplit(url)
        beside = parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0
    except ValueError:  # a port that is no number, half an IPv6 address
        raise none from None
    if parts.scheme not in ("http", "https") or not parts.hostname or beside or url.split() != [url]:
        raise none
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise LoginsError(f"{url} is not https: a token that is sent there could be read on its way")
    return url


class Logins:
    """The file: `$XDG_CONFIG_HOME/tollgate/logins.json`, else below `~/.config`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        home = env.get("XDG_CONFIG_HOME", "").strip() or str(
            Path(env.get("HOME") or "~").expanduser() / ".config"
        )
        self.file = Path(home) / "tollgate" / "logins.json"

    def of(self, url: str) -> Login | None:
        """The login to a service. Raises LoginsError."""
        if (kept := self._read().get(url)) is None:
            return None
        try:
            actor, id, token = (str(kept[name]) for name in ("actor", "id", "token"))
            return Login(url, actor, id, int(kept["expires_at"]), token)
        except (KeyError, TypeError, ValueError) as error:
            raise LoginsError(f"{self.file} does not hold logins; remove it and log in again") from error

    def keep(self, login: Login) -> None:
        """Raises LoginsError."""
        kept = {"actor": login.actor, "id": login.id, "expires_at": login.expires_at, "token": login.token}
        self._write(self._read() | {login.url: kept})

    def drop(self, url: str) -> None:
        """Raises LoginsError."""
        self._write({known: kept for known, kept in self._read().items() if known != url})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise LoginsError(f"{self.file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise LoginsError(f"{self.file} is not JSON; remove it and log in again") from error
        if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
            raise LoginsError(f"{self.file} does not hold logins; remove it and log in again")
        return found

    def _write(self, logins: Mapping[str, object]) -> None:
        """The whole file or none of it, for its owner alone."""
        scratch = self.file.with_name(f".{self.file.name}.{secrets.token_hex(8)}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(json.dumps(logins, indent=2) + "\n")
            scratch.replace(self.file)
        except OSError as error:
            raise LoginsError(f"{self.file} cannot be written: {error.strerror}") from error
        finally:
            with suppress(OSError):
                scratch.unlink()
