"""How ended runs are distributed, in SQL: percentiles are values that occurred, by nearest rank (R27)."""

from __future__ import annotations

from itertools import pairwise

import sqlalchemy as sa

from bot.core.money import Usd
from bot.core.signals import BUCKETS, Only, Spread, Tokens
from bot.stores.only import of_runs
from bot.stores.tables import LIVE, runs

ENDED = runs.c.state.not_in((*LIVE, "refused"))  # what was refused in line never began
ASKED = runs.c.steps > 0  # a run that asked nothing of a model says nothing


def tokens(tx: sa.Connection, since: int, until: int, only: Only) -> tuple[Tokens, ...]:
    """Of the runs that ended in [since, until), those that succeeded and those that did not."""
    outcome = sa.case((runs.c.state == "done", "success"), else_="failure")
    where = [ENDED, ASKED, runs.c.ended_at >= since, runs.c.ended_at < until, *of_runs(only)]
    ranked = _ranked(outcome, runs.c.spent_tokens, where)
    value = ranked.c.value
    buckets = [
        sa.func.sum(sa.case((sa.and_(value >= low, value < high), 1), else_=0))
        for low, high in pairwise((0, *BUCKETS))
    ]
    beyond = sa.func.sum(sa.case((value >= BUCKETS[-1], 1), else_=0))
    query = (
        sa.select(
            ranked.c.name,
            sa.func.max(ranked.c.count),
            *(_at(ranked, percent) for percent in (50, 90, 99)),
            sa.func.max(value),
            *buckets,
            beyond,
        )
        .group_by(ranked.c.name)
        .order_by(ranked.c.name.desc())
    )
    found = []
    for name, *rest in tx.execute(query):
        count, p50, p90, p99, most, *histogram = (int(number) for number in rest)
        found.append(Tokens(name, count, p50, p90, p99, most, tuple(histogram)))
    return tuple(found)


def spreads(tx: sa.Connection, where: list[sa.ColumnElement[bool]]) -> dict[str, Spread]:
    """What ended runs have cost, by class."""
    ranked = _ranked(runs.c.task_class, runs.c.spent_nanos, [ENDED, ASKED, *where])
    query = sa.select(ranked.c.name, sa.func.max(ranked.c.count), _at(ranked, 50), _at(ranked, 90)).group_by(
        ranked.c.name
    )
    return {r[0]: Spread(int(r[1]), Usd(int(r[2])), Usd(int(r[3]))) for r in tx.execute(query).all()}


def _ranked(
    name: sa.ColumnElement[str], value: sa.ColumnElement[int], where: list[sa.ColumnElement[bool]]
) -> sa.Subquery:
    """Each run with its name's value, the rank of that from 1, and how many there are of the name."""
    found = sa.select(name.label("name"), value.label("value")).where(*where).subquery()
    rank = sa.func.row_number().over(partition_by=found.c.name, order_by=found.c.value).label("rank")
    count = sa.func.count().over(partition_by=found.c.name).label("count")
    return sa.select(found.c.name, found.c.value, rank, count).subquery()


def _at(ranked: sa.Subquery, percent: int) -> sa.ColumnElement[int]:
    """The value that so many in a hundred do not exceed: core.signals.nearest in SQL."""
    rank = (ranked.c.count * percent + 99) // 100
    return sa.func.max(sa.case((ranked.c.rank == rank, ranked.c.value)))
