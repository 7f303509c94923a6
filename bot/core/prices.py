"""What tokens cost: a dated price book per model, in whole nano-dollars a token (R4, M3).

Data: the package genai-prices, whose tables of list prices carry dates; checked against
https://platform.claude.com/docs/en/about-claude/pricing (copy of 2026-08-22) by tests/core/test_prices.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib import metadata
from typing import Any

from genai_prices.data import providers
from genai_prices.types import TieredPrices

from bot.core.money import ZERO, Usd
from bot.core.usage import Usage

# `inference_geo: "us"` costs 1.1 times on every token (docs: about-claude/pricing, 2026-08-22).
GEO_NUMERATOR, GEO_DENOMINATOR = 11, 10
_PLAIN_GEOS = ("", "global", "not_available")  # any other costs the dearest that is known
LARGE_WINDOW = 1_000_000  # tokens; no model has a larger one
_DATED = re.compile(r"(?:[-@][0-9]{8}|-latest)\Z")
_FIELDS = {
    "input": "input_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "cache_read": "cache_read_mtok",
    "output": "output_mtok",
}


class UnknownModel(Exception):
    """No price is known: the request is refused, not guessed (R4)."""


class PriceFileError(Exception):
    """The price file cannot be used; says which entry and why."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars a token, for requests whose whole input is above `above` tokens."""

    input: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    output: int
    above: int = -1


