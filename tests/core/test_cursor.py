"""Whatever is told in whatever order: what is booked sums to what is told, and nothing booked is changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.cursor import (
    NOTHING,
    Amounts,
    Booked,
    Event,
    Key,
    Outcome,
    Row,
    Share,
    differences,
    shares,
)
from bot.core.money import Usd

KEY = Key(1_000, "dana@acme.example", "gpt-5", "Usage-based")
MAY, JUNE = "2026-05", "2026-06"


def amounts(nanos: int) -> Amounts:
    return Amounts(nanos, nanos % 7, nanos % 5, nanos % 3, nanos % 2)


def event(nanos: int, key: Key = KEY) -> Event:
    return Event(key, amounts(nanos))


@dataclass
class Ledger:
    """Rows as the table has them."""

    rows: list[tuple[int, Row]] = field(default_factory=list)

    def book(self, told: list[Event], since: int, until: int, month: str = MAY) -> list[Row]:
        new = list(differences(self.booked(since, until), told, lambda at: month))
        self.rows += [(len(self.rows) + n, row) for n, row in enumerate(new, 1)]
        return new

    def booked(self, since: int, until: int) -> list[Booked]:
        found: dict[int, Booked] = {}
        for id, row in self.rows:
            if not since <= row.key.at < until:
                continue
            if row.corrects is None:
                found[id] = Booked(id, row.key, row.month, row.amounts)
            else:
                first = found[row.corrects]
                found[row.corrects] = Booked(first.id, first.key, first.month, first.amounts + row.amounts)
        return list(found.values())

    def sums(self, since: int, until: int) -> dict[Key, Amounts]:
        return summed((row.key, row.amounts) for _, row in self.rows if since <= row.key.at < until)


def summed(pairs: Iterable[tuple[Key, Amounts]]) -> dict[Key, Amounts]:
    found: dict[Key, Amounts] = defaultdict(lambda: NOTHING)
    for key, one in pairs:
        found[key] += one
    return {key: one for key, one in found.items() if one != NOTHING}


@pytest.mark.parametrize(
    ("before", "now", "corrections", "events"),
    [
        pytest.param([5], [5], [], [], id="the same: nothing"),
        pytest.param([5], [7], [2], [], id="more: the difference"),
        pytest.param([5], [3], [-2], [], id="less: the difference"),
        pytest.param([5], [], [-5], [], id="gone: all of it is taken back"),
        pytest.param([], [5], [], [5], id="late: an event"),
        pytest.param([5], [5, 5], [], [5], id="another that is alike: an event of its own"),
        pytest.param([5, 5], [5], [-5], [], id="one of two that were alike is gone"),
        pytest.param([5, 9], [9, 6], [1], [], id="what is still told as it was is not touched"),
        pytest.param([0], [], [], [], id="what came to nothing has nothing to take back"),
    ],
)
def test_what_is_told_otherwise_becomes_a_correction(
    before: list[int], now: list[int], corrections: list[int], events: list[int]
) -> None:
    ledger = Ledger()
    ledger.book([event(nanos) for nanos in before], 0, 2_000)
    kept = list(ledger.rows)
    new = ledger.book([event(nanos) for nanos in now], 0, 2_000, JUNE)
    assert [row.amounts.nanos for row in new if row.corrects is not None] == corrections
    assert [row.amounts.nanos for row in new if row.corrects is None] == events
    assert ledger.rows[: len(kept)] == kept
    assert {row.month for row in new if row.corrects is not None} <= {MAY}
    assert Outcome.of(new) == Outcome(
        len(events), len(corrections), Usd(sum(corrections + events)), Usd(sum(corrections))
    )
    assert not ledger.book([event(nanos) for nanos in now], 0, 2_000)


def test_another_kind_or_model_is_taken_back_and_booked_anew_so_that_each_ones_sum_is_right() -> None:
    ledger = Ledger()
    ledger.book([event(5)], 0, 2_000)
    other = Key(KEY.at, KEY.email, KEY.model, "Errored, Not Charged")
    new = ledger.book([event(0, other)], 0, 2_000)
    assert [(row.key.kind, row.amounts.nanos, row.corrects) for row in new] == [
        ("Errored, Not Charged", 0, None),
        ("Usage-based", -5, 1),
    ]


keys = st.builds(
    Key, st.integers(0, 9), st.sampled_from(["a", "b", ""]), st.sampled_from("mn"), st.sampled_from("kl")
)
told = st.lists(st.builds(Event, keys, st.integers(-2, 3).map(amounts)), max_size=12)
windows = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(sorted)


@given(st.lists(st.tuples(told, st.lists(windows, min_size=1, max_size=4)), max_size=6))
def test_in_any_order_of_imports_windows_and_changes_the_sum_is_what_was_told_last(
    states: list[tuple[list[Event], list[list[int]]]],
) -> None:
    ledger = Ledger()
    last: dict[int, list[Event]] = {at: [] for at in range(10)}  # what was told last of each moment
    for state, looks in states:
        for since, until in looks:
            seen = [one for one in state if since <= one.key.at < until]
            kept = list(ledger.rows)
            ledger.book(seen, since, until)
            assert ledger.rows[: len(kept)] == kept
            for at in range(since, until):
                last[at] = [one for one in seen if one.key.at == at]
            everything = [one for moment in last.values() for one in moment]
            assert ledger.sums(0, 10) == summed((one.key, one.amounts) for one in everything)
            assert not ledger.book(seen, since, until)
            # As many are booked as are told, each with its amounts; what came to nothing may be left over.
            booked = Counter((one.key, one.amounts) for one in ledger.booked(0, 10))
            wanted = Counter((one.key, one.amounts) for one in everything)
            assert wanted <= booked
            assert all(amount == NOTHING for _, amount in (booked - wanted))


def test_what_a_person_used_is_theirs_by_every_account_and_what_is_nobodys_is_named() -> None:
    by_email = {"dana@acme.example": Usd(3), "d@home.example": Usd(4), "eve@acme.example": Usd(9), "": Usd(1)}
    accounts = {"dana@acme.example": "dana", "d@home.example": "dana", "max@acme.example": "max"}
    found = shares(by_email, accounts, {7: "Dana-R", 8: "zoe"}, {7: {"dana", "dana-r"}, 8: {"zoe"}})
    assert found == (
        Share("eve@acme.example", Usd(9), 0, False),
        Share("Dana-R", Usd(7), 7, True),
        Share("", Usd(1), 0, False),
    )


def test_a_login_that_passed_to_another_is_theirs_who_has_it_now_and_counts_once() -> None:
    people, called = {7: "max", 8: "dana"}, {7: {"dana", "max"}, 8: {"dana"}}
    assert shares({"d@x.example": Usd(3)}, {"d@x.example": "dana"}, people, called) == (
        Share("dana", Usd(3), 8, True),
    )


def test_whoever_has_launched_nothing_is_there_by_their_login() -> None:
    assert shares({"d@x.example": Usd(3)}, {"d@x.example": "dana"}, {}, {}) == (Share("dana", Usd(3)),)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(-5, 5).map(Usd)),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["dana", "max"])),
    st.dictionaries(st.integers(1, 3), st.sampled_from(["dana", "max", "zoe"])),
)
def test_shares_sum_to_what_is_told(
    by_email: dict[str, Usd], accounts: dict[str, str], people: dict[int, str]
) -> None:
    called = {id: {name} for id, name in people.items()}
    found = shares(by_email, accounts, people, called)
    assert sum(one.usd.nanos for one in found) == sum(usd.nanos for usd in by_email.values())
