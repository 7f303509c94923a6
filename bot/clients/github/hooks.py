"""GitHub's own log of what it delivered to the App: three days of it, newest first, timeouts included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.clients.github.errors import GitHubError
from bot.clients.github.shapes import Json, milliseconds

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection

LOG_PAGES = 5_000  # of a hundred: three days of a delivery every half second


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver; all tries of a delivery have its guid. `at`: ms since the epoch by GitHub's clock.

    `status` is GitHub's word: "OK", or how it failed; a proxy before our door may have made it an OK.
    """

    id: int
    guid: str
    at: int
    event: str
    action: str
    status: str


def attempts(wire: Connection, since: int) -> Iterator[Attempt]:
    """What was tried at `since` or later, newest first."""
    # Not by `status=failure`: that means 400 to 599 only, and what timed out has no status.
    for raw in wire.app_pages("/app/hook/deliveries", LOG_PAGES):
        found = Attempt(
            id=raw["id"],
            guid=raw["guid"],
            at=milliseconds(raw["delivered_at"]) or 0,
            event=raw["event"],
            action=raw["action"] or "",
            status=raw["status"],
        )
        if found.at < since:
            return
        yield found


def payload(wire: Connection, id: int) -> Json | None:
    """What was sent; None for what the log does not have (any more)."""
    try:
        sent = wire.as_app("GET", f"/app/hook/deliveries/{id}")["request"]["payload"]
    except GitHubError as error:
        if error.status == 404:
            return None
        raise
    return sent if isinstance(sent, dict) else None


def redeliver(wire: Connection, id: int) -> None:
    """Have it sent to the door once more, under the same guid."""
    wire.as_app("POST", f"/app/hook/deliveries/{id}/attempts")
