"""Answers in the thread of a review comment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bot.clients.github.scopes import TALK
from bot.clients.github.shapes import Json, Repo

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection

LOOKED_AT = 3  # pages of a pull request's review comments, newest first


def answer(
    wire: Connection,
    repo: Repo,
    number: int,
    first: int,
    body: str,
    marker: str,
    ours: Callable[[Json], bool],
) -> int:
    """A comment at the end of the thread that `first` begins: its id, once for a marker."""
    asked = {"sort": "created", "direction": "desc"}
    for known in wire.pages(repo, TALK, f"/pulls/{number}/comments", asked, most=LOOKED_AT):
        if (known.get("body") or "").lstrip().startswith(marker) and ours(known):
            return int(known["id"])
    path = f"/pulls/{number}/comments/{first}/replies"
    return int(wire.call(repo, TALK, "POST", path, body={"body": body})["id"])
