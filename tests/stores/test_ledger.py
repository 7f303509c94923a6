"""A turn leaves `held` once, whoever is first: its own process, a watchdog, or two of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.prices import Cost
from bot.core.usage import Usage
from bot.stores.account import Account, Ask, Hold, Settlement
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash

ASK = Ask(nanos=1_000_000, tokens=100, cached=0, max_tokens=40, model="claude-opus-4-7", prefix="p")
CEILINGS = Ceilings(Usd.parse("1"), 10**6, 10**4, 600)
USED = Settlement(Cost(output=Usd(300_000)), Usage(input=10, output=12), False, "json", model="m")


@pytest.fixture
def run(database: Database) -> str:
    runs, run = Runs(database), new_id()
    assert runs.open(NewRun(run, "github", CEILINGS, "default", "opus", "claude-opus-4-7", "test"))
    assert runs.claim(run, 1, token_hash(new_token()), 1)
    return run


Opened = Callable[[int], Ledger]


@pytest.fixture
def ledger(database: Database) -> Iterator[Opened]:
    """Ledgers of several processes over one database, by the life of their leases in milliseconds."""
    made: list[Ledger] = []

    def of(lease_ms: int) -> Ledger:
        made.append(Ledger(database, f"process {len(made)}", lease_ms))
        return made[-1]

    yield of
    for each in made:
        each.close()


def held(ledger: Ledger, run: str) -> Hold:
    taken = ledger.hold(run, 1, ASK)
    assert isinstance(taken, Hold)
    return taken


def test_a_hold_whose_lease_ran_out_is_charged_whole_once_by_any_number_of_watchdogs(
    ledger: Opened, run: str
) -> None:
    dead = ledger(-1)
    for _ in range(5):
        held(dead, run)
    watchdogs = [ledger(60_000) for _ in range(4)]
    charged: list[int] = []
    together([partial(lambda each: charged.append(each.expire()), each) for each in watchdogs])
    account = dead.account_of(run)
    assert sum(charged) == 5
    assert (account.spent, account.held, account.steps) == (Usd(5 * ASK.nanos), Usd(0), 5)
    assert estimated(dead, run) == account.spent


def test_what_is_settled_while_a_watchdog_looks_is_charged_what_it_used(ledger: Opened, run: str) -> None:
    own, watchdog = ledger(-1), ledger(60_000)
    holds = [held(own, run) for _ in range(30)]
    together(
        [partial(own.settle, each, USED) for each in holds] + [partial(watchdog.expire) for _ in range(4)]
    )
    account = own.account_of(run)
    assert (account.spent, account.held) == (Usd(30 * USED.cost.total.nanos), Usd(0))
    assert estimated(own, run) == Usd(0)


def test_a_lease_that_is_renewed_in_time_is_no_orphans(ledger: Opened, run: str) -> None:
    own = ledger(-1)
    held(own, run)
    own.lease_ms = 60_000
    own.renew()
    assert ledger(60_000).expire() == 0


def test_an_orphan_that_turns_out_to_have_cost_nothing_is_corrected_to_nothing(
    ledger: Opened, run: str
) -> None:
    own = ledger(-1)
    hold = held(own, run)
    assert own.expire() == 1
    own.release(hold, 529, "error")
    account = own.account_of(run)
    assert (account.spent, account.spent_tokens, account.held) == (Usd(0), 0, Usd(0))
    assert estimated(own, run) == Usd(0)


def test_one_upper_bound_does_not_correct_another(ledger: Opened, run: str) -> None:
    own = ledger(-1)
    hold = held(own, run)
    assert own.expire() == 1
    cut = Settlement(Cost(output=Usd(900_000)), Usage(input=10, output=40), True, "cut", model="m")
    assert own.settle(hold, cut).spent == Usd(ASK.nanos)
    assert estimated(own, run) == Usd(ASK.nanos)
    assert own.settle(hold, USED).spent == USED.cost.total
    assert estimated(own, run) == Usd(0)


def test_settling_twice_books_once(ledger: Opened, run: str) -> None:
    own = ledger(60_000)
    hold = held(own, run)
    for _ in range(2):
        own.settle(hold, USED)
    own.release(hold, 200, "error")
    assert own.account_of(run).spent == USED.cost.total


def test_steps_are_numbered_without_a_gap_or_a_double(database: Database, ledger: Opened, run: str) -> None:
    own = ledger(60_000)
    holds = [held(own, run) for _ in range(60)]
    together([partial(own.settle, each, USED) for each in holds])
    assert sorted(turn.step for turn in Runs(database).turns(run)) == list(range(1, 61))


def test_an_upstreams_long_words_do_not_keep_an_answer_from_being_booked(ledger: Opened, run: str) -> None:
    long = "\0é" * 500
    what = Settlement(USED.cost, USED.usage, False, "json", model=long, stop_reason=long, request_id=long)
    own = ledger(60_000)
    assert own.settle(held(own, run), what).spent == USED.cost.total


def estimated(ledger: Ledger, run: str) -> Usd:
    rows = ledger.driver.read("SELECT estimated_nanos FROM runs WHERE id = ?", (run,))
    return Usd(rows[0][0])


def together(work: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("ends", ["release", "settle", "correct"])
def test_the_run_is_locked_before_its_turn_whatever_ends_it(
    ledger: Opened, run: str, database: Database, ends: str
) -> None:
    """Else it would be a deadlock: another has the run and wants the turn, we the turn and want the run."""
    if database.kind != "postgresql":
        pytest.skip("SQLite has one writer")
    mine = ledger(60_000)
    hold = held(mine, run)
    if ends == "correct":
        assert mine.expire(run) == 1
    work = (
        partial(mine.release, hold, 529, "error") if ends == "release" else partial(mine.settle, hold, USED)
    )
    url = database.url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as look, psycopg.connect(url) as other:
        other.execute("SELECT id FROM runs WHERE id = %s FOR UPDATE", (run,))
        thread = threading.Thread(target=work)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while look.execute(waiting).fetchone() == (0,):
            pass
        other.execute("UPDATE turns SET lease_until_at = lease_until_at WHERE id = %s", (hold.turn,))
        other.commit()
        thread.join()
    account = mine.account_of(run)
    assert (account.held, account.held_steps) == (Usd(0), 0)
    assert account.spent == (Usd(0) if ends == "release" else USED.cost.total)


def test_what_an_attempt_had_under_way_neither_spends_nor_halts_once_the_next_one_runs(
    ledger: Opened, run: str, database: Database
) -> None:
    one, runs = ledger(60_000), Runs(database)
    runs.end(run, "halted", reason=Reason.COST)
    runs.finished(run, 1)
    more = NewRun(run, "github", CEILINGS, "default", "opus", "claude-opus-4-7", "test")
    assert runs.reopen(run, 1, more)
    assert runs.claim(run, 2, token_hash(new_token()), 2)
    assert isinstance(one.hold(run, 1, ASK), Account)
    assert one.halt(run, 1, Reason.WALL_CLOCK, "its time is over").state == "running"
    assert isinstance(one.hold(run, 2, ASK), Hold)
    assert one.halt(run, 2, Reason.WALL_CLOCK, "its time is over").state == "halted"


def test_a_bound_that_may_be_wrong_is_taken_alone(ledger: Opened, run: str) -> None:
    one = ledger(60_000)
    doubtful = replace(ASK, alone=True)
    first = held(one, run)
    assert not isinstance(one.hold(run, 1, doubtful), Hold)
    one.settle(first, USED)
    assert isinstance(one.hold(run, 1, doubtful), Hold)


def test_what_an_answer_left_in_the_cache_is_remembered_here_and_in_the_database(
    ledger: Opened, run: str
) -> None:
    mine, another = ledger(60_000), ledger(60_000)
    hold = held(mine, run)
    usage = Usage(input=5, cache_write_5m=20, cache_read=300, output=7, model="claude-opus-4-7")
    mine.settle(hold, replace(USED, usage=usage, model="claude-opus-4-7"))
    account = mine.account_of(run)
    known, kept = mine.previous(account, ["p"]), another.previous(account, ["p"])
    assert known is not None
    assert kept is not None
    # Its row is written a moment after the account is read, by the same clock.
    assert known == replace(kept, at=known.at)
    assert 0 <= kept.at - known.at < 60_000
    assert (known.total_input, known.output, known.cached) == (325, 7, 320)
    assert known.at == hold.account.now
