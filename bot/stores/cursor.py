"""What is booked of Cursor's events: rows that are never changed, by whoever imports, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa

from bot.core.cursor import Amounts, Booked, Event, Key, Outcome, differences
from bot.core.money import Usd
from bot.stores.database import Database
from bot.stores.looks import Looks
from bot.stores.tables import cursor_events

LOOK = "cursor"  # its row in `looks`: how far was imported, when, and who imports
_AMOUNTS = ("nanos", "input", "output", "cache_write", "cache_read")
_ROW = tuple(
    cursor_events.c[name] for name in ("id", "at", "email", "model", "kind", "month", "corrects", *_AMOUNTS)
)


class Superseded(Exception):
    """Another process imports by now. A sentence."""


class CursorEvents:
    """Those of one process: it books only while it is the one that looks."""

    def __init__(self, database: Database, looks: Looks) -> None:
        self.database = database
        self.looks = looks

    def book(self, since: int, until: int, told: Iterable[Event], month_of: Callable[[int], str]) -> Outcome:
        """Make what is booked of [since, until) ms to what is told of it, whole or not at all.

        Done again with the same, nothing is booked. Raises Superseded.
        """
        with self.database.begin() as tx:
            if not self.looks.still(tx, LOOK):
                raise Superseded("another process imports from Cursor by now; what it reads is newer")
            rows = list(differences(self._booked(tx, since, until), told, month_of))
            if rows:
                values = [
                    {
                        "at": row.key.at,
                        "email": row.key.email,
                        "model": row.key.model,
                        "kind": row.key.kind,
                        "month": row.month,
                        "corrects": row.corrects,
                        **{name: getattr(row.amounts, name) for name in _AMOUNTS},
                    }
                    for row in rows
                ]
                tx.execute(sa.insert(cursor_events).values(booked_at=self.database.now), values)
        return Outcome.of(rows)

    def total(self, since: int, until: int) -> Usd:
        """What is booked of [since, until) ms."""
        query = sa.select(sa.func.coalesce(sa.func.sum(cursor_events.c.nanos), 0))
        with self.database.read() as tx:
            return Usd(int(tx.execute(query.where(*_within(since, until))).scalar_one()))

    def by_email(self, since: int, until: int) -> Mapping[str, Usd]:
        """The same by e-mail address."""
        query = (
            sa.select(cursor_events.c.email, sa.func.sum(cursor_events.c.nanos))
            .where(*_within(since, until))
            .group_by(cursor_events.c.email)
        )
        with self.database.read() as tx:
            return {email: Usd(int(nanos)) for email, nanos in tx.execute(query).all()}

    def month(self, month: str, emails: Iterable[str] | None = None) -> Mapping[str, Usd]:
        """What each of these accounts used in a month, None: each of all."""
        with self.database.read() as tx:
            return {str(email): Usd(int(nanos)) for email, nanos in tx.execute(of_month(month, emails)).all()}

    def _booked(self, tx: sa.Connection, since: int, until: int) -> Iterable[Booked]:
        found: dict[int, Booked] = {}
        query = sa.select(*_ROW).where(*_within(since, until)).order_by(cursor_events.c.id)
        for row in tx.execute(query).mappings():
            amounts = Amounts(*(row[name] for name in _AMOUNTS))
            if row["corrects"] is None:
                key = Key(row["at"], row["email"], row["model"], row["kind"])
                found[row["id"]] = Booked(row["id"], key, row["month"], amounts)
            else:
                first = found[row["corrects"]]
                found[first.id] = Booked(first.id, first.key, first.month, first.amounts + amounts)
        return found.values()


def _within(since: int, until: int) -> tuple[sa.ColumnElement[bool], ...]:
    return cursor_events.c.at >= since, cursor_events.c.at < until


def of_month(month: str, emails: Iterable[str] | None = None) -> sa.Select[str, int]:
    """A month's nano-dollars by e-mail address: of these, None: of all."""
    query = sa.select(cursor_events.c.email, sa.func.sum(cursor_events.c.nanos)).where(
        cursor_events.c.month == month
    )
    if emails is not None:
        query = query.where(cursor_events.c.email.in_(sorted(emails)))
    return query.group_by(cursor_events.c.email)
