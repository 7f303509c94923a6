"""No run spends past a ceiling with any number of clients, and next to all of a ceiling can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import pytest

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.stores.database import Database
from sandbox.processes import Started, start
from tests.web.gates import Gate, gated
from tests.web.test_gateway import MODEL, TALK, post, together

pytestmark = pytest.mark.slow

WIDE = 10**9
# An answer of 800 tokens and a short question: 2 cents.
ANSWER_TOKENS = 800


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    invoice = tmp_path / "invoice"
    with start("claude", character="echo", invoice=invoice, answer_tokens=ANSWER_TOKENS) as started:
        yield started


@pytest.fixture
def gate(database: Database, claude: Started) -> Iterator[Gate]:
    with gated(database, claude.url) as made:
        yield made


def spend_all(gate: Gate, tokens: list[str], max_tokens: int) -> Counter[int]:
    """Each client asks on its run until it is told to stop; the statuses seen."""
    seen: Counter[int] = Counter()
    left, lock = iter(tokens), Lock()

    def work() -> None:
        with lock:
            token = next(left)
        asked = {"model": MODEL, "max_tokens": max_tokens, "messages": TALK}
        status = 200
        while status == 200:
            status = post(gate, asked, {"x-api-key": token})[0]
            with lock:
                seen[status] += 1

    together(work, len(tokens))
    return seen


@pytest.mark.parametrize(("clients", "runs"), [(1, 1), (8, 1), (64, 1), (64, 16)])
@pytest.mark.parametrize(
    ("ceilings", "reason"),
    [
        pytest.param(Ceilings(Usd.parse("1"), WIDE, WIDE, 600), Reason.COST, id="cost"),
        pytest.param(Ceilings(Usd.parse("999"), 40_000, WIDE, 600), Reason.TOKENS, id="tokens"),
        pytest.param(Ceilings(Usd.parse("999"), WIDE, 30, 600), Reason.STEPS, id="steps"),
    ],
)
def test_overshoot_is_nothing_at_all(
    gate: Gate, claude: Started, ceilings: Ceilings, reason: Reason, clients: int, runs: int
) -> None:
    opened = [gate.run(ceilings) for _ in range(runs)]
    tokens = [opened[i % runs][1] for i in range(clients)]
    seen = spend_all(gate, tokens, max_tokens=2_000)
    assert set(seen) == {200, 402}
    assert seen[402] == clients
    total = 0
    for run, _ in opened:
        report = gate.report(run)
        assert report.reason == reason
        assert report.spent.usd <= ceilings.usd
        assert report.spent.tokens <= ceilings.tokens
        assert report.spent.steps <= ceilings.steps
        assert gate.account(run).held == Usd(0)
        total += report.spent.usd.nanos
    assert total == claude.invoice()["total_nanos"]


@pytest.mark.parametrize("clients", [1, 64])
def test_at_least_97_percent_of_a_ceiling_is_usable(gate: Gate, claude: Started, clients: int) -> None:
    run, token = gate.run(Ceilings(Usd.parse("10"), WIDE, WIDE, 600))
    spend_all(gate, [token] * clients, max_tokens=4_000)
    report = gate.report(run)
    assert report.reason == Reason.COST
    assert Usd.parse("9.7") <= report.spent.usd <= Usd.parse("10")
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]
