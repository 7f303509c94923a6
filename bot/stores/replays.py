"""Ended runs with their turns, as `bot.core.replay` takes them: one pass, one run after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.replay import Recorded, Turn
from bot.core.signals import EVERYTHING, Only
from bot.stores.database import Database
from bot.stores.distributions import ASKED, ENDED
from bot.stores.only import of_runs
from bot.stores.tables import runs, turns

_AT_ONCE = 5_000  # rows that are held


class Replays:
    def __init__(self, database: Database) -> None:
        self.database = database

    def count(self, since_ms: int, until_ms: int, only: Only = EVERYTHING) -> int:
        """How many runs `recorded` gives."""
        with self.database.read() as tx:
            where = _ended(since_ms, until_ms, only)
            return int(tx.execute(sa.select(sa.func.count()).select_from(runs).where(*where)).scalar_one())

    def recorded(self, since_ms: int, until_ms: int, only: Only = EVERYTHING) -> Iterator[Recorded]:
        """Those that ended in [since, until) and asked a model, in order of their ids; turns as corrected."""
        later = turns.alias("later")

        def with_corrections(name: str) -> sa.ColumnElement[int]:
            corrected = sa.select(sa.func.sum(later.c[name])).where(later.c.corrects == turns.c.id)
            more = sa.func.coalesce(corrected.scalar_subquery(), 0)
            # Only estimates are ever corrected.
            estimated = turns.c.state == "estimated"
            return (turns.c[name] + sa.case((estimated, more), else_=0)).label(name)

        query = (
            sa.select(
                runs.c.id, runs.c.task_class, runs.c.state, runs.c.reason, runs.c.ceiling_nanos,
                runs.c.ceiling_tokens, runs.c.ceiling_steps, runs.c.ceiling_seconds,
                runs.c.attempt.label("attempts"), runs.c.started_at, runs.c.ended_at,
                turns.c.attempt, turns.c.held_at, turns.c.hold_nanos, turns.c.hold_tokens,
                turns.c.max_tokens,
                *(with_corrections(name) for name in ("nanos", "tokens", "output", "cost_output_nanos")),
            )
            .join_from(runs, turns, turns.c.run == runs.c.id)
            .where(turns.c.state.in_(("settled", "estimated")), *_ended(since_ms, until_ms, only))
            .order_by(runs.c.id, turns.c.id)
        )  # fmt: skip
        with self.database.read() as tx:
            rows = tx.execution_options(yield_per=_AT_ONCE).execute(query)
            for _, group in groupby(rows, attrgetter("id")):
                yield _recorded(list(group))


def _ended(since_ms: int, until_ms: int, only: Only) -> list[sa.ColumnElement[bool]]:
    within = (runs.c.ended_at >= since_ms, runs.c.ended_at < until_ms)
    return [ENDED, ASKED, *within, *of_runs(only)]


def _recorded(rows: list[Any]) -> Recorded:
    run = rows[0]
    return Recorded(
        run.id,
        run.task_class,
        run.state,
        run.reason,
        Ceilings(Usd(run.ceiling_nanos), run.ceiling_tokens, run.ceiling_steps, run.ceiling_seconds),
        run.attempts,
        run.started_at if run.started_at is not None else run.held_at,
        run.ended_at,
        tuple(
            Turn(
                row.attempt,
                row.held_at,
                row.hold_nanos,
                row.hold_tokens,
                row.max_tokens,
                int(row.nanos),
                int(row.tokens),
                int(row.output),
                int(row.cost_output_nanos),
            )
            for row in rows
        ),
    )
