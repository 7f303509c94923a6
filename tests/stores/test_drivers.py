"""What the ledger's drivers promise about the disk."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from bot.stores.database import Database
from bot.stores.drivers import NotOnDisk, SharedSync, Sqlite


def test_a_durable_transaction_is_on_the_disk_when_it_returns_and_another_does_not_wait(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    synced: list[int] = []

    def sync(file: int) -> None:
        synced.append(os.fstat(file).st_size)
        os.fsync(file)

    driver = Sqlite(database, sync)
    with driver.write(durable=False) as send:
        send("CREATE TABLE t (n INTEGER)", ())
    assert synced == []
    with driver.write() as send:
        send("INSERT INTO t VALUES (?)", (1,))
    log = (tmp_path / "a.db-wal").stat().st_size
    assert synced == [log]  # all of the log, and so the transaction before as well
    with pytest.raises(sqlite3.OperationalError), driver.write() as send:
        send("INSERT INTO nowhere VALUES (?)", (2,))
    assert len(synced) == 1  # what is rolled back needs no disk
    assert driver.read("SELECT n FROM t", ()) == [(1,)]
    driver.close()
    database.close()


def test_who_waits_for_the_disk_at_once_shares_one_sync_that_began_after_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"")
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    syncs: list[int] = []

    def sync(number: int) -> None:
        syncs.append(number)
        begun.release()
        assert go_on.acquire(timeout=30)

    shared = SharedSync(str(file), sync)
    first = threading.Thread(target=shared.sync)
    first.start()
    assert begun.acquire(timeout=30)
    entered = threading.Barrier(6)

    def late() -> None:
        entered.wait(30)
        shared.sync()

    others = [threading.Thread(target=late) for _ in range(5)]
    for thread in others:
        thread.start()
    entered.wait(30)
    while len(shared._changed._waiters) < 5:  # type: ignore[attr-defined]  # all five wait
        threading.Event().wait(0.001)
    go_on.release()
    first.join(30)
    # The one that ran may have begun before their bytes were written: none of the five may trust it.
    assert begun.acquire(timeout=30)
    assert all(thread.is_alive() for thread in others)
    go_on.release()
    for thread in others:
        thread.join(30)
    assert len(syncs) == 2
    shared.close()


def test_after_a_failed_sync_nobody_is_told_that_the_disk_has_it(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"")
    answers = iter([OSError("the disk is gone")])

    def sync(_number: int) -> None:
        for error in answers:
            raise error

    shared = SharedSync(str(file), sync)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            shared.sync()
    shared.close()


def test_after_a_failed_sync_nothing_more_is_begun(tmp_path: Path) -> None:
    """Or every further try of an agent would be charged the hold of a request that never left."""
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")

    def sync(_file: int) -> None:
        raise OSError("the disk is gone")

    driver = Sqlite(database, sync)
    with driver.write(durable=False) as send:
        send("CREATE TABLE t (n INTEGER)", ())
    for _ in range(3):
        with pytest.raises(NotOnDisk, match="the disk is gone"), driver.write() as send:
            send("INSERT INTO t VALUES (1)", ())
    assert driver.read("SELECT count(*) FROM t", ()) == [(1,)]
    driver.close()
    database.close()
