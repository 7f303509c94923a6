"""Models and their prices, typed here from Anthropic's published list.

Not taken from the product nor from the package that it takes its prices from: an invoice that shared their
source would share their mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer used, in tokens: as billed, not as estimated."""

    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0
    thinking: int = 0  # of `output`, how many were thought


@dataclass(frozen=True, slots=True)
class Prices:
    """Nano-dollars a token: $1 a million tokens is 1,000 of them."""

    input: int
    write_5m: int
    write_1h: int
    read: int
    output: int


@dataclass(frozen=True, slots=True)
class Model:
    """One model as this address serves it. Sizes in tokens."""

    id: str
    name: str
    released: str
    prices: Prices
    context: int
    max_output: int
    cache_minimum: int  # a shorter prefix is silently not cached
    allows: frozenset[str]

    def nanos(self, usage: Usage, geo: str | None) -> int:
        """The price of an answer, exact: with `inference_geo: us` every category costs a tenth more."""
        base = (
            usage.input * self.prices.input
            + usage.cache_write_5m * self.prices.write_5m
            + usage.cache_write_1h * self.prices.write_1h
            + usage.cache_read * self.prices.read
            + usage.output * self.prices.output
        )
        # Every price is a multiple of ten nano-dollars, so the tenth is whole.
        return base * 11 // 10 if geo == "us" and "geo" in self.allows else base


_OPUS = Prices(5_000, 6_250, 10_000, 500, 25_000)
_SONNET = Prices(3_000, 3_750, 6_000, 300, 15_000)
_HAIKU = Prices(1_000, 1_250, 2_000, 100, 5_000)

# sampling: temperature, top_p, top_k · budget: thinking of type enabled · prefill: the assistant's words may
# come last · geo: inference_geo, at its price · task_budget.
_45 = frozenset({"sampling", "budget", "prefill"})
_46 = frozenset({"sampling", "budget", "geo"})
_47 = frozenset({"geo", "task_budget"})

_ALL = (
    Model("claude-opus-4-8", "Claude Opus 4.8", "2026-06-10", _OPUS, 1_000_000, 128_000, 1_024, _47),
    Model("claude-opus-4-7", "Claude Opus 4.7", "2026-04-16", _OPUS, 1_000_000, 128_000, 2_048, _47),
    Model("claude-opus-4-6", "Claude Opus 4.6", "2026-02-05", _OPUS, 1_000_000, 128_000, 4_096, _46),
    Model("claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-24", _OPUS, 200_000, 64_000, 4_096, _45),
    Model("claude-sonnet-4-6", "Claude Sonnet 4.6", "2026-02-17", _SONNET, 1_000_000, 64_000, 1_024, _46),
    Model(
        "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29", _SONNET, 200_000, 64_000, 1_024, _45
    ),
    Model("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15", _HAIKU, 200_000, 64_000, 4_096, _45),
)

MODELS = {model.id: model for model in _ALL}
_SHORT = {
    model.id[: -len("-20251101")]: model for model in _ALL if model.id.rpartition("-")[2].startswith("202")
}


def model_named(name: object) -> Model | None:
    """The model of an id or of its undated alias; None when there is none such."""
    return (MODELS.get(name) or _SHORT.get(name)) if isinstance(name, str) else None
