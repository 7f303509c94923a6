"""Who is signed in: a row for each browser, found by the hash of what its cookie says.

The person's token at GitHub is in it, sealed by the web process: the database cannot read it. What they may
see is kept for a few minutes, for all web processes at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from bot.core.visibility import Access, packed, unpacked
from bot.stores.database import Database
from bot.stores.tables import sessions


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session. `id` is the hash of its cookie; `access` is what GitHub said `age` ms ago."""

    id: str
    person: int
    login: str
    sealed: str
    age: int
    access: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Since when and until when (ms) a browser of this person's is."""

    login: str
    opened_at: int
    until_at: int


class Sessions:
    def __init__(self, database: Database) -> None:
        self.database = database

    def open(
        self, cookie: str, person: int, login: str, sealed: str, seconds: int, seen: Iterable[Access]
    ) -> None:
        """For so many seconds and no longer; sessions that are over are forgotten."""
        now = self.database.now
        with self.database.begin() as tx:
            tx.execute(sa.delete(sessions).where(sessions.c.until_at <= now))
            tx.execute(
                sa.insert(sessions).values(
                    id=hashed(cookie),
                    person=person,
                    login=login,
                    sealed=sealed,
                    seen=packed(seen),
                    opened_at=now,
                    looked_at=now,
                    until_at=now + seconds * 1000,
                )
            )

    def find(self, cookie: str) -> Session | None:
        """None for a cookie of no session, or of one that is over."""
        now = self.database.now
        query = sa.select(sessions, (now - sessions.c.looked_at).label("age")).where(
            sessions.c.id == hashed(cookie), sessions.c.until_at > now
        )
        with self.database.read() as tx:
            row = tx.execute(query).first()
        if row is None:
            return None
        return Session(row.id, row.person, row.login, row.sealed, int(row.age), unpacked(row.seen))

    def live(self, most: int = 500) -> tuple[SignedIn, ...]:
        """Who is signed in, a line for each browser, the latest first."""
        columns = sessions.c.login, sessions.c.opened_at, sessions.c.until_at
        query = sa.select(*columns).where(sessions.c.until_at > self.database.now)
        with self.database.read() as tx:
            rows = tx.execute(query.order_by(sessions.c.opened_at.desc()).limit(most)).all()
        return tuple(SignedIn(*row) for row in rows)

    def looked(self, id: str, login: str, seen: Iterable[Access]) -> None:
        """GitHub has just said this; a session that has ended meanwhile stays ended."""
        values = {"login": login, "seen": packed(seen), "looked_at": self.database.now}
        with self.database.begin() as tx:
            tx.execute(sa.update(sessions).where(sessions.c.id == id).values(values))

    def drop_over(self) -> int:
        """Forget those that are over; how many."""
        with self.database.begin() as tx:
            return tx.execute(sa.delete(sessions).where(sessions.c.until_at <= self.database.now)).rowcount

    def end(self, cookie: str) -> None:
        """It is over, and GitHub's token with it."""
        with self.database.begin() as tx:
            tx.execute(sa.delete(sessions).where(sessions.c.id == hashed(cookie)))


def new_cookie() -> str:
    """What a browser keeps: 256 random bits."""
    return secrets.token_urlsafe(32)


def hashed(cookie: str) -> str:
    """What the database keeps of it."""
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
