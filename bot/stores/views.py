"""Who looked at other people's figures: kept for a while, so that those who are looked at can be told."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from bot.core.times import DAY_MS, MINUTE_MS
from bot.stores.database import Database
from bot.stores.tables import views

KEPT_DAYS = 90
LONGEST = 400  # characters of a path that are kept


@dataclass(frozen=True, slots=True)
class View:
    """A page that somebody had before them on a day: how often, and when first and last, in ms."""

    person: int
    login: str
    what: str
    looks: int
    first_at: int
    last_at: int


class Views:
    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, person: int, login: str, what: str) -> None:
        """Once a minute for each page; what is older than KEPT_DAYS goes with the first of a day."""
        now = self.database.now
        made = self.database.insert(views).values(
            day=now // DAY_MS,
            person=person,
            what=what[:LONGEST],
            login=login,
            looks=1,
            first_at=now,
            last_at=now,
        )
        again = made.on_conflict_do_update(
            index_elements=["day", "person", "what"],
            set_={"login": login, "looks": views.c.looks + 1, "last_at": made.excluded.last_at},
            where=views.c.last_at <= made.excluded.last_at - MINUTE_MS,
        )
        with self.database.begin() as tx:
            if tx.execute(again.returning(views.c.looks)).scalar() == 1:
                tx.execute(sa.delete(views).where(views.c.day < now // DAY_MS - KEPT_DAYS))

    def read(self, most: int = 200, login: str = "") -> tuple[View, ...]:
        """The latest first; of one person, or of all."""
        mine = sa.func.lower(views.c.login) == login.lower() if login else sa.true()
        query = sa.select(views).where(mine).order_by(views.c.last_at.desc(), views.c.what).limit(most)
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return tuple(View(r.person, r.login, r.what, r.looks, r.first_at, r.last_at) for r in rows)
