"""Whoever wants to go on with a run is told beforehand what it costs, and totals that suffice."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from bot.core.again import MIN_SECONDS, reading, short
from bot.core.ceilings import Ceilings, less_kept_back
from bot.core.meter import FLOOR_THINKING
from bot.core.money import ZERO, Usd
from bot.core.outcomes import Spent, Turn
from bot.core.prices import PriceBook
from bot.core.quantities import duration, whole

OPUS = PriceBook().price("claude-opus-4-7", datetime(2026, 11, 1, tzinfo=UTC))


def turn(input: int = 0, written: int = 0, read: int = 0, output: int = 0) -> Turn:
    return Turn(1, "m", ZERO, input, written, read, output, "tool_use")


def test_what_was_last_sent_and_answered_is_written_to_the_cache_anew() -> None:
    found = reading(OPUS, [turn(9), turn(1_000, 8_000, 30_000, 1_000), turn()], 0)
    # 40,000 tokens at $6.25 a million: about-claude/pricing, copy of 2026-08-22.
    assert (found.tokens, found.cost) == (40_000, Usd.parse("0.25"))
    assert reading(OPUS, [], 10).cost == ZERO


counts = st.integers(0, 2_000_000)


@given(
    counts, counts, st.integers(0, 300), st.integers(0, 9_999), st.integers(0, 10**12), st.integers(1, 10**13)
)
def test_totals_that_are_said_to_suffice_do(
    context: int, tokens: int, steps: int, seconds: int, nanos: int, ceiling: int
) -> None:
    again = reading(OPUS, [turn(read=context)], 100)
    spent = Spent(Usd(nanos), tokens, steps, seconds=seconds)
    tight = Ceilings(Usd(ceiling), max(1, ceiling // 10**6), max(1, steps // 2), max(1, seconds // 2))
    said = short(spent, tight, again)
    assert {"steps", "wall"} <= set(said) or steps < 2 or seconds < 2
    enough = Ceilings(
        Usd.parse(said["cost"]) if "cost" in said else tight.usd,
        whole(said["tokens"]) if "tokens" in said else tight.tokens,
        whole(said["steps"]) if "steps" in said else tight.steps,
        duration(said["wall"]) if "wall" in said else tight.seconds,
    )
    assert short(spent, enough, again) == {}
    within = less_kept_back(enough)
    assert within.usd.nanos - nanos >= again.first.nanos(FLOOR_THINKING)
    assert within.tokens - tokens >= again.first.tokens(FLOOR_THINKING)
    assert within.steps > steps
    assert enough.seconds - seconds >= MIN_SECONDS
