"""One clock, the database's; another may be handed to it, and then every store has that one (L7)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bot.services import _same_time
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.runs import Runs, token_hash
from bot.stores.tables import switches
from tests.stores.test_runs import a_run

LATER = 1_798_416_000_000  # 2026-12-28


def test_every_store_has_the_clock_that_its_database_was_given(database: Database) -> None:
    moved = Database(database.url, str(LATER))
    runs, ledger, new = Runs(moved), Ledger(moved, "test"), a_run()
    try:
        assert runs.open(new)
        assert runs.claim(new.id, 1, token_hash("t"))
        account = ledger.account_of(new.id)
        assert moved.now_ms() == account.now == account.started_at == LATER
    finally:
        ledger.close()
        moved.close()


def test_whether_a_machine_has_the_databases_time_is_asked_of_the_databases_own(database: Database) -> None:
    moved = Database(database.url, "0")
    try:
        assert moved.now_ms() == 0 < moved.own_ms()
        _same_time(moved)
    finally:
        moved.close()


def test_who_is_in_a_hurry_waits_for_no_statement_and_the_others_still_do(database: Database) -> None:
    # A hundred million rows: far more than any machine counts in the time given.
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
    )
    hurried = database.within(0.2)
    with pytest.raises(sa.exc.OperationalError), hurried.read() as tx:
        tx.exec_driver_sql(numbers.format(100_000_000))
    with hurried.read() as tx:
        assert tx.exec_driver_sql(numbers.format(10)).scalar_one() == 10
    for _ in range(3):  # over the same connections
        with database.read() as tx:
            assert tx.exec_driver_sql(numbers.format(1_000_000)).scalar_one() == 1_000_000


def test_an_error_of_the_database_shows_no_value(database: Database) -> None:
    once = sa.insert(switches).values(repository="", by="ada", reason="words of a person", paused_at=1)
    with database.begin() as tx:
        tx.execute(once)
    with pytest.raises(sa.exc.IntegrityError) as told, database.begin() as tx:
        tx.execute(once)
    assert "words of a person" not in str(told.value)
