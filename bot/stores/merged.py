"""Merged pull requests and what belongs to them, in SQL (R26, M4).

A run's row has the sums of its turns, so that a year of pull requests is read from as many rows as there are
runs.
"""

from __future__ import annotations

import sqlalchemy as sa

from bot.core.attribution import Place, reverted
from bot.core.money import Usd
from bot.core.signals import MergedPull, Only
from bot.stores.only import of_pulls
from bot.stores.tables import attributions, pulls, runs

HALTED = runs.c.state == "halted"
CONTEXT = runs.c.cost_input_nanos + runs.c.cost_write_nanos + runs.c.cost_read_nanos


def merged(tx: sa.Connection, since: int, until: int, only: Only) -> tuple[MergedPull, ...]:
    """Those merged in [since, until) with at least one run that counts, dearest first."""
    return _pulls(tx, pulls.c.merged_at >= since, pulls.c.merged_at < until, *of_pulls(only))


def merged_pull(tx: sa.Connection, repository_id: int, number: int) -> MergedPull | None:
    """One with all that was ever spent on it; None if no run belongs to it, or it is not merged."""
    this = (pulls.c.repository_id == repository_id, pulls.c.number == number)
    return next(iter(_pulls(tx, *this)), None)


def _pulls(tx: sa.Connection, *where: sa.ColumnElement[bool]) -> tuple[MergedPull, ...]:
    here = [attributions.c.repository_id == pulls.c.repository_id, attributions.c.number == pulls.c.number]
    about = (pulls.c.repository_id, pulls.c.number, pulls.c.repository, pulls.c.title, pulls.c.author)
    spent = sa.func.sum(runs.c.spent_nanos)
    query = (
        sa.select(
            *about,
            spent.label("nanos"),
            sa.func.sum(sa.case((HALTED, runs.c.spent_nanos), else_=0)).label("halted"),
            sa.func.sum(CONTEXT).label("context"),
            sa.func.count(runs.c.id).label("runs"),
            sa.func.sum(runs.c.attempt).label("attempts"),
        )
        .join_from(pulls, attributions, sa.and_(*here))
        .join(runs, runs.c.id == attributions.c.run)
        .where(pulls.c.merged_at.is_not(None), *where)
        .group_by(*about)
        .order_by(spent.desc(), pulls.c.repository, pulls.c.number)
    )
    rows = tx.execute(query).all()
    gone = reverted(_reverts(tx)) if rows else set()
    return tuple(
        MergedPull(
            row.repository,
            row.number,
            row.title,
            row.author,
            Usd(int(row.nanos)),
            int(row.runs),
            (row.repository_id, row.number) in gone,
            Usd(int(row.halted)),
            Usd(int(row.context)),
            int(row.attempts),
        )
        for row in rows
    )


def _reverts(tx: sa.Connection) -> dict[Place, Place]:
    """Merged pull requests that take back another one, and that other one."""
    columns = sa.select(pulls.c.repository_id, pulls.c.number, pulls.c.reverts)
    rows = tx.execute(columns.where(pulls.c.reverts.is_not(None), pulls.c.merged_at.is_not(None)))
    return {(row[0], row[1]): (row[0], row[2]) for row in rows}
