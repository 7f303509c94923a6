"""A label that lowers a live run's ceilings: what is in flight is booked, and nothing more is let through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.core import meter
from bot.core.ceilings import Ceilings, Reason
from bot.core.limits import Lowered
from bot.core.money import Usd
from bot.core.usage import read_message
from bot.stores.database import Database
from bot.stores.labelings import Labelings
from bot.stories.spend import Halted, KeptBack
from tests.web.gates import Gate, gated
from tests.web.test_gateway import MODEL, TALK

FIVE = Ceilings(Usd.parse("5"), 10**6, 100, 600)
ASKED = meter.read(json.dumps({"model": MODEL, "max_tokens": 8_000, "messages": TALK}).encode())
ANSWER = {"model": MODEL, "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 7_000}}


@pytest.fixture
def gate(database: Database) -> Iterator[Gate]:
    with gated(database, "http://127.0.0.1:9") as made:
        yield made


def lower(gate: Gate, run: str, to: Ceilings) -> None:
    store = Labelings(gate.runs.database)
    assert store.lower(run, 1, lambda held: Lowered(to, held.sources, ()))


def test_a_ceiling_lowered_below_what_is_spent_books_what_is_in_flight_and_halts_with_the_next_request(
    gate: Gate,
) -> None:
    run, token = gate.run(FIVE)
    spend = gate.gateway.spend
    admission = spend.admit(spend.account(token), ASKED)
    lower(gate, run, replace(FIVE, usd=Usd.parse("0.10")))
    booked = spend.settle(admission, read_message(json.dumps(ANSWER).encode()), "json")
    assert (booked.state, booked.steps, booked.held) == ("running", 1, Usd(0))
    assert booked.spent > booked.ceilings.usd, "it was let through under the ceiling of then"
    with pytest.raises(Halted, match=r"halted at step 1: \$0\.10 cost ceiling reached"):
        spend.admit(spend.account(token), ASKED)
    report = gate.report(run)
    assert (report.outcome, report.reason) == ("halted", Reason.COST)


def test_an_agent_that_can_be_told_to_wrap_up_is_told_that_nothing_is_left(gate: Gate) -> None:
    run, token = gate.run(FIVE)
    spend = gate.gateway.spend
    spend.settle(spend.admit(spend.account(token), ASKED), read_message(json.dumps(ANSWER).encode()), "json")
    gate.runs.set(run, kept_back=1)
    lower(gate, run, replace(FIVE, usd=Usd.parse("0.10")))
    with pytest.raises(KeptBack, match=r"^\$0\.00 of \$0\.10 left"):
        spend.admit(spend.account(token), ASKED)
    gate.ledger.open_slice(run, 1)
    with pytest.raises(Halted, match=r"\$0\.10 cost ceiling reached"):
        spend.admit(spend.account(token), ASKED)


def test_a_time_lowered_below_what_has_passed_halts_with_the_next_request(gate: Gate) -> None:
    run, token = gate.run(FIVE)
    gate.runs.set(run, started_at=gate.account(run).started_at - 120_000)
    lower(gate, run, replace(FIVE, seconds=60))
    with pytest.raises(Halted, match="1m wall-clock ceiling reached"):
        gate.gateway.spend.account(token)
