"""A person's name and number are taken out of every table; what was spent stays, under a pseudonym.

All in one transaction: killed half-way, nothing has happened. No table keeps whose pseudonym it is.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.core.times import DAY_MS
from bot.stores import switch, tables
from bot.stores.database import Database
from bot.stores.tables import LIVE, blobs, cursor_events, laptops, runs, sessions, views

CURSOR_DAYS = 32  # in which an import still compares Cursor's events with what is here
# Where a person has a number. Sums by person are by it, and each of theirs gets the same new one.
NUMBERED = (
    (runs, "actor_id", "actor"),
    (tables.sweeps, "actor_id", "actor"),
    (tables.days, "actor_id", "actor"),
    (tables.ends, "actor_id", "actor"),
    (tables.refusals, "actor_id", "actor"),
)
DELETED = ((laptops, "actor_id", "actor"), (sessions, "person", "login"), (views, "person", "login"))
# Where there is a name alone, and nothing else in the column.
NAMED = (
    (runs, "settled_by"),
    (tables.sweeps, "resumed_by"),
    (tables.sweeps, "stopped_by"),
    (tables.acknowledgements, "by"),
    (tables.switches, "by"),
    (tables.audit, "by"),
    (tables.labelings, "actor"),
    (tables.approvals, "author"),
    (tables.approvals, "approved_by"),
    (tables.pulls, "author"),
)
# Where it may stand among other words, or in JSON.
MENTIONED = (
    (runs, ("sources", "clamps", "snapshot", "resumed", "message", "notice", "published")),
    (tables.sweeps, ("clamps",)),
    (tables.refusals, ("message",)),
    (tables.audit, ("about",)),
    (tables.onboardings, ("message",)),
    (tables.switches, ("reason",)),
    (tables.acknowledgements, ("reason",)),
    (views, ("what",)),
)
# Values of JSON that are words of ours or of the repository, also where somebody is called so.
OURS = frozenset(
    {"role", "sha", "ref", "publish", "scope", "check", "policy", "options", "asked", "forbidden_paths",
     "default_branch", "base_ref", "context", "state", "action", "month", "url", "branch"}
)  # fmt: skip


class Lives(Exception):
    """Something of theirs is under way: it says what."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Under what they are known now, and how many rows of each table were changed or deleted."""

    pseudonym: str
    changed: dict[str, int]
    deleted: dict[str, int]
    later: int = 0  # events of Cursor that are too young


@dataclass(frozen=True, slots=True)
class Person:
    """`numbers`: GitHub's, of all who had this name in what is kept here; `names`: theirs and nobody else's,
    in lower case; `runs`: theirs."""

    numbers: frozenset[int]
    names: frozenset[str]
    runs: frozenset[str]

    @property
    def named(self) -> re.Pattern[str]:
        """Any of the names, where it is a word of its own."""
        names = "|".join(map(re.escape, sorted(self.names, key=len, reverse=True)))
        return re.compile(rf"(?<![\w-])(?:{names})(?![\w-])", re.IGNORECASE | re.ASCII)


class Forgetting:
    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, login: str) -> Person:
        """Who it is, by all rows in which a name stands beside a number."""
        with self.database.read() as tx:
            return _find(tx, login)

    def forget(self, login: str, by: str, *, email: str = "", really: bool = True) -> Forgotten:
        """Take the person out. Not `really`: say what that would change, and change nothing.

        Raises Lives while a run of theirs is live, and where the name is that of several people.
        """
        with self._transaction(really) as tx:
            person = _find(tx, login)
            if len(person.numbers) > 1:
                raise Lives(
                    f"{login} is the name of {len(person.numbers)} people here, and nobody can say whose"
                )
            live = sa.select(runs.c.id).where(runs.c.id.in_(person.runs), runs.c.state.in_(LIVE))
            if found := tx.execute(live).scalars().all():
                raise Lives(f"run {found[0]} of {login} is live: stop it first")
            number = secrets.randbits(40) + 1
            made = _Made(tx, person, f"forgotten.{number:010x}", -number)
            made.drop()
            made.rename()
            made.mentions()
            later = made.cursor(email.lower(), self.database.now) if email else 0
            if made.changed or made.deleted:
                told = {"who": made.pseudonym, "changed": made.changed, "deleted": made.deleted}
                switch.record(tx, self.database, made.scrub(by), "forgotten", "", told)
            return Forgotten(made.pseudonym, made.changed, made.deleted, later)

    @contextmanager
    def _transaction(self, really: bool) -> Iterator[sa.Connection]:
        with self.database.engine.connect() as connection, connection.begin() as transaction:
            yield connection
            if not really:
                transaction.rollback()


def _find(tx: sa.Connection, login: str) -> Person:
    called: dict[str, set[int]] = {login.lower(): set()}
    for table, number, name in (*NUMBERED, *DELETED):
        known = sa.func.lower(table.c[name])
        pairs = sa.select(known, table.c[number]).where(table.c[number].is_not(None)).distinct()
        for one, id in tx.execute(pairs).all():
            called.setdefault(one, set()).add(int(id))
    numbers = frozenset(called[login.lower()])
    names = {one for one, ids in called.items() if one and ids and ids <= numbers}
    mine = sa.or_(*(_theirs(runs, "actor_id", "actor", numbers, names | {login.lower()})))
    theirs = frozenset(tx.execute(sa.select(runs.c.id).where(mine)).scalars())
    return Person(numbers, frozenset(names | {login.lower()}), theirs)


