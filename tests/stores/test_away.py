"""Which errors of a database mean that it cannot be used just now: told by real ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.stores.away import AWAY, BUSY, DAMAGED, FULL, READ_ONLY, away
from bot.stores.database import Database
from bot.stores.drivers import NotOnDisk
from bot.stores.postgresql import Postgresql

WRITES = "INSERT INTO switches VALUES ('', 'ada', '', 1)"


@pytest.mark.parametrize(
    ("pragma", "why"),
    [("max_page_count = 1", FULL), ("query_only = 1", READ_ONLY)],
)
def test_an_sqlite_file_that_cannot_grow_or_be_written_is_known(
    tmp_path: Path, pragma: str, why: str
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    database.migrate()
    large = f"INSERT INTO switches VALUES ('', 'ada', '{'x' * 40_000}', 1)"
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {pragma}")
        with pytest.raises(sa.exc.DBAPIError) as told:
            connection.exec_driver_sql(large)
    assert away(told.value) == away(told.value.orig) == why
    database.close()


def test_a_locked_a_damaged_and_an_unsynced_file_are_known(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    one, other = (sqlite3.connect(file, isolation_level=None, timeout=0) for _ in range(2))
    one.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as told:
        other.execute("BEGIN IMMEDIATE")
    assert away(told.value) == BUSY
    one.close()
    other.close()
    file.write_bytes(b"words " * 1000)
    with pytest.raises(sqlite3.DatabaseError) as damaged:
        sqlite3.connect(file).execute("SELECT * FROM sqlite_master")
    assert away(damaged.value) == DAMAGED
    assert away(NotOnDisk("the disk is gone"))
    assert away(sa.exc.TimeoutError("QueuePool limit")) == BUSY


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        pytest.param(f"SET LOCAL transaction_read_only = on; {WRITES}", READ_ONLY, id="a standby"),
        pytest.param("SELECT pg_terminate_backend(pg_backend_pid())", AWAY, id="shut down"),
        pytest.param("DO $$ BEGIN RAISE 'x' USING ERRCODE = '53100'; END $$", FULL, id="a full disk"),
        pytest.param(
            "DO $$ BEGIN RAISE 'x' USING ERRCODE = '53300'; END $$", AWAY, id="too many connections"
        ),
        pytest.param("DO $$ BEGIN RAISE 'x' USING ERRCODE = '40P01'; END $$", BUSY, id="a deadlock"),
        pytest.param("DO $$ BEGIN RAISE 'x' USING ERRCODE = 'XX001'; END $$", DAMAGED, id="a damaged page"),
        pytest.param("SELECT 1 FROM nowhere", None, id="a fault of ours"),
        pytest.param("SELECT 1 / 0", None, id="another fault of ours"),
    ],
)
def test_what_postgresql_says_is_known_by_its_code(postgresql: str, statement: str, why: str | None) -> None:
    from tests import servers

    with servers.database(postgresql) as url:
        database = Database(url)
        database.migrate()
        driver = Postgresql(database, 3)
        with pytest.raises(sa.exc.DBAPIError) as told, database.begin() as tx:
            tx.exec_driver_sql(statement)
        assert away(told.value) == why
        with pytest.raises(Exception) as plain, driver.write() as send:  # noqa: PT011 - psycopg's
            send(statement, ())
        assert away(plain.value) == why
        driver.close()
        database.close()


def test_a_server_that_is_not_there_is_known() -> None:
    database = Database("postgresql://nobody@127.0.0.1:9/nothing")
    with pytest.raises(sa.exc.DBAPIError) as told, database.read():
        pass
    assert away(told.value) == AWAY
    database.close()


def test_what_is_a_fault_of_ours_stays_one(database: Database) -> None:
    twice = sa.text(WRITES)
    with database.begin() as tx:
        tx.execute(twice)
    with pytest.raises(sa.exc.IntegrityError) as told, database.begin() as tx:
        tx.execute(twice)
    assert away(told.value) is None
    assert away(ValueError("no")) is None
    assert away(OSError("no")) is None
