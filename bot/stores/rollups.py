"""The month by person, in SQL; `bot.core.rollup` judges and words it (R24, M5)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot.core.cursor import Share, shares
from bot.core.money import ZERO, Usd
from bot.core.rollup import TOP, Part, Person, Rollup, Task, elapsed
from bot.stores.cursor import of_month
from bot.stores.database import Database
from bot.stores.merged import CONTEXT
from bot.stores.quarters import QUARTER
from bot.stores.tables import runs

# A run's row is long: what it was asked and what came of it are in it too.
_TASK = tuple(
    runs.c[name]
    for name in [
        "id",
        "actor",
        "repository",
        "thread",
        "task_class",
        "state",
        "reason",
        "spent_nanos",
        "repository_id",
        "line",
        "opened_at",
        "snapshot",
        "report_comment_id",
        "workflow_url",
        "sweep",
        "published_pull",
    ]
)


class Rollups:
    """`repositories`: only runs in these (GitHub's numbers), None: wherever they were."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(
        self,
        month: str,
        now: datetime,
        zone: str = "UTC",
        actor_id: int | None = None,
        repositories: Collection[int] | None = None,
        accounts: Mapping[str, str] | None = None,
    ) -> Rollup:
        """Everybody's month, or one person's. `accounts`: whose each e-mail address at Cursor is; without,
        nothing of Cursor's is told."""
        where = _where(month, actor_id, repositories)
        with self.database.read() as tx:
            people, top = self._people(tx, where), self._tasks(tx, where, TOP)
            cursor = None if accounts is None else _cursor(tx, month, accounts, people)
        return Rollup(month, elapsed(month, now, zone), people, top, cursor)

    def tasks(
        self, month: str, actor_id: int, repositories: Collection[int] | None = None, most: int = 500
    ) -> tuple[Task, ...]:
        """A person's runs, dearest first; also those that cost nothing."""
        with self.database.read() as tx:
            return self._tasks(tx, _where(month, actor_id, repositories), most, 0)

    def by_repository(
        self, month: str, actor_id: int | None = None, repositories: Collection[int] | None = None
    ) -> tuple[Part, ...]:
        """The month by repository, dearest first."""
        name = _latest(runs.c.repository, runs.c.repository_id)
        return self._parts(runs.c.repository_id, name, _where(month, actor_id, repositories))

    def by_line(
        self, month: str, actor_id: int | None = None, repositories: Collection[int] | None = None
    ) -> tuple[Part, ...]:
        """The month by budget line, dearest first; "" is what counts under people's own caps."""
        no_number = sa.cast(sa.null(), sa.BigInteger)
        return self._parts(no_number, runs.c.line.label("called"), _where(month, actor_id, repositories))

    def on_lines(
        self, month: str, repositories: Collection[int] | None = None, person: int | None = None
    ) -> Mapping[str, tuple[Part, ...]]:
        """Who has spent on each line, dearest first. `person`: theirs counts wherever it was spent."""
        where = [*_where(month, None, None), runs.c.line != ""]
        if repositories is not None:
            mine = runs.c.actor_id == person
            where.append(sa.or_(runs.c.repository_id.in_(sorted(repositories)), mine))
        called = _latest(runs.c.actor, runs.c.actor_id)
        part = sa.select(runs.c.line, runs.c.actor_id, called, runs.c.spent_nanos, runs.c.steps)
        mine_c = part.where(*where).subquery().c
        spent = sa.func.sum(mine_c.spent_nanos)
        query = (
            sa.select(
                mine_c.line,
                mine_c.actor_id,
                mine_c.called,
                spent,
                sa.func.sum(sa.case((mine_c.steps > 0, 1), else_=0)),
            )
            .group_by(mine_c.line, mine_c.actor_id, mine_c.called)
            .having(spent > 0)
            .order_by(mine_c.line, spent.desc(), mine_c.called)
        )
        found: dict[str, list[Part]] = {}
        with self.database.read() as tx:
            for line, id, name, nanos, tasks in tx.execute(query).all():
                found.setdefault(line, []).append(Part(id, name, Usd(int(nanos)), int(tasks)))
        return {line: tuple(parts) for line, parts in found.items()}

    def by_day(
        self,
        month: str,
        zone: str,
        actor_id: int | None = None,
        repositories: Collection[int] | None = None,
        line: str | None = None,
    ) -> Mapping[int, Usd]:
        """What the runs launched on each day of the month have cost by now; days without any are left out.

        `line`: only what is on it, "" for what is on none.
        """
        slot = runs.c.opened_at - runs.c.opened_at % QUARTER
        query = (
            sa.select(slot, sa.func.sum(runs.c.spent_nanos))
            .where(*_where(month, actor_id, repositories), runs.c.spent_nanos > 0)
            .where(sa.true() if line is None else runs.c.line == line)
            .group_by(slot)
        )
        found: dict[int, Usd] = {}
        local = ZoneInfo(zone)
        with self.database.read() as tx:
            for at, nanos in tx.execute(query).all():
                day = datetime.fromtimestamp(int(at) / 1000, UTC).astimezone(local).day
                found[day] = found.get(day, ZERO) + Usd(int(nanos))
        return found

    def person(self, login: str, repositories: Collection[int] | None = None) -> tuple[int, str] | None:
        """The number and the latest name of whoever has launched runs under this name last."""
        query = (
            sa.select(runs.c.actor_id)
            .where(sa.func.lower(runs.c.actor) == login.lower(), runs.c.actor_id.is_not(None))
            .where(sa.true() if repositories is None else runs.c.repository_id.in_(sorted(repositories)))
            .order_by(runs.c.opened_at.desc())
            .limit(1)
        )
        with self.database.read() as tx:
            id = tx.execute(query).scalar()
            if id is None:
                return None
            latest = sa.select(runs.c.actor).where(runs.c.actor_id == id).order_by(runs.c.opened_at.desc())
            return int(id), str(tx.execute(latest.limit(1)).scalar_one())

    def _parts(
        self,
        number: sa.ColumnElement[Any],
        called: sa.Label[str],
        where: list[sa.ColumnElement[bool]],
    ) -> tuple[Part, ...]:
        mine = sa.select(number.label("number"), called, runs.c.spent_nanos, runs.c.steps).where(*where)
        part = mine.subquery().c
        spent, tasks = sa.func.sum(part.spent_nanos), sa.func.sum(sa.case((part.steps > 0, 1), else_=0))
        query = (
            sa.select(part.number, part.called, spent, tasks)
            .group_by(part.number, part.called)
            .having(spent > 0)
            .order_by(spent.desc(), part.called)
        )
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return tuple(Part(r[0], r[1], Usd(int(r[2])), int(r[3])) for r in rows)

    @staticmethod
    def _people(tx: sa.Connection, where: list[sa.ColumnElement[bool]]) -> tuple[Person, ...]:
        columns = (runs.c.actor_id, runs.c.spent_nanos, runs.c.steps, runs.c.line, runs.c.state)
        called = _latest(runs.c.actor, runs.c.actor_id)
        mine = sa.select(*columns, CONTEXT.label("context"), called).where(*where).subquery().c

        def part(these: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
            return sa.func.sum(sa.case((these, mine.spent_nanos), else_=0))

        spent = sa.func.sum(mine.spent_nanos)
        query = (
            sa.select(
                mine.called,
                spent,
                sa.func.sum(sa.case((mine.steps > 0, 1), else_=0)),
                part(mine.line != ""),
                part(mine.state == "halted"),
                sa.func.sum(mine.context),
                mine.actor_id,
            )
            .group_by(mine.actor_id, mine.called)
            .having(spent > 0)
            .order_by(spent.desc(), mine.called)
        )
        rows = tx.execute(query).all()
        return tuple(
            Person(r[0], Usd(int(r[1])), int(r[2]), Usd(int(r[3])), Usd(int(r[4])), Usd(int(r[5])), int(r[6]))
            for r in rows
        )

    @staticmethod
    def _tasks(
        tx: sa.Connection, where: list[sa.ColumnElement[bool]], most: int, least: int = 1
    ) -> tuple[Task, ...]:
        query = (
            sa.select(*_TASK)
            .where(*where, runs.c.spent_nanos >= least)
            .order_by(runs.c.spent_nanos.desc(), runs.c.id)
            .limit(most)
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
                address(row),
                row["repository_id"],
                row["line"],
                row["opened_at"],
            )
            for row in tx.execute(query).mappings().all()
        )


