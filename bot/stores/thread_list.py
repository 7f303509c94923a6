"""Pull requests and issues with what was spent on each, in SQL: a page of them, by cost or by time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from bot.core.attribution import Place, reverted
from bot.core.money import Usd
from bot.core.signals import BAND
from bot.core.thread_list import (
    CLOSED,
    HALTED,
    ISSUE,
    MERGED,
    OPEN,
    OUTLIER,
    REVERTED,
    SORTS,
    ThreadCost,
    Wanted,
)
from bot.stores.database import Database
from bot.stores.merged import SUMS, reverts
from bot.stores.only import Known, known, of_pulls, of_runs
from bot.stores.tables import attributions, pulls, runs

_SUMMED = {**SUMS, "estimated_nanos": runs.c.estimated_nanos}
_TOLD = (runs.c.repository_id, runs.c.thread, runs.c.repository, runs.c.thread_kind, runs.c.snapshot)


class ThreadList:
    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, wanted: Wanted, most: int) -> tuple[ThreadCost, ...]:
        """The first so many of those that are wanted."""
        with self.database.read() as tx:
            gone = reverted(reverts(tx))
            if wanted.having == REVERTED and (not gone or wanted.state not in ("", MERGED)):
                return ()
            rows = tx.execute(_page(wanted, known(tx, wanted.only), gone).limit(most)).all()
            places = [(int(row.repository_id), int(row.number)) for row in rows]
            told = _pulls(tx, places)
            last = _last_runs(tx, [place for place in places if place not in told])
        return tuple(_thread(row, told, last, gone) for row in rows)


def _page(wanted: Wanted, which: Known, gone: set[Place]) -> sa.Select[Any]:
    arms = [arm for arm in (_merged(wanted, which), _others(wanted, which)) if arm is not None]
    found = sa.union_all(*arms).subquery()
    place = (found.c.repository_id, found.c.number)
    value = found.c.nanos if wanted.sort == SORTS[0] else found.c.at
    query = sa.select(found).order_by(value.desc(), *(column.desc() for column in place))
    if wanted.having == OUTLIER:
        query = query.where(found.c.nanos > BAND[1].nanos)
    if wanted.having == HALTED:
        query = query.where(found.c.halted_nanos > 0)
    if wanted.having == REVERTED:
        query = query.where(found.c.merged == 1, sa.tuple_(*place).in_(sorted(gone)))
    if (after := wanted.after) is not None:
        here = (after.value, after.repository, after.number)
        query = query.where(sa.tuple_(value, *place) < sa.tuple_(*(sa.literal(one) for one in here)))
    return query


def _merged(wanted: Wanted, which: Known) -> sa.Select[Any] | None:
    """Merged pull requests, each with all that belongs to it, whenever it was spent."""
    if wanted.state not in ("", MERGED):
        return None
    here = [attributions.c.repository_id == pulls.c.repository_id, attributions.c.number == pulls.c.number]
    within = (pulls.c.merged_at >= wanted.since, pulls.c.merged_at < wanted.until)
    keys = (pulls.c.repository_id, pulls.c.number, pulls.c.merged_at)
    return (
        sa.select(*keys[:2], sa.literal(1).label("merged"), pulls.c.merged_at.label("at"), *_sums())
        .join_from(pulls, attributions, sa.and_(*here))
        .join(runs, runs.c.id == attributions.c.run)
        .where(*within, *of_pulls(which))
        .group_by(*keys)
    )


def _others(wanted: Wanted, which: Known) -> sa.Select[Any] | None:
    """Threads with runs that belong to no merged pull request, by their last such run."""
    if wanted.state == MERGED or wanted.having == REVERTED:
        return None
    place = (runs.c.repository_id, runs.c.thread)
    at = sa.func.max(runs.c.opened_at)
    query = (
        sa.select(
            *place[:1], runs.c.thread.label("number"), sa.literal(0).label("merged"), at.label("at"), *_sums()
        )
        .select_from(runs)
        .where(runs.c.thread.is_not(None), runs.c.repository_id.is_not(None), *of_runs(which))
        .where(~sa.exists().where(attributions.c.run == runs.c.id))
        .group_by(*place)
        .having(at >= wanted.since, at < wanted.until)
    )
    if wanted.since:  # the index of times finds the few threads on which anything has happened since
        later = runs.alias("later")
        lately = sa.select(later.c.repository_id, later.c.thread).where(later.c.opened_at >= wanted.since)
        query = query.where(sa.tuple_(*place).in_(lately))
    if wanted.state == ISSUE:
        return query.where(runs.c.thread_kind == ISSUE)
    if wanted.state:
        closed = sa.exists().where(
            pulls.c.repository_id == runs.c.repository_id, pulls.c.number == runs.c.thread, pulls.c.closed
        )
        query = query.where(runs.c.thread_kind == "pull", closed if wanted.state == CLOSED else ~closed)
    return query


def _sums() -> list[sa.Label[Any]]:
    # PostgreSQL's sum of int64 is a numeric, which is no int64 to compare a mark with.
    return [sa.cast(sa.func.sum(value), sa.BigInteger).label(name) for name, value in _SUMMED.items()]


def _pulls(tx: sa.Connection, places: Sequence[Place]) -> dict[Place, Any]:
    """What GitHub has told of those that are or were pull requests."""
    about = (
        pulls.c.repository_id,
        pulls.c.number,
        pulls.c.repository,
        pulls.c.title,
        pulls.c.author,
        pulls.c.closed,
    )
    query = sa.select(*about).where(sa.tuple_(*about[:2]).in_(places))
    return {(row[0], row[1]): row for row in tx.execute(query)} if places else {}


def _last_runs(tx: sa.Connection, places: Sequence[Place]) -> dict[Place, Any]:
    """The last run on each thread: its snapshot, large as it is, has the title that it had then."""
    latest = (runs.c.opened_at.desc(), runs.c.id.desc())
    rank = sa.func.row_number().over(partition_by=_TOLD[:2], order_by=latest)
    ranked = sa.select(runs.c.id, rank.label("rank")).where(sa.tuple_(*_TOLD[:2]).in_(places)).subquery()
    query = sa.select(*_TOLD).join(ranked, ranked.c.id == runs.c.id).where(ranked.c.rank == 1)
    return {(row[0], row[1]): row for row in tx.execute(query)} if places else {}


def _thread(row: sa.Row[Any], told: dict[Place, Any], last: dict[Place, Any], gone: set[Place]) -> ThreadCost:
    place = (int(row.repository_id), int(row.number))
    pull, run = told.get(place), last.get(place)
    titled = json.loads(run.snapshot).get("thread", {}) if run is not None and pull is None else {}
    if row.merged:
        state = MERGED
    elif run is not None and run.thread_kind == ISSUE:
        state = ISSUE
    else:
        state = CLOSED if pull is not None and pull.closed else OPEN
    return ThreadCost(
        repository_id=place[0],
        repository=run.repository if pull is None and run is not None else pull.repository if pull else "",
        number=place[1],
        state=state,
        title=pull.title if pull is not None else str(titled.get("title", "")),
        author=pull.author if pull is not None else "",
        usd=Usd(int(row.nanos)),
        runs=int(row.runs),
        attempts=int(row.attempts),
        at=int(row.at),
        estimated=Usd(int(row.estimated_nanos)),
        halted=Usd(int(row.halted_nanos)),
        context=Usd(int(row.context_nanos)),
        reverted=place in gone and bool(row.merged),
    )
