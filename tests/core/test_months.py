"""Months follow one another without a gap or an overlap, wherever people live, over every year's end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.caps import month_of
from bot.core.money import ZERO, Usd
from bot.core.rollup import Person, Rollup, elapsed

ZONES = (
    "UTC", "Europe/Berlin", "America/Los_Angeles", "America/St_Johns", "America/Santiago", "Asia/Kolkata",
    "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Kiritimati",
    "Pacific/Pago_Pago", "Africa/Casablanca",
)  # fmt: skip
zones = st.sampled_from(ZONES)
instants = st.integers(
    int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2036, 12, 31, tzinfo=UTC).timestamp() * 1000),
)
months = st.tuples(st.integers(2020, 2036), st.integers(1, 12))


def name(year: int, number: int) -> str:
    return f"{year}-{number:02}"


def after(year: int, number: int) -> tuple[int, int]:
    return (year + 1, 1) if number == 12 else (year, number + 1)


def start(year: int, number: int, zone: str) -> int:
    """The first millisecond of a month there."""
    return round(datetime(year, number, 1, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@given(months, zones)
def test_a_month_ends_a_millisecond_before_the_next_begins(month: tuple[int, int], zone: str) -> None:
    begins = start(*after(*month), zone)
    assert month_of(begins - 1, zone) == name(*month)
    assert month_of(begins, zone) == name(*after(*month))


@given(instants, instants, zones)
def test_time_never_goes_back_a_month(one: int, other: int, zone: str) -> None:
    early, late = sorted((one, other))
    assert month_of(early, zone) <= month_of(late, zone)


@given(instants, zones)
def test_no_two_places_are_more_than_a_month_apart(now: int, zone: str) -> None:
    here = datetime.fromtimestamp(now / 1000, UTC)
    near = {f"{here + timedelta(hours=hours):%Y-%m}" for hours in (-12, 14)}
    assert month_of(now, zone) in near


@given(instants, zones, months)
def test_what_is_over_of_a_month_agrees_with_the_month_that_it_is(
    now: int, zone: str, month: tuple[int, int]
) -> None:
    part = elapsed(name(*month), datetime.fromtimestamp(now / 1000, UTC), zone)
    this = month_of(now, zone)
    if name(*month) < this:
        assert part == 1.0
    elif name(*month) > this:
        assert part == 0.0
    else:
        assert 0.0 <= part < 1.0


@pytest.mark.parametrize(
    ("zone", "at", "hours", "whole"),
    [
        ("America/Los_Angeles", "2026-11-16T08:00", 15 * 24 + 1, 30 * 24 + 1),  # summer time ends in it
        ("America/Los_Angeles", "2026-12-16T08:00", 15 * 24, 31 * 24),
        ("Pacific/Auckland", "2026-09-30T10:00", 30 * 24 - 1 - 1, 30 * 24 - 1),  # begins in it
        ("Pacific/Auckland", "2026-12-31T10:59:59", 31 * 24 - 1 / 3600, 31 * 24),
        ("UTC", "2027-01-01T00:00", 0, 31 * 24),
    ],
)
def test_hours_that_a_clock_skips_or_repeats_are_no_part_or_a_part_of_the_month(
    zone: str, at: str, hours: float, whole: int
) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    month = month_of(round(now.timestamp() * 1000), zone)
    assert elapsed(month, now, zone) == pytest.approx(hours / whole)


@given(st.integers(0, 10**15), st.floats(0, 1))
def test_a_projection_is_never_less_than_what_is_spent_and_there_is_none_on_the_first_morning(
    spent: int, part: float
) -> None:
    rollup = Rollup("2026-12", part, (Person("a", Usd(spent), 1, ZERO, ZERO, ZERO),), ())
    if rollup.projected is None:
        assert part < 0.02
    else:
        assert rollup.projected.nanos >= spent * (1 - 1e-9)
