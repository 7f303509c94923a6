"""The gateway obeys its run's rules: what is allowed, and what a request must fit near a ceiling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.policy import parse
from bot.core.rules import Rules
from bot.stores.database import Database
from sandbox.processes import Started, start
from tests.web.gates import Gate, gated
from tests.web.test_gateway import MODEL, TALK, plays, post, settled

# $ a token with the possible 1.1 of `inference_geo`: of a 5-minute write, and of output.
WRITE, OUTPUT = 6_250 * 11 // 10, 25_000 * 11 // 10
LONG = "a word or two and then some more of them " * 1_500


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="echo", invoice=tmp_path / "invoice", answer_tokens=900) as started:
        yield started


@pytest.fixture
def gate(database: Database, claude: Started) -> Iterator[Gate]:
    with gated(database, claude.url, drain_seconds=2) as made:
        yield made


def ask(gate: Gate, token: str, **given: Any) -> tuple[int, dict[str, Any]]:
    asked = {"model": MODEL, "max_tokens": 1_000, "messages": TALK, **given}
    status, _, body = post(gate, asked, {"x-api-key": token})
    return status, json.loads(body)


CACHED = {"system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]}


def until_a_miss_would_not_fit(gate: Gate, claude: Started, run: str, token: str) -> int:
    """Ask until the strict bound of one more turn is above what is left; the tokens that are in the cache."""
    assert ask(gate, token, **CACHED)[0] == 200
    size = int(claude.invoice()["rows"][0]["cache_write_5m"])
    while gate.account(run).ceilings.usd - gate.account(run).spent > Usd(size * WRITE + 1_000 * OUTPUT):
        assert ask(gate, token, **CACHED)[0] == 200
    return size


ENOUGH = Ceilings(Usd.parse("0.6"), 10**7, 10**4, 600)


@pytest.mark.parametrize("admission", ["strict", "counted"])
def test_without_expecting_the_cache_a_run_ends_where_a_miss_would_not_fit(
    gate: Gate, claude: Started, admission: str
) -> None:
    run, token = gate.run(ENOUGH, Rules(admission))
    until_a_miss_would_not_fit(gate, claude, run, token)
    while ask(gate, token, **CACHED)[0] == 200:
        pass
    report = gate.report(run)
    assert report.reason == Reason.COST
    assert report.spent.usd <= ENOUGH.usd


def test_a_run_that_expects_the_cache_uses_more_of_its_ceiling_and_passes_it_not(
    gate: Gate, claude: Started
) -> None:
    run, token = gate.run(ENOUGH, Rules("expected"))
    size = until_a_miss_would_not_fit(gate, claude, run, token)
    while ask(gate, token, **CACHED)[0] == 200:
        pass
    report = gate.report(run)
    assert report.reason == Reason.COST
    assert ENOUGH.usd - Usd(size * WRITE) < report.spent.usd <= ENOUGH.usd
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]


def test_a_miss_that_was_not_expected_passes_by_itself_at_most_halts_and_is_named(
    gate: Gate, claude: Started
) -> None:
    run, token = gate.run(ENOUGH, Rules("expected"))
    size = until_a_miss_would_not_fit(gate, claude, run, token)
    claude.ask("/_sandbox/clock", {"advance_seconds": 3_700})
    assert ask(gate, token, **CACHED)[0] == 200
    report = gate.report(run)
    assert report.reason == Reason.BOUND_EXCEEDED
    assert "the cache that its admission counted on was missed" in report.message
    assert report.spent.usd <= ENOUGH.usd + Usd(size * WRITE)
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]
    assert ask(gate, token)[0] == 402


NARROW = Ceilings(Usd.parse("0.2"), 10**7, 10**4, 600)


def test_an_estimate_of_the_upstream_admits_what_bytes_do_not(gate: Gate, claude: Started) -> None:
    strict, counted = gate.run(NARROW), gate.run(NARROW, Rules("counted"))
    assert ask(gate, strict[1], system=LONG)[0] == 402
    assert ask(gate, counted[1], system=LONG)[0] == 200
    assert gate.report(counted[0]).spent.usd <= NARROW.usd
    assert gate.account(counted[0]).spent.nanos == claude.invoice()["total_nanos"]
    paths = [seen["path"] for seen in claude.ask("/_sandbox/requests")]
    assert paths == ["/v1/messages/count_tokens", "/v1/messages"]


def test_no_estimate_is_asked_for_where_bytes_fit_or_nothing_would(gate: Gate, claude: Started) -> None:
    _, ample = gate.run(rules=Rules("counted"))
    _, nothing = gate.run(Ceilings(Usd.parse("0.001"), 10**7, 10**4, 600), Rules("counted"))
    assert ask(gate, ample, system=LONG)[0] == 200
    assert ask(gate, nothing, system=LONG)[0] == 402
    assert [seen["path"] for seen in claude.ask("/_sandbox/requests")] == ["/v1/messages"]


def test_an_estimate_that_was_too_low_halts_and_is_named(gate: Gate, claude: Started) -> None:
    plays(claude, "bills-above")
    run, token = gate.run(NARROW, Rules("counted"))
    assert ask(gate, token, system=LONG)[0] == 200
    report = gate.report(run)
    assert report.reason == Reason.BOUND_EXCEEDED
    assert "counted its input too low" in report.message
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]


SEARCH = {"tools": [{"type": "web_search_20260209", "name": "web_search", "max_uses": 2}]}
CODE = {"tools": [{"type": "code_execution_20260521", "name": "code_execution"}]}
ALLOW = parse(
    'allow:\n  web_search: {uses: 2, tokens: 1k}\n  code_execution: {uses: 1, tokens: 1k, cost: "0.05"}\n',
    service=True,
).rules


def test_what_is_not_allowed_is_refused_with_its_key_and_halts_nothing(gate: Gate, claude: Started) -> None:
    run, token = gate.run()
    status, answer = ask(gate, token, **SEARCH)
    assert status == 400
    assert "(allow.web_search). Nothing was spent." in answer["error"]["message"]
    assert gate.account(run).state == "running"
    assert claude.invoice()["total_nanos"] == 0


def test_what_is_allowed_passes_and_is_booked_as_it_was_used(gate: Gate, claude: Started) -> None:
    run, token = gate.run(rules=ALLOW)
    assert ask(gate, token, **SEARCH)[0] == 200
    report = gate.report(run)
    assert (report.outcome, report.estimated) == ("running", Usd(0))
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]


def test_container_time_that_no_usage_tells_is_booked_as_the_policy_states_it(
    gate: Gate, claude: Started
) -> None:
    run, token = gate.run(rules=ALLOW)
    assert ask(gate, token, **CODE)[0] == 200
    report = gate.report(run)
    assert report.cost_by.server_tools == Usd.parse("0.05")
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"] + Usd.parse("0.05").nanos


def test_an_allowed_answer_that_is_cut_is_charged_its_whole_hold(gate: Gate, claude: Started) -> None:
    plays(claude, "reset-midway")
    run, token = gate.run(rules=ALLOW)
    asked = {"model": MODEL, "max_tokens": 500, "messages": TALK, "stream": True, **SEARCH}
    post(gate, asked, {"x-api-key": token})
    settled(gate, run)
    report = gate.report(run)
    assert report.estimated == report.spent.usd > Usd(2 * 10_000_000)  # two searches among the rest
