"""`bot.core.signals.Only` as conditions in SQL."""

from __future__ import annotations

import sqlalchemy as sa

from bot.core.signals import Only
from bot.stores.tables import pulls, runs

Conditions = list[sa.ColumnElement[bool]]


def of_runs(only: Only) -> Conditions:
    """The runs that count."""
    return _of_place(only, runs) + _of_work(only)


def of_pulls(only: Only) -> Conditions:
    """The merged pull requests that count, over a join with their runs: a pull request is where it is, and of
    its runs all count that are of the class, the line and the person."""
    return _of_place(only, pulls) + _of_work(only)


def _of_place(only: Only, table: sa.Table) -> Conditions:
    found: Conditions = []
    if only.repository:
        named = sa.func.lower(table.c.repository) == only.repository.lower()
        found.append(sa.or_(named, table.c.repository_id.in_(_numbers(table, only.repository))))
    if only.visible is not None:
        found.append(table.c.repository_id.in_(only.visible))
    return found


def _of_work(only: Only) -> Conditions:
    found: Conditions = []
    if only.task_class:
        found.append(runs.c.task_class == only.task_class)
    if only.line is not None:
        found.append(runs.c.line == only.line)
    if only.developer:
        name = sa.func.lower(runs.c.actor) == only.developer.lower()
        earlier = runs.alias("earlier")
        same = sa.func.lower(earlier.c.actor) == only.developer.lower()
        numbers = sa.select(earlier.c.actor_id).where(same, earlier.c.actor_id.is_not(None))
        found.append(sa.or_(name, runs.c.actor_id.in_(numbers)))
    return found


def _numbers(table: sa.Table, repository: str) -> sa.Select[tuple[int]]:
    """Of the repositories that have or had this name."""
    earlier = table.alias("earlier_place")
    named = sa.func.lower(earlier.c.repository) == repository.lower()
    return sa.select(earlier.c.repository_id).where(named, earlier.c.repository_id.is_not(None))
