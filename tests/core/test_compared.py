"""A window beside the one before it, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core import compared
from bot.core.money import ZERO, Usd
from bot.core.reconcile import Sums
from bot.core.signals import Ended, MergedPull, Merges, Part, Signals
from tests.core.test_overview import SIGNALS

CALLED = "the 30 days before"


def spending(usd: str) -> Signals:
    part = Part("done", None, False, True, Usd.parse(usd), Sums())
    return replace(SIGNALS, parts=(part,), pooled=ZERO)


@pytest.mark.parametrize(
    ("before", "now", "way", "words"),
    [
        ("10", "12.5", "up", "25% more than the 30 days before ($10.00)"),
        ("10", "9", "down", "10% less than the 30 days before ($10.00)"),
        ("10", "10.04", "same", "as in the 30 days before ($10.00)"),
        ("10", "45", "up", "4.5 times the 30 days before ($10.00)"),
        ("10", "0", "down", "100% less than the 30 days before ($10.00)"),
        ("0", "10", "new", "$0.00 in the 30 days before"),
        ("0", "0", "new", "$0.00 in the 30 days before"),
    ],
)
def test_a_change_is_told_in_words(before: str, now: str, way: str, words: str) -> None:
    found = compared.changes(spending(now), spending(before), CALLED)["spent"]
    assert (found.way, found.words) == (way, words)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ((100, 5), (100, 8), "3.0 points more than the 30 days before (5.0%)"),
        ((100, 5), (50, 1), "3.0 points less than the 30 days before (5.0%)"),
        ((100, 5), (20, 1), "as in the 30 days before (5.0%)"),
        ((0, 0), (20, 1), "no run ended in the 30 days before"),
        ((100, 5), (0, 0), "5.0% in the 30 days before"),
    ],
)
def test_a_rate_is_compared_in_points(before: tuple[int, int], now: tuple[int, int], words: str) -> None:
    def ended(runs: int, halted: int) -> Signals:
        groups = (
            Ended("a", "o/r", "halted", "cost_ceiling", halted),
            Ended("a", "o/r", "done", None, runs - halted),
        )
        return replace(SIGNALS, ended=groups if runs else ())

    assert compared.changes(ended(*now), ended(*before), CALLED)["exhaustion"].words == words


def test_the_bill_is_one_sentence_with_what_came_of_it() -> None:
    pulls = (MergedPull("o/r", 1, "", "", Usd.parse("8"), 1), MergedPull("o/r", 2, "", "", Usd.parse("4"), 1))
    told = compared.sentence(replace(spending("20"), merged=pulls, merges=Merges.of(pulls)))
    assert told == (
        "Agents cost $20.00, and 2 pull requests were merged with their help: $6.00 each for what went into "
        "them, within the usual band of $5.00 to $30.00; $10.00 each with everything that was spent. $20.00 "
        "(100%) belongs to none that was merged."
    )
    nothing = compared.sentence(replace(spending("20"), merged=(), merges=Merges()))
    assert nothing == "Agents cost $20.00; no pull request with a run was merged in this window."


def test_what_was_before_is_told_to_machines_in_every_digit() -> None:
    told = compared.before_json(replace(spending("20.000000001"), merged=(), merges=Merges(), ended=()))
    assert (told["usd"], told["direct"], told["merged"], told["exhaustion_rate"]) == (
        "20.000000001",
        None,
        0,
        None,
    )
