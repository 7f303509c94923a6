"""The page that a lead reads says what the figures mean, and only where there are enough of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.money import ZERO, Usd
from bot.core.overview import as_json, as_text
from bot.core.reconcile import Sums
from bot.core.signals import (
    BUCKETS,
    EVERYTHING,
    Day,
    Ended,
    MergedPull,
    Merges,
    Only,
    Part,
    Rate,
    Share,
    Signals,
    Tokens,
    judge_cost,
)

SUMS = Sums(
    input=1000,
    cache_read=9000,
    output=10,
    cost_read_nanos=6 * 10**9,
    cost_output_nanos=3 * 10**9,
    cost_input_nanos=10**9,
)
PULL = MergedPull("o/r", 7, "Mend the leap year", "ann", Usd.parse("41"), 3)
MERGED = (PULL, replace(PULL, number=8, usd=Usd.parse("9"), reverted=True))
SIGNALS = Signals(
    since="2026-11-01 00:00",
    until="2026-12-01 00:00",
    zone="Europe/Berlin",
    only=EVERYTHING,
    merged=MERGED,
    merges=Merges.of(MERGED),
    parts=(
        Part("done", None, True, True, Usd.parse("6"), Sums()),
        Part("halted", "cost_ceiling", False, True, Usd.parse("3"), Sums()),
        Part("halted", "stuck_loop", False, False, Usd.parse("1"), SUMS),
    ),
    estimated=Usd.parse("0.25"),
    pooled=-Usd.parse("0.5"),
    ended=(Ended("bugfix", "o/r", "done", None, 9), Ended("bugfix", "o/r", "halted", "cost_ceiling", 3)),
    tokens=(Tokens("success", 2, 1500, 9000, 9000, 9000, (0, 1, 0, 1, *[0] * 10)),),
    days=(Day("2026-11-02", Usd.parse("8")), Day("2026-11-03", Usd.parse("2"), Usd.parse("1"))),
    by="developer",
    shares=(Share("ann", Usd.parse("10"), 3, Usd.parse("0.25"), Usd.parse("4"), SUMS),),
)


@pytest.mark.parametrize(
    ("runs", "exhausted", "says"),
    [
        pytest.param(0, 0, "no run ended", id="none"),
        pytest.param(9, 9, "only 9 of the 10 runs", id="too few to judge by, however bad"),
        pytest.param(10, 2, "healthy", id="a fifth is not more than a fifth"),
        pytest.param(10, 3, "too tight", id="more than a fifth"),
        pytest.param(50, 1, "healthy", id="one in fifty"),
        pytest.param(51, 1, "theatre", id="fewer"),
    ],
)
def test_an_exhaustion_rate_is_judged_when_there_are_enough_runs(
    runs: int, exhausted: int, says: str
) -> None:
    assert says in Rate("all", runs, exhausted).verdict


@pytest.mark.parametrize(
    ("usd", "says"),
    [("4.99", "below"), ("5", "within"), ("30", "within"), ("30.000000001", "above")],
)
def test_a_cost_is_judged_by_the_band(usd: str, says: str) -> None:
    assert judge_cost(Usd.parse(usd)).startswith(says)


@pytest.mark.parametrize(
    ("halted", "context", "attempts", "causes"),
    [
        pytest.param("0", "0", 1, (), id="nothing stands out"),
        pytest.param("30", "0", 1, ("73% on runs that were halted",), id="halts"),
        pytest.param("0", "41", 5, ("100% on reading the context", "5 attempts"), id="context, and attempts"),
    ],
)
def test_an_outlier_is_named_with_why(halted: str, context: str, attempts: int, causes: tuple[str]) -> None:
    parts = {"halted": Usd.parse(halted), "context": Usd.parse(context), "attempts": attempts}
    pull = replace(PULL, **parts)  # type: ignore[arg-type]  # by name
    assert (pull.outlier, pull.causes) == (True, causes)
    text = as_text(replace(SIGNALS, merged=(pull,), merges=Merges.of((pull,))))
    assert f"o/r#7  Mend the leap year  (3 runs)   outlier{': ' * bool(causes)}{', '.join(causes)}" in text


def test_the_page_tells_cost_ceilings_spend_and_what_it_was_for() -> None:
    said = {" ".join(line.split()) for line in as_text(SIGNALS).splitlines()}
    assert said >= {
        "Window: 2026-11-01 00:00 to 2026-12-01 00:00 (Europe/Berlin)",
        "Cost per merged pull request direct $25.00, fully loaded $4.75 (2 merged with a run)",
        "within the usual band of $5.00 to $30.00",
        "Reverted since 1 of the merged, $9.00 (they count all the same)",
        "Budget exhaustion rate 25.0% (3 of 12 runs halted by a ceiling)",
        "Halts by ceiling cost_ceiling 3",
        "bugfix 25.0% of 12: above 20 %: the ceilings are too tight or the tasks too big",
        "Spend $9.50 ($0.25 of it estimated)",
        "of merged pull requests $6.00",
        "unattributed $3.50 ($3.00 on what has not merged, $1.00 on no issue or pull request)",
        "corrected, of no run -$0.50 (estimates of several runs, reconciled)",
        "of runs that were halted $4.00 (cost_ceiling $3.00, stuck_loop $1.00)",
        "context read from the cache $6.00 (60%) 9,000 tokens",
        "Tokens per task, success median 1,500, nine in ten at most 9,000, p99 9,000, most 9,000 (2 runs)",
        "2026-11-03 $2.00 ████████ $1.00 of it on runs that were halted",
        "$10.00 ann (3 runs, $4.00 on halted ones, $0.25 estimated)",
        "-$0.50 (corrected, of no run)",
    }


def test_text_and_json_tell_the_same() -> None:
    told = as_json(SIGNALS)
    spend = told["spend"]
    assert Usd.parse(spend["settled_usd"]) + Usd.parse(spend["estimated_usd"]) == SIGNALS.spent
    assert [spend[name] for name in ("usd", "pooled_usd", "halted_usd")] == ["9.5", "-0.5", "4"]
    assert told["cost_per_merged_pr"]["direct"] == "25"
    assert told["merged"][0]["outlier"] is True
    assert len(told["tokens_per_task"]["success"]["histogram"]) == len(BUCKETS) + 1


def test_classes_that_keep_needing_more_than_eighty_steps_are_named() -> None:
    ended = (
        Ended("refactor", "o/r", "done", None, 7),
        Ended("refactor", "o/r", "halted", "step_ceiling", 3, 3),
    )
    found = replace(SIGNALS, ended=ended)
    assert found.badly_scoped == (("refactor", 3, 10),)
    assert "3 of 10 runs needed more than 80 steps: badly scoped, split them" in as_text(found)
    few = replace(SIGNALS, ended=(replace(ended[0], runs=6), ended[1]))
    assert few.badly_scoped == (), "nine runs are too few to say so"


def test_what_somebody_may_see_is_not_told_but_other_filters_are() -> None:
    only = Only(repository="o/r", line="", visible=frozenset({8154711}))
    text = as_text(replace(SIGNALS, only=only, pooled=ZERO))
    assert "only repository o/r, line (none)" in text
    assert "8154711" not in text
