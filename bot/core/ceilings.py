"""The four ceilings of a run, where they come from, and the words for why a run ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.core.money import ZERO, Usd


class Reason(StrEnum):
    """Why a run halted, or was refused: docs/gateway.md, "Refusals"."""

    COST = "cost_ceiling"
    TOKENS = "token_ceiling"
    STEPS = "step_ceiling"
    WALL_CLOCK = "wall_clock_ceiling"
    CACHED_TOKENS = "cached_token_ceiling"
    STUCK = "stuck_loop"
    STOPPED = "stopped"
    UPSTREAM_LIMIT = "upstream_limit"
    BOUND_EXCEEDED = "bound_exceeded"
    CAP_REACHED = "cap_reached"  # refused, before it began


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a run may spend at most. Never unset; `cached_tokens` alone may be None."""

    usd: Usd
    tokens: int
    steps: int
    seconds: int
    cached_tokens: int | None = None


# What a refusal says that halts nothing: the rest is kept back until the agent was told to wrap up (G10).
WRAP_UP = "wrap_up"
NATIVE_ENGINE = "opus"  # the one engine that can be told; the others have no such slice
PARTS = 33  # it is a thirty-third of each ceiling, 3 %


# docs/policy.md, "The ceilings of each class".
CLASSES: dict[str, Ceilings] = {
    "default": Ceilings(Usd.parse("10"), 800_000, 50, 20 * 60),
    "bugfix": Ceilings(Usd.parse("5"), 500_000, 20, 10 * 60),
    "feature": Ceilings(Usd.parse("15"), 1_000_000, 60, 30 * 60),
    "refactor": Ceilings(Usd.parse("20"), 1_000_000, 80, 30 * 60),
    "sweep": Ceilings(Usd.parse("10"), 800_000, 50, 45 * 60),
    "split": Ceilings(Usd.parse("2"), 200_000, 15, 5 * 60),
}


def least(one: Ceilings, other: Ceilings) -> Ceilings:
    """Each ceiling the lower of the two; no ceiling on cached tokens is above any."""
    cached = [row.cached_tokens for row in (one, other) if row.cached_tokens is not None]
    return Ceilings(
        min(one.usd, other.usd),
        min(one.tokens, other.tokens),
        min(one.steps, other.steps),
        min(one.seconds, other.seconds),
        min(cached) if cached else None,
    )


def less_kept_back(ceilings: Ceilings) -> Ceilings:
    """What may be used before the agent was told to wrap up; of a ceiling of 1 nothing is kept back (G10)."""

    def less(ceiling: int) -> int:
        return ceiling - (ceiling + PARTS - 2) // PARTS

    cached = ceilings.cached_tokens
    return Ceilings(
        Usd(less(ceilings.usd.nanos)),
        less(ceilings.tokens),
        less(ceilings.steps),
        ceilings.seconds,
        None if cached is None else less(cached),
    )


def left_of(reason: Reason, ceilings: Ceilings, usd: Usd, tokens: int, steps: int, cached: int) -> str:
    """`$0.15 of $5.00`: what is left of the ceiling of that name, when so much is used.

    Nothing, where a label has lowered it below that.
    """
    return {
        Reason.COST: f"{max(ZERO, ceilings.usd - usd)} of {ceilings.usd}",
        Reason.TOKENS: f"{max(0, ceilings.tokens - tokens):,} of {ceilings.tokens:,} tokens",
        Reason.STEPS: f"{max(0, ceilings.steps - steps)} of {ceilings.steps} steps",
        Reason.CACHED_TOKENS: f"{max(0, (ceilings.cached_tokens or 0) - cached):,} cached tokens",
    }[reason]


def halt_message(reason: Reason, step: int, ceilings: Ceilings, detail: str | None = None) -> str:
    """`halted at step 42: $10.00 cost ceiling reached`; `step` is the last that completed (G6)."""
    why = {
        Reason.COST: f"{ceilings.usd} cost ceiling reached",
        Reason.TOKENS: f"{ceilings.tokens:,} token ceiling reached",
        Reason.STEPS: f"{ceilings.steps} step ceiling reached",
        Reason.WALL_CLOCK: f"{span(ceilings.seconds)} wall-clock ceiling reached",
        Reason.CACHED_TOKENS: f"{ceilings.cached_tokens or 0:,} cached token ceiling reached",
        Reason.STUCK: f"stuck_loop: {detail or 'the same again and again'}",
        Reason.STOPPED: detail or "stopped",
        Reason.UPSTREAM_LIMIT: "the spend limit of the API key was reached upstream",
        Reason.CAP_REACHED: detail or "a monthly cap is reached",
        Reason.BOUND_EXCEEDED: detail or "an answer cost more than its bound",
    }[reason]
    return f"halted at step {step}: {why}"


def span(seconds: int) -> str:
    """`10m`, `1m 30s`, `2h`: as people write them in options."""
    parts = [(seconds // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s")]
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
