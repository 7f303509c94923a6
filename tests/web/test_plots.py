"""The overview's charts: within their frames, whatever the figures, and every figure can be read out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.money import ZERO, Usd
from bot.core.signals import BUCKETS, COST_BOUNDS, Day, MergedPull, Merges, Rate, Tokens
from bot.web.answers import Problem
from bot.web.dashboard import asked, charts, plots
from tests.web.test_charts import AMOUNTS, drawn

FIRST = date(2026, 1, 31)
MONEY = AMOUNTS | st.integers(-(10**12), 0).map(Usd)  # a day on which only corrections were booked


def within(svg: str) -> bool:
    return all(-1 <= number <= charts.WIDE + 1 for number in drawn(svg))


@given(st.dictionaries(st.integers(0, 2_000), st.tuples(MONEY, MONEY), max_size=30), st.integers(1, 2_000))
def test_days_are_drawn_to_their_sum_whatever_a_bar_stands_for(
    found: dict[int, tuple[Usd, Usd]], length: int
) -> None:
    days = [
        Day(f"{FIRST + timedelta(days=at)}", usd, halted)
        for at, (usd, halted) in sorted(found.items())
        if at < length
    ]
    made = plots.days(days, FIRST, FIRST + timedelta(days=length - 1))
    assert within(made.chart.svg)
    whole = sum((day.usd.nanos for day in days), 0)
    assert f": {Usd(whole)} from {FIRST}" in made.chart.svg
    assert made.chart.svg.count('class="hover"') <= plots.MOST_BARS


ASKED = st.dates(date(1971, 1, 1), date(2899, 12, 31)).map(str)


@given(st.dictionaries(st.sampled_from(("since", "until")), ASKED), st.sampled_from(("", "1", "3660")))
@example({"since": "1971-01-01", "until": "2899-12-31"}, "")
@example({"since": "2016-11-01", "until": "2026-11-09"}, "")
def test_of_no_window_that_may_be_asked_for_more_is_drawn_than_fits_a_page(
    between: dict[str, str], days: str
) -> None:
    now = int(datetime(2026, 11, 27, tzinfo=UTC).timestamp() * 1000)
    try:
        window = asked.window(between | {"days": days}, now, "Europe/Berlin")
    except Problem:
        assert "since" in between, "any other is as long as `days` says"
        return
    assert (window.last - window.first).days < asked.MOST_DAYS
    found = [Day(f"{window.first}", Usd(1), ZERO)]
    assert plots.days(found, window.first, window.last).chart.svg.count('class="hover"') <= plots.MOST_BARS


@given(st.lists(AMOUNTS, max_size=40), st.lists(AMOUNTS, max_size=2))
def test_each_pull_request_is_in_the_column_of_its_cost(costs: list[Usd], marks: list[Usd]) -> None:
    merges = Merges.of([MergedPull("o/r", at, "t", "a", usd, 1) for at, usd in enumerate(costs)])
    made = plots.pulls(merges.columns, [("<b>", usd) for usd in marks])
    assert within(made.chart.svg)
    assert "<b>" not in made.chart.svg
    for low, high in zip((ZERO, *COST_BOUNDS), (*COST_BOUNDS, None), strict=True):
        count = sum(low <= usd and (high is None or usd < high) for usd in costs)
        edge = f"${low.nanos // 10**9} to ${high.nanos // 10**9}: " if low and high else ""
        if edge:
            assert f"{edge}{count:,} pull request" in made.chart.svg


HISTOGRAM = st.lists(st.integers(0, 10**6), min_size=len(BUCKETS) + 1, max_size=len(BUCKETS) + 1).map(tuple)


@given(st.none() | HISTOGRAM, st.none() | HISTOGRAM)
def test_successes_go_up_and_failures_down_and_none_is_left_out(
    good: tuple[int, ...] | None, bad: tuple[int, ...] | None
) -> None:
    told = [
        Tokens(outcome, sum(counts), 1, 2, 3, 4, counts)
        for outcome, counts in (("success", good), ("failure", bad))
        if counts is not None
    ]
    made, columns = plots.tokens(told), plots.by_tokens(told)
    assert (made is None) == (not columns)
    assert sum(column[2] for column in columns) == sum(good or ())
    assert sum(column[3] for column in columns) == sum(bad or ())
    if made is not None:
        assert within(made.chart.svg)
        assert len(made.under) == len(columns)


@given(MONEY, MONEY, AMOUNTS)
def test_bars_stay_in_their_frames(before: Usd, usd: Usd, whole: Usd) -> None:
    assert within(plots.segment(before, usd, whole, "a & <b>"))
    assert within(plots.share(usd, before, whole, "t"))


@given(st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_rate_stays_in_its_frame_and_says_what_it_is(runs: int, exhausted: int) -> None:
    svg = plots.rate(Rate("<i>", runs, min(runs, exhausted)))
    assert within(svg)
    assert "<i>" not in svg


@pytest.mark.parametrize(
    ("usd", "along"),
    [("0", 0), ("0.5", 0.5), ("1", 1), ("7.5", 3.5), ("30", 6), ("300", 9.5), ("9000", 10)],
)
def test_a_mark_stands_where_its_amount_is_between_the_columns(usd: str, along: float) -> None:
    assert plots._along(Usd.parse(usd), (ZERO, *COST_BOUNDS)) == along
