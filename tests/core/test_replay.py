"""Past runs under other ceilings: the laws, and the gateway's rules at the edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.replay import Other, Recorded, Turn, peak, replay, tally
from bot.core.suggest import ENOUGH, WEEK, rounded_up, suggest, suggestions_text, tallies_text

NOW = 1_790_000_000_000
MINUTE = 60_000


def a_turn(at: int = 0, **given: Any) -> Turn:
    known = {
        "attempt": 1, "held_at": NOW + at, "hold_nanos": 5_000, "hold_tokens": 3_000, "max_tokens": 2_000,
        "nanos": 1_000, "tokens": 1_000, "output": 500, "output_nanos": 500,
    }  # fmt: skip
    return Turn(**(known | given))


def a_run(*turns: Turn, **given: Any) -> Recorded:
    known: dict[str, Any] = {
        "run": "r", "task_class": "bugfix", "state": "done", "reason": None, "attempt": 1,
        "own": Ceilings(Usd(100_000), 100_000, 20, 600), "started_at": NOW, "ended_at": NOW + 5 * MINUTE,
    }  # fmt: skip
    return Recorded(**(known | given), turns=turns)


TURNS = st.builds(
    Turn,
    attempt=st.integers(1, 3),
    held_at=st.integers(NOW, NOW + 20 * MINUTE),
    hold_nanos=st.integers(0, 10_000),
    hold_tokens=st.integers(0, 10_000),
    max_tokens=st.integers(1, 5_000),
    nanos=st.integers(0, 10_000),
    tokens=st.integers(0, 10_000),
    output=st.integers(0, 5_000),
    output_nanos=st.integers(0, 10_000),
)
CEILINGS = st.builds(
    Ceilings,
    st.integers(0, 60_000).map(Usd),
    st.integers(0, 60_000),
    st.integers(0, 15),
    st.integers(0, 1500),
)


@st.composite
def recorded(draw: st.DrawFn) -> Recorded:
    turns = sorted(draw(st.lists(TURNS, max_size=6)), key=lambda turn: (turn.attempt, turn.held_at))
    state = draw(st.sampled_from(("done", "halted", "failed")))
    ended = NOW + draw(st.integers(0, 30)) * MINUTE
    return a_run(*turns, state=state, own=draw(CEILINGS), attempt=draw(st.integers(1, 3)), ended_at=ended)


def under(ceilings: Ceilings) -> Other:
    return Other(ceilings.usd, ceilings.tokens, ceilings.steps, ceilings.seconds)


@given(recorded())
def test_the_ceilings_that_held_change_nothing(run: Recorded) -> None:
    for other in (Other(), under(run.own)):
        found = replay(run, other)
        assert (found.nanos, found.steps, found.halt) == (run.nanos, len(run.turns), None)


@given(recorded(), CEILINGS, CEILINGS)
def test_lower_ceilings_never_cost_more(run: Recorded, one: Ceilings, two: Ceilings) -> None:
    lower = Ceilings(
        min(one.usd, two.usd),
        min(one.tokens, two.tokens),
        min(one.steps, two.steps),
        min(one.seconds, two.seconds),
    )
    less, more = replay(run, under(lower)), replay(run, under(one))
    assert less.nanos <= more.nanos <= run.nanos
    assert less.steps <= more.steps <= len(run.turns)


@given(recorded())
def test_a_run_goes_just_as_it_did_under_what_it_needed_at_the_least(run: Recorded) -> None:
    needed = peak(run)
    seconds = max(needed.seconds, *(turn.held_at // 1000 for turn in run.turns), 0)
    found = replay(run, Other(Usd(needed.nanos), needed.tokens, needed.steps, seconds))
    assert (found.nanos, found.halt) == (run.nanos, None)


@pytest.mark.parametrize(
    ("other", "nanos", "steps", "halt"),
    [
        pytest.param(Other(steps=2), 2_000, 2, Reason.STEPS, id="two steps of three"),
        pytest.param(Other(steps=3), 3_000, 3, None, id="as many as it took"),
        # Before the third turn 2000 are spent, and its hold is 5000 less 976 tokens that nobody needs: 4024.
        pytest.param(
            Other(usd=Usd(6_024)), 3_000, 3, None, id="the last hold fits, with a shorter max_tokens"
        ),
        pytest.param(Other(usd=Usd(6_023)), 2_000, 2, Reason.COST, id="it does not, by a nano-dollar"),
        pytest.param(Other(tokens=4_024), 3_000, 3, None, id="the same in tokens"),
        pytest.param(Other(tokens=4_023), 2_000, 2, Reason.TOKENS, id="and not"),
        pytest.param(Other(seconds=61), 2_000, 2, Reason.WALL_CLOCK, id="asked when the time was over"),
        pytest.param(Other(seconds=121), 3_000, 3, Reason.WALL_CLOCK, id="done when the time was over"),
        pytest.param(Other(seconds=300), 3_000, 3, None, id="done in time"),
        pytest.param(Other(usd=Usd(10**12), steps=900), 3_000, 3, None, id="higher: no turn is made up"),
    ],
)
def test_a_turn_is_admitted_by_the_gateways_rules(
    other: Other, nanos: int, steps: int, halt: Reason | None
) -> None:
    run = a_run(*(a_turn(at) for at in (0, MINUTE, 2 * MINUTE)))
    found = replay(run, other)
    assert (found.nanos, found.steps, found.halt) == (nanos, steps, halt)


def test_an_answer_that_would_have_been_cut_short_ends_the_run_and_is_charged_up_to_the_ceiling() -> None:
    long = a_turn(output=2_000, output_nanos=2_000, nanos=4_500)
    found = replay(a_run(long, a_turn(1)), Other(usd=Usd(4_300)))
    assert (found.nanos, found.steps, found.halt) == (4_300, 1, Reason.COST)


def test_time_between_attempts_does_not_count() -> None:
    first, second = a_turn(0), a_turn(60 * MINUTE, attempt=2)
    # The last attempt's start is set back by what the first one took.
    run = a_run(first, second, attempt=2, started_at=NOW + 59 * MINUTE, ended_at=NOW + 61 * MINUTE)
    assert replay(run, Other(seconds=120)).halt is None
    assert replay(run, Other(seconds=60)).steps == 1


def test_a_tally_counts_what_would_have_halted_and_what_that_would_have_lost() -> None:
    two, three = a_run(a_turn(0), a_turn(1)), a_run(a_turn(0), a_turn(1), a_turn(2))
    stopped = replace(three, state="halted", reason="step_ceiling", own=replace(three.own, steps=3))
    [found] = tally([two, three, stopped], lambda name: Other(steps=2))
    assert (found.runs, found.successes, found.earlier, found.lost) == (3, 2, 2, 1)
    assert (found.spent, found.would, found.saved) == (Usd(8_000), Usd(6_000), Usd(2_000))
    assert "2 of 3 runs would have halted earlier (step_ceiling 2), 1 of 2 successes" in tallies_text(
        [found], Other(steps=2)
    )
    [higher] = tally([two, three, stopped], lambda name: Other(steps=4))
    assert (higher.earlier, higher.freed, higher.saved) == (0, 1, Usd(0))


@given(st.integers(1, 10**12))
def test_rounding_up_keeps_two_digits(value: int) -> None:
    rounded = rounded_up(value)
    assert value <= rounded <= value + value // 10 + 1
    assert rounded < 100 or set(str(rounded)[2:]) == {"0"}


def many(count: int, **given: Any) -> list[Recorded]:
    return [
        a_run(*(a_turn(at) for at in range(1 + number % 10)), run=str(number), **given)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "days", "says"),
    [
        pytest.param(ENOUGH, 6, "a week of runs is needed first", id="not a week yet"),
        pytest.param(ENOUGH - 1, 8, "19 of the 20 successful runs", id="too few"),
    ],
)
def test_nothing_is_suggested_before_there_is_enough_to_go_by(count: int, days: int, says: str) -> None:
    [one] = suggest(many(count), NOW + days * WEEK // 7 + 5 * MINUTE)
    assert (one.ceilings, one.own) == (None, a_run().own)
    assert f"bugfix: no suggestion yet, {says}" in suggestions_text([one], {})
    assert "No run has ended here yet" in suggestions_text([], {})


def test_what_is_suggested_lets_all_but_two_in_a_hundred_successes_through() -> None:
    past = [*many(100), *many(10, state="halted", reason="stuck_loop", task_class="bugfix")]
    [one] = suggest(past, NOW + 2 * WEEK)
    # Nine in ten took 9 steps at the most: 11.25 with a quarter more, up to 12; a second more than 98 did.
    assert one.ceilings is not None
    assert (one.successes, one.ceilings.steps, one.ceilings.seconds) == (100, 12, 380)
    [found] = tally(past, lambda name: one.other)
    assert found.lost * 50 <= one.successes
    assert "most were given $0.0001, 100,000 tokens, 20 steps, 10m" in suggestions_text(
        [one], {"bugfix": found}
    )


def test_where_more_than_eighty_steps_are_suggested_such_tasks_are_rather_split() -> None:
    long = [a_run(*(a_turn(at) for at in range(90)), run=str(n)) for n in range(ENOUGH)]
    [one] = suggest([replace(run, own=Ceilings(Usd(10**9), 10**9, 200, 600)) for run in long], NOW + 2 * WEEK)
    [found] = tally(long, lambda name: one.other)
    assert "more than 80 steps: split such tasks" in suggestions_text([one], {"bugfix": found})
