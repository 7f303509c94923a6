"""Merged pull requests and what belongs to them, in SQL (R26, M4).

A run's row has the sums of its turns. What a pull request came to is summed up by a worker, and read again
unless one of its runs may have changed since: then, and where only some of its runs count, from those rows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bot.core.attribution import Place, reverted
from bot.core.money import Usd
from bot.core.signals import BAND, COST_BOUNDS, MergedPull, Merges
from bot.stores.database import Database
from bot.stores.days import Reach, attributing, changed_since, standing
from bot.stores.only import Conditions, Known, any_work, of_places, of_pulls
from bot.stores.quarters import added
from bot.stores.tables import attributions, pull_sums, pulls, runs

CONTEXT = runs.c.cost_input_nanos + runs.c.cost_write_nanos + runs.c.cost_read_nanos
_HALTED = runs.c.state == "halted"
SUMS = {
    "nanos": runs.c.spent_nanos,
    "halted_nanos": sa.case((_HALTED, runs.c.spent_nanos), else_=0),
    "context_nanos": CONTEXT,
    "runs": sa.case((runs.c.id.is_not(None), 1), else_=0),
    "attempts": runs.c.attempt,
}
_ABOUT = ("repository_id", "number", "repository", "title", "author")
_AT_ONCE = 5_000  # pull requests in one transaction
_NAMED = sa.cast(sa.null(), sa.Integer).label("at")  # of a row that is of one pull request
_FEW = 500  # pull requests that are named one by one; of more, all are read again


def merged(
    tx: sa.Connection, since: int, until: int, which: Known, listed: bool = True
) -> tuple[tuple[MergedPull, ...], Merges]:
    """Those merged in [since, until) with at least one run that counts, dearest first, and all their sums.

    Where they are not to be `listed`, of the many that are as usual there are only the sums.
    """
    within = [pulls.c.merged_at >= since, pulls.c.merged_at < until, *of_places(which)]
    found, more = _pulls(tx, any_work(which), within, of_pulls(which), listed)
    return found, Merges.of(found) + more


def merged_pull(tx: sa.Connection, repository_id: int, number: int) -> MergedPull | None:
    """One with all that was ever spent on it; None if no run belongs to it, or it is not merged."""
    this = [pulls.c.repository_id == repository_id, pulls.c.number == number]
    return next(iter(_pulls(tx, False, this, [])[0]), None)


def sum_up(database: Database) -> int:
    """Write down what each merged pull request came to that is not; how many. Several processes may."""
    done = 0
    while some := _some(database):
        done += some
    return done


def _some(database: Database) -> int:
    with database.begin() as tx:
        attributing(tx, database)
        if standing(tx) is None:
            return 0
        known = sa.exists().where(_here(pull_sums))
        missing = sa.select(pulls.c.repository_id, pulls.c.number).where(
            pulls.c.merged_at.is_not(None), ~known
        )
        these = missing.limit(_AT_ONCE).subquery()
        sums = (sa.func.coalesce(sa.func.sum(of), 0) for of in SUMS.values())
        here = sa.and_(
            attributions.c.repository_id == these.c.repository_id, attributions.c.number == these.c.number
        )
        rows = (
            sa.select(these.c.repository_id, these.c.number, *sums)
            .outerjoin_from(these, attributions, here)
            .outerjoin(runs, runs.c.id == attributions.c.run)
            .group_by(these.c.repository_id, these.c.number)
        )
        names = ("repository_id", "number", *SUMS)
        written = sa.insert(pull_sums).from_select(names, rows).returning(pull_sums.c.number)
        return len(tx.execute(written).all())


def _pulls(
    tx: sa.Connection, all_runs: bool, which: Conditions, runs_too: Conditions, listed: bool = True
) -> tuple[tuple[MergedPull, ...], Merges]:
    """`which`: conditions on pull requests; `runs_too`: on their runs, all of which count if `all_runs`. And
    the sums of those that are not `listed`."""
    which, more = [pulls.c.merged_at.is_not(None), *which], Merges()
    counted = (added(of).label(name) for name, of in SUMS.items())
    own = sa.select(*_about(), *counted).join_from(pulls, attributions, _here(attributions))
    own = own.join(runs, runs.c.id == attributions.c.run).where(*which, *runs_too).group_by(*_about())
    rows: list[Any] = []
    if (written := standing(tx) if all_runs else None) is not None:
        told = _told(written, which)
        read = tx.execute(sa.select(_NAMED, told) if listed else _sticking_out_and_sums(told)).all()
        again = [(row.repository_id, row.number) for row in read if row.doubted]
        if len(again) <= _FEW:
            rows += [row for row in read if row.at is None and not row.doubted and row.runs]
            more = sum((Merges.column(r.at, r.runs, Usd(r.nanos)) for r in read if r.at is not None), more)
            own = own.where(sa.tuple_(pulls.c.repository_id, pulls.c.number).in_(again))
        if again:
            rows += tx.execute(own).all()
    else:
        rows += tx.execute(own).all()
    rows.sort(key=lambda row: (-row.nanos, row.repository, row.number))
    gone = reverted(reverts(tx)) if rows else set()
    return tuple(_pull(row, gone) for row in rows), more


def _about() -> list[sa.Column[Any]]:
    return [pulls.c[name] for name in _ABOUT]


def _told(written: Reach, which: Conditions) -> sa.CTE:
    """What is written of each pull request, and whether that is `doubted`."""
    belong = sa.select(attributions.c.repository_id, attributions.c.number)
    changed = belong.where(attributions.c.run.in_(changed_since(written.changes)))
    here = sa.tuple_(pulls.c.repository_id, pulls.c.number).in_(changed)
    doubted = sa.or_(pull_sums.c.runs.is_(None), here).label("doubted")
    told = sa.select(*_about(), *(pull_sums.c[name] for name in SUMS), doubted)
    return told.outerjoin_from(pulls, pull_sums, _here(pull_sums)).where(*which).cte("told")


def _sticking_out_and_sums(told: sa.CTE) -> sa.CompoundSelect[Any]:
    """Those that are outliers, taken back by another one (whatever became of that) or doubted; and of the
    others a row for each column of Merges: its number as `at`, how many as `runs`, and their `nanos`."""
    taken = sa.select(pulls.c.repository_id, pulls.c.reverts).where(pulls.c.reverts.is_not(None))
    nanos = told.c.nanos
    far = sa.or_(nanos > BAND[1].nanos, sa.tuple_(told.c.repository_id, told.c.number).in_(taken))
    usual = sa.and_(~told.c.doubted, told.c.runs > 0, ~far)
    at = sa.case(*((nanos < bound.nanos, at) for at, bound in enumerate(COST_BOUNDS)), else_=len(COST_BOUNDS))
    sums = {"nanos": added(nanos), "runs": sa.func.count(), "doubted": sa.false()}
    columns = [sums.get(one.name, sa.cast(sa.null(), one.type)) for one in told.c]
    return sa.union_all(
        sa.select(_NAMED, told).where(told.c.doubted | far),
        sa.select(at, *columns).where(usual).group_by(at),
    )


def _pull(row: Any, gone: set[Place]) -> MergedPull:
    return MergedPull(
        row.repository,
        row.number,
        row.title,
        row.author,
        Usd(row.nanos),
        row.runs,
        (row.repository_id, row.number) in gone,
        Usd(row.halted_nanos),
        Usd(row.context_nanos),
        row.attempts,
        row.repository_id,
    )


def _here(table: sa.Table) -> sa.ColumnElement[bool]:
    """What a table has of a pull request."""
    return sa.and_(table.c.repository_id == pulls.c.repository_id, table.c.number == pulls.c.number)


def reverts(tx: sa.Connection) -> dict[Place, Place]:
    """Merged pull requests that take back another one, and that other one."""
    columns = sa.select(pulls.c.repository_id, pulls.c.number, pulls.c.reverts)
    rows = tx.execute(columns.where(pulls.c.reverts.is_not(None), pulls.c.merged_at.is_not(None)))
    return {(row[0], row[1]): (row[0], row[2]) for row in rows}
