"""What differs between ledger and invoice is named where the figures leave one explanation only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.adding_up import adding_up
from bot.core.adding_up import tokens as tokens_of
from bot.core.drift import (
    CACHE_PRICE,
    DOUBLE,
    FINAL,
    LATE,
    MISSING,
    MODEL,
    PRICE,
    UNEXPLAINED,
    Drift,
    Looked,
    judge,
)
from bot.core.drift_words import sentence
from bot.core.money import total as money
from bot.core.reconcile import LAG, Entry, Minute, Sums, compare, stretches, total
from bot.core.times import DAY_MS as DAY
from bot.core.times import MINUTE_MS as MINUTE

START = 1_700_006_400_000  # the start of a day, UTC
LATER = START + 3 * DAY
RATES = {"opus": (5_000, 6_250, 10_000, 500, 25_000), "haiku": (1_000, 1_250, 2_000, 100, 5_000)}


def sums(model: str, *tokens: int) -> Sums:
    """At the model's prices: fresh, 5-minute writes, 1-hour writes, reads, output."""
    paid = [count * rate for count, rate in zip(tokens, RATES[model], strict=True)]
    return Sums(*(*tokens, paid[0], paid[1] + paid[2], paid[3], paid[4]))


USED = sums("opus", 100, 200, 300, 400, 50)


def turn(
    number: int, of: Sums = USED, model: str = "opus", run: str = "", minute: int = 0, **how: Any
) -> Entry:
    """A turn of its own run, half a minute into a minute of the day."""
    at = START + minute * MINUTE + 30_000
    made = Entry(
        turn=number, run=run or f"run{number}", key="K", model=model, state="exact", held_at=at,
        settled_at=at + 1_000, max_tokens=1_000, hold_nanos=10**12, hold_tokens=10**9, hold_cached=10**9,
        first=of, booked=of, request_id=f"req_{number}",
    )  # fmt: skip
    return replace(made, **how)


def told(entry: Entry, of: Sums | None = None, model: str = "") -> Minute:
    """What a report has of it."""
    return Minute(
        entry.held_at // MINUTE * MINUTE, entry.key, model or entry.model, entry.booked if of is None else of
    )


def judged(entries: list[Entry], report: list[Minute], now: int = LATER) -> tuple[Drift, ...]:
    looked = [
        Looked(compare(stretch, inside, (), invoice, now), tuple(inside))
        for stretch, inside, invoice in stretches(entries, report)
    ]
    found = judge(iter(looked), now)
    assert money(each.usd for each in found) == total(each.finding.drift for each in looked).usd
    return found


def named(drifts: tuple[Drift, ...]) -> list[tuple[Any, ...]]:
    return [(each.kind, each.model, each.part, each.runs) for each in drifts]


A, B = turn(1), turn(2, minute=10)
TWIN = replace(A, turn=3)
HAIKU = sums("haiku", 100, 200, 300, 400, 50)


