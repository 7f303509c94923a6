"""One clock, the database's; another may be handed to it, and then every store has that one (L7)."""

from __future__ import annotations

from bot.services import _same_time
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.runs import Runs, token_hash
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
