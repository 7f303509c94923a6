"""Who goes next: never above a limit, nobody waits beside room, nobody waits for ever (fairness)."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import headlines
from bot.core.caps import Line, Scope
from bot.core.money import Usd
from bot.core.policy import parse, tighten
from bot.core.waiting import (
    Concurrency,
    Crowd,
    Full,
    Key,
    Limit,
    Live,
    Place,
    Waiting,
    admissible,
    limits,
    places,
    told,
)

MOST = Concurrency(person=2, repository=3)


def one(run: str, person: int, repository: int, line: str = "") -> Live:
    own: Key = (Scope.LINE, line) if line else (Scope.PERSON, str(person))
    return Live(run, person, repository, frozenset({own, (Scope.REPOSITORY, str(repository))}))


def waits(run: str, person: int, repository: int, since: int, most: Concurrency = MOST) -> Waiting:
    found = limits(most, (person, f"p{person}"), (repository, f"r{repository}"))
    return Waiting(one(run, person, repository), found, since)


places_ = st.tuples(st.integers(1, 4), st.integers(1, 3))
lines = st.lists(
    st.tuples(places_, st.integers(0, 5), st.integers(1, 3), st.integers(1, 4)), max_size=14
).map(
    lambda rows: [
        waits(f"w{n}", *place, since, Concurrency(person, repository))
        for n, (place, since, person, repository) in enumerate(rows)
    ]
)
lives = st.lists(places_, max_size=10).map(lambda rows: [one(f"l{n}", *row) for n, row in enumerate(rows)])


@given(lines, lives)
def test_no_limit_is_passed_and_nobody_waits_beside_room(line: list[Waiting], live: list[Live]) -> None:
    chosen = admissible(line, live)
    crowd = Crowd(live)
    for admitted in chosen:
        assert crowd.full(admitted.limits) is None, "there was room when it was its turn"
        crowd.enter(admitted.one)
    for left in line:
        assert left in chosen or crowd.full(left.limits) is not None


@given(lines, lives)
def test_whoever_has_the_fewest_live_runs_goes_first_then_who_came_first(
    line: list[Waiting], live: list[Live]
) -> None:
    chosen = admissible(line, live)
    crowd, left = Crowd(live), list(line)
    for admitted in chosen:
        could = [other for other in left if crowd.full(other.limits) is None]
        assert min(could, key=crowd.rank) == admitted
        crowd.enter(admitted.one)
        left.remove(admitted)


@given(lines, lives, st.randoms(use_true_random=False))
def test_everybody_gets_in_as_long_as_runs_end(
    line: list[Waiting], live: list[Live], chance: random.Random
) -> None:
    left = list(line)
    for _ in range(len(line) + len(live) + 1):
        chosen = admissible(left, live)
        left = [waiting for waiting in left if waiting not in chosen]
        live = [*live, *(waiting.one for waiting in chosen)]
        if live:
            live.remove(chance.choice(live))
    assert left == []


@given(lines, lives)
def test_everybody_in_line_has_a_place_and_no_two_the_same_under_one_limit(
    line: list[Waiting], live: list[Live]
) -> None:
    found = places(line, live)
    assert set(found) == {waiting.one.run for waiting in line}
    for waiting in line:
        stands, crowd = found[waiting.one.run], Crowd(live)
        assert stands.full == crowd.full(waiting.limits)
        if stands.full is not None:
            assert len(stands.live) == stands.full.live
    taken = Counter((stands.full.limit.key, stands.position) for stands in found.values() if stands.full)
    assert all(count == 1 for count in taken.values())


def test_fifty_waiting_runs_of_one_person_hold_up_nobody_elses_one() -> None:
    crowd = [one(f"l{n}", 1 + n // 2, 1) for n in range(2)] + [one("l9", 3, 1)]
    line = [waits(f"w{n:02}", 1, 1, n) for n in range(50)] + [waits("late", 2, 1, 99)]
    assert admissible(line, crowd) == ()
    assert places(line, crowd)["late"].position == 1
    assert [first.one.run for first in admissible(line, crowd[:2])] == ["late"]


def test_on_a_line_its_own_number_takes_the_place_of_the_persons() -> None:
    bare, full = Line(Usd.parse("9"), frozenset()), Line(Usd.parse("9"), frozenset(), concurrency=4)
    person, repository = (7, "dana"), (1, "acme/x")
    for line, expected in (
        (None, [("person", "7", 2), ("repository", "1", 3)]),
        (("evals", full), [("line", "evals", 4), ("repository", "1", 3)]),
        (("evals", bare), [("repository", "1", 3)]),
    ):
        found = limits(MOST, person, repository, line)
        assert [(str(limit.scope), limit.id, limit.at_once) for limit in found] == expected


def test_what_it_waits_for_is_one_sentence_with_the_runs_that_may_be_seen() -> None:
    full = Full(Limit(Scope.PERSON, "7", "dana", 3), 3)
    stands = Place(2, full, ("a", "b", "c"))
    assert told(stands, ["[a](x)"]) == "dana has 3 runs at once, as many as it may have: [a](x), 2 more."
    assert told(stands, []) == "dana has 3 runs at once, as many as it may have: 3 elsewhere."
    assert "may have to come back first" in told(Place(1), [])


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"),
     (102, "102nd"), (111, "111th"), (1003, "1,003rd")],
)  # fmt: skip
def test_a_place_is_an_ordinal(number: int, said: str) -> None:
    assert headlines.ordinal(number) == said


@pytest.mark.parametrize(
    ("service", "repository", "expected"),
    [
        ("", "", (5, 20)),
        ("concurrency: {person: 50, repository: 90}\n", "", (50, 90)),
        ("concurrency: {person: 50}\n", "concurrency: {person: 2, repository: 90}\n", (2, 20)),
        ("", "concurrency: {repository: 1}\n", (5, 1)),
    ],
)
def test_a_repository_can_only_have_fewer_at_once(
    service: str, repository: str, expected: tuple[int, int]
) -> None:
    found = tighten(parse(service, service=True), parse(repository)).concurrency
    assert (found.person, found.repository) == expected
