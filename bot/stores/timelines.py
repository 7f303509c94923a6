"""The requests of a run as the ledger has them: for its page, and for collectors of traces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from bot.core.timeline import KINDS, Timeline, in_order
from bot.stores.database import Database
from bot.stores.tables import runs, turns

_TURN = (
    "id", "attempt", "state", "step", "corrects", "held_at", "settled_at", "max_tokens", "clamped_max_tokens",
    "model_asked", "model", "request_id", "status", "stop_reason", "ending", "hold_nanos", "hold_tokens",
    "nanos", "tokens", "input", "cache_write_5m", "cache_write_1h", "cache_read", "output", "price_book",
)  # fmt: skip


class Timelines:
    def __init__(self, database: Database) -> None:
        self.database = database

    def of(self, run: str) -> Timeline:
        """All requests of a run; none of one that is not there."""
        began = sa.select(runs.c.started_at, runs.c.attempt).where(runs.c.id == run)
        with self.database.read() as tx:
            started_at, attempt = tx.execute(began).one_or_none() or (None, 1)
            return in_order(turns_of(tx, run, KINDS), started_at, attempt)


def turns_of(tx: sa.Connection, run: str, states: Collection[str]) -> tuple[Mapping[str, Any], ...]:
    """Its turns in these states, in the order in which they were sent; columns are the table's."""
    mine = sa.select(*(turns.c[name] for name in _TURN)).where(turns.c.run == run)
    query = mine.where(turns.c.state.in_(list(states))).order_by(turns.c.id)
    return tuple(dict(row) for row in tx.execute(query).mappings())
