"""Who put a label on with which role; and what a live run may still spend when a label has lowered it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from bot.core.ceilings import CLASSES, Ceilings
from bot.core.limits import Lowered
from bot.core.money import Usd
from bot.core.prices import Cost
from bot.core.roles import Role
from bot.core.usage import Usage
from bot.stores.account import Account, Ask, Hold, Settlement
from bot.stores.database import Database
from bot.stores.labelings import MOST_CLAMPS, Labelings
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun, Run
from bot.stores.runs import Runs, new_id, new_token, token_hash

NOON = 1_795_176_000_000
ASK = Ask(nanos=1_000_000_000, tokens=100, cached=0, max_tokens=40, model="claude-opus-4-7", prefix="p")


def put(store: Labelings, delivery: str, role: Role, at: int, **more: object) -> None:
    known = {"repository_id": 1, "thread": 7, "label": "agent:cost=$9", "added": True, "actor": "ada"}
    store.record(delivery, **{**known, "role": role, "at": at, **more})  # type: ignore[arg-type]


def then(store: Labelings, at: int = NOON, **more: object) -> Role | None:
    known = {"repository_id": 1, "thread": 7, "label": "Agent:COST=$9", "actor": "ada"}
    return store.role_then(**{**known, "at": at, **more})  # type: ignore[arg-type]


def test_a_label_is_remembered_with_the_role_of_that_moment_once_a_delivery(database: Database) -> None:
    store = Labelings(database)
    assert then(store) is None
    put(store, "d-1", Role.TRIAGE, NOON + 900)
    put(store, "d-1", Role.ADMIN, NOON + 900)
    assert then(store) == Role.TRIAGE
    assert then(store, actor="max") is None
    assert then(store, thread=8) is None
    assert then(store, repository_id=2) is None


def test_a_label_that_was_put_on_again_counts_with_the_role_of_the_last_time(database: Database) -> None:
    store = Labelings(database)
    put(store, "d-1", Role.TRIAGE, NOON)
    put(store, "d-2", Role.ADMIN, NOON + 3_600_000)
    assert then(store, at=NOON + 3_600_000) == Role.ADMIN
    assert then(store, at=NOON) == Role.TRIAGE, "when in doubt which of them it was: the lesser"


def test_a_change_is_seen_by_whoever_looked_before_it(database: Database) -> None:
    store, before = Labelings(database), database.now_ms()
    assert store.changed_since(1, 7, before) is None
    put(store, "d-1", Role.NONE, NOON, added=False)
    assert store.changed_since(1, 7, before) == ("agent:cost=$9", False)
    assert store.changed_since(1, 7, database.now_ms() + 1_000) is None
    assert store.changed_since(1, 8, before) is None


@pytest.fixture
def run(database: Database) -> str:
    runs, run = Runs(database), new_id()
    new = NewRun(run, "github", CLASSES["bugfix"], "bugfix", "opus", "claude-opus-4-7", "test")
    assert runs.open(new)
    assert runs.claim(run, 1, token_hash(new_token()), 1)
    return run


def to(ceilings: Ceilings, *notes: str) -> object:
    return lambda held: Lowered(ceilings, {**held.sources, "usd": "label by ada (admin)"}, notes)


def told(database: Database, run: str) -> Run:
    found = Runs(database).get(run)
    assert found is not None
    return found


def test_a_lowered_ceiling_bounds_the_next_request_and_what_is_in_flight_is_finished(
    database: Database, run: str
) -> None:
    store, ledger = Labelings(database), Ledger(database, "here")
    first = ledger.hold(run, 1, ASK)
    assert isinstance(first, Hold)
    less = replace(CLASSES["bugfix"], usd=Usd.parse("0.50"))
    assert store.lower(run, 1, to(less, "cost: lowered"))  # type: ignore[arg-type]
    assert isinstance(ledger.hold(run, 1, ASK), Account), "nothing more is let through"
    used = Settlement(Cost(output=Usd(900_000_000)), Usage(output=12), False, "json", model="m")
    after = ledger.settle(first, used)
    assert (after.spent, after.held, after.ceilings.usd) == (Usd.parse("0.90"), Usd(0), Usd.parse("0.50"))
    assert told(database, run).sources["usd"] == "label by ada (admin)"
    assert told(database, run).clamps == ("cost: lowered",)
    ledger.close()


def test_a_shorter_time_moves_the_deadline_and_a_longer_one_does_not(database: Database, run: str) -> None:
    store, before = Labelings(database), told(database, run)
    store.lower(run, 1, to(replace(before.ceilings, seconds=60)))  # type: ignore[arg-type]
    after = told(database, run)
    assert after.deadline_at == (before.started_at or 0) + 60_000
    store.lower(run, 1, to(replace(before.ceilings, seconds=60)))  # type: ignore[arg-type]
    assert told(database, run).deadline_at == after.deadline_at


def test_only_the_live_attempt_that_was_weighed_is_lowered(database: Database, run: str) -> None:
    store, less = Labelings(database), replace(CLASSES["bugfix"], steps=3)
    assert not store.lower(run, 2, to(less))  # type: ignore[arg-type]
    Runs(database).end(run, "done")
    assert not store.lower(run, 1, to(less))  # type: ignore[arg-type]
    assert told(database, run).ceilings == CLASSES["bugfix"]


def test_a_label_that_is_put_on_and_off_all_day_is_told_once_and_many_are_bounded(
    database: Database, run: str
) -> None:
    store = Labelings(database)
    for _ in range(3):
        store.lower(run, 1, to(CLASSES["bugfix"], "the same"))  # type: ignore[arg-type]
    assert told(database, run).clamps == ("the same",)
    store.lower(run, 1, to(CLASSES["bugfix"], *(f"note {n}" for n in range(500))))  # type: ignore[arg-type]
    assert len(told(database, run).clamps) == MOST_CLAMPS


def test_a_run_that_waits_for_its_workflow_is_lowered_too(database: Database) -> None:
    runs, run = Runs(database), new_id()
    runs.open(NewRun(run, "github", CLASSES["bugfix"], "bugfix", "opus", "claude-opus-4-7", "test"))
    assert Labelings(database).lower(run, 1, to(replace(CLASSES["bugfix"], seconds=30)))  # type: ignore[arg-type]
    assert runs.claim(run, 1, token_hash(new_token()), 1)
    found = told(database, run)
    assert (found.deadline_at or 0) - (found.started_at or 0) == 30_000
    with database.read() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM runs")).scalar_one() == 1
