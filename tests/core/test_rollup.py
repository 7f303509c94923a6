"""The month by person: spreads, paces, and who is far from the others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.money import ZERO, Usd, total
from bot.core.rollup import Person, Rollup, Task, as_json, as_text, causes, elapsed


def person(name: str, usd: str, tasks: int = 4, halted: str = "0", context: str = "0") -> Person:
    return Person(name, Usd.parse(usd), tasks, ZERO, Usd.parse(halted), Usd.parse(context))


def rolled(*people: Person, part: float = 1.0) -> Rollup:
    return Rollup("2026-11", part, people, ())


@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=60))
def test_every_figure_of_the_spread_is_a_spend_that_occurred(spends: list[int]) -> None:
    found = rolled(*(Person(str(i), Usd(nanos), 1, ZERO, ZERO, ZERO) for i, nanos in enumerate(spends)))
    assert {found.median.nanos, found.p90.nanos, found.most.nanos} <= set(spends)
    assert found.median <= found.p90 <= found.most == Usd(max(spends))
    assert sum(nanos <= found.median.nanos for nanos in spends) * 2 >= len(spends)
    assert sum(nanos <= found.p90.nanos for nanos in spends) * 10 >= len(spends) * 9
    assert found.usd == total(one.usd for one in found.people)


def test_who_is_at_ten_times_the_median_is_named_with_the_causes_that_the_numbers_speak_for() -> None:
    loops = person("max", "900", 10, halted="500", context="800")
    found = rolled(loops, person("ann", "90"), person("dana", "40"), person("eve", "10"))
    assert [one.name for one in found.far] == ["max"]
    assert [cause.split()[0] for cause in causes(loops)] == ["56%", "89%"]
    assert "max is at 22 times the median. Worth a talk:" in as_text(found)
    assert as_json(found)["people"][0]["causes"] == list(causes(loops))
    assert causes(person("ann", "90")) == ("neither halts nor context stand out: many tasks, or large ones",)


def test_two_people_have_no_median_to_be_far_from() -> None:
    assert rolled(person("max", "900"), person("ann", "1")).far == ()


@pytest.mark.parametrize(
    ("month", "now", "zone", "part"),
    [
        ("2026-11", "2026-11-16T00:00", "UTC", 0.5),
        ("2026-11", "2026-10-31T23:00", "Europe/Berlin", 0.0),
        ("2026-12", "2027-01-01T00:00", "UTC", 1.0),
        ("2026-12", "2026-12-31T12:00", "UTC", 30.5 / 31),
        ("2026-11", "2027-02-01T00:00", "UTC", 1.0),
        ("2026-11", "2026-01-01T00:00", "UTC", 0.0),
    ],
)
def test_a_months_pace_is_by_the_clock_of_where_people_live(
    month: str, now: str, zone: str, part: float
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert elapsed(month, at, zone) == pytest.approx(part)


def test_half_a_month_is_projected_to_a_whole_one_and_an_hour_is_not() -> None:
    assert rolled(person("ann", "50"), part=0.5).projected == Usd.parse("100")
    assert rolled(person("ann", "50"), part=0.001).projected is None
    assert "$100.00 at this pace" in as_text(rolled(person("ann", "50"), part=0.5))


def test_the_dearest_tasks_are_named_with_where_they_are() -> None:
    task = Task("r", "ann", "o/r", 4, "bugfix", "halted", "cost_ceiling", Usd.parse("9"), "https://x/4#c")
    text = as_text(Rollup("2026-11", 1.0, (person("ann", "9"),), (task,)))
    assert "$9.00  bugfix by ann, halted (cost_ceiling)  https://x/4#c" in text
    assert "no run with a person" in as_text(rolled())
