"""What `whatif` says of a run under lower ceilings is what the gateway does under them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.replay import Other, Recorded, replay
from bot.stores.database import Database
from bot.stores.replays import Replays
from sandbox.processes import Started, start
from tests.web.gates import AMPLE, Gate, gated
from tests.web.test_gateway import MODEL, TALK, post

TURNS = 12


@pytest.fixture
def claude() -> Iterator[Started]:
    with start("claude", character="echo", answer_tokens=800) as started:
        yield started


@pytest.fixture
def gate(database: Database, claude: Started) -> Iterator[Gate]:
    with gated(database, claude.url) as made:
        yield made


def played(gate: Gate, database: Database, ceilings: Ceilings, max_tokens: int) -> Recorded:
    """A run that asks twelve times, or until it is told to stop; as it is recorded."""
    run, token = gate.run(ceilings)
    for _ in range(TURNS):
        asked = {"model": MODEL, "max_tokens": max_tokens, "messages": TALK}
        if post(gate, asked, {"x-api-key": token})[0] != 200:
            break
    gate.runs.end(run, "done")
    [found] = [one for one in Replays(database).recorded(0, 1 << 60) if one.run == run]
    return found


@pytest.mark.parametrize("max_tokens", [900, 4_000])
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Other(usd=Usd.parse("0.15")), id="cost"),
        pytest.param(Other(tokens=6_000), id="tokens"),
        pytest.param(Other(steps=5), id="steps"),
        pytest.param(Other(usd=Usd.parse("9")), id="nothing that it would notice"),
    ],
)
def test_a_replay_under_lower_ceilings_is_what_happens_under_them(
    gate: Gate, database: Database, other: Other, max_tokens: int
) -> None:
    whole = played(gate, database, AMPLE, max_tokens)
    assert len(whole.turns) == TURNS
    assert replay(whole, Other()).nanos == whole.nanos
    lower = other.over(AMPLE)
    truth = played(gate, database, replace(lower, cached_tokens=None), max_tokens)
    told = replay(whole, other)
    assert (told.steps, told.nanos) == (len(truth.turns), truth.nanos)
    assert (told.halt.value if told.halt else None) == truth.reason
