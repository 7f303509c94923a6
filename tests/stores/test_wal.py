"""SQLite's write-ahead log goes into the file with the writers' lock held, and never by itself."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.drivers import Sqlite
from bot.stores.wal import LOG_BYTES
from sandbox.processes import ROOT

ONE = 256 * 1024  # bytes a row
MANY = 64  # of them: four times what the log may have


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'a.db'}"


def fill(database: Database, rows: int) -> None:
    for _ in range(rows):
        with database.begin() as tx:
            tx.exec_driver_sql("INSERT INTO t VALUES (zeroblob(?))", (ONE,))


def made(url: str) -> Database:
    database = Database(url)
    with database.begin() as tx:
        tx.exec_driver_sql("CREATE TABLE t (b BLOB)")
    return database


def sizes(database: Database) -> tuple[int, int]:
    """Of the file and of its log."""
    return Path(database.file).stat().st_size, Path(f"{database.file}-wal").stat().st_size


def by_transactions(database: Database) -> None:
    fill(database, MANY)


def by_the_ledgers_driver(database: Database) -> None:
    driver = Sqlite(database)
    for _ in range(MANY):
        with driver.write(durable=False) as send:
            send("INSERT INTO t VALUES (zeroblob(?))", (ONE,))
    driver.close()


@pytest.mark.parametrize("write", [by_transactions, by_the_ledgers_driver])
def test_the_log_stays_short_and_all_of_it_comes_into_the_file(
    url: str, write: Callable[[Database], None]
) -> None:
    database = made(url)
    with closing(sqlite3.connect(database.file)) as open_:  # so that nobody is the last, who tidies it up
        open_.execute("SELECT count(*) FROM t")
        write(database)
        file, log = sizes(database)
        assert log < 2 * LOG_BYTES
        assert file > (MANY - 2 * LOG_BYTES // ONE) * ONE
        database.close()


def test_no_connection_of_the_service_does_it_by_itself(url: str) -> None:
    database = made(url)
    driver = Sqlite(database)
    others = sa.create_engine(url)  # as the durable engine makes its own
    with database.read() as ours, others.connect() as its, driver.write() as send:
        asked: list[Callable[[str], object]] = [
            lambda sql: ours.exec_driver_sql(sql).scalar(),
            lambda sql: its.exec_driver_sql(sql).scalar(),
            lambda sql: send(sql, ())[0][0],
            lambda sql: driver.read(sql, ())[0][0],
        ]
        for ask in asked:
            assert ask("PRAGMA wal_autocheckpoint") == 0
            assert ask("PRAGMA journal_size_limit") == 0
    others.dispose()
    driver.close()
    database.close()


def test_it_waits_for_a_writer_and_is_left_to_the_next_commit_where_one_does_not_end(url: str) -> None:
    database = made(url)
    with closing(sqlite3.connect(database.file, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("INSERT INTO t VALUES (zeroblob(?))", (2 * LOG_BYTES,))
        before = sizes(database)
        writer.execute("BEGIN IMMEDIATE")
        database.tidy()
        assert sizes(database) == before
        writer.execute("ROLLBACK")
        database.tidy()
        assert sizes(database)[0] > 2 * LOG_BYTES
    database.close()


def test_who_reads_an_older_state_goes_on_and_the_log_is_short_again_afterwards(url: str) -> None:
    database = made(url)
    fill(database, 1)
    with database.read() as old:
        [count] = old.exec_driver_sql("SELECT count(*) FROM t").one()
        fill(database, MANY)
        assert sizes(database)[1] > MANY * ONE
        assert old.exec_driver_sql("SELECT count(*) FROM t").one() == (count,)
    fill(database, 2 * LOG_BYTES // ONE)
    assert sizes(database)[1] < 2 * LOG_BYTES
    database.close()


WRITES = f"""
import sys
from bot.stores.database import Database
from tests.stores.test_wal import fill
fill(Database(sys.argv[1]), {MANY})
"""


def test_processes_and_threads_that_all_write_lose_nothing(url: str) -> None:
    database = made(url)
    writers = [subprocess.Popen([sys.executable, "-c", WRITES, url], cwd=ROOT) for _ in range(2)]
    threads = [threading.Thread(target=fill, args=(database, MANY)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.wait(120) for writer in writers] == [0, 0]
    with database.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*), min(length(b)) FROM t").one() == (4 * MANY, ONE)
        assert tx.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    database.close()
