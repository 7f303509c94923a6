"""People's own machines (P7): each has a token that opens runs in its person's name, and reads what they may.

A token is shown once and kept as its hash; it ends by itself, and can be revoked. Who did which stands in the
audit log.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from bot.core.places import Repo
from bot.core.times import DAY_MS
from bot.core.visibility import Access, packed, unpacked
from bot.stores.database import Database
from bot.stores.run_rows import LAPTOP
from bot.stores.runs import new_id, token_hash
from bot.stores.switch import record
from bot.stores.tables import STARTED, laptops, runs

DAYS = 90
PREFIX = "user_"


@dataclass(frozen=True, slots=True)
class Laptop:
    """A machine of a person (GitHub's number and name). `home`: where they may write, as GitHub said when it
    was made; times in ms."""

    id: str
    actor: str
    actor_id: int
    machine: str
    home: Repo
    made_at: int
    expires_at: int
    seen_at: int | None
    revoked_at: int | None

    @property
    def opener(self) -> str:
        """What its runs were opened by."""
        return f"{LAPTOP}:{self.id}"


class Laptops:
    def __init__(self, database: Database) -> None:
        self.database = database

    def make(
        self, person: tuple[int, str], machine: str, home: Repo, seen: Iterable[Access] = ()
    ) -> tuple[str, Laptop]:
        """A new machine of a person; its token, `user_` and 256 bits, and what is kept of it.

        `seen`: what GitHub has just let them see."""
        secret, id = PREFIX + secrets.token_urlsafe(32), new_id()
        now = self.database.now
        values = {
            "id": id,
            "token_hash": token_hash(secret),
            "actor_id": person[0],
            "actor": person[1],
            "machine": machine,
            "installation": home.installation,
            "repository_id": home.id,
            "repository": home.full_name,
            "seen": packed(seen),
            "looked_at": now,
            "made_at": now,
            "expires_at": now + DAYS * DAY_MS,
        }
        with self.database.begin() as tx:
            tx.execute(sa.insert(laptops).values(values))
            record(tx, self.database, person[1], "logged in", "", {"laptop": id, "machine": machine})
            row = tx.execute(sa.select(laptops).where(laptops.c.id == id)).one()
        return secret, _laptop(row)

    def of(self, secret: str) -> Laptop | None:
        """The machine that a token is of; None for one that is not known, has ended or was revoked.

        What is looked up is the hash of 256 random bits: how long it takes tells nothing of any token.
        """
        mine = laptops.c.token_hash == token_hash(secret)
        good = sa.and_(mine, laptops.c.revoked_at.is_(None), laptops.c.expires_at > self.database.now)
        with self.database.read() as tx:
            row = tx.execute(sa.select(laptops).where(good)).first()
        return _laptop(row) if row else None

    def access(self, id: str) -> tuple[tuple[Access, ...], int]:
        """What GitHub lets its person see, and how many ms ago it said so."""
        query = sa.select(laptops.c.seen, self.database.now - laptops.c.looked_at)
        with self.database.read() as tx:
            seen, age = tx.execute(query.where(laptops.c.id == id)).one()
        return unpacked(seen), int(age)

    def looked(self, id: str, seen: Iterable[Access]) -> None:
        """GitHub has just said this."""
        values = {"seen": packed(seen), "looked_at": self.database.now}
        with self.database.begin() as tx:
            tx.execute(sa.update(laptops).where(laptops.c.id == id).values(values))

    def seen(self, id: str) -> None:
        """It has opened a run just now."""
        with self.database.begin() as tx:
            tx.execute(sa.update(laptops).where(laptops.c.id == id).values(seen_at=self.database.now))

    def take(self, laptop: Laptop, run: str, attempt: int) -> bool:
        """A live run of its person's goes on there from now on, whichever machine has opened it; False if it
        is over."""
        live = sa.and_(runs.c.id == run, runs.c.attempt == attempt, runs.c.state.in_(STARTED))
        mine = sa.and_(live, runs.c.actor_id == laptop.actor_id)
        try:
            with self.database.begin() as tx:
                taken = sa.update(runs).where(mine).values(opened_by=laptop.opener)
                return tx.execute(taken).rowcount == 1
        except sa.exc.IntegrityError:  # its number is that of another run of this machine's
            return False

    def all(self, person: int | None = None) -> tuple[Laptop, ...]:
        """Everybody's machines, or one person's, whose tokens are good; the newest first."""
        good = sa.and_(laptops.c.revoked_at.is_(None), laptops.c.expires_at > self.database.now)
        mine = sa.true() if person is None else laptops.c.actor_id == person
        query = sa.select(laptops).where(good, mine).order_by(laptops.c.made_at.desc(), laptops.c.id)
        with self.database.read() as tx:
            return tuple(_laptop(row) for row in tx.execute(query))

    def drop_old(self, days: int) -> int:
        """Forget those whose token was good for the last time so many days ago; how many."""
        over = sa.func.coalesce(laptops.c.revoked_at, laptops.c.expires_at)
        old = over < self.database.now - days * DAY_MS
        with self.database.begin() as tx:
            return tx.execute(sa.delete(laptops).where(old)).rowcount

    def revoke(self, id: str, by: str, person: int | None = None) -> tuple[str, ...] | None:
        """Its token is good for nothing any more; the live runs that it has opened. None if there is no such
        machine (of this person)."""
        mine = sa.true() if person is None else laptops.c.actor_id == person
        gone = sa.update(laptops).where(laptops.c.id == id, laptops.c.revoked_at.is_(None), mine)
        live = sa.select(runs.c.id).where(runs.c.opened_by == f"{LAPTOP}:{id}", runs.c.state.in_(STARTED))
        with self.database.begin() as tx:
            row = tx.execute(gone.values(revoked_at=self.database.now).returning(laptops)).first()
            if row is None:
                return None
            about = {"laptop": id, "machine": row.machine, "of": row.actor}
            record(tx, self.database, by, "revoked", "", about)
            return tuple(tx.execute(live.order_by(runs.c.id)).scalars())


def _laptop(row: sa.Row[tuple[object, ...]]) -> Laptop:
    return Laptop(
        id=row.id,
        actor=row.actor,
        actor_id=row.actor_id,
        machine=row.machine,
        home=Repo(row.installation, row.repository_id, row.repository),
        made_at=row.made_at,
        expires_at=row.expires_at,
        seen_at=row.seen_at,
        revoked_at=row.revoked_at,
    )