@dataclass(frozen=True, slots=True)
class Price:
    """One model's rates, dearest context tier last. `search` is nano-dollars a web search."""

    model: str
    rates: tuple[Rates, ...]
    search: int
    context_window: int

    def at(self, total_input: int) -> Rates:
        """A request above a tier's start pays that tier for all its tokens."""
        return next((r for r in reversed(self.rates) if total_input > r.above), self.rates[0])


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of one answer by counter; `total` is their sum."""

    input: Usd = ZERO
    cache_write: Usd = ZERO
    cache_read: Usd = ZERO
    output: Usd = ZERO
    server_tools: Usd = ZERO

    @property
    def total(self) -> Usd:
        return self.input + self.cache_write + self.cache_read + self.output + self.server_tools


class PriceBook:
    """List prices, or those of a file over them. `version` names both and is kept with every run."""

    def __init__(self, overrides: Mapping[str, Price] | None = None, version: str = "") -> None:
        self._overrides = dict(overrides or {})
        self.version = version or f"genai-prices {metadata.version('genai-prices')}"
        self._found: dict[tuple[str, int], Price] = {}

    @staticmethod
    def with_file(content: str | bytes) -> PriceBook:
        """Prices of JSON `{"model": {"input": "15", …}}`, $ per million tokens, over the list's (M3).

        Raises PriceFileError."""
        raw = content.encode() if isinstance(content, str) else content
        digest = hashlib.sha256(raw).hexdigest()[:8]
        base = PriceBook()
        return PriceBook(_overrides(raw), f"{base.version} + file {digest}")

    def price(self, model: str, at: datetime) -> Price:
        """The price that holds for a request to `model` at that time. Raises UnknownModel."""
        if (ruled := self._ruled(model)) is not None:
            return ruled
        key = (model, at.toordinal())
        if key not in self._found:
            self._found[key] = _listed(model, at)
        return self._found[key]

    def listed(self, at: datetime) -> tuple[Price, ...]:
        """Every model with a whole price at that time, those of the file first."""
        found = list(self._overrides.values())
        for entry in _anthropic().models:
            try:
                price = _listed(entry.id, at)
            except UnknownModel:  # without a price for its cache
                continue
            if self._ruled(price.model) is None:
                found.append(price)
        return tuple(found)

    def of_file(self, model: str) -> bool:
        """Whether the price of this model is the file's, and not the list's."""
        return self._ruled(model) is not None

    def _ruled(self, model: str) -> Price | None:
        """By the file: of the very name, else of the same model under another date, the dearest if several.

        A request may name `claude-sonnet-4-5` and its answer `claude-sonnet-4-5-20250929`.
        """
        if model in self._overrides:
            return self._overrides[model]
        alike = [price for name, price in self._overrides.items() if same_model(name, model)]
        return max(alike, key=lambda price: (price.rates[0].output, price.rates[0].input), default=None)

    def cost(self, usage: Usage, at: datetime, total_input: int | None = None) -> Cost:
        """What the answer costs, each part by its own model. Raises UnknownModel.

        `total_input`: of each request, where `usage` is the sum of several.
        """
        parts = [self._part(part, at, total_input) for part in usage.flat()]
        return Cost(*(_sum(getattr(p, name) for p in parts) for name in _COST))

    def _part(self, usage: Usage, at: datetime, total_input: int | None) -> Cost:
        if usage.speed not in ("", "standard"):
            raise UnknownModel(f"no price is known for {usage.model!r} at the speed {usage.speed!r}")
        price = self.price(usage.model, at)
        rates = price.at(usage.total_input if total_input is None else total_input)
        geo = usage.geo not in _PLAIN_GEOS
        writes = usage.cache_write_5m * rates.cache_write_5m + usage.cache_write_1h * rates.cache_write_1h
        return Cost(
            _geo(usage.input * rates.input, geo),
            _geo(writes, geo),
            _geo(usage.cache_read * rates.cache_read, geo),
            _geo(usage.output * rates.output, geo),
            Usd(usage.web_searches * price.search),
        )


def undated(model: str) -> str:
    return _DATED.sub("", model)


def same_model(asked: str, answered: str) -> bool:
    """Whether an answer is of the model that was asked for; one of the two names may carry a date."""
    return undated(asked) == undated(answered)


_COST = ("input", "cache_write", "cache_read", "output", "server_tools")


def _sum(amounts: Any) -> Usd:
    return Usd(sum(amount.nanos for amount in amounts))


def _geo(nanos: int, geo: bool) -> Usd:
    # Rounded up: exact for every listed price but one, and a share of a nano-dollar is never understated.
    return Usd(-(-nanos * GEO_NUMERATOR // GEO_DENOMINATOR)) if geo else Usd(nanos)


def _anthropic() -> Any:
    return next(provider for provider in providers if provider.id == "anthropic")


def _listed(model: str, at: datetime) -> Price:
    entry = _anthropic().find_model(model)
    # The list matches by prefix: claude-opus-4-1 would also price a claude-opus-4-10 that nobody knows yet.
    plain = undated(model)
    if entry is None or plain not in (entry.id, entry.id.removesuffix("-0"), undated(entry.id)):
        raise UnknownModel(f"no price is known for the model {model!r}")
    prices = entry.get_prices(at)
    values = {ours: getattr(prices, theirs) for ours, theirs in _FIELDS.items()}
    if any(value is None for value in values.values()) or not entry.context_window:
        raise UnknownModel(f"the price list has no cache prices or context window for the model {model!r}")
    rates = tuple(
        Rates(**{name: _rate(value, start) for name, value in values.items()}, above=start)
        for start in (-1, *_starts(prices))
    )
    search = prices.web_searches_kcount
    return Price(entry.id, rates, int(search * 1_000_000) if search else 0, _window(entry))


def _window(entry: Any) -> int:
    """The most input there can be. A price for more than the window says that a beta header opens it wide."""
    dated = entry.prices if isinstance(entry.prices, list) else [entry]
    starts = [start for each in dated for start in _starts(each.prices)]
    return (
        LARGE_WINDOW if any(start >= entry.context_window for start in starts) else int(entry.context_window)
    )


def _starts(prices: Any) -> list[int]:
    """Where the dearer tiers of a price begin, in tokens of input."""
    values = [getattr(prices, name) for name in _FIELDS.values()]
    return sorted({tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers})


def _rate(value: Any, above: int) -> int:
    if isinstance(value, TieredPrices):
        tiers = [tier.price for tier in value.tiers if tier.start <= above]
        value = tiers[-1] if tiers else value.base
    return _nanos(value)


def _nanos(per_million: Decimal) -> int:
    """$ per million tokens is a thousand nano-dollars a token; rounded up where a price is finer."""
    return int(-(-(per_million * 1000) // 1))


def _overrides(raw: bytes) -> dict[str, Price]:
    try:
        given = json.loads(raw, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise PriceFileError(f"the price file is not JSON: {error}") from error
    if not isinstance(given, dict) or not given:
        raise PriceFileError('the price file must be {"model": {"input": "15", …}}, $ per million tokens')
    return {model: _override(model, row) for model, row in given.items()}


def _override(model: str, row: Any) -> Price:
    if not isinstance(row, dict) or set(row) != set(_FIELDS):
        raise PriceFileError(f"{model}: needs exactly the keys {', '.join(_FIELDS)}")
    rates = {}
    for name, value in row.items():
        try:
            amount = Decimal(str(value))
        except InvalidOperation as error:
            raise PriceFileError(f"{model}.{name}: {value!r} is not an amount of dollars") from error
        if not amount.is_finite() or not 0 <= amount <= 1_000_000:
            raise PriceFileError(f"{model}.{name}: {value} is not an amount between 0 and 1,000,000")
        rates[name] = _nanos(amount)
    entry = _anthropic().find_model(model)
    window = _window(entry) if entry is not None and entry.context_window else LARGE_WINDOW
    return Price(model, (Rates(**rates),), 10_000_000, window)
