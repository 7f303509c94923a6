"""The cost report is held against our price list, and others' use is shown as theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.drift import CACHE_PRICE, DAYS, MISSING, OTHER_KEY, PRICE, PRICES, Drift
from bot.core.drift_words import sentence
from bot.core.invoice import MOST_ROUNDED, PARTS, Billed, Used, misprices, others
from bot.core.money import Usd
from bot.core.prices import PriceBook
from bot.core.reconcile import Entry, Sums
from bot.core.usage import Usage

DAY, AT, OPUS = "2026-11-02", 1_793_577_600_000, "claude-opus-4-7"
BOOK = PriceBook()
LIST: Mapping[str, int] = {}
RATES = dict(zip(PARTS, (5_000, 6_250, 10_000, 500, 25_000, 10_000_000), strict=True))
TOKENS = Usage(1_000, 2_000, 3_000, 4_000, 500, 2, OPUS, "global", "standard")
ENTRY = Entry(
    turn=1, run="a", key="K", model=OPUS, state="exact", held_at=AT, settled_at=AT + 5, max_tokens=1,
    hold_nanos=1, hold_tokens=1, hold_cached=1, first=Sums(), booked=Sums(1_000, 2_000, 3_000, 4_000, 500),
)  # fmt: skip


def used(usage: Usage = TOKENS, key: str = "K", ours: bool = True, workspace: str = "", **how: bool) -> Used:
    return Used(DAY, key, ours, workspace, usage, **how)


def lines(rates: Mapping[str, int] = LIST, usage: Usage = TOKENS, workspace: str = "") -> list[Billed]:
    """The cost report of it, at the list's prices but for `rates` (nano-dollars a token)."""
    return [
        Billed(
            AT, workspace, "" if part == "web_searches" else usage.model, part, "standard",
            Usd(getattr(usage, part) * rates.get(part, RATES[part])),
        )
        for part in PARTS
    ]  # fmt: skip


def found(rows: list[Used], billed: list[Billed]) -> tuple[Drift, ...]:
    return misprices(rows, billed, [ENTRY], BOOK)


def test_prices_of_the_list_are_no_drift() -> None:
    assert found([used()], lines()) == ()


@pytest.mark.parametrize(
    ("part", "rate", "kind", "hint"),
    [
        pytest.param("cache_write_5m", 10_000, CACHE_PRICE, "that is the price of 1-hour", id="5m as 1h"),
        pytest.param("cache_write_1h", 6_250, CACHE_PRICE, "that is the price of 5-minute", id="1h as 5m"),
        pytest.param(
            "cache_read", 5_000, CACHE_PRICE, "that is the price of fresh input", id="reads as input"
        ),
        pytest.param("cache_read", 499, CACHE_PRICE, "", id="reads, by a little"),
        pytest.param("input", 15_000, PRICE, "", id="input"),
        pytest.param("output", 75_000, PRICE, "", id="output"),
        pytest.param("output", 0, PRICE, "", id="nothing"),
        pytest.param("web_searches", 11_000_000, PRICE, "", id="searches"),
    ],
)
def test_another_price_is_found_for_each_kind_of_token(part: str, rate: int, kind: str, hint: str) -> None:
    (drift,) = found([used()], lines({part: rate}))
    count = getattr(TOKENS, part)
    assert (drift.kind, drift.part, drift.report) == (kind, part, PRICES)
    assert (drift.expected, drift.invoiced) == (Usd(count * RATES[part]), Usd(count * rate))
    assert drift.runs == (() if part == "web_searches" else ("a",))
    assert drift.hint.startswith(hint)
    assert bool(drift.hint) == bool(hint)
    assert str(drift.invoiced) in sentence(drift)
    assert "correct it with PRICE_FILE" in sentence(drift)


