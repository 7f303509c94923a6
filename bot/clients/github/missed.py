"""Everything that was written or merged since a time: for what GitHub never told us of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bot.clients.github.scopes import LOOK
from bot.clients.github.shapes import Json, Repo, milliseconds

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection


def installations(wire: Connection) -> tuple[int, ...]:
    """Where the App is installed and not suspended."""
    listed = wire.app_pages("/app/installations", 100)
    return tuple(int(one["id"]) for one in listed if one["suspended_at"] is None)


def comments(wire: Connection, repo: Repo, kind: str, since: int) -> Iterator[Json]:
    """The comments of a kind that were written or edited since, oldest first, as GitHub shows them."""
    stamp = datetime.fromtimestamp(since / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {"since": stamp, "sort": "created", "direction": "asc"}
    if kind == "issue_comment":
        return wire.pages(repo, LOOK, "/issues/comments", asked)
    return wire.pages(repo, LOOK, "/pulls/comments", asked)


def merged(wire: Connection, repo: Repo, since: int) -> tuple[int, ...]:
    """The pull requests that were merged since, in the order of their numbers."""
    asked = {"state": "closed", "sort": "updated", "direction": "desc"}
    found = []
    for pull in wire.pages(repo, LOOK, "/pulls", asked):
        if (milliseconds(pull["updated_at"]) or 0) < since:
            break
        if (milliseconds(pull["merged_at"]) or 0) >= since:
            found.append(int(pull["number"]))
    return tuple(sorted(found))
