"""Whether an error means that the database cannot be used just now, and why, in words for whoever asked.

By the database's own codes: https://www.sqlite.org/rescode.html and appendix A of PostgreSQL 18's manual
(errcodes), read 2026-11. Anything else is a fault of ours, and stays an exception.
"""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from bot.stores.drivers import NotOnDisk

AGAIN_SECONDS = 5  # before asking again may help
FULL = "the disk of the database is full"
READ_ONLY = "the database can be read only"
DAMAGED = "the database is damaged"
FAILS = "the disk of the database fails"
BUSY = "the database is busy"
AWAY = "the database does not answer"

_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_IOERR: FAILS,
    sqlite3.SQLITE_CANTOPEN: AWAY,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PROTOCOL: BUSY,
}
# By the longest beginning of a code that is here.
_POSTGRESQL = {
    "08": AWAY,  # connections
    "53": AWAY,  # too many of them, or no memory
    "53100": FULL,
    "57P": AWAY,  # it is shut down, or starts
    "25006": READ_ONLY,  # a standby, or default_transaction_read_only
    "40": BUSY,  # deadlocks
    "55P03": BUSY,
    "58": FAILS,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}


def away(error: BaseException | None) -> str | None:
    """A sentence without its full stop; None where the error says nothing of the kind."""
    match error:
        case NotOnDisk():
            return FAILS
        case sa.exc.TimeoutError():
            return BUSY
        case sa.exc.DBAPIError():
            return away(error.orig)
        case sqlite3.Error():
            code = getattr(error, "sqlite_errorcode", None)
            return None if code is None else _SQLITE.get(code & 0xFF)
        case _:
            return _of_postgresql(error)


def _of_postgresql(error: BaseException | None) -> str | None:
    # By name: a process over SQLite has no psycopg in it.
    if type(error).__module__.partition(".")[0] not in ("psycopg", "psycopg_pool"):
        return None
    state = getattr(error, "sqlstate", None)
    if state is None:  # nobody was there to give one
        lost = {made.__name__ for made in type(error).__mro__} & {"OperationalError", "InterfaceError"}
        return AWAY if lost else None
    return next((_POSTGRESQL[state[:n]] for n in (5, 3, 2) if state[:n] in _POSTGRESQL), None)
