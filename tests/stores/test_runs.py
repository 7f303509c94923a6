"""A run is opened once, claimed once, ended once."""

from __future__ import annotations

from threading import Thread

from bot.core.ceilings import CLASSES, Reason
from bot.core.rules import STRICTEST, Allowance, Rules, Stuck
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.runs import NewRun, Runs, new_id


def a_run(**given: object) -> NewRun:
    known = {"id": new_id(), "origin": "github", "ceilings": CLASSES["bugfix"], "task_class": "bugfix"}
    return NewRun(**{**known, "engine": "opus", "model": "claude-opus-4-7", "price_book": "p", **given})  # type: ignore[arg-type]


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()


def test_a_comment_has_one_run_however_often_it_is_delivered(database: Database) -> None:
    runs, won = Runs(database), []
    news = [a_run(repository_id=1, comment_kind="issue_comment", comment_id=9) for _ in range(8)]
    threads = [Thread(target=lambda new=new: won.append(runs.open(new))) for new in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_only_the_first_workflow_run_claims_and_may_repeat_itself(database: Database) -> None:
    runs, new = Runs(database), a_run()
    runs.open(new)
    assert runs.claim(new.id, 1, "first", 100)
    assert not runs.claim(new.id, 1, "second", 200)
    assert runs.claim(new.id, 1, "first again", 100)
    assert not runs.claim(new.id, 2, "an attempt that was not dispatched", 100)


def test_a_dispatched_run_is_claimed_by_the_workflow_run_that_was_dispatched(database: Database) -> None:
    runs, new = Runs(database), a_run()
    runs.open(new)
    runs.set(new.id, workflow_run_id=100)
    assert not runs.claim(new.id, 1, "somebody else's", 200)
    assert runs.claim(new.id, 1, "its own", 100)


def test_the_first_end_stands_and_nothing_claims_after_it(database: Database) -> None:
    runs, new = Runs(database), a_run()
    runs.open(new)
    assert runs.end(new.id, "halted", reason=Reason.COST, message="halted")
    assert not runs.end(new.id, "done")
    assert not runs.claim(new.id, 1, "late", 100)
    report = runs.report(new.id)
    assert (report.outcome, report.reason) == ("halted", Reason.COST)


def test_the_clock_is_the_databases_and_counts_milliseconds(database: Database) -> None:
    assert abs(database.now_ms() - database.now_ms()) < 60_000
    assert database.now_ms() > 1_700_000_000_000


def test_the_gateway_finds_a_runs_rules_with_its_account(database: Database) -> None:
    rules = Rules("expected", {"pdf": Allowance(tokens=9)}, Stuck(repeats=2))
    runs, ledger = Runs(database), Ledger(database, "test")
    assert runs.open(a_run(id="a", origin="run", rules=rules))
    assert runs.open(a_run(id="b"))
    assert ledger.account_of("a").rules == rules
    assert ledger.account_of("b").rules == STRICTEST
    assert runs.reopen("a", 1, a_run(origin="run"))
    assert ledger.account_of("a").rules == STRICTEST
    ledger.close()
