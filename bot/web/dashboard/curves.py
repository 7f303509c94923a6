"""How a run came towards each ceiling: charts that can be hovered, read without colour, and read out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from bot.core.ceilings import Ceilings, span
from bot.core.money import Usd
from bot.core.timeline import Point, Request, Timeline
from bot.web.dashboard.charts import HIGH, WIDE, Chart, line, svg

MOST = 300  # bookings that are drawn one by one; of more, several are drawn as one


@dataclass(frozen=True, slots=True)
class Booking:
    """From the booking before (or 0) to `at`: what was used after it, what was used or held before; a
    sentence about it."""

    at: float
    used: int
    most: int
    said: str
    begins: str = ""  # the attempt that begins with it


@dataclass(frozen=True, slots=True)
class Curve:
    """`words`: what the chart shows, as text; `left` and `right`: what its ends stand for."""

    name: str
    chart: Chart
    words: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    limit: int
    used: Callable[[Point], int]
    held: Callable[[Request], int]
    shown: Callable[[int], str]

    def on_its_way(self, requests: Sequence[Request]) -> int:
        return sum(self.held(one) for one in requests)


def curves(timeline: Timeline, ceilings: Ceilings, by_time: bool) -> tuple[Curve, ...]:
    """One for each ceiling, over requests or over time; none where nothing was booked."""
    if not timeline.points:
        return ()
    return tuple(_curve(kind, timeline, ceilings, by_time) for kind in _kinds(ceilings, by_time))


def _kinds(ceilings: Ceilings, by_time: bool) -> list[_Kind]:
    """Over requests steps would be a straight line, over time the time."""
    found = [
        _Kind("Cost", ceilings.usd.nanos, lambda at: at.usd.nanos, lambda one: one.hold.nanos, _usd),
        _Kind("Tokens", ceilings.tokens, lambda at: at.tokens, lambda one: one.hold_tokens, _number),
    ]
    if by_time:
        found.append(_Kind("Steps", ceilings.steps, lambda at: at.steps, _nothing, _number))
    else:
        found.append(_Kind("Wall clock", ceilings.seconds, lambda at: round(at.seconds), _nothing, span))
    if ceilings.cached_tokens is not None:
        found.append(_Kind("Cached", ceilings.cached_tokens, lambda at: at.cached, _nothing, _number))
    return found


def _nothing(request: Request) -> int:
    return 0


def _usd(nanos: int) -> str:
    return str(Usd(nanos))


def _number(count: int) -> str:
    return f"{count:,}"


def _curve(kind: _Kind, timeline: Timeline, ceilings: Ceilings, by_time: bool) -> Curve:
    points = timeline.points
    bookings, before, attempt = [], 0, points[0].request.attempt
    for number, point in enumerate(points, 1):
        used, held = kind.used(point), kind.held(point.request)
        at = point.seconds if by_time else float(number)
        begins = f"attempt {point.request.attempt} begins" if point.request.attempt > attempt else ""
        attempt = max(attempt, point.request.attempt)
        said = _said(kind, point, used - before, held, used)
        bookings.append(Booking(at, used, max(used, before + held), said, begins))
        before = used
    last, flying = points[-1], timeline.in_flight
    if flying and not by_time and kind.on_its_way(flying):
        most = before + kind.on_its_way(flying)
        said = f"In flight: {kind.shown(most - before)} held; {kind.shown(before)} used so far"
        bookings.append(Booking(len(points) + 1.0, before, most, said))
    right = max(last.seconds, 1.0) if by_time else bookings[-1].at
    # The ceiling of time is the right end, where the run came anywhere near it.
    to_the_end = by_time and last.seconds * 4 >= ceilings.seconds
    right = max(right, float(ceilings.seconds)) if to_the_end else right
    end = span(round(right)) + (" (the wall-clock ceiling)" if to_the_end else "") if by_time else ""
    return Curve(
        kind.name,
        draw(few(bookings), kind.limit, right, f"{kind.name} of the run", kind.shown),
        _words(kind, points, bookings),
        "its beginning" if by_time else "first request",
        end or f"request {len(points):,}",
    )


def _said(kind: _Kind, point: Point, more: int, held: int, used: int) -> str:
    request = point.request
    what = f"Step {request.step}" if request.step and request.state != "corrected" else "A correction"
    if request.state == "corrected" and request.step:
        what = f"A correction of step {request.step}"
    came = f"{kind.shown(more)} used" if more >= 0 else f"{kind.shown(-more)} taken back"
    of_hold = f" of {kind.shown(held)} held" if held else ""
    about = ", estimated" if request.state == "estimated" else ""
    return f"{what}: {came}{of_hold}{about}; {kind.shown(used)} of {kind.shown(kind.limit)} so far"


def _words(kind: _Kind, points: Sequence[Point], bookings: Sequence[Booking]) -> str:
    used, top = bookings[-1].used, max(one.most for one in bookings)
    percent = used * 100 // kind.limit if kind.limit > 0 else 100
    told = [f"{kind.shown(used)} of {kind.shown(kind.limit)}, {percent} %"]
    steps = list(zip(points, [0, *(one.used for one in bookings)], bookings, strict=False))
    point, before, most = max(steps, key=lambda one: one[2].used - one[1])
    if len(points) > 1 and point.request.step and most.used > before:
        told.append(f"most in step {point.request.step} with {kind.shown(most.used - before)}")
    if top > used:
        told.append(f"at most {kind.shown(top)} used or held at once")
    return "; ".join(told) + "."


def few(bookings: Sequence[Booking]) -> list[Booking]:
    """At most MOST of them: several as one, whose end and highest point are theirs."""
    size = -(-len(bookings) // MOST)
    if size <= 1:
        return list(bookings)
    found = []
    for first in range(0, len(bookings), size):
        some = bookings[first : first + size]
        begins = next((one.begins for one in some if one.begins), "")
        said = f"{len(some)} bookings, to: {some[-1].said}"
        found.append(Booking(some[-1].at, some[-1].used, max(one.most for one in some), said, begins))
    return found


def draw(
    bookings: Sequence[Booking], limit: int, right: float, title: str, shown: Callable[[int], str]
) -> Chart:
    """In steps from the left end to `right`, under the line of the limit; pale what was held besides."""
    most = max(limit, *(one.most for one in bookings), 1)

    def x(at: float) -> float:
        return min(float(WIDE), WIDE * at / right)

    def y(amount: int) -> float:
        return HIGH - max(0, amount) * (HIGH - 4) / most

    corners, pale, marks, hover = [(0.0, float(HIGH))], "", "", ""
    at, before = 0.0, 0
    for one in bookings:
        left, wide = x(at), max(0.0, x(one.at) - x(at))
        corners += [(left, y(one.used)), (x(one.at), y(one.used))] if wide else [(x(one.at), y(one.used))]
        if one.most > one.used:
            high = y(one.used) - y(one.most)
            pale += _box("held", left, y(one.most), max(wide, 1.0), high)
        if one.begins:
            marks += f"<g><title>{escape(one.begins)}</title>{line('mark thin', left, 0, left, HIGH)}</g>"
        hover += _box("hover", left, 0, max(wide, 1.0), HIGH, one.said)
        at, before = one.at, one.used
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    inside = pale + f'<polygon class="area" points="{path} {x(at):.1f},{HIGH} 0,{HIGH}"/>'
    inside += f'<polyline class="run" points="{path}"/>' + marks
    inside += line("cap", 0, y(limit), WIDE, y(limit)) + hover
    words = f"{title}: {shown(before)} in the end, ceiling {shown(limit)}"
    return Chart(svg(WIDE, HIGH, "month", words, inside), shown(most))


def _box(kind: str, x: float, y: float, wide: float, high: float, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    where = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect class="{kind}" {where}>{told}</rect>'
