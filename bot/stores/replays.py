"""Ended runs with their turns, as `bot.core.replay` takes them: one pass, one run after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.replay import Recorded, Turn
from bot.core.signals import EVERYTHING, Only
from bot.stores.database import Database
from bot.stores.distributions import ASKED, ENDED
from bot.stores.only import Known, known, of_runs
from bot.stores.tables import UNCHARGED, runs, turns

_AT_ONCE = 5_000  # rows that are held
_IDS = 500  # in one statement
# The columns that a Turn is made of, in its order.
_AS_HELD = ("attempt", "held_at", "hold_nanos", "hold_tokens", "max_tokens")
_AS_ANSWERED = ("nanos", "tokens", "output", "cost_output_nanos")
_TURN = len(_AS_HELD + _AS_ANSWERED)


@dataclass(frozen=True, slots=True)
class Sample:
    """Some runs in the place of all, and how many there are of each class."""

    runs: tuple[Recorded, ...]
    every: Mapping[str, int]


class Replays:
    def __init__(self, database: Database) -> None:
        self.database = database

    def count(self, since_ms: int, until_ms: int, only: Only = EVERYTHING) -> int:
        """How many runs `recorded` gives."""
        with self.database.read() as tx:
            where = _ended(since_ms, until_ms, known(tx, only))
            return int(tx.execute(sa.select(sa.func.count()).select_from(runs).where(*where)).scalar_one())

    def recorded(self, since_ms: int, until_ms: int, only: Only = EVERYTHING) -> Iterator[Recorded]:
        """Those that ended in [since, until) and asked a model, in order of their ids; turns as corrected."""
        with self.database.read() as tx:
            yield from _read(tx, _query().where(*_ended(since_ms, until_ms, known(tx, only))))

    def sample(self, since_ms: int, until_ms: int, most: int, only: Only = EVERYTHING) -> Sample:
        """Of each class at most so many of them, the same ones each time.

        Ids are random, so those that come first in their order are any.
        """
        place = sa.func.row_number().over(partition_by=runs.c.task_class, order_by=runs.c.id)
        every = sa.func.count().over(partition_by=runs.c.task_class)
        columns = runs.c.id, runs.c.task_class, place.label("place"), every.label("every")
        found: list[Recorded] = []
        with self.database.read() as tx:
            where = _ended(since_ms, until_ms, known(tx, only))
            ranked = sa.select(*columns).where(*where).subquery()
            chosen = tx.execute(sa.select(ranked).where(ranked.c.place <= most)).all()
            ids = sorted(row.id for row in chosen)
            for first in range(0, len(ids), _IDS):
                found += _read(tx, _query().where(runs.c.id.in_(ids[first : first + _IDS])))
        return Sample(tuple(found), {row.task_class: row.every for row in chosen})


def _read(tx: sa.Connection, query: sa.Select[Any]) -> Iterator[Recorded]:
    rows = tx.execution_options(yield_per=_AT_ONCE).execute(query)
    for _, group in groupby(rows, itemgetter(0)):
        yield _recorded(list(group))


def _query() -> sa.Select[Any]:
    later = turns.alias("later")

    def with_corrections(name: str) -> sa.ColumnElement[int]:
        corrected = sa.select(sa.func.sum(later.c[name])).where(later.c.corrects == turns.c.id)
        more = sa.func.coalesce(corrected.scalar_subquery(), 0)
        # Only estimates are ever corrected.
        estimated = turns.c.state == "estimated"
        # The database's own sum is a numeric there, which takes several times as long to be read.
        return sa.cast(turns.c[name] + sa.case((estimated, more), else_=0), sa.BigInteger).label(name)

    return (
        sa.select(
            runs.c.id, runs.c.task_class, runs.c.state, runs.c.reason, runs.c.ceiling_nanos,
            runs.c.ceiling_tokens, runs.c.ceiling_steps, runs.c.ceiling_seconds,
            runs.c.attempt.label("attempts"), runs.c.started_at, runs.c.ended_at,
            *(turns.c[name] for name in _AS_HELD), *(with_corrections(name) for name in _AS_ANSWERED),
        )
        .join_from(runs, turns, turns.c.run == runs.c.id)
        # By what it is not: SQLite would else take the index of states, and read every turn there is.
        .where(turns.c.state.not_in((*UNCHARGED, "corrected")))
        .order_by(runs.c.id, turns.c.id)
    )  # fmt: skip


def _ended(since_ms: int, until_ms: int, which: Known) -> list[sa.ColumnElement[bool]]:
    within = (runs.c.ended_at >= since_ms, runs.c.ended_at < until_ms)
    return [ENDED, ASKED, *within, *of_runs(which)]


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
        tuple(Turn(*row[-_TURN:]) for row in rows),
    )
