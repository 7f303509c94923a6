"""A run's timeline is the ledger's: whatever became of its requests, it ends where the run's row stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.core.ceilings import Ceilings
from bot.core.money import Usd, total
from bot.core.prices import Cost
from bot.core.usage import Usage
from bot.stores.account import Ask, Hold, Settlement
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from bot.stores.timelines import Timelines

ASK = Ask(nanos=1_000_000, tokens=100, cached=0, max_tokens=40, model="claude-opus-4-7", prefix="p")
USED = Settlement(Cost(output=Usd(300_000)), Usage(input=10, output=12), False, "json", model="m")


@pytest.fixture
def run(database: Database) -> str:
    runs, run = Runs(database), new_id()
    ceilings = Ceilings(Usd.parse("1"), 10**6, 10**4, 600)
    assert runs.open(NewRun(run, "github", ceilings, "default", "opus", "claude-opus-4-7", "test"))
    assert runs.claim(run, 1, token_hash(new_token()), 1)
    return run


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    made = Ledger(database, "test", 60_000)
    yield made
    made.close()


def held(ledger: Ledger, run: str) -> Hold:
    taken = ledger.hold(run, 1, ASK)
    assert isinstance(taken, Hold)
    return taken


def test_it_ends_with_what_the_run_has_spent_and_holds_what_the_run_holds(
    database: Database, ledger: Ledger, run: str
) -> None:
    for _ in range(3):
        ledger.settle(held(ledger, run), USED)
    ledger.release(held(ledger, run), 529, "overloaded_error")
    lost = held(ledger, run)
    ledger.expire(run)
    ledger.settle(lost, USED)  # the truth comes late
    held(ledger, run)
    ledger.expire(run)
    flying = held(ledger, run)
    account, timeline = ledger.account_of(run), Timelines(database).of(run)
    last = timeline.points[-1]
    assert (last.usd, last.tokens, last.steps, last.cached) == (
        account.spent, account.spent_tokens, account.steps, account.cached,
    )  # fmt: skip
    assert [one.id for one in timeline.in_flight] == [flying.turn]
    assert total(one.hold for one in timeline.in_flight) == account.held
    kinds = {one.kind: (one.requests, one.used.nanos, one.back.nanos) for one in timeline.holds}
    assert kinds == {
        "settled": (3, 900_000, 2_100_000),
        "estimated": (2, 2_000_000, 0),
        "corrected": (1, -700_000, 0),
        "released": (1, 0, 1_000_000),
        "held": (1, 0, 0),
    }
    (mended,) = (one for one in timeline.requests if one.mended)
    assert mended.id == lost.turn


def test_a_run_that_is_not_there_has_none(database: Database) -> None:
    assert Timelines(database).of("no such run").requests == ()