@pytest.mark.parametrize(
    ("entries", "report", "found"),
    [
        pytest.param([A, B], [told(A), told(B)], [], id="nothing"),
        pytest.param([], [told(A)], [(MISSING, "opus", "", ())], id="a missing run"),
        pytest.param(
            [A], [told(A), told(A)], [(MISSING, "opus", "", ("run1",))],
            id="a missing run, and who ran meanwhile",
        ),
        pytest.param([A, TWIN], [told(A)], [(DOUBLE, "opus", "", ("run1",))], id="a turn booked twice"),
        pytest.param(
            [A, replace(B, request_id="req_1")], [told(A)], [(DOUBLE, "opus", "", ("run2",))],
            id="twice, at another time and in another run",
        ),
        pytest.param(
            [replace(A, request_id="req_2"), B], [told(B)], [(DOUBLE, "opus", "", ("run1",))],
            id="twice, and the invoice has the later one",
        ),
        pytest.param(
            [A, TWIN, replace(A, turn=4)], [told(A)], [(DOUBLE, "opus", "", ("run1",))], id="three times"
        ),
        pytest.param(
            [A, replace(TWIN, request_id="")], [told(A)], [(UNEXPLAINED, "opus", "", ("run1",))],
            id="the same figures without one request id are no proof",
        ),
        pytest.param(
            [A, B], [told(A, HAIKU, "haiku"), told(B)], [(MODEL, "opus", "haiku", ("run1",))],
            id="another model",
        ),
        pytest.param(
            [replace(A, settled_at=A.settled_at + 3 * MINUTE)],
            [told(A, sums("haiku", 60, 200, 0, 400, 50), "haiku"),
             replace(told(A, sums("haiku", 40, 0, 300, 0, 0), "haiku"), at=START + 2 * MINUTE)],
            [(MODEL, "opus", "haiku", ("run1",))],
            id="another model, in minutes apart",
        ),
        pytest.param(
            [A, turn(5, HAIKU, "haiku")],
            [told(A, HAIKU, "haiku"), told(A, HAIKU, "haiku")],
            [(MODEL, "opus", "haiku", ("run1",))],
            id="another model, whose own turns are at the same time",
        ),
        pytest.param(
            [A, turn(6, sums("opus", 7, 7, 7, 7, 7))],
            [told(A, HAIKU, "haiku"), told(A, sums("opus", 7, 7, 7, 7, 7))],
            [(MODEL, "opus", "haiku", ("run1",))], id="another model, of one of two runs",
        ),
        pytest.param(
            [A, replace(A, turn=6, run="run6", request_id="req_6")], [told(A, HAIKU, "haiku"), told(A)],
            [(MODEL, "opus", "haiku", ("run1", "run6"))], id="another model, of one of two runs alike",
        ),
        pytest.param(
            [A, turn(6, sums("opus", 7, 7, 7, 7, 7))], [told(A)], [(UNEXPLAINED, "opus", "", ("run6",))],
            id="never reported, beside one that was",
        ),
        pytest.param(
            [A, TWIN], [told(A), told(A, sums("opus", 7, 0, 0, 0, 9))],
            [(DOUBLE, "opus", "", ("run1",)), (MISSING, "opus", "", ("run1",))],
            id="booked twice, and a missing run in the same minute",
        ),
        pytest.param(
            [A], [told(A, sums("haiku", 100, 200, 300, 400, 51), "haiku")],
            [(MISSING, "haiku", "", ()), (UNEXPLAINED, "opus", "", ("run1",))],
            id="another model, but not the same tokens: no guess",
        ),
        pytest.param(
            [A], [replace(told(A, HAIKU, "haiku"), at=START + 20 * MINUTE)],
            [(MISSING, "haiku", "", ()), (UNEXPLAINED, "opus", "", ("run1",))],
            id="another model, but not at the same time: no guess",
        ),
        pytest.param(
            [A], [told(A, sums("opus", 100, 0, 500, 400, 50))],
            [(CACHE_PRICE, "opus", "cache_write_5m → cache_write_1h", ("run1",))],
            id="5-minute writes billed as 1-hour ones",
        ),
        pytest.param(
            [A], [told(A, sums("opus", 500, 200, 300, 0, 50))],
            [(CACHE_PRICE, "opus", "cache_read → input", ("run1",))], id="reads billed as fresh input",
        ),
        pytest.param(
            [A], [told(A, USED + Sums(cost_input_nanos=50_000))], [(PRICE, "opus", "", ("run1",))],
            id="the same tokens at another price",
        ),
        pytest.param(
            [A, B], [told(A)], [(UNEXPLAINED, "opus", "", ("run2",))], id="never reported: not explained"
        ),
        pytest.param(
            [A], [told(A, sums("opus", 100, 200, 300, 399, 51))], [(UNEXPLAINED, "opus", "", ("run1",))],
            id="less of one and more of another",
        ),
    ],
)  # fmt: skip
def test_each_difference_is_named(
    entries: list[Entry], report: list[Minute], found: list[tuple[Any, ...]]
) -> None:
    assert named(judged(entries, report)) == found


def test_what_is_billed_twice_is_said_to_be_exactly_that() -> None:
    small = turn(6, sums("opus", 7, 7, 7, 7, 7))
    (again,) = judged([A, small], [told(A), told(A), told(small)])
    assert (again.kind, again.runs, again.invoiced) == (MISSING, ("run1",), USED.usd)
    assert "exactly what was booked once" in sentence(again)
    (other,) = judged([A], [told(A), told(small)])
    assert (other.kind, other.hint) == (MISSING, "")


def test_the_amounts_are_what_only_one_of_them_has() -> None:
    (double,) = judged([A, TWIN], [told(A)])
    assert (double.expected, double.invoiced, double.expected_tokens) == (USED.usd, Sums().usd, 1_050)
    (other,) = judged([A], [told(A, HAIKU, "haiku")])
    assert (other.expected, other.invoiced, other.invoiced_tokens) == (USED.usd, HAIKU.usd, 1_050)
    assert (other.day, other.key, other.usd) == ("2023-11-15", "K", HAIKU.usd - USED.usd)


@pytest.mark.parametrize(
    ("age", "kinds"),
    [
        pytest.param(LAG - 1, [], id="too fresh to be looked at"),
        pytest.param(LAG, [LATE], id="it may still come"),
        pytest.param(FINAL - 1, [LATE], id="for a day"),
        pytest.param(FINAL, [UNEXPLAINED], id="then it is missing"),
    ],
)
def test_what_the_report_lacks_is_late_until_it_is_a_day_old(age: int, kinds: list[str]) -> None:
    assert [each.kind for each in judged([A], [], A.minutes[1] + age)] == kinds
    assert judged([A], [told(A)], A.minutes[1] + age) == ()


