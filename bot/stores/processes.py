"""Who is alive: workers leave a heartbeat, so that a dead one's stories can be taken over."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from bot.core.times import DAY_MS
from bot.stores.database import Database
from bot.stores.tables import processes

DEAD_MS = 30_000  # silent for so long: dead
FORGOTTEN_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Process:
    """`place`: the machine and its space of process ids; there, a missing pid is a dead process."""

    id: str
    kind: str
    place: str
    pid: int

    @staticmethod
    def this(kind: str) -> Process:
        pid = os.getpid()
        return Process(f"{kind}-{pid}-{secrets.token_hex(4)}", kind, _place(), pid)


class Processes:
    def __init__(self, database: Database) -> None:
        self.database = database

    def start(self, process: Process) -> None:
        now = self.database.now
        values = {"id": process.id, "kind": process.kind, "place": process.place, "pid": process.pid}
        with self.database.begin() as tx:
            tx.execute(sa.insert(processes).values(started_at=now, seen_at=now, **values))
            tx.execute(
                sa.delete(processes).where(processes.c.stopped, processes.c.seen_at < now - FORGOTTEN_MS)
            )

    def beat(self, process: Process) -> None:
        """It is alive, also if that was never said. Of web processes those that are long gone are forgotten:
        nothing of them is taken over."""
        now = self.database.now
        values = {"id": process.id, "kind": process.kind, "place": process.place, "pid": process.pid}
        made = self.database.insert(processes).values(started_at=now, seen_at=now, **values)
        gone = processes.c.kind == "web", processes.c.seen_at < now - FORGOTTEN_MS
        with self.database.begin() as tx:
            tx.execute(made.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
            tx.execute(sa.delete(processes).where(*gone))

    def seen(self, process: Process) -> None:
        with self.database.begin() as tx:
            tx.execute(
                sa.update(processes)
                .where(processes.c.id == process.id)
                .values(seen_at=self.database.now, stopped=False)
            )

    def last_seen(self, kind: str) -> int | None:
        """When (ms) any of this kind was last heard of; None: none is remembered."""
        query = sa.select(sa.func.max(processes.c.seen_at)).where(processes.c.kind == kind)
        with self.database.read() as tx:
            return tx.execute(query).scalar_one_or_none()

    def stop(self, process: str) -> None:
        """It is gone, and nothing of it is left to take over."""
        with self.database.begin() as tx:
            tx.execute(sa.update(processes).where(processes.c.id == process).values(stopped=True))

    def forget(self, process: Process) -> None:
        """It was there for a moment, and told no story."""
        with self.database.begin() as tx:
            tx.execute(sa.delete(processes).where(processes.c.id == process.id))

    def leave(self, process: str) -> None:
        """It ends by itself: what it has not told to its end is taken over at once, as a dead one's is."""
        silent = self.database.now - DEAD_MS - 1
        with self.database.begin() as tx:
            tx.execute(sa.update(processes).where(processes.c.id == process).values(seen_at=silent))

    def dead(self, kind: str, here: Process) -> tuple[str, ...]:
        """Ids of those that are silent for too long, or whose pid no longer exists beside `here`."""
        silent = (processes.c.seen_at < self.database.now - DEAD_MS).label("silent")
        query = sa.select(processes.c.id, processes.c.place, processes.c.pid, silent).where(
            processes.c.kind == kind, sa.not_(processes.c.stopped), processes.c.id != here.id
        )
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return tuple(id for id, place, pid, old in rows if old or (place == here.place and not _alive(pid)))

    def beside(self, kind: str, here: Process) -> int:
        """How many of those that are alive are on the machine (in the container) of `here`."""
        return self._alive(kind, processes.c.place == here.place)

    def alive(self, kind: str) -> int:
        """How many were heard of lately."""
        return self._alive(kind, sa.true())

    def _alive(self, kind: str, where: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).where(where, processes.c.kind == kind, living(self.database))
        with self.database.read() as tx:
            return int(tx.execute(query).scalar_one())


def living(database: Database) -> sa.ColumnElement[bool]:
    """Of a row of `processes`: it was heard of lately, and has not ended."""
    lately = processes.c.seen_at >= database.now - DEAD_MS
    return sa.and_(sa.not_(processes.c.stopped), lately)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place() -> str:
    # Two containers may share a host name, never a space of process ids.
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{space.readlink() if space.exists() else ''}"[:200]
