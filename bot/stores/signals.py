"""Aggregates over the ledger, in SQL; `bot.core.signals` judges and words them (M4, M5)."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from bot.core.attribution import Place, reverted
from bot.core.money import Usd
from bot.core.signals import Ended, MergedPull, Share, Signals, Spread
from bot.stores.database import Database
from bot.stores.tables import attributions, pool_corrections, pulls, runs, turns

BY = {"developer": runs.c.actor, "repo": runs.c.repository, "class": runs.c.task_class}
_COSTS = ("settled", "estimated", "corrected")


class SignalStore:
    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, since_ms: int = 0, until_ms: int | None = None, by: str | None = None) -> Signals:
        """The signals of [since, until). `by`: developer, repo or class."""
        with self.database.read() as tx:
            until = (
                until_ms
                if until_ms is not None
                else int(tx.execute(sa.select(self.database.now)).scalar_one()) + 1
            )
            window = sa.and_(
                turns.c.state.in_(_COSTS), turns.c.settled_at >= since_ms, turns.c.settled_at < until
            )
            pooled = self._pooled(tx, since_ms, until)
            return Signals(
                since=_date(since_ms) if since_ms else "the beginning",
                until=_date(until),
                merged=self._merged(tx, since_ms, until),
                spent=self._sum(tx, window) + pooled,
                estimated=self._sum(tx, sa.and_(window, turns.c.state == "estimated", ~_corrected())),
                pooled=pooled,
                unattributed=self._sum(tx, sa.and_(window, ~_attributed())) + pooled,
                unmerged=self._sum(tx, sa.and_(window, ~_attributed(), _of_a_thread())),
                ended=self._ended(tx, since_ms, until),
                by=by,
                shares=self._shares(tx, window, by) if by else (),
            )

    def spreads(
        self, *, repository_id: int | None = None, installation: int | None = None
    ) -> dict[str, Spread]:
        """What the ended runs of each class have cost, in a repository or in a whole installation.

        Percentiles are costs that occurred (nearest rank); a run that asked nothing of a model says nothing.
        """
        where = [runs.c.state.not_in(("open", "running")), runs.c.steps > 0]
        if repository_id is not None:
            where.append(runs.c.repository_id == repository_id)
        if installation is not None:
            where.append(runs.c.installation == installation)
        cost, name = runs.c.spent_nanos, runs.c.task_class
        rank = sa.func.row_number().over(partition_by=name, order_by=cost).label("rank")
        count = sa.func.count().over(partition_by=name).label("count")
        ranked = sa.select(name, cost, rank, count).where(*where).subquery()
        columns = ranked.c

        def at(rank: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
            return sa.func.max(sa.case((columns.rank == rank, columns.spent_nanos)))

        query = sa.select(
            columns.task_class,
            sa.func.max(columns.count),
            at((columns.count + 1) // 2),
            at((columns.count * 9 + 9) // 10),
        ).group_by(columns.task_class)
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return {r[0]: Spread(int(r[1]), Usd(int(r[2])), Usd(int(r[3]))) for r in rows}

    @staticmethod
    def _sum(tx: sa.Connection, where: sa.ColumnElement[bool]) -> Usd:
        total = sa.func.coalesce(sa.func.sum(turns.c.nanos), 0)
        return Usd(int(tx.execute(sa.select(total).where(where)).scalar_one()))

    @staticmethod
    def _pooled(tx: sa.Connection, since: int, until: int) -> Usd:
        """What reconciliation booked to no run."""
        at = pool_corrections.c.booked_at
        total = sa.func.coalesce(sa.func.sum(pool_corrections.c.nanos), 0)
        return Usd(int(tx.execute(sa.select(total).where(at >= since, at < until)).scalar_one()))

    def pull(self, repository_id: int, number: int) -> MergedPull | None:
        """A merged pull request with all that was ever spent on it; None if no run belongs to it."""
        this = sa.and_(pulls.c.repository_id == repository_id, pulls.c.number == number)
        with self.database.read() as tx:
            return next(iter(self._pulls(tx, this)), None)

    def _merged(self, tx: sa.Connection, since: int, until: int) -> tuple[MergedPull, ...]:
        return self._pulls(tx, sa.and_(pulls.c.merged_at >= since, pulls.c.merged_at < until))

    @staticmethod
    def _pulls(tx: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[MergedPull, ...]:
        here = [
            attributions.c.repository_id == pulls.c.repository_id,
            attributions.c.number == pulls.c.number,
        ]
        counts = sa.and_(turns.c.run == attributions.c.run, turns.c.state.in_(_COSTS))
        spent = sa.func.coalesce(sa.func.sum(turns.c.nanos), 0)
        about = (pulls.c.repository_id, pulls.c.number, pulls.c.repository, pulls.c.title, pulls.c.author)
        query = (
            sa.select(
                *about, spent.label("nanos"), sa.func.count(attributions.c.run.distinct()).label("runs")
            )
            .join_from(pulls, attributions, sa.and_(*here))
            .outerjoin(turns, counts)
            .where(pulls.c.merged_at.is_not(None), where)
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
            )
            for row in rows
        )

    @staticmethod
    def _ended(tx: sa.Connection, since: int, until: int) -> tuple[Ended, ...]:
        query = (
            sa.select(runs.c.task_class, runs.c.state, runs.c.reason, sa.func.count())
            .where(runs.c.ended_at >= since, runs.c.ended_at < until)
            .where(runs.c.state.not_in(("open", "running")))
            .group_by(runs.c.task_class, runs.c.state, runs.c.reason)
            .order_by(runs.c.task_class, runs.c.state, runs.c.reason)
        )
        return tuple(Ended(r[0], r[1], r[2], int(r[3])) for r in tx.execute(query).all())

    @staticmethod
    def _shares(tx: sa.Connection, window: sa.ColumnElement[bool], by: str) -> tuple[Share, ...]:
        name, spent = BY[by], sa.func.sum(turns.c.nanos)
        query = (
            sa.select(name, spent, sa.func.count(turns.c.run.distinct()))
            .join_from(turns, runs, runs.c.id == turns.c.run)
            .where(window)
            .group_by(name)
            .order_by(spent.desc(), name)
        )
        rows = tx.execute(query).all()
        return tuple(Share(r[0] or "(this machine)", Usd(int(r[1])), int(r[2])) for r in rows)


def _attributed() -> sa.ColumnElement[bool]:
    return sa.exists().where(attributions.c.run == turns.c.run)


def _of_a_thread() -> sa.ColumnElement[bool]:
    return sa.exists().where(runs.c.id == turns.c.run, runs.c.thread.is_not(None))


def _reverts(tx: sa.Connection) -> dict[Place, Place]:
    """Merged pull requests that take back another one, and that other one."""
    columns = sa.select(pulls.c.repository_id, pulls.c.number, pulls.c.reverts)
    rows = tx.execute(columns.where(pulls.c.reverts.is_not(None), pulls.c.merged_at.is_not(None)))
    return {(row[0], row[1]): (row[0], row[2]) for row in rows}


def _corrected() -> sa.ColumnElement[bool]:
    later = turns.alias("later")
    return sa.exists().where(later.c.corrects == turns.c.id)


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