def _theirs(
    table: sa.Table, number: str, name: str, numbers: Collection[int], names: Collection[str]
) -> tuple[sa.ColumnElement[bool], ...]:
    """By their number; by their name where there is none."""
    unnumbered = sa.and_(table.c[number].is_(None), sa.func.lower(table.c[name]).in_(names))
    return table.c[number].in_(numbers), unnumbered


class _Made:
    """One forgetting, table by table."""

    def __init__(self, tx: sa.Connection, person: Person, pseudonym: str, number: int) -> None:
        self.tx = tx
        self.person = person
        self.pseudonym = pseudonym
        self.number = number
        self.changed: dict[str, int] = {}
        self.deleted: dict[str, int] = {}
        self._named = person.named

    def drop(self) -> None:
        """What is of no use without them: their browsers, machines, looks; what their agents wrote."""
        numbers = self.person.numbers
        self._delete(sessions, sessions.c.person.in_(numbers))
        self._delete(laptops, laptops.c.actor_id.in_(numbers))
        self._delete(views, views.c.person.in_(numbers))
        self._delete(blobs, blobs.c.run.in_(self.person.runs))
        words = {"task": "", "notice": "", "last_lines": "[]", "result": None, "branch": "", "resumed": None}
        self._change(runs, runs.c.id.in_(self.person.runs), words)
        asked = sa.select(runs.c.id, runs.c.snapshot).where(runs.c.id.in_(self.person.runs))
        for id, told in self.tx.execute(asked).all():
            kept = {name: one for name, one in json.loads(told).items() if name not in ("before", "item")}
            self.tx.execute(sa.update(runs).where(runs.c.id == id).values(snapshot=json.dumps(kept)))

    def rename(self) -> None:
        for table, number, name in NUMBERED:
            mine = sa.or_(*_theirs(table, number, name, self.person.numbers, self.person.names))
            self._change(table, mine, {name: self.pseudonym, number: self.number})
        for one in self.person.numbers:
            owned = {"scope": "person", "owner": str(one)}
            for table, more in ((tables.months, {}), (tables.acknowledgements, {"name": self.pseudonym})):
                where = sa.and_(*(table.c[name] == value for name, value in owned.items()))
                self._change(table, where, {"owner": str(self.number), **more})
        for table, column in NAMED:
            self._change(table, self._called(table.c[column]), {column: self.pseudonym})

    def mentions(self) -> None:
        for table, columns in MENTIONED:
            keys = list(table.primary_key.columns)
            likes = [f"%{name}%" for name in self.person.names]
            where = sa.or_(*(sa.func.lower(table.c[name]).like(like) for name in columns for like in likes))
            query = sa.select(*keys, *(table.c[name] for name in columns)).where(where)
            for row in self.tx.execute(query).mappings().all():
                values = {name: self._told(row[name]) for name in columns}
                if values != {name: row[name] for name in columns}:
                    self._change(table, sa.and_(*(key == row[key.name] for key in keys)), values)

    def cursor(self, email: str, now: sa.ColumnElement[int]) -> int:
        """How many of their events are too young: an import would take them for others."""
        theirs, old = cursor_events.c.email == email, cursor_events.c.at < now - CURSOR_DAYS * DAY_MS
        self._change(cursor_events, sa.and_(theirs, old), {"email": self.pseudonym})
        return int(self.tx.execute(sa.select(sa.func.count()).where(theirs)).scalar_one())

    def scrub(self, text: str) -> str:
        return self._named.sub(self.pseudonym, text)

    def _told(self, text: str | None) -> str | None:
        if not text or not text.startswith(("{", "[")):
            return text and self.scrub(text)
        try:
            told = json.loads(text)
        except ValueError:
            return self.scrub(text)
        scrubbed = self._within(told)
        return text if scrubbed == told else json.dumps(scrubbed)

    def _within(self, told: Any) -> Any:
        match told:
            case dict():
                return {name: one if name in OURS else self._within(one) for name, one in told.items()}
            case list():
                return [self._within(one) for one in told]
            case str():
                return self.scrub(told)
            case _:
                return told

    def _called(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        return sa.func.lower(column).in_(self.person.names)

    def _change(self, table: sa.Table, where: sa.ColumnElement[bool], values: dict[str, Any]) -> None:
        self._count(
            self.changed, table, self.tx.execute(sa.update(table).where(where).values(values)).rowcount
        )

    def _delete(self, table: sa.Table, where: sa.ColumnElement[bool]) -> None:
        self._count(self.deleted, table, self.tx.execute(sa.delete(table).where(where)).rowcount)

    @staticmethod
    def _count(where: dict[str, int], table: sa.Table, rows: int) -> None:
        if rows:
            where[table.name] = where.get(table.name, 0) + rows
