"""The database drivers as the ledger uses them: `?` for values, rows back, nothing in between.

Measured on two cores (a request's three statements, CPU): sqlite3 89 µs, psycopg 241 µs; through SQLAlchemy
424 and 1,774 µs. Everything that is not on the gateway's path goes through SQLAlchemy all the same.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from bot.stores.database import BUSY_SECONDS, Database
from bot.stores.wal import pragmas

T = TypeVar("T")
# Seconds. As long as a server takes to start again, and an agent waits for the end of an answer.
PATIENCE = 60.0
LOOK_AGAIN = 0.2
# macOS has fsync only.
SYNC: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Send(Protocol):
    """Send one statement with `?` for values; the rows it returns, if any."""

    def __call__(self, sql: str, values: Sequence[Any], /) -> list[Any]: ...


class NotOnDisk(OSError):
    """What was written may not be on the disk, and nobody can know any more: only a new process may go on."""


class Driver(Protocol):
    @property
    def away(self) -> tuple[type[Exception], ...]:
        """What it raises while its server cannot be reached, or did not say whether it has done it."""
        ...

    def read(self, sql: str, values: Sequence[Any]) -> list[Any]: ...
    def write(self, durable: bool = True) -> AbstractContextManager[Send]:
        """A transaction. When it returns it is on the disk if `durable`, else soon: the next one that is
        durable takes it along, and until then only the machine's own crash could lose it."""
        ...

    def close(self) -> None: ...


class OneStatement(Driver, Protocol):
    def once(self, sql: str, values: Sequence[Any], durable: bool = True) -> list[Any]:
        """A transaction of one statement: one way to the server and back instead of four."""
        ...


def patiently(driver: Driver, do: Callable[[], T], wait: Callable[[float], object] = time.sleep) -> T:
    """Try again what may be done twice while the server is away: for PATIENCE, then its error is raised."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return do()
        except driver.away:
            if time.monotonic() >= until:
                raise
            wait(LOOK_AGAIN)


class Sqlite:
    """One connection that writes, behind a lock of this process (32 threads on busy_timeout alone stall for
    seconds); a few that read, which WAL lets go on meanwhile.

    The writer commits without waiting for the disk; who needs that waits outside of the lock, so that many
    who wait share one fsync. The same promise as synchronous=FULL, kept by hand.
    """

    away = ()

    def __init__(self, database: Database, sync: Callable[[int], None] = SYNC) -> None:
        self._path, self._tidy = database.file, database.tidy
        self._lock = threading.Lock()
        self._writer = self._connect()
        self._writer.execute("PRAGMA synchronous=NORMAL")
        self._log = SharedSync(f"{self._path}-wal", sync)
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(4):
            self._readers.put(self._connect())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        pragmas(connection, BUSY_SECONDS)
        return connection

    def read(self, sql: str, values: Sequence[Any]) -> list[Any]:
        reader = self._readers.get()
        try:
            return reader.execute(sql, values).fetchall()
        finally:
            self._readers.put(reader)

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Send]:
        self._log.check()
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield lambda sql, values: self._writer.execute(sql, values).fetchall()
            except BaseException:
                if self._writer.in_transaction:  # some failures have rolled back by themselves
                    self._writer.execute("ROLLBACK")
                raise
            try:
                self._writer.execute("COMMIT")
            except BaseException:  # a full disk, say; the next transaction must be able to begin
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        if durable:
            self._log.sync()
        self._tidy()

    def close(self) -> None:
        self._log.close()
        self._writer.close()
        while not self._readers.empty():
            self._readers.get().close()


class SharedSync:
    """Waits until what was written to a file is on the disk; one fsync serves all who came before it began.

    For SQLite's write-ahead log only: the locks of SQLite are on its other files, which must not be opened
    and closed beside it (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: str, sync: Callable[[int], None] = SYNC) -> None:
        self._path = path
        self._sync = sync
        self._file: int | None = None
        self._changed = threading.Condition()
        self._begun = self._ended = 0
        self._failed: OSError | None = None

    def check(self) -> None:
        """Raises NotOnDisk where `sync` would: what is not even begun takes no hold that nobody settles."""
        if self._failed is not None:
            raise NotOnDisk(*self._failed.args)

    def sync(self) -> None:
        """Raises NotOnDisk, and from then on always: after a failed fsync nobody knows what the disk has."""
        with self._changed:
            mine = self._begun + 1  # one that runs already may have begun before our bytes were written
            while self._ended < mine and self._begun > self._ended:
                self._changed.wait()
            self.check()
            if self._ended >= mine:
                return
            self._begun += 1
        failed = None
        try:
            self._sync(self._open())
        except OSError as error:
            failed = error
        with self._changed:
            self._ended = self._begun
            self._failed = failed
            self._changed.notify_all()
        self.check()

    def _open(self) -> int:
        # Made anew if another process was the last to close the database while we were idle.
        if self._file is not None and os.fstat(self._file).st_nlink == 0:
            self.close()
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
