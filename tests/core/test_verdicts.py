"""A decision about partial work is answered: what became of it, and where it is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bot.core import verdicts
from bot.core.money import Usd
from bot.core.outcomes import Published
from bot.core.replies import Line

URL = "https://github.com/acme/widgets/pull/7#issuecomment-1"
LINE = Line("0123456789ab", "dana", "bugfix", "running", None, Usd.parse("0.42"), Usd.parse("5"), 9, 20, URL)
HALTED = replace(LINE, state="halted", reason="cost_ceiling", usd=Usd.parse("5"), run="ba9876543210")

KEPT = Published("branch", "agent/run-ba9876543210", "b" * 40, "https://github.com/o/r/tree/agent/run-b")
PUSHED = Published("pushed", "fix", "c" * 40, "https://github.com/o/r/commit/c")
PULL = Published("pull_request", "agent/issue-7-b", "c" * 40, "https://github.com/o/r/pull/8", "it moved")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            verdicts.nothing_to_decide("accept", None, None),
            "nothing to accept: no run has ended on this thread",
        ),
        (
            verdicts.nothing_to_decide("discard", HALTED, None),
            f"[`{HALTED.run}`]({HALTED.url}), left no changes",
        ),
        (
            verdicts.nothing_to_decide("accept", HALTED, PUSHED),
            f"already, committed to [`fix`]({PUSHED.url}).",
        ),
        (verdicts.decide_later("accept", LINE), "is live, so there is nothing to accept yet"),
        (
            verdicts.decide_later("discard", HALTED),
            "its report is not there yet. `/agent discard` can be said",
        ),
        (
            verdicts.settled_already(HALTED, "accepted", "max", PULL),
            f"accepted already by max, and is [a pull request]({PULL.url}) from `agent/issue-7-b`.",
        ),
        (
            verdicts.settled_already(HALTED, "discarded", "max", None),
            "was discarded already by max. Nothing was",
        ),
        (verdicts.accepted(HALTED, PUSHED), f"had made: it is committed to [`fix`]({PUSHED.url})."),
        (verdicts.accepted(HALTED, PULL), "from `agent/issue-7-b`. Because it moved."),
        (
            verdicts.not_accepted(HALTED, "it is closed", KEPT),
            f"It is still kept on [`{KEPT.ref}`]({KEPT.url})",
        ),
        (
            verdicts.not_accepted(HALTED, "it is closed", None),
            "It is kept with the run; `/agent discard` drops",
        ),
        (verdicts.discarded(HALTED, ""), "What it has cost stays counted: $5.00."),
        (
            verdicts.discarded(HALTED, "agent/run-b"),
            "The branch `agent/run-b` stays: somebody has added to it.",
        ),
    ],
)
def test_a_decision_says_what_became_of_which_work_and_where_it_is(text: str, says: str) -> None:
    assert says in text


@pytest.mark.parametrize("text", ["@acme/all", "fixes #1", "<!-- x"])
def test_why_something_could_not_be_accepted_does_nothing(text: str) -> None:
    assert not re.search(r"@\w|#\d|<!", verdicts.not_accepted(HALTED, text, None))
