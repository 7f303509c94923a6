"""The month by person, in SQL; `bot.core.rollup` judges and words it (R24, M5)."""

from __future__ import annotations

import json
from datetime import datetime

import sqlalchemy as sa

from bot.core.mine import MOST_RUNS, Mine, Spend
from bot.core.money import Usd
from bot.core.offers import LIVE
from bot.core.rollup import TOP, Person, Rollup, Task, elapsed
from bot.stores.database import Database
from bot.stores.tables import runs


class Rollups:
    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, month: str, now: datetime, zone: str = "UTC", actor_id: int | None = None) -> Rollup:
        """Everybody's month, or one person's."""
        where = [runs.c.month == month, runs.c.actor_id.is_not(None)]
        if actor_id is not None:
            where.append(runs.c.actor_id == actor_id)
        with self.database.read() as tx:
            people, top = self._people(tx, where), self._top(tx, where)
        return Rollup(month, elapsed(month, now, zone), people, top)

    def mine(self, month: str, actor_id: int | None) -> Mine:
        """One person's month by run; None: everybody's, of a machine that knows no service."""
        where = [runs.c.month == month, runs.c.actor_id == actor_id] if actor_id is not None else []
        by_line = (
            sa.select(runs.c.line, sa.func.sum(runs.c.spent_nanos), sa.func.sum(runs.c.estimated_nanos))
            .where(*where)
            .group_by(runs.c.line)
            .order_by(runs.c.line)
        )
        dearest = (
            sa.select(runs)
            .where(*where, sa.or_(runs.c.spent_nanos > 0, runs.c.state.in_(("open", "running"))))
            .order_by(runs.c.spent_nanos.desc(), runs.c.id)
            .limit(MOST_RUNS)
        )
        with self.database.read() as tx:
            found = tx.execute(by_line).all()
            spends = tuple(_spend(row) for row in tx.execute(dearest).mappings())
        lines = {row[0]: Usd(int(row[1])) for row in found}
        return Mine(month, lines, Usd(sum(int(row[2]) for row in found)), spends)

    @staticmethod
    def _people(tx: sa.Connection, where: list[sa.ColumnElement[bool]]) -> tuple[Person, ...]:
        def part(these: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
            return sa.func.sum(sa.case((these, runs.c.spent_nanos), else_=0))

        spent = sa.func.sum(runs.c.spent_nanos)
        context = runs.c.cost_input_nanos + runs.c.cost_write_nanos + runs.c.cost_read_nanos
        query = (
            sa.select(
                # Names change; the latest of a number is the one that people know.
                sa.func.max(runs.c.actor),
                spent,
                sa.func.sum(sa.case((runs.c.steps > 0, 1), else_=0)),
                part(runs.c.line != ""),
                part(runs.c.state == "halted"),
                sa.func.sum(context),
            )
            .where(*where)
            .group_by(runs.c.actor_id)
            .having(spent > 0)
            .order_by(spent.desc(), sa.func.max(runs.c.actor))
        )
        rows = tx.execute(query).all()
        return tuple(
            Person(r[0], Usd(int(r[1])), int(r[2]), Usd(int(r[3])), Usd(int(r[4])), Usd(int(r[5])))
            for r in rows
        )

    @staticmethod
    def _top(tx: sa.Connection, where: list[sa.ColumnElement[bool]]) -> tuple[Task, ...]:
        query = (
            sa.select(runs)
            .where(*where, runs.c.spent_nanos > 0)
            .order_by(runs.c.spent_nanos.desc(), runs.c.id)
            .limit(TOP)
        )
        return tuple(
            Task(
                row["id"],
                row["actor"],
                row["repository"],
                row["thread"],
                row["task_class"],
                row["state"],
                row["reason"],
                Usd(row["spent_nanos"]),
                _url(row),
            )
            for row in tx.execute(query).mappings().all()
        )


def _spend(row: sa.RowMapping) -> Spend:
    return Spend(
        run=row["id"],
        origin=row["origin"],
        engine=row["engine"],
        task_class=row["task_class"],
        repository=row["repository"],
        thread=row["thread"],
        line=row["line"],
        state=row["state"],
        reason=row["reason"],
        opened_at=row["opened_at"],
        usd=Usd(row["spent_nanos"]),
        estimated=Usd(row["estimated_nanos"]),
        held=Usd(max(0, row["ceiling_nanos"] - row["spent_nanos"]) if row["state"] in LIVE else 0),
        url=_url(row),
    )


def _url(row: sa.RowMapping) -> str:
    """The thread at its report, else the workflow."""
    thread = str(json.loads(row["snapshot"]).get("thread", {}).get("url") or "")
    if thread and row["report_comment_id"]:
        return f"{thread}#issuecomment-{row['report_comment_id']}"
    return thread or row["workflow_url"]
