"""A run is opened once, claimed once, ended once."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest

from bot.core.ceilings import CLASSES, Reason
from bot.core.rules import STRICTEST, Allowance, Rules, Stuck
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id
from bot.stores.switch import Switch


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


def over(runs: Runs, new: NewRun) -> None:
    """Claimed, halted, reported."""
    assert runs.open(new)
    assert runs.claim(new.id, 1, "token of attempt 1", 100)
    assert runs.end(new.id, "halted", reason=Reason.COST, message="halted")
    runs.finished(new.id, 1)


def test_the_end_of_one_attempt_told_late_ends_no_further_one(database: Database) -> None:
    runs, new = Runs(database), a_run()
    over(runs, new)
    assert runs.reopen(new.id, 1, a_run(opened_by="a story"), {"by": "ann"})
    runs.finished(new.id, 1)  # its worker had died before it could remember that it had said so
    with database.read() as tx:
        assert tx.exec_driver_sql("SELECT finished_at FROM runs").scalar_one() is None
    runs.finished(new.id, 2)
    with database.read() as tx:
        assert tx.exec_driver_sql("SELECT finished_at FROM runs").scalar_one() is not None


def test_a_halted_run_goes_on_once_as_its_next_attempt_with_new_totals(database: Database) -> None:
    runs, new = Runs(database), a_run()
    over(runs, new)
    runs.set(new.id, report_comment_id=9, published={"kind": "branch"}, workflow_url="x", spent_nanos=7)
    more, won = (
        a_run(ceilings=CLASSES["refactor"], opened_by="a story", keeps_back=True, repository="o/new"),
        [],
    )
    threads = [
        Thread(target=lambda: won.append(runs.reopen(new.id, 1, more, {"by": "ann"}))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 5 + [True]
    found = runs.get(new.id)
    assert found is not None
    assert (found.state, found.attempt, found.opened_by, found.ceilings) == (
        "open", 2, "a story", CLASSES["refactor"],
    )  # fmt: skip
    assert (found.reason, found.report_comment_id, found.published, found.workflow_url) == (
        None,
        None,
        None,
        "",
    )
    assert (found.spent.usd.nanos, found.resumed) == (7, {"by": "ann"})
    assert found.repository == "o/new", "as it is called by now"
    assert not runs.claim(new.id, 1, "token of attempt 1", 100)
    assert runs.claim(new.id, 2, "token of attempt 2", 200)


@pytest.mark.parametrize("what", ["running", "done", "not reported", "accepted"])
def test_what_is_not_over_or_is_decided_does_not_go_on(database: Database, what: str) -> None:
    runs, new = Runs(database), a_run()
    over(runs, new)
    columns: dict[str, dict[str, Any]] = {
        "running": {"state": "running"}, "done": {"state": "done"}, "not reported": {"finished_at": None},
        "accepted": {"settled_as": "accepted"},
    }  # fmt: skip
    runs.set(new.id, **columns[what])
    assert not runs.reopen(new.id, 1, a_run())


def test_while_another_run_is_live_on_the_thread_none_goes_on(database: Database) -> None:
    runs, new = Runs(database), a_run(repository_id=1, thread=7)
    over(runs, new)
    other = a_run(repository_id=1, thread=7)
    assert runs.open(other)
    assert not runs.reopen(new.id, 1, a_run())
    runs.end(other.id, "done")
    assert runs.reopen(new.id, 1, a_run())


def test_time_of_all_attempts_counts_and_time_between_them_does_not(database: Database) -> None:
    runs, new = Runs(database), a_run()
    over(runs, new)
    hour = 3_600_000
    runs.set(new.id, started_at=database.now_ms() - 2 * hour, ended_at=database.now_ms() - 2 * hour + 90_000)
    assert runs.reopen(new.id, 1, a_run())
    found = runs.get(new.id)
    assert found is not None
    assert found.spent.seconds == 90
    assert runs.claim(new.id, 2, "token", 200)
    found = runs.get(new.id)
    assert found is not None
    assert found.deadline_at is not None
    left = found.deadline_at - database.now_ms()
    assert found.ceilings.seconds * 1000 - 95_000 < left <= found.ceilings.seconds * 1000 - 90_000


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


def test_who_decided_about_work_is_in_the_audit_log_once_with_what_was_let_through(
    database: Database,
) -> None:
    store, switch = Runs(database), Switch(database)
    new = a_run(repository="o/r")
    over(store, new)
    for _ in range(3):
        assert store.settle(new.id, 1, "accepted", "max", "d1", ["`x` holds what looks like a key"])
    assert not store.settle(new.id, 1, "discarded", "eve", "d2")
    [entry] = switch.log()
    assert (entry.by, entry.action, entry.repository) == ("max", "accepted", "o/r")
    assert entry.about["let_through"] == ["`x` holds what looks like a key"]
    store.unsettle(new.id, "d2")
    store.unsettle(new.id, "d1")
    assert [one.action for one in switch.log()] == ["could not be settled", "accepted"]


def test_an_end_and_a_wrap_up_of_an_attempt_that_is_over_do_nothing_to_the_next(database: Database) -> None:
    runs, new = Runs(database), a_run(origin="run", keeps_back=True)
    ledger = Ledger(database, "test")
    runs.open(new)
    runs.claim(new.id, 1, "a")
    runs.end(new.id, "halted", reason=Reason.COST)
    assert runs.reopen(new.id, 1, new)
    runs.claim(new.id, 2, "b")
    ledger.open_slice(new.id, 1)
    assert ledger.account_of(new.id).kept_back
    assert not runs.end(new.id, "lost", message="too late", attempt=1)
    assert ledger.account_of(new.id).state == "running"
    ledger.open_slice(new.id, 2)
    assert not ledger.account_of(new.id).kept_back
    assert runs.end(new.id, "done", attempt=2)
    ledger.close()
