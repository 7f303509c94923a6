"""What is answered says what is so, what it cost and what can be done; and does nothing by itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bot.core import replies
from bot.core.ceilings import CLASSES
from bot.core.commands import Malformed, Options, Plain, parse
from bot.core.labels import Applied, read
from bot.core.limits import MOST, resolve
from bot.core.money import Usd
from bot.core.replies import Line
from bot.core.roles import Role
from bot.core.signals import MergedPull

LINE = Line(
    "0123456789ab",
    "dana",
    "bugfix",
    "running",
    None,
    Usd.parse("0.42"),
    Usd.parse("5"),
    9,
    20,
    "https://github.com/acme/widgets/pull/7#issuecomment-1",
)
HALTED = replace(LINE, state="halted", reason="cost_ceiling", usd=Usd.parse("5"), run="ba9876543210")
CLASS_NAMES = ("bugfix", "feature", "refactor", "default")


def held(*labels: Applied, role: Role = Role.WRITE) -> str:
    rows = [(name, resolve(name, Options(), read(labels), role)) for name in CLASS_NAMES]
    return replies.holding(rows, str(role), MOST[role])


@pytest.mark.parametrize(
    "text",
    [
        replies.malformed(Malformed("`cost=`: `ten` is not an amount", "/agent fix cost=$10")),
        replies.refused("this pull request is closed"),
        replies.not_entitled("read"),
        replies.busy(LINE),
    ],
)
def test_whatever_starts_nothing_says_that_nothing_was_spent(text: str) -> None:
    assert replies.NOTHING in text


def test_what_was_wrong_comes_with_the_right_form() -> None:
    wrong = parse("/agent feature wall=20")
    assert isinstance(wrong, Malformed)
    text = replies.malformed(wrong)
    assert "`wall=`: `20` is not a time" in text
    assert "```\n/agent feature wall=20m\n```" in text


@pytest.mark.parametrize("text", ["@acme/all", "fixes #1", "<!-- x", "a\n\n# b", "x" * 100_000])
def test_a_refusal_that_quotes_others_does_nothing(text: str) -> None:
    said = replies.refused(f"GitHub said {text}")
    assert len(said) < 1_200
    assert "\n" not in said
    assert not re.search(r"@\w|#\d|<!", said)


def test_a_second_start_links_to_the_live_run() -> None:
    assert f"[`{LINE.run}`]({LINE.url})" in replies.busy(LINE)
    assert "`/agent stop`" in replies.busy(LINE)


def test_the_status_tells_how_far_the_live_run_is() -> None:
    text = replies.status(LINE)
    assert "step 9 of 20, $0.42 of $5.00" in text
    assert "No run is live" in replies.status(None)


def test_a_threads_cost_is_the_sum_of_its_runs_with_who_and_which() -> None:
    text = replies.cost([HALTED, LINE])
    assert "**$5.42** in 2 runs." in text
    assert all(word in text for word in (LINE.run, HALTED.run, "dana", "halted (cost_ceiling)"))
    assert "nothing" in replies.cost([])


def test_a_merged_pull_request_has_cost_what_its_issues_and_attempts_have_too() -> None:
    merged = MergedPull("o/r", 7, "Fix", "dana", Usd.parse("5.42"), 2)
    counts = {LINE.run: "on the pull request", HALTED.run: "on the issue it closes"}
    text = replies.cost([HALTED, LINE], (), counts, merged)
    assert text.startswith("This pull request is merged. It has cost **$5.42** in 2 runs: ")
    assert "| on the issue it closes |" in text
    assert "merged and was reverted since." in replies.cost(
        [LINE], (), counts, replace(merged, reverted=True)
    )


def test_each_run_says_whether_its_cost_counts_for_a_merge() -> None:
    text = replies.cost([HALTED, LINE], (), {LINE.run: "for `#7`"})
    assert f"{LINE.cost} | for `#7` |" in text
    assert f"{HALTED.cost} | not merged |" in text


def test_what_is_only_estimated_is_told_apart() -> None:
    line = replace(LINE, estimated=Usd.parse("0.1"))
    assert "$0.10 of it estimated" in replies.cost([HALTED, line]).partition("\n")[0]
    assert "$0.42 ($0.10 of it estimated) of $5.00" in replies.status(line)


def test_a_thread_with_very_many_runs_still_fits_into_a_comment() -> None:
    text = replies.cost([replace(LINE, url=LINE.url + "0" * 100)] * 2_000)
    assert len(text.encode()) < 60_000
    assert "**$840.00** in 2000 runs" in text
    assert "1,900 earlier runs" in text


def test_the_help_shows_what_would_hold_here_and_the_most_that_may_be_set() -> None:
    text = replies.help_text(held(role=Role.MAINTAIN))
    for name in CLASS_NAMES:
        row = CLASSES[name]
        assert f"| {name} | {row.usd} | {row.tokens:,} | {row.steps} | {row.seconds // 60}m |" in text
    assert "(`maintain`) you may set at most $40.00, 2,000,000 tokens, 160 steps and 1h" in text


def test_the_help_says_why_another_ceiling_holds() -> None:
    text = held(
        Applied("agent:cost=$2", "ada", Role.ADMIN),
        Applied("agent:class=feature", "ada", Role.ADMIN),
        Applied("agent:steps=@all`|", "ada", Role.ADMIN),
    )
    assert "- cost: label by ada (admin)" in text
    assert "- a `default` run is a `feature` run, by label" in text
    assert "was left out" in text
    assert "@all" not in text


def test_every_command_of_the_help_is_one() -> None:
    rows = replies.help_text("").split("\n")
    forms = [
        row.split("` | ")[0].removeprefix("| `").replace("\\|", "|") for row in rows if row.startswith("| `")
    ]
    assert forms
    for form in " · ".join(forms).split(" · "):
        for verb in form.split()[1].split("|"):
            words = f"/agent {verb}" + (" 1a2b3c4" if form.endswith(" SHA") else "")
            assert not isinstance(parse(words), Malformed | None), words
    assert Plain("help") == parse("/agent help")
