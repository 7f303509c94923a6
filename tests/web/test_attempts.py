"""What one attempt of a run had under way is paid for by the run, and has no say in the next attempt (L4)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bot.core import meter
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.usage import read_message
from bot.stores.database import Database
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_token, token_hash
from bot.stories.spend import NoRun
from tests.web.gates import Gate, gated
from tests.web.test_gateway import MODEL, TALK

# A clamp to some of what is asked for: an output of 64,000 tokens would be $1.60.
TIGHT = Ceilings(Usd.parse("1"), 10**6, 100, 600)
ASKED = meter.read(json.dumps({"model": MODEL, "max_tokens": 64_000, "messages": TALK}).encode())
CUT = {"model": MODEL, "stop_reason": "max_tokens", "usage": {"input_tokens": 9, "output_tokens": 20}}


@pytest.fixture
def gate(database: Database) -> Iterator[Gate]:
    with gated(database, "http://127.0.0.1:9") as made:
        yield made


def next_attempt(gate: Gate, run: str) -> None:
    """It has halted, was resumed, and its next attempt runs."""
    gate.runs.end(run, "halted", reason=Reason.STOPPED)
    gate.runs.finished(run, 1)
    assert gate.runs.reopen(run, 1, NewRun(run, "github", TIGHT, "default", "opus", MODEL, "test"))
    assert gate.runs.claim(run, 2, token_hash(new_token()), 2)


def test_a_request_that_came_in_slowly_is_not_let_into_the_next_attempt(gate: Gate) -> None:
    run, token = gate.run(TIGHT)
    account = gate.gateway.spend.account(token)
    next_attempt(gate, run)
    with pytest.raises(NoRun, match="attempt 1 of this run is over; 2 goes on"):
        gate.gateway.spend.admit(account, ASKED)
    now = gate.account(run)
    assert (now.state, now.held_steps, now.steps) == ("running", 0, 0)


def test_an_answer_that_was_cut_short_in_one_attempt_does_not_halt_the_next(gate: Gate) -> None:
    run, token = gate.run(TIGHT)
    spend = gate.gateway.spend
    admission = spend.admit(spend.account(token), ASKED)
    assert admission.clamped
    next_attempt(gate, run)
    now = spend.settle(admission, read_message(json.dumps(CUT).encode()), "json")
    assert (now.state, now.steps, now.held) == ("running", 1, Usd(0))
    assert now.spent > Usd(0), "it is paid for all the same"