def test_a_discount_on_everything_is_said_to_be_one() -> None:
    rates = {part: rate * 9 // 10 for part, rate in RATES.items() if part != "web_searches"}
    drifts = found([used()], lines(rates))
    assert len(drifts) == 5
    assert {each.hint for each in drifts} == {
        "all prices of it are 90 % of our list's: a discount, or another price list"
    }


def test_what_is_rounded_is_no_drift_up_to_a_hundredth_of_a_cent_a_line() -> None:
    (line, *rest) = lines()
    for rounded, more, drifts in ((10_000, 10_000, 0), (10_000, 10_001, 1), (10**7, MOST_ROUNDED + 1, 1)):
        off = replace(line, rounded=rounded, amount=line.amount + Usd(more))
        assert len(found([used()], [off, *rest])) == drifts


def test_other_keys_use_of_the_same_model_is_in_the_same_lines() -> None:
    theirs = used(replace(TOKENS, model=f"{OPUS}-20260416"), "other", ours=False)
    assert found([used(), theirs], [*lines(), *lines()]) == ()
    assert len(found([used()], [*lines(), *lines()])) == 6


@pytest.mark.parametrize(
    ("rows", "billed"),
    [
        pytest.param([used(ours=False)], lines({"output": 1}), id="a model that we did not use"),
        pytest.param([used()], [*lines(), *lines({"output": 1}, workspace="w")], id="a workspace of others"),
        pytest.param(
            [used(), used(replace(TOKENS, service_tier="priority"))], lines(), id="priority: not in it"
        ),
        pytest.param(
            [used()], [*lines(), *(replace(line, tier="batch") for line in lines())], id="batches of others"
        ),
        pytest.param(
            [used()], [*lines(), Billed(AT, "", "", "", "", Usd(1))], id="code execution: not in the usage"
        ),
        pytest.param(
            [used(), used(replace(TOKENS, model="claude-unknown-9"), "other", ours=False)], lines(),
            id="a model without a price",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_not(rows: list[Used], billed: list[Billed]) -> None:
    assert found([replace(row, usage=replace(row.usage, web_searches=0)) for row in rows], [
        line for line in billed if line.part != "web_searches"
    ]) == ()  # fmt: skip


def test_a_region_s_price_is_in_it() -> None:
    dear = {part: rate * 11 // 10 for part, rate in RATES.items() if part != "web_searches"}
    assert found([used(replace(TOKENS, geo="us"))], lines(dear)) == ()


def test_a_workspace_is_named() -> None:
    (drift,) = found([used(workspace="wrkspc_1")], lines({"output": 26_000}, workspace="wrkspc_1"))
    assert drift.part == "output@wrkspc_1"
    assert "tokens of output of claude-opus-4-7 in the workspace wrkspc_1 were billed" in sentence(drift)
    assert "($26.00 a million); by our price list they cost $0.0125 ($25.00 a million)" in sentence(drift)


@given(
    st.sampled_from(PARTS[:5]), st.integers(0, 10**5), st.lists(st.integers(1, 10**7), min_size=5, max_size=5)
)
def test_any_other_price_of_one_kind_is_found_and_nothing_else(
    part: str, rate: int, counts: list[int]
) -> None:
    fresh, short, long, read, written = counts
    usage = Usage(fresh, short, long, read, written, 0, OPUS, "global", "standard")
    drifts = found([used(usage)], lines({part: rate}, usage))
    assert [each.part for each in drifts] == ([] if rate == RATES[part] else [part])
    assert sum(each.usd.nanos for each in drifts) == getattr(usage, part) * (rate - RATES[part])


# -- use that is none of ours --


def test_other_keys_use_is_shown_at_our_prices_and_is_no_alarm() -> None:
    theirs = used(replace(TOKENS, web_searches=0), "ci (apikey_1)", ours=False, workspace="wrkspc_1")
    (drift,) = others([used(), theirs, theirs], BOOK)
    assert (drift.kind, drift.key, drift.part, drift.report) == (OTHER_KEY, "ci (apikey_1)", "wrkspc_1", DAYS)
    assert (drift.invoiced, drift.invoiced_tokens) == (Usd(2 * 62_000_000), 2 * 10_500)
    assert not drift.loud
    assert "with ci (apikey_1), which is none of this service's keys" in sentence(drift)


def test_batches_with_our_key_are_somebody_elses() -> None:
    (drift,) = others([used(replace(TOKENS, service_tier="batch"))], BOOK)
    assert (drift.kind, drift.part, drift.loud) == (MISSING, "batch", True)
    assert "in batches, which pass no gateway" in sentence(drift)


def test_a_model_without_a_price_never_passed_the_gateway() -> None:
    (drift,) = others([used(replace(TOKENS, model="claude-unknown-9"))], BOOK)
    assert (drift.kind, drift.part, drift.invoiced_tokens) == (MISSING, "unpriced", 10_500)
    assert "so somebody else has that key" in sentence(drift)


def test_use_without_a_known_price_is_shown_without_an_amount() -> None:
    (drift,) = others([used(replace(TOKENS, model="claude-unknown-9"), "other", ours=False)], BOOK)
    assert (drift.invoiced, drift.invoiced_tokens) == (Usd(), 10_500)
    assert "no price is known" in sentence(drift)
