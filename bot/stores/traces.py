"""Runs that have ended and that no collector of traces was told of yet, whole: R29.

What was told is marked on the run itself, with the end that was told: a run that is resumed and ends again is
told again. So nothing is left out however long a collector is away, or whoever dies in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.tables import runs, turns
from bot.stores.timelines import turns_of

_RUN = (
    "id", "origin", "repository", "thread", "thread_kind", "actor", "line", "task_class", "engine", "model",
    "state", "reason", "attempt", "opened_at", "ended_at", "spent_nanos", "steps", "tool_calls",
    "ceiling_nanos", "ceiling_tokens", "ceiling_steps", "ceiling_seconds",
)  # fmt: skip
_BOOKED = ("settled", "estimated", "released")
_FRESH = sa.or_(runs.c.traced_at.is_(None), runs.c.traced_at != runs.c.ended_at)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run's row and its turns' as they were first booked, in their order; columns are the tables'."""

    run: Mapping[str, Any]
    turns: Sequence[Mapping[str, Any]]


class Traces:
    def __init__(self, database: Database) -> None:
        self.database = database

    def untold(self, since: int, most: int) -> tuple[Ended, ...]:
        """Of those that ended at `since` (ms) or later the first so many of which nothing is in flight."""
        held = sa.exists().where(turns.c.run == runs.c.id, turns.c.state == "held")
        query = (
            sa.select(*(runs.c[name] for name in _RUN))
            .where(runs.c.ended_at.is_not(None), runs.c.ended_at >= since, _FRESH, ~held)
            .order_by(runs.c.ended_at, runs.c.id)
            .limit(most)
        )
        with self.database.read() as tx:
            return tuple(
                Ended(dict(row), turns_of(tx, row["id"], _BOOKED))
                for row in tx.execute(query).mappings().all()
            )

    def told(self, run: str, ended_at: int) -> None:
        """A collector has it, as it ended then."""
        mine = sa.update(runs).where(runs.c.id == run, runs.c.ended_at == ended_at)
        with self.database.begin() as tx:
            tx.execute(mine.values(traced_at=ended_at))
