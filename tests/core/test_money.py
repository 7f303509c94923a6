"""Money is whole nano-dollars: exact for machines, never understated for people."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.money import Usd, total

amounts = st.integers(-(10**15), 10**15).map(Usd)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("$10", 10_000_000_000),
        ("10.00", 10_000_000_000),
        ("$0.000000001", 1),
        (" 5 ", 5_000_000_000),
    ],
)
def test_amounts_are_read_exactly(text: str, nanos: int) -> None:
    assert Usd.parse(text).nanos == nanos


@pytest.mark.parametrize(
    "text", ["", "$", "-1", "1e3", "1,000", "٣", "0.0000000001", "NaN", "1.", ".5", "$$1"]
)
def test_what_is_not_plainly_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        Usd.parse(text)


@given(amounts)
def test_the_exact_form_loses_no_nano_dollar(amount: Usd) -> None:
    assert Decimal(amount.exact) == amount.decimal


@given(st.integers(0, 10**15).map(Usd))
def test_the_form_for_people_never_understates_and_overstates_by_less_than_a_hundredth_of_a_cent(
    amount: Usd,
) -> None:
    shown = Decimal(str(amount).replace("$", "").replace(",", ""))
    assert 0 <= shown - amount.decimal < Decimal("0.0001")


@given(st.lists(amounts))
def test_adding_is_exact(parts: list[Usd]) -> None:
    assert total(parts).decimal == sum((part.decimal for part in parts), Decimal(0))


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [(0, "$0.00"), (10_000_000_000, "$10.00"), (31_250_000, "$0.0313"), (1, "$0.0001"), (-5, "-$0.0001")],
)
def test_cents_are_always_shown_and_finer_digits_where_they_matter(nanos: int, shown: str) -> None:
    assert str(Usd(nanos)) == shown
