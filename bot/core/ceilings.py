"""The four ceilings of a run, where they come from, and the words for why a run ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.core.money import Usd


class Reason(StrEnum):
    """Why a run halted (INTERFACE section 5)."""

    COST = "cost_ceiling"
    TOKENS = "token_ceiling"
    STEPS = "step_ceiling"
    WALL_CLOCK = "wall_clock_ceiling"
    CACHED_TOKENS = "cached_token_ceiling"
    STUCK = "stuck_loop"
    STOPPED = "stopped"
    UPSTREAM_LIMIT = "upstream_limit"
    BOUND_EXCEEDED = "bound_exceeded"


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a run may spend at most. Never unset; `cached_tokens` alone may be None."""

    usd: Usd
    tokens: int
    steps: int
    seconds: int
    cached_tokens: int | None = None


# INTERFACE section 4.
CLASSES: dict[str, Ceilings] = {
    "default": Ceilings(Usd.parse("10"), 800_000, 50, 20 * 60),
    "bugfix": Ceilings(Usd.parse("5"), 500_000, 20, 10 * 60),
    "feature": Ceilings(Usd.parse("15"), 1_000_000, 60, 30 * 60),
    "refactor": Ceilings(Usd.parse("20"), 1_000_000, 80, 30 * 60),
    "sweep": Ceilings(Usd.parse("10"), 800_000, 50, 45 * 60),
}