def _cursor(
    tx: sa.Connection, month: str, accounts: Mapping[str, str], people: Collection[Person]
) -> tuple[Share, ...]:
    by_email = {str(email): Usd(int(nanos)) for email, nanos in tx.execute(of_month(month)).all()}
    if not by_email:
        return ()
    names = {person.id: person.name for person in people}
    return shares(by_email, accounts, names, called(tx, names, set(accounts.values())))


def called(tx: sa.Connection, people: Collection[int], names: Collection[str]) -> dict[int, frozenset[str]]:
    """Which of these names (in lower case) each of these people had in the runs so far."""
    name = sa.func.lower(runs.c.actor)
    wanted = (name.in_(sorted(names)), runs.c.actor_id.in_(sorted(people)))
    query = sa.select(runs.c.actor_id, name).where(*wanted).distinct()
    found: dict[int, set[str]] = {}
    for id, name in tx.execute(query).all():
        found.setdefault(id, set()).add(name)
    return {id: frozenset(names) for id, names in found.items()}


def _where(
    month: str, actor_id: int | None, repositories: Collection[int] | None
) -> list[sa.ColumnElement[bool]]:
    where = [runs.c.month == month, runs.c.actor_id.is_not(None)]
    if actor_id is not None:
        where.append(runs.c.actor_id == actor_id)
    if repositories is not None:
        where.append(runs.c.repository_id.in_(sorted(repositories)))
    return where


def _latest(name: sa.Column[str], number: sa.Column[int]) -> sa.Label[str]:
    """Names change; the latest of a number is the one that people know."""
    newest = runs.c.opened_at.desc(), runs.c.id
    return sa.func.first_value(name).over(partition_by=number, order_by=newest).label("called")


def address(row: sa.RowMapping) -> str:
    """The thread at its report, else the workflow; of an item of a sweep its own pull request."""
    thread = str(json.loads(row["snapshot"]).get("thread", {}).get("url") or "")
    if thread and row["sweep"] and row["published_pull"]:
        return f"{thread.rsplit('/', 2)[0]}/pull/{row['published_pull']}"
    if thread and row["report_comment_id"]:
        return f"{thread}#issuecomment-{row['report_comment_id']}"
    return thread or row["workflow_url"]
