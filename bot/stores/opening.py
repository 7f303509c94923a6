"""What is looked at before a database is used: that it is one, ours, of this version's schema, and whole.

Nothing is repaired here, and nothing begun with a database that is in doubt: what is booked is money.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from bot.core.health import NO_TABLES, unmigrated
from bot.stores.away import DAMAGED, away
from bot.stores.database import COPY, Database
from bot.stores.vitals import WANTED, schema

# SQLite's quick_check took 5 s a gigabyte (2 cores, the file cached, 2026-11): a start may take 2.5.
# A larger file is looked through by `migrate` and by `backup`, which take their time.
WHOLE_UP_TO = 512 * 1024 * 1024
RESTORE = "Restore a backup (docs/durability.md); nothing was changed"


class Unusable(Exception):
    """Why nothing begins with this database, and what to do."""


def check(database: Database, most: int = WHOLE_UP_TO, copy: bool = False) -> None:
    """Before a process uses it; `copy`: also one that `backup` has made. Raises Unusable."""
    check_to_read(database)
    try:
        if not copy and database.kind == "sqlite" and _is_copy(database):
            raise Unusable(
                f"{database.file} is a copy that `backup` has made, and knows nothing of what came after it: "
                "run `python -m bot restored` first"
            )
        _writable(database)
        _whole(database, most)
    except sa.exc.SQLAlchemyError as error:
        raise unusable(database, error) from error


def check_to_read(database: Database) -> None:
    """Before figures are read of it, maybe of a standby. Raises Unusable."""
    _there(database)
    try:
        if why := unmigrated(_version_of(database), WANTED):
            raise Unusable(why)
    except sa.exc.SQLAlchemyError as error:
        raise unusable(database, error) from error


def check_to_migrate(database: Database) -> None:
    """Before tables are made or changed in it. Raises Unusable."""
    try:
        if database.kind == "sqlite" and not Path(database.file).exists():
            return
        if database.kind == "sqlite":
            _ours(database)
        _version_of(database)
        _whole(database)
    except sa.exc.SQLAlchemyError as error:
        raise unusable(database, error) from error


def whole(database: Database) -> None:
    """Every page of an SQLite file. Raises Unusable."""
    try:
        _whole(database)
    except sa.exc.SQLAlchemyError as error:
        raise unusable(database, error) from error


def _there(database: Database) -> None:
    # To connect would write into it, and the next who looks would find a file where there was none.
    if database.kind == "sqlite":
        file = Path(database.file)
        if not file.exists() or (file.is_file() and not file.stat().st_size):
            raise Unusable(NO_TABLES)
        _ours(database)


def untouched(database: Database) -> sqlite3.Connection:
    """To read an SQLite file without our settings, or anything else, being written into it."""
    return sqlite3.connect(f"file:{quote(database.file)}?mode=ro", uri=True)


def _ours(database: Database) -> None:
    """Raises Unusable for the file of another program, without our settings having touched it."""
    try:
        with closing(untouched(database)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise unusable(database, error) from error
    names = {str(row[0]) for row in rows}
    if names and "alembic_version" not in names:
        raise Unusable(
            f"{database.file} holds the tables of another program ({min(names)}): name another file"
        )


def _version_of(database: Database) -> str | None:
    """Of its schema; None: it has no tables. Raises Unusable where they are not ours, or of the future."""
    found = schema(database)
    if found is not None and found > WANTED:
        raise Unusable(
            f"the database is of version {found}, and this code knows no later one than {WANTED}: a newer "
            "Tollgate has migrated it. Start that one, or restore the backup from before"
        )
    return found


def _is_copy(database: Database) -> bool:
    with database.read() as tx:
        return bool(tx.exec_driver_sql("PRAGMA user_version").scalar_one() == COPY)


def _writable(database: Database) -> None:
    """A transaction that may write can be begun."""
    with database.begin() as tx:
        if database.kind == "sqlite":
            return
        if tx.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on":
            raise Unusable(
                "the database of DATABASE_URL can be read only (a standby?): name the one that is written"
            )


def _whole(database: Database, most: int | None = None) -> None:
    if database.kind != "sqlite" or (most is not None and Path(database.file).stat().st_size > most):
        return  # PostgreSQL looks after its own pages (data_checksums)
    with database.read() as tx:
        found = tx.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise Unusable(f"{database.file} is damaged ({' '.join(str(found).split())}). {RESTORE}")


def unusable(database: Database, error: sqlite3.Error | sa.exc.SQLAlchemyError) -> Unusable:
    """What an error of the database means for who would begin with it."""
    told = " ".join(str(getattr(error, "orig", None) or error).split())
    if database.kind == "postgresql":
        return Unusable(f"the database of DATABASE_URL cannot be used: {told}")
    why = away(error)
    if why == DAMAGED:
        return Unusable(f"{database.file} is damaged, or no SQLite database ({told}). {RESTORE}")
    return Unusable(
        f"{database.file} cannot be used ({why or told}): who runs this must be able to read "
        "and write it, and to make two files beside it"
    )
