"""What it takes to go on with a run: what reading its conversation anew costs, and which ceilings suffice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.ceilings import Ceilings, less_kept_back
from bot.core.meter import FLOOR_THINKING, Bound
from bot.core.money import CENT, ZERO, Usd
from bot.core.outcomes import Spent, Turn
from bot.core.prices import Price

MIN_SECONDS = 60  # a workflow that has less time than that comes to nothing
WORDS = 2_000  # of ours, at the most, that the conversation is told when it goes on


@dataclass(frozen=True, slots=True)
class Again:
    """`tokens` of conversation cost `cost` to read without a warm cache; `first` bounds the first request."""

    tokens: int
    cost: Usd
    first: Bound


def reading(price: Price, turns: Sequence[Turn], words: int) -> Again:
    """By the last answered request, and so many bytes of words that are new."""
    last = next((t for t in reversed(turns) if t.input + t.cache_write + t.cache_read > 0), None)
    tokens = last.input + last.cache_write + last.cache_read + last.output if last else 0
    rates = price.at(tokens)
    first = Bound(tokens + words + WORDS, rates.cache_write_5m, rates.output, True)
    return Again(tokens, Usd(tokens * rates.cache_write_5m) if tokens else ZERO, first)


def short(
    spent: Spent, ceilings: Ceilings, again: Again, refused: tuple[int, int] = (0, 0)
) -> dict[str, str]:
    """For each ceiling that leaves too little for a next request, by its option: a total that suffices.

    `refused`: nano-dollars and tokens of the request that did not fit when the run halted.
    """
    nanos = spent.usd.nanos + max(again.first.nanos(FLOOR_THINKING), refused[0])
    tokens = spent.tokens + max(again.first.tokens(FLOOR_THINKING), refused[1])
    seconds = spent.seconds + MIN_SECONDS
    within = less_kept_back(ceilings)
    found = {}
    if within.usd.nanos < nanos:
        found["cost"] = str(Usd(-(-_least(nanos) // CENT) * CENT)).replace(",", "")
    if within.tokens < tokens:
        found["tokens"] = f"{-(-_least(tokens) // 1_000)}k"
    if within.steps < spent.steps + 1:
        found["steps"] = str(_least(spent.steps + 1))
    if ceilings.seconds < seconds:
        found["wall"] = f"{-(-seconds // 60)}m"
    return found


def _least(use: int) -> int:
    """The smallest ceiling of which so much may be used before the agent is told to wrap up."""
    ceiling = use * 33 // 32
    while less_kept_back(Ceilings(ZERO, ceiling, 1, 1)).tokens < use:
        ceiling += 1
    return ceiling
