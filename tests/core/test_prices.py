"""Prices: those that Anthropic publishes, exact in nano-dollars, and no guess for what is not known."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as PeerUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from bot.core.money import Usd
from bot.core.prices import PriceBook, PriceFileError, UnknownModel
from bot.core.usage import Usage

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BOOK = PriceBook()

# $ per million tokens: input, 5-minute write, 1-hour write, read, output.
# https://platform.claude.com/docs/en/about-claude/pricing, copy of 2026-08-22.
PUBLISHED = {
    "claude-opus-4-5": ("5", "6.25", "10", "0.50", "25"),
    "claude-opus-4-6": ("5", "6.25", "10", "0.50", "25"),
    "claude-opus-4-7": ("5", "6.25", "10", "0.50", "25"),
    "claude-opus-4-8": ("5", "6.25", "10", "0.50", "25"),
    "claude-sonnet-4-5": ("3", "3.75", "6", "0.30", "15"),
    "claude-sonnet-4-6": ("3", "3.75", "6", "0.30", "15"),
    "claude-haiku-4-5": ("1", "1.25", "2", "0.10", "5"),
}
tokens = st.integers(0, 150_000)


@pytest.mark.parametrize(("model", "row"), PUBLISHED.items())
def test_the_book_says_what_anthropic_publishes(model: str, row: tuple[str, ...]) -> None:
    rates = BOOK.price(model, NOW).at(1_000)
    ours = (rates.input, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read, rates.output)
    assert [Decimal(nanos) / 1000 for nanos in ours] == [Decimal(price) for price in row]


@pytest.mark.parametrize("model", ["claude-opus-4-7-20260416", "claude-haiku-4-5-20251001", "claude-opus-5"])
def test_dated_and_newer_names_have_a_price(model: str) -> None:
    assert BOOK.price(model, NOW).rates[0].output > 0


@pytest.mark.parametrize(
    "model", ["", "gpt-5", "claude-opus-4-70", "claude-opus-4-10", "claude-opus-9", "opus"]
)
def test_an_unknown_model_is_refused_not_guessed(model: str) -> None:
    with pytest.raises(UnknownModel):
        BOOK.price(model, NOW)


@given(st.sampled_from(sorted(PUBLISHED)), tokens, tokens, tokens, tokens, tokens, st.integers(0, 5))
def test_a_cost_equals_the_price_lists_own_calculation(
    model: str, fresh: int, w5: int, w1: int, read: int, output: int, searches: int
) -> None:
    usage = Usage(fresh, w5, w1, read, output, web_searches=searches, model=model)
    peer = calc_price(
        PeerUsage(
            input_tokens=fresh + w5 + w1 + read,
            cache_write_tokens=w5 + w1,
            cache_write_1h_tokens=w1,
            cache_read_tokens=read,
            output_tokens=output,
            web_searches=searches,
        ),
        model_ref=model,
        provider_id="anthropic",
        genai_request_timestamp=NOW,
    )
    assert BOOK.cost(usage, NOW).total.decimal == peer.total_price


@given(tokens, tokens, tokens, tokens, tokens)
def test_us_only_inference_costs_a_tenth_more_on_every_counter(
    a: int, b: int, c: int, d: int, e: int
) -> None:
    here = BOOK.cost(Usage(a, b, c, d, e, model="claude-opus-4-7"), NOW)
    us = BOOK.cost(Usage(a, b, c, d, e, model="claude-opus-4-7", geo="us"), NOW)
    assert us.total.nanos * 10 == here.total.nanos * 11


def test_each_part_of_an_answer_is_priced_by_its_own_model() -> None:
    other = Usage(input=1_000, output=10, model="claude-haiku-4-5")
    mixed = Usage(input=1_000, output=10, model="claude-opus-4-7", others=(other,))
    apart = (
        BOOK.cost(Usage(1_000, output=10, model="claude-opus-4-7"), NOW).total + BOOK.cost(other, NOW).total
    )
    assert BOOK.cost(mixed, NOW).total == apart


def test_a_price_file_rules_and_names_itself_in_the_version() -> None:
    row = '{"claude-opus-4-7": {"input": "15", "cache_write_5m": 18.75, "cache_write_1h": "30", '
    book = PriceBook.with_file(row + '"cache_read": "1.50", "output": "75"}}')
    assert book.cost(Usage(input=1_000_000, model="claude-opus-4-7"), NOW).total == Usd.parse("15")
    assert book.cost(Usage(cache_write_5m=4, model="claude-opus-4-7"), NOW).total == Usd(75_000)
    assert "file" in book.version
    assert book.price("claude-haiku-4-5", NOW) == BOOK.price("claude-haiku-4-5", NOW)


@pytest.mark.parametrize(
    ("filed", "named"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("a-model-of-ours", "a-model-of-ours-20260101"),
    ],
)
def test_a_price_file_rules_whether_a_name_carries_its_date_or_not(filed: str, named: str) -> None:
    book = PriceBook.with_file(_filed(filed, "75"))
    assert book.price(named, NOW).at(1_000).output == 75_000
    with pytest.raises(UnknownModel):
        book.price("a-model-of-ours-2", NOW)


def test_of_two_dates_of_a_model_in_a_price_file_the_dearer_holds_for_its_plain_name() -> None:
    book = PriceBook.with_file(f"{_filed('m-20260101', '9')[:-1]}, {_filed('m-20260202', '7')[1:]}")
    assert book.price("m", NOW).at(1).output == 9_000
    assert book.price("m-20260202", NOW).at(1).output == 7_000


def _filed(model: str, output: str) -> str:
    row = '{"input": "1", "cache_write_5m": "1", "cache_write_1h": "1", "cache_read": "1", "output": '
    return f'{{"{model}": {row}"{output}"}}}}'


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"])
def test_a_model_with_a_price_beyond_its_window_is_bounded_by_the_larger_one(model: str) -> None:
    for book in (BOOK, PriceBook.with_file(_filed("claude-sonnet-4-5", "15"))):
        assert book.price(model, NOW).context_window == 1_000_000
    assert BOOK.price("claude-haiku-4-5", NOW).context_window == 200_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"m": {"input": "1"}}',
        '{"m": {"input":"x","cache_write_5m":"1","cache_write_1h":"1","cache_read":"1","output":"1"}}',
        '{"m": {"input":"-1","cache_write_5m":"1","cache_write_1h":"1","cache_read":"1","output":"1"}}',
        b"\xff",
        "[" * 100_000,
        '{"m": {"input":"NaN","cache_write_5m":"1","cache_write_1h":"1","cache_read":"1","output":"1"}}',
    ],
)
def test_a_price_file_with_anything_wrong_is_refused(text: str | bytes) -> None:
    with pytest.raises(PriceFileError):
        PriceBook.with_file(text)


@pytest.mark.parametrize(
    ("geo", "tenths"), [("", 10), ("global", 10), ("not_available", 10), ("us", 11), ("of tomorrow", 11)]
)
def test_a_region_that_is_not_known_costs_the_dearest_that_is(geo: str, tenths: int) -> None:
    plain = BOOK.cost(Usage(1_000, output=10, model="claude-opus-4-7"), NOW).total.nanos
    there = BOOK.cost(Usage(1_000, output=10, model="claude-opus-4-7", geo=geo), NOW).total.nanos
    assert there * 10 == plain * tenths


@pytest.mark.parametrize("tier", ["", "standard", "priority", "batch", "of tomorrow"])
def test_no_service_tier_is_priced_below_the_list(tier: str) -> None:
    usage = Usage(1_000, output=10, model="claude-opus-4-7")
    tiered = Usage(1_000, output=10, model="claude-opus-4-7", service_tier=tier)
    assert BOOK.cost(tiered, NOW) == BOOK.cost(usage, NOW)


def test_a_speed_without_a_price_is_not_guessed() -> None:
    assert BOOK.cost(Usage(1, model="claude-opus-4-7", speed="standard"), NOW).total
    with pytest.raises(UnknownModel, match="speed"):
        BOOK.cost(Usage(1, model="claude-opus-4-7", speed="fast"), NOW)
