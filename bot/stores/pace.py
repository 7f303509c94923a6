"""How fast each installation may ask GitHub, for all processes together.

What creates content is counted exactly, over the last minute and the last hour, under a lock on the
installation's row: what two processes take at once is counted one after the other.
"""

from __future__ import annotations

import sqlalchemy as sa

from bot.core.times import HOUR_MS, MINUTE_MS
from bot.stores.database import Database
from bot.stores.tables import content, paces

PER_MINUTE, PER_HOUR = 80, 500
# Seconds. GitHub: without a retry-after header, wait at least a minute, and longer each time.
SECONDARY_WAIT, LONGEST_WAIT = 60.0, 960.0
SHORTEST_MS = 1_000


class DatabasePace:
    """Keeps the promises of clients.github.pace.Pace. Safe from many threads."""

    def __init__(self, database: Database, per_minute: int = PER_MINUTE, per_hour: int = PER_HOUR) -> None:
        self.database = database
        self.per_minute, self.per_hour = per_minute, per_hour
        self._struck: set[int] = set()

    def ask(self, installation: int, share: float | None) -> float:
        if share is not None:
            return self._count(installation, share)
        left = paces.c.limited_until_at - self.database.now
        with self.database.read() as tx:
            query = sa.select(left, paces.c.strikes).where(paces.c.installation == installation)
            row = tx.execute(query).first()
        return self._heed(installation, int(row[0]), int(row[1])) if row else 0.0

    def limited(self, installation: int, seconds: float | None) -> float:
        now = self.database.now
        with self.database.begin() as tx:
            left, strikes = self._lock(tx, installation)
            if left > 0 and seconds is None:  # said to several requests at once, and heard already
                return left / 1000
            if seconds is None:
                seconds = min(LONGEST_WAIT, SECONDARY_WAIT * 2**strikes)
                strikes += 1
            until = now + max(left, round(seconds * 1000))
            mine = sa.update(paces).where(paces.c.installation == installation)
            tx.execute(mine.values(limited_until_at=until, strikes=strikes))
        return seconds

    def answered(self, installation: int) -> None:
        if installation in self._struck:
            self._struck.discard(installation)
            well = sa.update(paces).where(
                paces.c.installation == installation, paces.c.limited_until_at < self.database.now
            )
            with self.database.begin() as tx:
                tx.execute(well.values(strikes=0))

    def _count(self, installation: int, share: float) -> float:
        now, made = self.database.now, content.c.made_at
        mine, lately = content.c.installation == installation, made > now - MINUTE_MS
        with self.database.begin() as tx:
            left, strikes = self._lock(tx, installation)
            if wait := self._heed(installation, left, strikes):
                return wait
            tx.execute(sa.delete(content).where(mine, made <= now - HOUR_MS))
            used = sa.select(
                sa.func.count(),
                sa.func.min(made) + HOUR_MS - now,
                sa.func.count().filter(lately),
                sa.func.min(made).filter(lately) + MINUTE_MS - now,
            )
            hour, until_hour, minute, until_minute = tx.execute(used.where(mine)).one()
            if hour >= int(self.per_hour * share):
                return max(SHORTEST_MS, int(until_hour)) / 1000
            if minute >= int(self.per_minute * share):
                return max(SHORTEST_MS, int(until_minute)) / 1000
            tx.execute(sa.insert(content).values(installation=installation, made_at=now))
        return 0.0

    def _heed(self, installation: int, left: int, strikes: int) -> float:
        if left <= 0 and strikes:
            self._struck.add(installation)
        return max(left, 0) / 1000

    def _lock(self, tx: sa.Connection, installation: int) -> tuple[int, int]:
        """The installation's row, ours until the end of `tx`: ms for which it is limited yet, and strikes."""
        insert = self.database.insert(paces)
        tx.execute(insert.values(installation=installation).on_conflict_do_nothing())
        mine = sa.update(paces).where(paces.c.installation == installation)
        left = paces.c.limited_until_at - self.database.now
        row = tx.execute(mine.values(strikes=paces.c.strikes).returning(left, paces.c.strikes)).one()
        return int(row[0]), int(row[1])
