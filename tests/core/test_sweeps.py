"""What a sweep's one comment says: as it goes on, when it is over, when something stands in the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.caps import Cap, Scope, Standing
from bot.core.ceilings import CLASSES, Reason
from bot.core.money import ZERO, Usd
from bot.core.replies import reached
from bot.core.sweeps import Entry, Told, comment, headline, in_the_way, marker, one_line, stopping
from tests.core.test_reports import effects

PAGE = "https://github.com/acme/calendar"
REFRESH = Cap(Scope.LINE, "refresh", "the line refresh", Usd.parse("500"))
MONTH = Standing(REFRESH, "2026-11", Usd.parse("34.2"), Usd.parse("4"))


def entry(number: int, title: str, state: str, usd: str = "0", **given: object) -> Entry:
    told = Entry(number, title, state, None, "", Usd.parse(usd), ZERO, begun=state != "queued")
    return replace(told, **given)  # type: ignore[arg-type]


def done(number: int, title: str, usd: str, pull: int) -> Entry:
    return entry(number, title, "done", usd, pull=pull, url=f"{PAGE}/pull/{pull}")


LEAP, WEEKS = done(1, "Leap years", "0.42", 12), done(2, "Weeks of the year", "1.31", 13)
HALTED = entry(
    3, "One table of months", "halted", "2", reason=Reason.COST, url=f"{PAGE}/issues/7#issuecomment-31"
)
FAILED = entry(4, "The docs", "failed", "0.1", url=f"{PAGE}/issues/7#issuecomment-32")
RUNNING, WAITING = entry(4, "The docs", "running", "0.1"), entry(5, "Names of days", "queued")
LIVE = Told(
    sweep="5e0c0ffee123",
    attempt=1,
    actor="dana",
    line="refresh",
    parallel=2,
    total=Usd.parse("8"),
    each=replace(CLASSES["sweep"], usd=Usd.parse("2")),
    entries=(LEAP, WEEKS, HALTED, RUNNING, WAITING),
    live=True,
    month=MONTH,
)
OVER = replace(LIVE, live=False, entries=(LEAP, WEEKS, HALTED, FAILED))
OUT = "$8.00 total ceiling reached"


def refused(number: int, why: str = OUT) -> Entry:
    return entry(number, "Left over", "refused", begun=False, message=why)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (LIVE, "Sweeping: 2 of 5 done"),
        (replace(LIVE, stopped_by="ada"), "Sweeping: 2 of 5 done, stopped by ada"),
        (OVER, "Swept: 2 of 4 done"),
        (replace(OVER, stopped_by="ada"), "Halted: stopped by ada; 2 of 4 done"),
        (replace(OVER, entries=(LEAP, refused(2))), f"Halted: {OUT}; 1 of 2 done"),
    ],
)
def test_the_first_line_says_how_far_it_is_and_what_stands_in_the_way(told: Told, says: str) -> None:
    assert headline(told) == says


@pytest.mark.parametrize(
    ("one", "word", "unfinished"),
    [
        (LEAP, "done", False),
        (HALTED, "halted: cost ceiling", True),
        (FAILED, "failed", True),
        (RUNNING, "running", False),
        (WAITING, "waiting", False),
        (entry(1, "a", "open"), "running", False),
        (entry(1, "a", "lost"), "lost", True),
        (entry(1, "a", "done"), "nothing to change", False),
        (entry(1, "a", "done", published="held"), "waits for a person", False),
        (entry(1, "a", "halted", reason=Reason.STOPPED), "stopped", True),
        (entry(1, "a", "halted", reason=Reason.STOPPED, begun=False), "not begun", True),
        (refused(1), "not begun", True),
        (replace(HALTED, settled="discarded"), "discarded", False),
        (replace(HALTED, pull=14, settled="accepted"), "done", False),
    ],
)
def test_every_end_of_an_item_has_its_word_and_is_gone_on_with_or_not(
    one: Entry, word: str, unfinished: bool
) -> None:
    assert (one.word, one.unfinished) == (word, unfinished)


@pytest.mark.parametrize(
    ("told", "says", "not_"),
    [
        (LIVE, "`/agent stop` here halts all of it", "`/agent resume"),
        (OVER, "`/agent resume` goes on with what is not finished (2 items)", "/agent stop"),
        (OVER, "goes on only under a higher one (`cost=`)", "total="),
        (replace(OVER, total=Usd.parse("4")), "`/agent resume total=$8` goes on", "/agent stop"),
        (replace(OVER, entries=(LEAP, WEEKS)), "Review and merge the pull requests", "/agent resume"),
        (
            replace(OVER, entries=(LEAP, entry(2, "b", "done", published="held"))),
            "`/agent accept` lets it through",
            "/agent resume",
        ),
    ],
)
def test_what_comes_next_is_what_applies(told: Told, says: str, not_: str) -> None:
    assert says in comment(told)
    assert not_ not in comment(told)


def test_the_page_about_sweeps_shows_the_comment_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    shown = comment(LIVE).removeprefix(f"{marker(LIVE.sweep, 1)}\n\n")
    assert "\n".join(f"> {row}".rstrip() for row in shown.split("\n")) in page


def test_the_total_is_told_as_a_ceiling() -> None:
    whole = Standing(
        Cap(Scope.SWEEP, "5e0c0ffee123", "this sweep", Usd.parse("8")), "", Usd.parse("7.9"), ZERO
    )
    assert reached(whole) == OUT


def test_a_title_acts_on_nothing_and_breaks_no_table() -> None:
    title = "Fixes #3 | @dana <!-- x --> ![i](http://e.example/x) `a"
    told = replace(LIVE, entries=(entry(1, title, "running"), refused(2, f"no\n\n{title}")))
    text = comment(told)
    assert not effects(text.replace(marker(told.sweep, 1), "").partition("<sub>")[0])
    [row] = [row for row in text.split("\n") if row.startswith("| 1 |")]
    assert row.replace("\\|", "").count("|") == 6


@pytest.mark.parametrize("title", ["x" * 500, "|" * 500, "\\" * 500, "@a#1<b" * 80, "\U0001f9ee" * 500])
@pytest.mark.parametrize("clamps", [0, 200])
def test_two_hundred_items_fit_into_one_comment(title: str, clamps: int) -> None:
    page = f"https://github.example.com/{'o' * 39}/{'r' * 100}"  # the longest names that GitHub has
    many = tuple(
        replace(done(number, title, "123.4567", 0), pull=number, url=f"{page}/pull/{100_000 + number}")
        for number in range(1, 201)
    )
    notes = tuple(f"item {number} stays as it is: {title}" for number in range(clamps))
    text = comment(replace(LIVE, entries=many, clamps=notes))
    assert len(text) < 65_536
    assert [row for row in text.split("\n") if row.startswith("| 200 |")]
    assert bool(clamps) == (f"and {clamps - 20} more of this kind" in text)


def test_whoever_asks_is_answered_in_one_line_with_a_link() -> None:
    line = one_line(LIVE, PAGE)
    assert f"[`5e0c0ffee123`]({PAGE})" in line
    assert "2 of 5 done · 1 halted · 1 running · 1 waiting, $3.83 of $8.00 spent" in line
    assert in_the_way(LIVE, PAGE).endswith("Nothing was started and nothing was spent.")
    assert line in stopping(LIVE, PAGE)
