"""The switch that stops everything, or one repository (P6), and the audit log: who did what to the rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.core.ceilings import Reason
from bot.stores.database import Database
from bot.stores.tables import LIVE, audit, runs, switches


@dataclass(frozen=True, slots=True)
class Paused:
    """Where nothing runs: `repository` in lower case, "" for everywhere; since when in ms."""

    repository: str
    by: str
    reason: str
    at: int

    def __str__(self) -> str:
        where = f"in {self.repository}" if self.repository else "everywhere"
        why = f": {self.reason}" if self.reason else ""
        return f"agent runs are paused {where} by {self.by}{why}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log. `about` is JSON-able."""

    id: int
    at: int
    by: str
    action: str
    repository: str
    about: dict[str, Any]


class Switch:
    """Whatever opens, resumes or claims a run asks `paused` in its own transaction or just before."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def pause(self, repository: str, by: str, reason: str) -> int:
        """Nothing starts any more, and what runs is halted; how many runs that were. "" pauses everything.

        A run whose launch began before is not seen by the second statement; its claim sees the switch.
        """
        name = repository.lower()
        values = {"repository": name, "by": by, "reason": reason, "paused_at": self.database.now}
        insert = self.database.insert(switches)
        with self.database.begin() as tx:
            tx.execute(insert.values(values).on_conflict_do_nothing())
            record(tx, self.database, by, "paused", name, {"reason": reason})
            now = _paused(tx.execute(sa.select(switches).where(switches.c.repository == name)).one())
        called = sa.func.lower(runs.c.repository) == name
        # Whatever it was called when they were opened.
        same = sa.select(runs.c.repository_id).where(called, runs.c.repository_id.is_not(None))
        stopped = (
            sa.update(runs)
            .where(runs.c.state.in_(LIVE), runs.c.origin != "exec", runs.c.origin != "run")
            .where(sa.or_(called, runs.c.repository_id.in_(same)) if name else sa.true())
            .values(halted(self.database, str(now)))
        )
        with self.database.begin() as tx:
            return int(tx.execute(stopped).rowcount)

    def unpause(self, repository: str, by: str) -> bool:
        """False if it was not paused. What was halted stays halted; it can be resumed."""
        name = repository.lower()
        with self.database.begin() as tx:
            lifted = tx.execute(sa.delete(switches).where(switches.c.repository == name)).rowcount == 1
            if lifted:
                record(tx, self.database, by, "unpaused", name, {})
        return bool(lifted)

    def paused(self, repository: str, id: int | None = None) -> Paused | None:
        """What keeps this repository from running anything; with its `id` also under its earlier names."""
        with self.database.read() as tx:
            return paused(tx, repository, id)

    def all(self) -> tuple[Paused, ...]:
        """Everything that is paused."""
        with self.database.read() as tx:
            rows = tx.execute(sa.select(switches).order_by(switches.c.repository)).all()
        return tuple(_paused(row) for row in rows)

    def log(self, most: int = 100, before: int | None = None, by: str = "") -> tuple[Entry, ...]:
        """The audit log, newest first: what stands before a line of it, by one person or by all."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(most)
        if before is not None:
            query = query.where(audit.c.id < before)
        if by:
            query = query.where(sa.func.lower(audit.c.by) == by.lower())
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return tuple(Entry(r.id, r.at, r.by, r.action, r.repository, json.loads(r.about)) for r in rows)


def paused(tx: sa.Connection, repository: str, id: int | None = None) -> Paused | None:
    """The same inside a transaction."""
    where: sa.ColumnElement[bool] = switches.c.repository.in_(("", repository.lower()))
    if id is not None:
        earlier = sa.select(sa.func.lower(runs.c.repository)).where(runs.c.repository_id == id)
        where = sa.or_(where, switches.c.repository.in_(earlier))
    row = tx.execute(sa.select(switches).where(where).order_by(switches.c.repository).limit(1)).first()
    return _paused(row) if row else None


def halted(database: Database, why: str) -> dict[str, Any]:
    """What the rows of runs say that are stopped together, each at the step where it is."""
    message = sa.literal("halted at step ") + sa.cast(runs.c.steps, sa.String) + sa.literal(f": {why}")
    return {"state": "halted", "reason": Reason.STOPPED, "message": message, "ended_at": database.now}


def record(
    tx: sa.Connection, database: Database, by: str, action: str, repository: str, about: dict[str, Any]
) -> None:
    """A line of the audit log, with what it tells of: both or neither."""
    values = {"by": by, "action": action, "repository": repository, "about": json.dumps(about)}
    tx.execute(sa.insert(audit).values(at=database.now, **values))


def _paused(row: sa.Row[Any]) -> Paused:
    return Paused(row.repository, row.by, row.reason, row.paused_at)
