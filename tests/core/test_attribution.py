"""Which merged pull request a run belongs to: the cases by name, and the law for any history (R17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.attribution import (
    ATTEMPT,
    ISSUE,
    MADE,
    ON,
    Attribution,
    Place,
    Pull,
    Work,
    attribute,
    reverted,
    reverts,
)

HOUR = 3_600_000


def at(number: int, repository: int = 1) -> Place:
    return (repository, number)


def merged(number: int, hour: int, *closes: int, base: str = "main", **given: object) -> Pull:
    return replace(
        Pull(at(number), 9, base, hour * HOUR, True, frozenset(map(at, closes))),
        **given,  # type: ignore[arg-type]
    )


def closed(number: int, *closes: int) -> Pull:
    return Pull(at(number), 9, "main", None, True, frozenset(map(at, closes)))


def run(name: str, thread: int, hour: int = 0, made: int | None = None, branch: str = "") -> Work:
    return Work(name, 9, at(thread), hour * HOUR, None if made is None else at(made), branch)


def item(name: str, issue: int, made: int | None = None) -> Work:
    return replace(run(name, issue, made=made), item=True)


CASES = [
    pytest.param([merged(7, 5)], [run("a", 7)], {"a": (7, ON)}, id="on it"),
    pytest.param([merged(7, 5)], [run("a", 7, 6)], {"a": (7, ON)}, id="on it, begun after the merge"),
    pytest.param([merged(7, 5)], [run("a", 3, made=7)], {"a": (7, MADE)}, id="made it"),
    pytest.param([merged(7, 5, 3)], [run("a", 3)], {"a": (7, ISSUE)}, id="on the issue it closes"),
    pytest.param(
        [merged(7, 5, 3)], [run("a", 3, 5)], {"a": (7, ISSUE)}, id="begun in the second of the merge"
    ),
    pytest.param(
        [merged(7, 5, 3)], [run("a", 3, 6)], {}, id="on its issue, which was opened again: not merged yet"
    ),
    pytest.param([merged(7, 5)], [run("a", 8)], {}, id="on something else"),
    pytest.param([], [run("a", 7)], {}, id="nothing merged"),
    pytest.param([closed(7, 3)], [run("a", 7), run("b", 3)], {}, id="closed without a merge"),
    pytest.param(
        [merged(7, 5, 3), closed(5, 3)], [run("a", 5)], {"a": (7, ATTEMPT)}, id="on a superseded attempt"
    ),
    pytest.param(
        [merged(7, 5, 3), closed(5)],
        [run("a", 3, made=5), run("b", 5)],
        {"a": (7, ISSUE), "b": (7, ATTEMPT)},
        id="an attempt that only its run ties to the issue",
    ),
    pytest.param(
        [merged(7, 5, 3), replace(closed(5, 3), closed=False)],
        [run("a", 5), run("b", 3, made=5)],
        {"b": (7, ISSUE)},
        id="an attempt that is open may yet merge: its own runs wait",
    ),
    pytest.param(
        [merged(7, 5, 3), closed(5, 3)], [run("a", 5, 6)], {}, id="on the attempt, begun after the merge"
    ),
    pytest.param(
        [merged(5, 2, 3), merged(9, 6, 3)],
        [run("a", 3, 1), run("b", 5, 1), run("c", 3, 4), run("d", 3, 5, made=9), run("e", 9, 5)],
        {"a": (5, ISSUE), "b": (5, ON), "c": (9, ISSUE), "d": (9, MADE), "e": (9, ON)},
        id="an issue opened again and closed by a second: the first runs stay with the first",
    ),
    pytest.param(
        [merged(5, 2, 3), merged(9, 6, 3)],
        [run("a", 9, 1), run("b", 3, 1, made=9)],
        {"a": (9, ON), "b": (5, ISSUE)},
        id="whoever merges first takes what was on the issue, but not what was on the other",
    ),
    pytest.param(
        [merged(8, 3, base="fix"), merged(7, 5)],
        [run("a", 7, made=8, branch="fix"), run("b", 8)],
        {"a": (7, ON), "b": (7, ON)},
        id="made beside a moved head and merged into its branch: it follows that pull request",
    ),
    pytest.param(
        [merged(8, 3, base="fix")],
        [run("a", 7, made=8, branch="fix"), run("b", 8)],
        {},
        id="merged into the branch of one that has not merged: nothing is delivered yet",
    ),
    pytest.param(
        [merged(8, 3, base="fix"), closed(7, 3), merged(9, 6, 3)],
        [run("a", 7, made=8, branch="fix"), run("b", 8)],
        {"a": (9, ATTEMPT), "b": (9, ATTEMPT)},
        id="merged into an attempt that was superseded",
    ),
    pytest.param(
        [merged(8, 3), closed(7, 3)],
        [run("a", 7, made=8, branch="fix"), run("b", 3, made=7), run("c", 7)],
        {"a": (8, MADE), "b": (8, ATTEMPT), "c": (8, ATTEMPT)},
        id="turned to the default branch and merged there, instead of the one that it came from",
    ),
    pytest.param(
        [closed(8), merged(7, 5)],
        [run("a", 7, made=8, branch="fix"), run("b", 8)],
        {"a": (7, ON), "b": (7, ATTEMPT)},
        id="its side branch was dropped",
    ),
    pytest.param(
        [merged(7, 3, base="b8"), merged(8, 5, base="b7")],
        [run("a", 7, made=8, branch="b7"), run("b", 8, made=7, branch="b8")],
        {"a": (7, ON), "b": (7, ON)},
        id="each into the other: one of them counts",
    ),
    pytest.param(
        [merged(7, 5, 3, base="develop")],
        [run("a", 3)],
        {"a": (7, ISSUE)},
        id="into a branch of nobody's: merged is merged",
    ),
    pytest.param(
        [merged(7, 5, 3), merged(8, 6)],
        [item("a", 3, made=8), item("b", 3), item("c", 3, made=9)],
        {"a": (8, MADE), "b": (7, ISSUE)},
        id="items of a sweep follow their own pull requests, and without one the issue",
    ),
    pytest.param(
        [merged(8, 6), merged(9, 7)],
        [item("a", 3, made=8), item("b", 3, made=9), item("c", 3), run("d", 8)],
        {"a": (8, MADE), "b": (9, MADE), "d": (8, ON)},
        id="an item that made nothing waits for whatever closes its issue",
    ),
    pytest.param(
        [closed(8), merged(7, 5, 3)],
        [item("a", 3, made=8), run("b", 8)],
        {"a": (7, ATTEMPT), "b": (7, ATTEMPT)},
        id="an item's pull request that was dropped is an attempt at its issue",
    ),
    pytest.param(
        [merged(7, 5, closes=frozenset({at(3, 2)}))],
        [Work("a", 9, at(3, 2), 0), Work("b", 8, at(3, 2), 0)],
        {"a": (7, ISSUE)},
        id="an issue elsewhere: only within the installation",
    ),
    pytest.param(
        [merged(7, 5, installation=10)],
        [run("a", 7)],
        {"a": (7, ON)},
        id="the same repository, transferred to another installation",
    ),
]


@pytest.mark.parametrize(("pulls", "works", "belongs"), CASES)
def test_a_run_belongs_to_the_first_merge_that_it_has_to_do_with(
    pulls: list[Pull], works: list[Work], belongs: dict[str, tuple[int, str]]
) -> None:
    expected = {name: Attribution(at(number), because) for name, (number, because) in belongs.items()}
    assert attribute(pulls, works) == expected
    assert attribute(pulls[::-1], works[::-1]) == expected


# -- for any history --

NUMBERS = st.integers(1, 7)
PLACES = st.tuples(st.sampled_from([1, 1, 1, 2]), NUMBERS)
BASES = st.sampled_from(["main", "main", "b1", "b2", "b3"])
PULLS = st.lists(
    st.builds(
        Pull,
        PLACES,
        st.sampled_from([9, 9, 8]),
        BASES,
        st.one_of(st.none(), st.integers(1, 6).map(lambda hour: hour * HOUR)),
        st.just(True),
        st.frozensets(PLACES, max_size=2),
    ),
    max_size=6,
    unique_by=lambda pull: pull.place,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Pull], list[Work]]:
    works = []
    for number in range(draw(st.integers(0, 7))):
        thread = draw(PLACES)
        others = [other for other in range(1, 8) if other != thread[1]]
        made = draw(st.one_of(st.none(), st.sampled_from(others)))
        hour = draw(st.integers(0, 7))
        pull = (thread[0], made) if made else None
        branch = f"b{thread[1] % 4}" if made else ""
        installation, swept = draw(st.sampled_from([9, 9, 8])), draw(st.booleans())
        works.append(Work(f"r{number}", installation, thread, hour * HOUR, pull, branch, swept))
    return draw(PULLS), works


def counted_by_hand(pulls: Iterable[Pull], works: list[Work]) -> dict[str, Place]:
    """The rule told again, run by run and without a thought for speed."""
    known = {pull.place: pull for pull in pulls}

    def into(place: Place) -> Place | None:
        pull = known.get(place)
        if pull is None or pull.merged_at is None:
            return None
        onto = [work for work in works if work.made == place and work.branch == pull.base]
        return min(onto, key=lambda work: work.run).thread if onto else None

    def lands(place: Place) -> Place:
        way = [place]
        while (further := into(way[-1])) is not None and further not in way:
            way.append(further)
        return way[-1] if further is None else min(way[way.index(further) :])

    def superseded(place: Place) -> bool:
        pull = known.get(lands(place))
        return pull is not None and pull.merged_at is None and pull.closed

    def tied(pull: Pull) -> tuple[set[Place], set[Place]]:
        """The issues that it closes, and the attempts before it."""
        issues = {issue for p in known.values() if lands(p.place) == pull.place for issue in p.closes}
        near = [w for w in works if w.thread[0] == pull.place[0] or w.installation == pull.installation]
        attempts: set[Place] = set()
        for _ in known:
            for place in known:
                family = {other for other in known if lands(other) == lands(place)}
                if not superseded(place) or lands(place) in issues:
                    continue
                closes = known[lands(place)].closes & issues
                reached = attempts | issues | {p for p in known if lands(p) == pull.place}
                pairs = [(w.thread, w.made) for w in near if w.made is not None]
                made = any((a in family and b in reached) or (b in family and a in reached) for a, b in pairs)
                if closes or made:
                    attempts |= family
        return issues, attempts

    found = {}
    for work in works:
        candidates = []
        for pull in known.values():
            if pull.merged_at is None or lands(pull.place) != pull.place:
                continue
            if work.thread[0] != pull.place[0] and work.installation != pull.installation:
                continue
            issues, attempts = tied(pull)
            own = {place for place in (work.thread, work.made) if place in known}
            direct = any(lands(place) == pull.place for place in own)
            begun = work.opened_at < pull.merged_at + 1000
            on_issue = work.thread in issues and not (work.item and work.made)
            if direct or (begun and (on_issue or own & attempts)):
                candidates.append((pull.merged_at, pull.place))
        if candidates:
            found[work.run] = min(candidates)[1]
    return found


@given(histories(), st.randoms(use_true_random=False))
def test_a_run_is_counted_once_in_whatever_order_it_is_told(
    history: tuple[list[Pull], list[Work]], random: object
) -> None:
    pulls, works = history
    belongs = attribute(pulls, works)
    assert {name: to.place for name, to in belongs.items()} == counted_by_hand(pulls, works)
    told_pulls, told_works = pulls.copy(), works.copy()
    random.shuffle(told_pulls)  # type: ignore[attr-defined]
    random.shuffle(told_works)  # type: ignore[attr-defined]
    assert attribute(told_pulls, told_works) == belongs


# -- what is taken back --


@pytest.mark.parametrize(
    ("title", "body", "number"),
    [
        pytest.param('Revert "Fix it"', "Reverts o/r#12", 12, id="GitHub's button"),
        pytest.param('Revert "Fix it"', "\n  Reverts O/R#12 \n\nBecause.", 12, id="with a reason"),
        pytest.param('Revert "Fix it"', "Reverts #12", 12, id="short"),
        pytest.param('Revert "Fix it"', "Reverts other/r#12", None, id="of another repository"),
        pytest.param('Revert "Fix it"', "It reverts o/r#12", None, id="prose"),
        pytest.param("Fix it", "Reverts o/r#12", None, id="by another title"),
        pytest.param('Revert "Fix it"', "", None, id="no body"),
        pytest.param('Revert "Fix it"', "Reverts o/r#" + "9" * 40, None, id="no number of GitHub's"),
    ],
)
def test_a_revert_is_known_by_the_words_of_githubs_button(title: str, body: str, number: int | None) -> None:
    assert reverts(title, body, "o/r") == number


def test_what_is_taken_back_and_brought_back_is_not_reverted() -> None:
    assert reverted({at(8): at(7)}) == {at(7)}
    assert reverted({at(8): at(7), at(9): at(8)}) == {at(8)}
    assert reverted({at(8): at(7), at(9): at(8), at(10): at(9)}) == {at(7), at(9)}
    assert reverted({at(8): at(8), at(7): at(9)}) == set()
