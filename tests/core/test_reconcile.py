"""What the report says of estimates: never more than was held, never lost, and nobody's guess of whose."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import statement
from bot.core.reconcile import (
    LAG,
    Entry,
    Finding,
    Minute,
    Pooled,
    Stretch,
    Sums,
    compare,
    shares,
    stretches,
    total,
)
from bot.core.times import MINUTE_MS as MINUTE

START = 1_700_000_040_000  # the start of a minute
LATER = START + 100 * MINUTE
HELD = Sums(input=1000, output=1000, cost_input_nanos=10_000)  # a hold charged whole
USED = Sums(input=100, output=20, cost_input_nanos=500, cost_output_nanos=500)
NOTHING = Sums()


def turn(
    number: int, run: str = "a", state: str = "estimated", at: int = START + 20_000, **how: object
) -> Entry:
    charged = {"held": NOTHING, "exact": USED, "estimated": HELD}[state]
    made = Entry(
        turn=number, run=run, key="K", model="m", state=state, held_at=at, settled_at=at + 1000,
        max_tokens=1000, hold_nanos=10_000, hold_tokens=2_000, hold_cached=0, first=charged, booked=charged,
        room_nanos=10**12, room_tokens=10**12,
    )  # fmt: skip
    return replace(made, **how)  # type: ignore[arg-type]


def found(*entries: Entry, report: Sums = NOTHING, pool: Sums = NOTHING, now: int = LATER) -> Finding:
    whole = Stretch("K", "m", START - MINUTE, START + 10 * MINUTE)
    return compare(whole, entries, [Pooled(whole, pool)], report, now)


def booked(finding: Finding, *entries: Entry) -> list[Entry]:
    """The same turns when the finding is booked."""
    by = {each.turn: each.by for each in finding.corrections}
    return [replace(e, booked=e.booked + by[e.turn], corrected=True) if e.turn in by else e for e in entries]


def test_what_exact_turns_leave_of_the_report_is_the_truth_about_the_only_estimate() -> None:
    entries = (turn(1, state="exact"), turn(2))
    finding = found(*entries, report=USED + USED)
    assert [(c.turn, c.run, c.by) for c in finding.corrections] == [(2, "a", USED - HELD)]
    assert (finding.pool, finding.drift) == (NOTHING, NOTHING)
    assert not found(*booked(finding, *entries), report=USED + USED).books


def test_what_several_runs_may_have_used_corrects_their_pool() -> None:
    entries = (turn(1, "a"), turn(2, "b"))
    finding = found(*entries, report=USED)
    assert (finding.corrections, finding.pool) == ((), USED - HELD - HELD)
    assert not found(*entries, report=USED, pool=finding.pool).books


def test_an_estimate_that_was_the_truth_is_said_to_be_one_by_a_row_of_nothing() -> None:
    finding = found(turn(1), report=HELD)
    assert [(c.turn, c.by) for c in finding.corrections] == [(1, NOTHING)]
    assert not found(turn(1, corrected=True), report=HELD).books


def test_data_that_comes_late_is_corrected_by_a_further_row() -> None:
    once = turn(1, booked=USED, corrected=True)
    assert [c.by for c in found(once, report=USED + USED).corrections] == [USED]


def test_late_data_raises_no_run_above_its_ceilings_but_the_pool() -> None:
    once = turn(1, booked=USED, corrected=True, room_nanos=999)
    finding = found(once, report=USED + USED)
    assert (finding.corrections, finding.pool) == ((), USED)
    assert not found(once, report=USED + USED, pool=USED).books


@pytest.mark.parametrize("runs", ["aa", "ab"], ids=["one run", "two runs"])
def test_what_is_beyond_the_holds_is_drift_and_the_estimates_stand_as_at_first(runs: str) -> None:
    more = HELD + HELD + Sums(output=1, cost_output_nanos=1)
    entries = [turn(number, run) for number, run in enumerate(runs)]
    finding = found(*entries, report=more)
    assert (finding.books, finding.drift) == (False, Sums(output=1, cost_output_nanos=1))
    lowered = [replace(e, booked=USED, corrected=True) for e in entries]
    again = found(*lowered, report=more)
    assert again.ledger + again.correction == HELD + HELD


def test_what_the_report_lacks_of_exact_turns_is_drift_and_nothing_is_booked() -> None:
    finding = found(turn(1, state="exact"), turn(2), report=NOTHING)
    assert (finding.books, finding.drift) == (False, NOTHING - USED - HELD)


def test_what_is_cached_without_a_cache_mark_is_others() -> None:
    assert found(turn(1), report=Sums(cache_read=1, cost_read_nanos=1)).drift.cache_read == 1


def test_a_pool_is_taken_back_when_its_truth_came_after_all() -> None:
    exact = turn(1, booked=USED, state="exact"), turn(2, "b", booked=USED, state="exact")
    finding = found(*exact, report=USED + USED, pool=USED - HELD)
    assert (finding.pool, finding.drift) == (HELD - USED, NOTHING)


@pytest.mark.parametrize(
    ("entries", "now", "why"),
    [
        pytest.param((turn(1),), START + 10 * MINUTE + LAG - 1, "too fresh", id="too fresh"),
        pytest.param((turn(1), turn(2, state="held")), LATER, "in flight", id="in flight"),
        pytest.param((turn(1, live=True),), LATER, "still live", id="its run goes on"),
    ],
)
def test_what_is_not_settled_yet_is_left(entries: tuple[Entry, ...], now: int, why: str) -> None:
    finding = found(*entries, report=USED, now=now)
    assert why in finding.left
    assert (finding.books, finding.drift) == (False, NOTHING)


def test_a_live_run_without_estimates_keeps_nothing_waiting() -> None:
    assert found(turn(1, state="exact", live=True), turn(2, "b"), report=USED + USED).books


def test_turns_that_may_be_counted_in_the_same_minute_are_one_stretch() -> None:
    first = turn(1, state="exact", at=START + 50_000, settled_at=START + 70_000)  # minutes 0 and 1
    second = turn(2, state="exact", at=START + 110_000, settled_at=START + 130_000)  # 1 and 2
    apart = turn(3, state="exact", at=START + 200_000)  # 3
    other = replace(first, turn=4, model="n")
    report = [Minute(START + i * MINUTE, "K", "m", USED) for i in (0, 2, 3, 5)]
    told = [
        (s.model, (s.since - START) // MINUTE, (s.until - START) // MINUTE, [e.turn for e in inside], invoice)
        for s, inside, invoice in stretches([apart, second, first, other], report)
    ]
    assert told == [
        ("m", 0, 3, [1, 2], USED + USED),
        ("m", 3, 4, [3], USED),
        ("m", 5, 6, [], USED),
        ("n", 0, 2, [4], NOTHING),
    ]


def test_an_answer_that_nobody_reads_may_be_counted_as_long_as_it_may_be_written() -> None:
    since, until = turn(1, max_tokens=64_000).minutes
    assert until - since >= 64_000 * 1000 / 20


amounts = st.integers(0, 10**9)
some = st.builds(Sums, *[amounts] * 10)


@given(
    st.lists(st.tuples(some, st.sampled_from("abc"), amounts, amounts), min_size=1, max_size=6), some, some
)
@settings(max_examples=300)
def test_whatever_is_reported_ledger_and_drift_are_the_report_and_no_hold_is_passed(
    made: list[tuple[Sums, str, int, int]], exact: Sums, report: Sums
) -> None:
    entries = [turn(0, state="exact", booked=exact)] + [
        turn(
            n + 1, run, first=charged, booked=charged, hold_cached=charged.cache_read,
            hold_nanos=charged.usd.nanos + more, hold_tokens=charged.tokens + further,
        )
        for n, (charged, run, more, further) in enumerate(made)
    ]  # fmt: skip
    finding = found(*entries, report=report)
    after = booked(finding, *entries)
    assert total(e.booked for e in after) + finding.pool + finding.drift == report
    for entry in after:
        assert entry.booked.usd.nanos <= entry.hold_nanos or not entry.corrected
        assert entry.booked.tokens <= entry.hold_tokens or not entry.corrected
    if finding.drift:
        assert not finding.books
    elif finding.corrections:
        assert len({run for _, run, _, _ in made}) == 1
    assert not found(*after, report=report, pool=finding.pool).books


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**6)), min_size=1, max_size=6), st.data())
def test_shares_sum_up_exactly_and_none_is_above_its_hold(
    holds: list[tuple[int, int]], data: st.DataObject
) -> None:
    entries = [turn(n, hold_nanos=nanos, hold_tokens=tokens) for n, (nanos, tokens) in enumerate(holds)]
    nanos, tokens = sum(h[0] for h in holds), sum(h[1] for h in holds)
    cost = data.draw(st.integers(0, nanos))
    part = data.draw(st.integers(0, cost))
    used = data.draw(st.integers(0, tokens))
    truth = Sums(input=used, cache_read=7, cost_input_nanos=part, cost_output_nanos=cost - part)
    given_out = shares(truth, entries)
    assert total(given_out) == truth
    for share, entry in zip(given_out, entries, strict=True):
        assert 0 <= share.usd.nanos <= entry.hold_nanos
        assert 0 <= share.tokens <= entry.hold_tokens


def test_the_statement_says_what_was_corrected_pooled_and_left() -> None:
    findings = [
        found(turn(1), report=USED),
        found(turn(2, "b"), turn(3, "c"), report=USED),
        found(report=USED),
        found(turn(4, live=True)),
    ]
    text = statement.as_text(findings)
    assert "corrected a" in text
    assert "booked to no run" in text
    assert "1 left for the next time: a run with estimates is still live" in text
    (line,) = statement.as_json(findings)["days"]
    assert (line["ledger"]["usd"], line["invoice"]["usd"], line["drift"]["usd"]) == (
        "0.00003",
        "0.000003",
        "0.000001",
    )
    assert line["runs"] == ["a"]
    assert "Neither" in statement.as_text([])
