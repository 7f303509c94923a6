"""How far others' own accounts of what happened have been compared with ours, and who is comparing."""

from __future__ import annotations

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.processes import living
from bot.stores.tables import looks, processes

DELIVERIES = "deliveries"  # GitHub's log of them
KEY = "the App's key"  # `holder` is the last worker by whose key GitHub did not know the App
LEASE_MS = 300_000  # whoever looks and is gone for so long has died; two that look at once do no harm

_DEAD = sa.exists().where(processes.c.id == looks.c.holder, processes.c.stopped)


class Looks:
    """Those of one process, by its id. A worker that is known to be dead holds nobody up."""

    def __init__(self, database: Database, process: str) -> None:
        self.database = database
        self.process = process
        self._under_way: set[str] = set()
        self._unrecognized = False

    def begin(self, name: str, first_ms: int = 0) -> int | None:
        """Be the one who looks: the time (ms, GitHub's clock) up to which all was compared; None: another is.

        For the first look of all that is `first_ms` after now: what was before us is not ours to answer.
        """
        now = self.database.now
        insert = self.database.insert(looks)
        free = sa.or_(looks.c.lease_until_at.is_(None), looks.c.lease_until_at < now, _DEAD)
        if (
            name not in self._under_way
        ):  # what this process has left is over, though the database was not told
            free = sa.or_(free, looks.c.holder == self.process)
        mine = (
            sa.update(looks)
            .where(looks.c.name == name, free)
            .values(began_at=now, lease_until_at=now + LEASE_MS, holder=self.process)
            .returning(looks.c.through_at)
        )
        with self.database.begin() as tx:
            tx.execute(insert.values(name=name, through_at=now + first_ms).on_conflict_do_nothing())
            row = tx.execute(mine).first()
        if row is None:
            return None
        self._under_way.add(name)
        return int(row[0])

    def go_on(self, name: str) -> None:
        """It takes longer: whoever looks is still there."""
        with self.database.begin() as tx:
            tx.execute(self._mine(name).values(lease_until_at=self.database.now + LEASE_MS))

    def still(self, tx: sa.Connection, name: str) -> bool:
        """Whether this process is the one who looks: then nobody else is before this transaction is over."""
        now = self.database.now
        held = self._mine(name).where(looks.c.lease_until_at >= now).values(lease_until_at=now + LEASE_MS)
        return tx.execute(held.returning(looks.c.name)).first() is not None

    def found(self, name: str) -> None:
        """One more that had been missed; and whoever looks is still there."""
        with self.database.begin() as tx:
            tx.execute(sa.update(looks).where(looks.c.name == name).values(found=looks.c.found + 1))
        self.go_on(name)

    def end(self, name: str, through: int | None) -> None:
        """Done; everything up to `through` was compared, or None: it failed, and is to be done again.

        Nothing where another process has taken it over: it began later, and has seen more.
        """
        self._under_way.discard(name)
        values: dict[str, object] = {"lease_until_at": None}
        if through is not None:
            later = sa.case((looks.c.through_at > through, looks.c.through_at), else_=through)
            values |= {"through_at": later, "looked_at": looks.c.began_at}
        with self.database.begin() as tx:
            tx.execute(self._mine(name).values(values))

    def _mine(self, name: str) -> sa.Update:
        # A story goes on here that a dead worker had begun, and its look with it.
        return sa.update(looks).where(looks.c.name == name, sa.or_(looks.c.holder == self.process, _DEAD))

    def reached(self, name: str) -> int | None:
        """The time (ms) up to which all was compared; None: nobody has begun."""
        with self.database.read() as tx:
            return tx.execute(sa.select(looks.c.through_at).where(looks.c.name == name)).scalar_one_or_none()

    def looked_at(self, name: str) -> int:
        """When (ms, our clock) the last look that came to its end began; 0: none has."""
        return self.standing(name)[0]

    def standing(self, name: str) -> tuple[int, int]:
        """The same, and how many were found that had been missed, ever."""
        query = sa.select(looks.c.looked_at, looks.c.found).where(looks.c.name == name)
        with self.database.read() as tx:
            row = tx.execute(query).first()
        return (int(row[0] or 0), int(row[1])) if row else (0, 0)

    def unrecognized(self, yes: bool) -> bool:
        """Whether GitHub knows the App by this process's key; whether that has changed."""
        if yes == self._unrecognized:
            return False
        mine = sa.and_(looks.c.name == KEY, looks.c.holder == self.process)
        with self.database.begin() as tx:
            if yes:
                row = {"through_at": self.database.now, "holder": self.process}
                insert = self.database.insert(looks).values(name=KEY, **row)
                tx.execute(insert.on_conflict_do_update(index_elements=["name"], set_=row))
            else:
                tx.execute(sa.delete(looks).where(mine))
        self._unrecognized = yes
        return True

    def is_unrecognized(self) -> bool:
        """Whether a worker that is alive has a key by which GitHub does not know the App."""
        alive = sa.exists().where(processes.c.id == looks.c.holder, living(self.database))
        with self.database.read() as tx:
            query = sa.select(looks.c.name).where(looks.c.name == KEY, alive)
            return tx.execute(query).first() is not None
