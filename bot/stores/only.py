"""`bot.core.signals.Only` as conditions in SQL."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from bot.core.signals import Only
from bot.stores.tables import pulls, runs

Conditions = list[sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Known:
    """`repositories`, `people`: GitHub's numbers of those that have or had the names that are asked for."""

    only: Only
    repositories: tuple[int, ...] = ()
    people: tuple[int, ...] = ()


def known(tx: sa.Connection, only: Only) -> Known:
    """Names are looked up once and for all: beside another condition a database reads every run for them."""
    repositories: set[int] = set()
    if only.repository:
        for table in (runs, pulls):
            repositories |= _numbers(tx, table.c.repository, table.c.repository_id, only.repository)
    people = set()
    if only.developer and only.person is None:
        people = _numbers(tx, runs.c.actor, runs.c.actor_id, only.developer)
    return Known(only, tuple(sorted(repositories)), tuple(sorted(people)))


def of_runs(which: Known, table: sa.Table = runs) -> Conditions:
    """The runs that count. `table`: any that has these columns of them."""
    return _of_place(which, table) + _of_work(which, table)


def of_pulls(which: Known) -> Conditions:
    """The merged pull requests that count, over a join with their runs: a pull request is where it is, and of
    its runs all count that are of the class, the line and the person."""
    return of_places(which) + _of_work(which, runs)


def of_places(which: Known) -> Conditions:
    """The merged pull requests where they count."""
    return _of_place(which, pulls)


def any_work(which: Known) -> bool:
    """Whether all runs on a pull request that counts do."""
    return not _of_work(which, runs)


def _of_place(which: Known, table: sa.Table) -> Conditions:
    found: Conditions = []
    if name := which.only.repository:
        found.append(_called(table.c.repository, table.c.repository_id, name, which.repositories))
    if which.only.visible is not None:
        found.append(table.c.repository_id.in_(which.only.visible))
    return found


def _of_work(which: Known, table: sa.Table) -> Conditions:
    only = which.only
    found: Conditions = []
    if only.task_class:
        found.append(table.c.task_class == only.task_class)
    if only.line is not None:
        found.append(table.c.line == only.line)
    if only.person is not None:
        found.append(table.c.actor_id == only.person)
    elif only.developer:
        found.append(_called(table.c.actor, table.c.actor_id, only.developer, which.people))
    return found


def _called(
    name: sa.Column[str], number: sa.Column[int], wanted: str, numbers: tuple[int, ...]
) -> sa.ColumnElement[bool]:
    """Of one of these numbers; or by the name, where there is no number."""
    nameless = sa.and_(number.is_(None), sa.func.lower(name) == wanted.lower())
    return sa.or_(number.in_(numbers), nameless)


def _numbers(tx: sa.Connection, name: sa.Column[str], number: sa.Column[int], wanted: str) -> set[int]:
    found = sa.select(number).where(sa.func.lower(name) == wanted.lower(), number.is_not(None))
    return set(tx.execute(found.distinct()).scalars())
