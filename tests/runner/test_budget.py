"""When the model is told that its budget is nearly gone: while it can still do something about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.runner.engines import Remaining, Reply
from bot.runner.engines.budget import Budget

CEILINGS = Ceilings(Usd.parse("10"), 1_000_000, 50, 600)


def reply(
    usd: str = "10", tokens: int = 1_000_000, steps: int = 50, seconds: int = 600, **more: Any
) -> Reply:
    return Reply([], "tool_use", before=Remaining(Usd.parse(usd), tokens, steps, seconds), **more)


def used(tokens_before: int, tokens: int) -> Reply:
    return replace(reply(tokens=tokens_before), tokens=tokens)


@pytest.mark.parametrize(
    ("last", "reason", "left"),
    [
        pytest.param(reply(), None, "", id="all is there"),
        pytest.param(reply(usd="0.31"), None, "", id="a little more than 3 % of the dollars"),
        pytest.param(reply(usd="0.30"), Reason.COST, "about $0.30 of $10.00", id="of the dollars"),
        pytest.param(reply(tokens=30_000), Reason.TOKENS, "30,000 of 1,000,000 tokens", id="of the tokens"),
        pytest.param(
            used(90_000, 40_000), Reason.TOKENS, "50,000 of 1,000,000 tokens",
            id="not enough tokens for two more such turns",
        ),
        pytest.param(reply(steps=3), None, "", id="two steps are left after this one"),
        pytest.param(reply(steps=2), Reason.STEPS, "1 step of 50", id="one step is left after this one"),
        pytest.param(reply(seconds=19), None, "", id="19 seconds"),
        pytest.param(reply(seconds=18), Reason.WALL_CLOCK, "18 seconds of 600", id="3 % of the time"),
    ],
)  # fmt: skip
def test_nearly_gone_is_three_percent_of_any_ceiling_or_one_step(
    last: Reply, reason: Reason | None, left: str
) -> None:
    found = Budget(CEILINGS, clock=lambda: 0.0).nearly_gone(last)
    assert found == ((reason, left) if reason else None)


def test_what_does_not_pay_two_more_of_the_dearest_turns_is_nearly_gone() -> None:
    budget = Budget(CEILINGS, clock=lambda: 0.0)
    assert budget.nearly_gone(reply(usd="10")) is None
    assert budget.nearly_gone(reply(usd="8")) is None  # a turn cost $2: $6 are left after this one
    assert budget.nearly_gone(reply(usd="7")) is None  # $5 after this one
    assert budget.nearly_gone(reply(usd="6")) == (Reason.COST, "about $4.00 of $10.00")


def test_the_time_that_the_answer_took_counts() -> None:
    now = iter([100.0, 150.0])
    budget = Budget(CEILINGS, clock=lambda: next(now))
    budget.asked()
    assert budget.nearly_gone(reply(seconds=60)) == (Reason.WALL_CLOCK, "10 seconds of 600")


def test_a_short_run_is_not_told_at_its_very_start() -> None:
    short = Ceilings(Usd.parse("10"), 1_000_000, 50, 12)
    assert Budget(short, clock=lambda: 0.0).nearly_gone(reply(seconds=11)) is None


def test_a_max_tokens_that_falls_to_its_floor_is_nearly_gone_while_dollars_are_still_shown() -> None:
    budget = Budget(CEILINGS, clock=lambda: 0.0)
    assert budget.nearly_gone(reply(usd="5", clamped=24_000)) is None
    assert budget.nearly_gone(reply(usd="4.9", clamped=16_000)) is None
    assert budget.nearly_gone(reply(usd="4.8", clamped=7_900)) == (Reason.COST, "about $4.70 of $10.00")


def test_the_less_the_slice_pays_for_the_earlier_it_is_told() -> None:
    budget = Budget(CEILINGS, clock=lambda: 0.0)
    assert budget.nearly_gone(reply(usd="8", clamped=24_000)) is None
    assert budget.nearly_gone(reply(usd="7", clamped=16_000)) == (Reason.COST, "about $6.00 of $10.00")


def test_where_tokens_are_scarcer_than_dollars_it_is_they_that_lower_max_tokens() -> None:
    found = Budget(CEILINGS, clock=lambda: 0.0).nearly_gone(reply(usd="9", tokens=90_000, clamped=4_500))
    assert found == (Reason.TOKENS, "90,000 of 1,000,000 tokens")


def test_without_a_gateway_nothing_is_ever_nearly_gone() -> None:
    assert Budget(CEILINGS).nearly_gone(Reply([], "tool_use", tokens=10**9)) is None
