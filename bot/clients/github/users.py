"""GitHub on behalf of a person who signed in: who they are, and what of the App's they may see.

A person's token has what both they and the App may do, so these answers are GitHub's own word on both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.clients.github.shapes import Json, Repo
from bot.core.roles import Role
from bot.core.visibility import Access

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection

# Strongest first, as GitHub names what a person may; a custom role has what its base role has.
_RIGHTS = {
    "admin": Role.ADMIN,
    "maintain": Role.MAINTAIN,
    "push": Role.WRITE,
    "triage": Role.TRIAGE,
    "pull": Role.READ,
}


@dataclass(frozen=True, slots=True)
class User:
    """A person. `id` stays when they rename themselves."""

    id: int
    login: str


def user(wire: Connection, token: str) -> User:
    raw = wire.as_user(token, "/user")
    return User(int(raw["id"]), str(raw["login"]))


def access(wire: Connection, token: str) -> tuple[Access, ...]:
    found = []
    for made in wire.user_pages(token, "/user/installations", "installations"):
        # Of another App's token they are that App's: whoever runs it could sign in here as its people.
        if made.get("suspended_at") or made.get("app_id") != wire.app_id:
            continue
        installation = int(made["id"])
        path = f"/user/installations/{installation}/repositories"
        for raw in wire.user_pages(token, path, "repositories"):
            repo = Repo(installation, int(raw["id"]), str(raw["full_name"]))
            found.append(Access(repo, _role(raw.get("permissions") or {})))
    return tuple(one for one in found if one.role is not Role.NONE)


def _role(rights: Json) -> Role:
    return next((role for name, role in _RIGHTS.items() if rights.get(name)), Role.NONE)