def test_a_search_among_many_turns_comes_to_an_end() -> None:
    many = [turn(number, sums("opus", 2, 2, 2, 2, 2)) for number in range(60)]
    odd = sums("opus", 61, 61, 61, 61, 61)
    found = adding_up(many, tokens_of(odd))
    assert found is None
    even = adding_up(many, tokens_of(sums("opus", 60, 60, 60, 60, 60)))
    assert even is not None
    assert (len(even.turns), len(even.alike)) == (30, 30)


def test_what_a_request_in_flight_may_explain_is_not_judged() -> None:
    assert judged([A, replace(B, state="held", held_at=A.held_at)], [told(A), told(A)]) == ()


# -- whatever happened that day --

tokens = st.tuples(*[st.integers(1, 10**6)] * 5)
PLANTS = ("none", MISSING, DOUBLE, MODEL, CACHE_PRICE, LATE)


@given(st.lists(st.tuples(tokens, st.sampled_from(PLANTS), st.sampled_from("ab")), min_size=1, max_size=8))
@settings(max_examples=300)
def test_planted_drift_is_found_and_named_and_no_drift_is_not(
    made: list[tuple[tuple[int, ...], str, str]],
) -> None:
    entries: list[Entry] = []
    report: list[Minute] = []
    planted: dict[str, set[str]] = {}
    for number, (used, plant, run) in enumerate(made):
        entry = turn(number, sums("opus", *used), run=run, minute=10 * number)
        moved = sums("opus", used[0], 0, used[1] + used[2], *used[3:])
        if plant != MISSING:
            entries.append(entry)
        if plant == DOUBLE:
            entries.append(replace(entry, turn=100 + number))
        if plant == MODEL:
            report.append(told(entry, sums("haiku", *used), "haiku"))
        elif plant != LATE:
            report.append(told(entry, moved if plant == CACHE_PRICE else None))
        if plant != "none":
            planted.setdefault(plant, set()).update(() if plant == MISSING else (run,))
    found = judged(entries, report, START + 100 * MINUTE)
    assert {each.kind: set(each.runs) for each in found} == planted


@given(
    st.lists(st.tuples(tokens, st.sampled_from(("none", DOUBLE, MODEL))), max_size=6),
    tokens,
    st.sampled_from(("none", MISSING, CACHE_PRICE)),
)
@settings(max_examples=300)
# 9 and 10 tokens of each kind are of the other model, and 8 and 11 add up to the same.
@example([((1,) * 5, what) for what in ("none", "none", MODEL, MODEL, "none")], (1,) * 5, "none")
def test_what_happened_in_one_minute_is_taken_apart(
    made: list[tuple[tuple[int, ...], str]], last: tuple[int, ...], plant: str
) -> None:
    entries: list[Entry] = []
    report: list[Minute] = []
    planted: dict[str, set[str]] = {}
    for number, (used, what) in enumerate(made):
        entry = turn(number, sums("opus", *(count * 7 + number for count in used)))
        entries += [entry, replace(entry, turn=100 + number)] if what == DOUBLE else [entry]
        if what == MODEL:
            report.append(told(entry, sums("haiku", *(count * 7 + number for count in used)), "haiku"))
        else:
            report.append(told(entry))
        if what != "none":
            planted.setdefault(what, set()).add(entry.run)
    if plant == CACHE_PRICE:
        entries.append(entry := turn(50, sums("opus", *last)))
        report.append(told(entry, sums("opus", last[0], 0, last[1] + last[2], *last[3:])))
    elif plant == MISSING:
        # Less than any other turn here: as much as one that was booked twice, and nothing would differ; more
        # than one that was billed as another model, and no figure would tell that from a second missing.
        report.append(told(turn(50, sums("opus", *(count % 6 + 1 for count in last)))))
    found = {each.kind: set(each.runs) for each in judged(entries, report)}
    assert set(found) == set(planted) | ({plant} - {"none"})
    assert all(found[kind] >= runs for kind, runs in planted.items())


@given(st.lists(st.tuples(tokens, st.integers(0, 5), st.integers(0, 5)), max_size=8), st.integers(0, 3))
@settings(max_examples=300)
def test_whatever_differs_its_parts_sum_up_to_it(
    made: list[tuple[tuple[int, ...], int, int]], same: int
) -> None:
    entries = [
        turn(number, sums("opus", *used), minute=at, request_id=f"req_{number % 3 if same else number}")
        for number, (used, at, _) in enumerate(made)
    ]
    report = [
        Minute(START + at * MINUTE, "K", model, sums(model, *used))
        for number, (used, _, at) in enumerate(made)
        for model in ("opus", "haiku")[number % 2 : number % 2 + 1]
    ]
    judged(entries, report)
