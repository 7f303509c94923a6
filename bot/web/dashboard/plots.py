"""The charts of the overview: spend by day, what merged pull requests cost, tokens, shares, a rate.

As in `charts`: no script and no style, everything is told by a title, and text stands beside them.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from itertools import pairwise

from bot.core.money import ZERO, Usd, total
from bot.core.signals import BAND, BUCKETS, COST_BOUNDS, THEATRE, TOO_TIGHT, Day, Rate, Tokens
from bot.web.dashboard.charts import HIGH, WIDE, Chart, box, line, part, svg

MOST_BARS = 130
SPANS = (1, 7, 28, 91, 364)  # days that one bar may stand for
GAP = 0.12  # of a column
HALF = HIGH / 2
MOST_RATE = 0.4  # at the right end of a rate's bar, if it is not above
# Of the part on halted runs, and of tasks that failed: strokes, so that it is told without colour.
STROKES = (
    '<defs><pattern id="{id}" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<path class="strokes" d="M0 6L6 0"/></pattern></defs>'
)


@dataclass(frozen=True, slots=True)
class Columns:
    """A chart of columns, and what stands under it: where each begins, or the first and the last."""

    chart: Chart
    under: tuple[str, ...]


def days(found: Sequence[Day], first: date, last: date) -> Columns:
    """What each day has cost, with the part of runs that were halted; of a long time, what each week has."""
    by_date = {day.date: day for day in found}
    length = (last - first).days + 1
    span = next((span for span in SPANS if length <= span * MOST_BARS), SPANS[-1])
    bars = []
    for start in range(0, length, span):
        dates = [first + timedelta(days=at) for at in range(start, min(start + span, length))]
        of = [by_date[f"{one}"] for one in dates if f"{one}" in by_date]
        bars.append((dates, total(day.usd for day in of), total(day.halted for day in of)))
    most = max([usd for _, usd, _ in bars] + [Usd(1)])
    wide = WIDE / len(bars)
    inside = STROKES.format(id="halted-days")
    for number, (dates, usd, halted) in enumerate(bars):
        high, lost = (part(amount, most) * HIGH / WIDE for amount in (usd, halted))
        x, width = wide * (number + GAP), wide * (1 - 2 * GAP)
        called = f"{dates[0]}" if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        inside += _column("spent", x, high, width)
        inside += _column("lost", x, lost, width, strokes="halted-days")
        inside += _hover(wide * number, wide, f"{called}: {usd}, {halted} of it on runs that were halted")
    whole, dearest = total(usd for _, usd, _ in bars), max(bars, key=lambda bar: bar[1])
    each = "day" if span == 1 else f"{span} days"
    words = f"Spend by {each}: {whole} from {first} to {last}, most from {dearest[0][0]} on, {dearest[1]}"
    return Columns(
        Chart(svg(WIDE, HIGH, "columns", words, inside), f"{most} in {'a day' if span == 1 else each}"),
        (f"{first}", f"{last}"),
    )


def pulls(counts: Sequence[int], marks: Sequence[tuple[str, Usd]]) -> Columns:
    """How many merged pull requests cost how much (`Merges.columns`), in the usual band and outside of it,
    with marks."""
    bounds = (ZERO, *COST_BOUNDS)
    most, wide = max([*counts, 1]), WIDE / len(bounds)
    low, high = (wide * bounds.index(edge) for edge in BAND)
    inside = f'<rect class="usual" x="{low:.1f}" y="0" width="{high - low:.1f}" height="{HIGH}"/>'
    names = [f"${bound.nanos // 10**9}" for bound in COST_BOUNDS]
    between = _between(names)
    for number, count in enumerate(counts):
        kind = "spent" if low <= wide * number < high else "outside"
        inside += _column(kind, wide * (number + GAP), (HIGH - 16) * count / most, wide * (1 - 2 * GAP))
        inside += _hover(wide * number, wide, f"{between[number]}: {_count(count, 'pull request')}")
    for name, usd in marks:
        x = wide * _along(usd, bounds)
        inside += f"<g><title>{escape(name)}: {usd}</title>{line('mark', x, 0, x, HIGH)}</g>"
    told = ", ".join(f"{count} {words}" for count, words in zip(counts, between, strict=True) if count)
    words = f"What merged pull requests cost: {told or 'none was merged'}"
    return Columns(Chart(svg(WIDE, HIGH, "columns", words, inside), f"{most:,}"), ("$0", *names))


def tokens(found: Sequence[Tokens]) -> Columns | None:
    """How many tasks used how many tokens: successes upwards, failures downwards and with strokes."""
    columns = by_tokens(found)
    if not columns:
        return None
    most, wide = max(count for column in columns for count in column[2:]), WIDE / len(columns)
    inside = STROKES.format(id="failed-tasks")
    for number, (_, between, good, bad) in enumerate(columns):
        x, width = wide * (number + GAP), wide * (1 - 2 * GAP)
        high, low = (HALF - 2) * good / most, (HALF - 2) * bad / most
        inside += _column("spent", x, high, width, HALF)
        inside += _column("lost", x, low, width, HALF + low, "failed-tasks")
        title = f"{between} tokens: {_count(good, 'success', 'successes')}, {_count(bad, 'failure')}"
        inside += _hover(wide * number, wide, title)
    inside += line("axis", 0, HALF, WIDE, HALF)
    words = "Tokens for each task: " + "; ".join(
        f"{one.outcome} median {one.p50:,}, nine in ten at most {one.p90:,}" for one in found
    )
    under = tuple(begins for begins, *_ in columns)
    return Columns(Chart(svg(WIDE, HIGH, "columns", words, inside), f"{most:,}"), under)


def by_tokens(found: Sequence[Tokens]) -> list[tuple[str, str, int, int]]:
    """Each column of the histogram that any task is in, or is between such: where it begins, from where to
    where it goes, successes, failures."""
    used = [at for one in found for at, count in enumerate(one.histogram) if count]
    if not used:
        return []
    names = [f"{bound // 10**6}M" if bound >= 10**6 else f"{bound // 1000}k" for bound in BUCKETS]
    by = {one.outcome: one.histogram for one in found}
    good, bad = (by.get(outcome, (0,) * (len(BUCKETS) + 1)) for outcome in ("success", "failure"))
    every = list(zip(("0", *names), _between(names), good, bad, strict=True))
    return every[min(used) : max(used) + 1]


def segment(before: Usd, usd: Usd, whole: Usd, title: str) -> str:
    """A part of a whole, where it lies when the parts are put in a row."""
    start, end = (min(WIDE, max(0, part(amount, whole))) for amount in (before, before + usd))
    inside = box("track", 0, WIDE, 16) + box("spent", start, max(end - start, 2 if usd else 0), 16)
    return svg(WIDE, 16, "bar", title, inside)


def share(usd: Usd, halted: Usd, most: Usd, title: str) -> str:
    """What something has cost of the most, with the part of runs that were halted at its left."""
    spent, lost = (min(WIDE, part(amount, most)) for amount in (usd, halted))
    inside = box("spent", 0, spent, 16) + box("lost", 0, lost, 16)
    return svg(WIDE, 16, "bar", title, inside)


def rate(found: Rate) -> str:
    """How many in a hundred a ceiling has ended, with the marks between which that is healthy."""
    value = found.value or 0.0
    most = max(MOST_RATE, value)
    low, high, here = (round(WIDE * of / most) for of in (THEATRE, TOO_TIGHT, value))
    level = "over" if value > TOO_TIGHT else "near" if value < THEATRE else "spent"
    inside = box("track", 0, WIDE, 16) + box(level, 0, here, 16)
    inside += line("mark", low, 0, low, 16) + line("mark", high, 0, high, 16)
    return svg(
        WIDE, 16, "bar", f"{found.name}: {value:.1%}; marks at {THEATRE:.0%} and {TOO_TIGHT:.0%}", inside
    )


def _at(usd: Usd, bounds: Sequence[Usd]) -> int:
    """The number of its column."""
    return max(0, bisect(bounds, usd) - 1)


def _along(usd: Usd, bounds: Sequence[Usd]) -> float:
    """How far along the columns an amount lies; the last one ends at twice its bound."""
    at = _at(usd, bounds)
    low, high = bounds[at], bounds[at + 1] if at + 1 < len(bounds) else bounds[at] * 2
    return at + min(1.0, max(0.0, (usd - low).nanos / (high - low).nanos))


def _between(names: Sequence[str]) -> list[str]:
    """`below $1`, `$1 to $2`, …, `from $200`."""
    return [f"below {names[0]}", *(f"{low} to {high}" for low, high in pairwise(names)), f"from {names[-1]}"]


def _count(number: int, what: str, many: str = "") -> str:
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"


def _column(kind: str, x: float, tall: float, width: float, foot: float = HIGH, strokes: str = "") -> str:
    """Up from its foot, within the frame: corrections may take back more than was booked beside them."""
    tall = min(max(0.0, tall), foot)
    place = f'x="{x:.1f}" y="{foot - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"'
    drawn = f'<rect class="{kind}" {place}/>'
    return drawn + (f'<rect fill="url(#{strokes})" {place}/>' if strokes else "")


def _hover(x: float, width: float, title: str) -> str:
    return (
        f'<rect class="hover" x="{x:.1f}" y="0" width="{width:.1f}" height="{HIGH}">'
        f"<title>{escape(title)}</title></rect>"
    )
