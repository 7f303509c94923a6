"""SQLite's settings here, and when its write-ahead log goes into the file: with the writers' lock held.

SQLite does that by itself after a commit that left 1,000 pages, beside other writers. From 3.7.0 to 3.51.2
(https://www.sqlite.org/wal.html#walresetbug) it may then miss that one of them has begun the log anew, and
pages never reach the file. Debian 12 brings 3.40.1; so nobody does it by itself, and who does it keeps all
who might begin the log anew waiting.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, suppress

LOG_BYTES = 4 * 1024 * 1024  # what SQLite's own 1,000 pages are
WAIT_SECONDS = 1.0  # for the writers' lock; who does not get it leaves it to the next commit


def pragmas(connection: sqlite3.Connection, busy_seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout={round(busy_seconds * 1000)}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    not_by_itself(connection)


def not_by_itself(connection: sqlite3.Connection) -> None:
    """This connection leaves the log to `WriteAheadLog`, and cuts it where it begins it anew."""
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA journal_size_limit=0")


class WriteAheadLog:
    """The write-ahead log of an SQLite file, for all threads of a process; other processes do the same."""

    def __init__(self, file: str) -> None:
        self._file, self._path = file, f"{file}-wal"
        self._due = LOG_BYTES
        self._one = threading.Lock()

    def tidy(self) -> None:
        """After a commit: bring the log into the file if it has become long. Never raises for the database:
        what is in the log alone is as safe, and the next commit tries again."""
        try:
            size = os.stat(self._path).st_size
        except OSError:
            return
        if size < LOG_BYTES:
            self._due = LOG_BYTES
        elif size >= self._due and self._one.acquire(blocking=False):
            try:
                with suppress(sqlite3.Error):
                    self._bring()
                    # Who reads an older state keeps the log from being begun anew: not at each commit, then.
                    self._due = size + LOG_BYTES
            finally:
                self._one.release()

    def _bring(self) -> None:
        with closing(self._connect()) as holder, closing(self._connect()) as other:
            holder.execute("BEGIN IMMEDIATE")
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            holder.execute("ROLLBACK")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, isolation_level=None)
        pragmas(connection, WAIT_SECONDS)
        return connection
