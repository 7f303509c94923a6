"""Charts as SVG, made here: no script draws them, no style stands in them, and each figure can be read out.

They are stretched to whatever width there is, so text stands beside them as HTML, never in them. What colour
tells, a pattern, a mark or a title tells too.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bot.core.caps import NOTICE, Standing
from bot.core.money import ZERO, Usd

WIDE, HIGH = 1_000, 200  # units of a chart's own
HELD = "held"  # id of the pattern of what is held; each chart that uses it has its own


@dataclass(frozen=True, slots=True)
class Chart:
    """`svg` is safe to put into a page; `most`: what its top, or its right end, stands for."""

    svg: str
    most: str


def bar(usd: Usd, most: Usd, title: str) -> str:
    """How much something is of the most."""
    return svg(WIDE, 16, "bar", title, box("spent", 0, part(usd, most), 16))


def cap_bar(standing: Standing) -> str:
    """What is spent and held of a cap, with the marks of 75 % and of the cap itself."""
    told = standing.cap.usd.nanos * NOTICE // 100
    title = (
        f"{standing.spent} spent and {standing.held} held of {standing.most} ({standing.percent} %); "
        f"marks at {NOTICE} % and 100 %"
    )
    return against(
        standing.spent.nanos, standing.held.nanos, standing.most.nanos, title, told, standing.reached
    )


def against(used: int, held: int, limit: int, title: str, told: int | None = None, over: bool = False) -> str:
    """How much of a limit is used and held, in whatever unit, with a mark at the limit; `told`: another mark,
    from which on it is near, which is else at 75 %; `over`: it counts as reached all the same."""
    most = max(limit, used + held)
    near = limit * NOTICE // 100 if told is None else told
    level = "over" if over or used >= limit else "near" if used >= near else "spent"

    def at(amount: int) -> int:
        return part(Usd(amount), Usd(most))

    inside = (
        box("track", 0, at(limit), 16)
        + box(level, 0, at(used), 16)
        + box(HELD, at(used), min(WIDE, at(used) + at(held)) - at(used), 16)
        + (line("mark", at(told), 0, at(told), 16) if told is not None else "")
        + line("mark", at(limit), 0, at(limit), 16)
    )
    return svg(WIDE, 16, "bar", title, inside)


def month(
    month: str, by_day: Mapping[int, Usd], elapsed: float, cap: Usd | None, projected: Usd | None
) -> Chart:
    """What a month has cost from its beginning to each day, the pace to its end, and a cap as a line."""
    year, number = (int(part) for part in month.split("-"))
    days = monthrange(year, number)[1]
    last = max([min(days, int(elapsed * days) + 1 if elapsed < 1 else days), *by_day])
    sums, so_far = [], ZERO
    for day in range(1, last + 1):
        so_far = so_far + by_day.get(day, ZERO)
        sums.append(so_far)
    most = max([so_far, cap or ZERO, projected or ZERO, Usd(1)])
    step = WIDE / days

    def height(usd: Usd) -> float:
        return HIGH - part(usd, most) * (HIGH - 4) / WIDE

    points = [(0.0, float(HIGH))] + [(step * day, height(usd)) for day, usd in enumerate(sums, 1)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    inside = f'<polygon class="area" points="{drawn} {points[-1][0]:.1f},{HIGH} 0,{HIGH}"/>'
    inside += f'<polyline class="run" points="{drawn}"/>'
    if projected is not None and elapsed < 1:
        inside += line("pace", *points[-1], WIDE, height(projected))
    if cap is not None:
        inside += line("cap", 0, height(cap), WIDE, height(cap))
    for day, usd in enumerate(sums, 1):
        on = by_day.get(day, ZERO)
        title = f"{month}-{day:02d}: {on} launched that day, {usd} since the month began"
        inside += (
            f'<rect class="hover" x="{step * (day - 1):.1f}" y="0" width="{step:.1f}" height="{HIGH}">'
            f"<title>{title}</title></rect>"
        )
    words = f"Spend of {month}: {so_far} by day {last} of {days}"
    words += f", {projected} at this pace" if projected is not None and elapsed < 1 else ""
    words += f", cap {cap}" if cap is not None else ""
    return Chart(svg(WIDE, HIGH, "month", words, inside), str(most))


def spread(people: Sequence[tuple[str, Usd]], marks: Sequence[tuple[str, Usd]]) -> Chart:
    """Everybody's spend as a stroke on one line, with the named marks above."""
    most = max([usd for _, usd in (*people, *marks)], default=Usd(1))
    inside = line("axis", 0, 39, WIDE, 39)
    for name, usd in people:
        x = part(usd, most)
        inside += f"<g><title>{escape(name)}: {usd}</title>{line('stroke', x, 16, x, 39)}</g>"
    for name, usd in marks:
        x = part(usd, most)
        inside += f"<g><title>{escape(name)}: {usd}</title>{line('mark', x, 0, x, 39)}</g>"
    words = "Spend of each person; " + ", ".join(f"{name} {usd}" for name, usd in marks)
    return Chart(svg(WIDE, 40, "spread", words, inside), str(most))


def part(usd: Usd, most: Usd) -> int:
    return round(WIDE * usd.nanos / most.nanos) if most.nanos > 0 else 0


def box(kind: str, x: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x}" y="0" width="{max(0, width)}" height="{height}"/>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def svg(width: int, height: int, kind: str, title: str, inside: str) -> str:
    said = escape(title)
    return (
        f'<svg class="chart {kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{said}"><title>{said}</title>{inside}</svg>'
    )
