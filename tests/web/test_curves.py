"""How a run came towards its ceilings: drawn within its frame, told in words, every request to be read."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.timeline import in_order
from bot.web.dashboard import charts
from bot.web.dashboard.curves import MOST, Booking, curves, draw, few
from tests.core.test_timeline import START, row, rows
from tests.web.test_charts import drawn

CEILINGS = st.builds(
    Ceilings,
    usd=st.integers(0, 10**13).map(Usd),
    tokens=st.integers(0, 10**7),
    steps=st.integers(0, 100),
    seconds=st.integers(0, 10**4),
    cached_tokens=st.none() | st.integers(0, 10**7),
)


@given(rows(), CEILINGS, st.booleans())
def test_every_curve_stays_in_its_frame_and_ends_at_what_was_used(
    given: list[dict[str, object]], ceilings: Ceilings, by_time: bool
) -> None:
    timeline = in_order(given, None, 1)
    found = curves(timeline, ceilings, by_time)
    if not timeline.points:
        assert found == ()
        return
    names = ["Cost", "Tokens", "Steps" if by_time else "Wall clock"]
    assert [one.name for one in found] == names + (["Cached"] if ceilings.cached_tokens is not None else [])
    for one in found:
        assert all(-1 <= number <= charts.WIDE + 1 for number in drawn(one.chart.svg))
    last = timeline.points[-1]
    assert found[0].words.startswith(f"{last.usd} of {ceilings.usd}, ")
    assert f"{last.tokens:,} in the end" in found[1].chart.svg


def test_every_request_can_be_pointed_at_and_tells_what_it_held_and_used() -> None:
    given = [
        row(1, 1, "settled", START, 1_000, 30_000_000, 12_000_000, 7),
        row(2, 1, "estimated", START + 1_000, 1_000, 50_000_000, 50_000_000, 9),
        row(3, 1, "corrected", START + 9_000, 0, 0, -20_000_000, 0) | {"corrects": 2, "step": 2},
        row(4, 1, "held", START + 9_000, 0, 70_000_000, 0, 0),
    ]
    cost = curves(in_order(given, START, 1), Ceilings(Usd.parse("1"), 100, 20, 60), False)[0]
    root = ElementTree.fromstring(cost.chart.svg)  # noqa: S314 - ours
    told = [one.text for one in root.iter() if one.tag.endswith("title")][1:]
    assert told == [
        "Step 1: $0.012 used of $0.03 held; $0.012 of $1.00 so far",
        "Step 2: $0.05 used of $0.05 held, estimated; $0.062 of $1.00 so far",
        "A correction of step 2: $0.02 taken back; $0.042 of $1.00 so far",
        "In flight: $0.07 held; $0.042 used so far",
    ]
    assert cost.words == (
        "$0.042 of $1.00, 4 %; most in step 2 with $0.05; at most $0.112 used or held at once."
    )
    assert (cost.left, cost.right) == ("first request", "request 3")


def test_where_an_attempt_begins_is_marked() -> None:
    given = [row(1, 1, "settled", START, 1, 9, 5, 5), row(2, 2, "settled", START + 10**7, 1, 9, 5, 5)]
    chart = curves(in_order(given, START, 2), Ceilings(Usd(10), 100, 20, 60), False)[0].chart
    assert chart.svg.count("attempt 2 begins") == 1
    assert "attempt 1" not in chart.svg


def test_a_run_that_came_near_its_wall_clock_is_drawn_up_to_it() -> None:
    given = [row(1, 1, "settled", START, 30_000, 9, 5, 5)]
    near, far = (
        curves(in_order(given, START, 1), Ceilings(Usd(10), 100, 20, seconds), True)[0].right
        for seconds in (60, 600)
    )
    assert (near, far) == ("1m (the wall-clock ceiling)", "30s")


@given(st.integers(1, 5_000), st.integers(1, 400))
def test_of_many_requests_several_are_drawn_as_one_that_ends_where_they_do(count: int, high: int) -> None:
    bookings = [
        Booking(float(n), n, n + (high if n == count // 2 else 1), f"{n}") for n in range(1, count + 1)
    ]
    found = few(bookings)
    assert len(found) <= MOST
    assert (found[-1].at, found[-1].used) == (float(count), count)
    assert max(one.most for one in found) == max(one.most for one in bookings)
    chart = draw(found, count, float(count), "Many", str)
    assert all(-1 <= number <= charts.WIDE + 1 for number in drawn(chart.svg))
