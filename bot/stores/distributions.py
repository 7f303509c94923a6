"""How ended runs are distributed, in SQL: percentiles are values that occurred, by nearest rank (R27)."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from bot.core.money import Usd
from bot.core.signals import BUCKETS, Tokens, nearest
from bot.core.sizes import Spread
from bot.stores.tables import LIVE, runs

UNENDED = (*LIVE, "refused")  # what was refused in line never began
ENDED = runs.c.state.not_in(UNENDED)
ASKED = runs.c.steps > 0  # a run that asked nothing of a model says nothing
_THOUSAND = 1000  # tokens; each of BUCKETS is a multiple of it


def tokens(tx: sa.Connection, ended: sa.Subquery) -> tuple[Tokens, ...]:
    """Of ended runs, those that succeeded and those that did not. `ended`: rows with state, steps and
    spent_tokens.

    They are counted by the thousand, of which the databases keep a few counters; then the values are read
    only where a percentile lies. To sort all of them takes several times as long.
    """
    done = sa.case((ended.c.state == "done", 1), else_=0).label("done")
    thousand = (ended.c.spent_tokens // _THOUSAND).label("thousand")
    asked = sa.select(done, thousand, ended.c.spent_tokens.label("value")).where(ended.c.steps > 0).subquery()
    keys = (asked.c.done, asked.c.thousand)
    counts: dict[int, list[tuple[int, int]]] = {1: [], 0: []}
    for of, at, count in tx.execute(sa.select(*keys, sa.func.count()).group_by(*keys).order_by(*keys)):
        counts[of].append((int(at), int(count)))
    at_ranks = {of: [_holding(some, rank) for rank in _ranks(some)] for of, some in counts.items() if some}
    wanted = sorted({(of, at) for of, some in at_ranks.items() for at, _ in some})
    if not wanted:
        return ()
    these = sa.or_(*(sa.and_(asked.c.done == of, asked.c.thousand == at) for of, at in wanted))
    values: dict[tuple[int, int], list[tuple[int, int]]] = {place: [] for place in wanted}
    each = (*keys, asked.c.value)
    query = sa.select(*each, sa.func.count()).where(these).group_by(*each).order_by(*each)
    for of, at, value, count in tx.execute(query):
        values[of, int(at)].append((int(value), int(count)))
    found = []
    for of, name in ((1, "success"), (0, "failure")):
        if some := counts[of]:
            p50, p90, p99, most = (_holding(values[of, at], rank)[0] for at, rank in at_ranks[of])
            histogram = [0] * (len(BUCKETS) + 1)
            for at, count in some:
                histogram[bisect(BUCKETS, at * _THOUSAND)] += count
            found.append(Tokens(name, sum(histogram), p50, p90, p99, most, tuple(histogram)))
    return tuple(found)


def _ranks(counts: Sequence[tuple[int, int]]) -> list[int]:
    """Of the percentiles that are told, and of the last one."""
    every = sum(count for _, count in counts)
    return [*(nearest(percent, every) for percent in (50, 90, 99)), every]


def _holding(counts: Sequence[tuple[int, int]], rank: int) -> tuple[int, int]:
    """Which of them, ascending, has the value of this rank, and its rank among those of it alone."""
    for what, count in counts:
        if rank <= count:
            return what, rank
        rank -= count
    raise ValueError("there are not so many")


def spreads(tx: sa.Connection, where: list[sa.ColumnElement[bool]]) -> dict[str, Spread]:
    """What ended runs have cost, by class."""
    ranked = _ranked(runs.c.task_class, runs.c.spent_nanos, [ENDED, ASKED, *where])
    query = sa.select(ranked.c.name, sa.func.max(ranked.c.count), _at(ranked, 50), _at(ranked, 90)).group_by(
        ranked.c.name
    )
    return {r[0]: Spread(int(r[1]), Usd(int(r[2])), Usd(int(r[3]))) for r in tx.execute(query).all()}


def _ranked(
    name: sa.ColumnElement[Any], value: sa.ColumnElement[int], where: list[sa.ColumnElement[bool]]
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
