"""Which results of tools are still sent: what pays, what must be, and what the arithmetic says of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.runner.engines import Message, Remaining, Reply
from bot.runner.engines.budget import Budget
from bot.runner.engines.context import NEWEST, Context

MOST = 50_000


def talk(*sizes: int) -> list[Message]:
    """A conversation with results of so many characters, one a turn."""
    found: list[Message] = [{"role": "user", "content": [{"type": "text", "text": "go on"}]}]
    for number, size in enumerate(sizes):
        call = {"type": "tool_use", "id": f"t{number}", "name": "bash", "input": {"command": "ls"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "x" * size}
        found += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return found


def cleared(
    messages: list[Message],
    turns: int,
    most: int = MOST,
    context: Context | None = None,
    affords: bool = True,
) -> tuple[int, Context]:
    """What is freed of it where a token has three bytes."""
    context = context or Context(most)
    size = sum(len(str(message)) for message in context.sent(messages)[:-2])
    return context.clear(messages, size // 3, size, turns, lambda bytes_: affords), context


@pytest.mark.parametrize(
    ("sizes", "turns", "affords", "clears"),
    [
        pytest.param([10_000] * 6, 50, True, False, id="a small context is left alone"),
        pytest.param([10_000] * 12, 20, True, True, id="much that is old, many turns to come"),
        pytest.param([10_000] * 12, 2, True, False, id="few turns to come: it would not pay"),
        pytest.param([10_000] * 20, 1, True, True, id="above its bound, even if it does not pay"),
        pytest.param([10_000] * 20, 50, False, False, id="a ceiling is near: the request might not fit"),
        pytest.param([300] * 400, 50, True, False, id="many short results: nothing to gain"),
        pytest.param([100_000, 100, 100], 50, True, False, id="the newest results stay, however large"),
    ],
)
def test_it_is_cleared_when_that_pays_or_must_be(
    sizes: list[int], turns: int, affords: bool, clears: bool
) -> None:
    freed, context = cleared(talk(*sizes), turns, affords=affords)
    assert (freed > 0) == clears
    assert (context.anchor > 0) == clears


sizes = st.lists(st.integers(0, 30_000), min_size=1, max_size=60)


@given(sizes, st.integers(0, 100))
def test_what_is_cleared_is_paid_for_by_the_turns_to_come_unless_it_is_above_its_bound(
    sizes: list[int], turns: int
) -> None:
    messages = talk(*sizes)
    whole = sum(len(str(message)) for message in messages)
    freed, context = cleared(messages, turns)
    sent = context.sent(messages)
    if not freed:
        assert sent == messages
        return
    behind = sum(len(str(message)) for message in sent[context.anchor + 1 :])
    saved = (whole - sum(len(str(message)) for message in sent)) * 0.1 * turns
    assert saved > 1.15 * behind or whole / 3 > MOST


@given(sizes)
def test_a_conversation_that_goes_on_stays_near_its_bound_and_is_rarely_cleared(sizes: list[int]) -> None:
    context, clearings, largest = Context(MOST), 0, 0
    for number in range(1, len(sizes) + 1):
        messages = talk(*sizes[:number])
        freed, _ = cleared(messages, 1, context=context)
        clearings += freed > 0
        largest = max(largest, sum(len(str(message)) for message in context.sent(messages)))
    # Not counted: the newest results, and what is not a result.
    assert largest / 3 < MOST + NEWEST * 30_000 / 3 + MOST // 8 + len(sizes) * 200
    assert clearings <= 1 + sum(sizes) / 3 / (MOST // 8)


@given(sizes, st.integers(0, 100))
def test_the_newest_results_and_every_word_of_the_model_stay(sizes: list[int], turns: int) -> None:
    messages = talk(*sizes)
    _, context = cleared(messages, turns)
    for before, after in zip(messages, context.sent(messages), strict=True):
        assert before["role"] == after["role"]
        if before["role"] == "assistant":
            assert after == before
    assert context.sent(messages)[-2 * NEWEST + 1 :] == messages[-2 * NEWEST + 1 :]


def test_an_error_that_is_cleared_stays_an_error() -> None:
    messages = talk(*[10_000] * 12)
    messages[2]["content"][0]["is_error"] = True
    _, context = cleared(messages, 50)
    assert context.sent(messages)[2]["content"][0]["is_error"] is True


def answered(usd: str, tokens: int, weight: int) -> Reply:
    return Reply([], "tool_use", before=Remaining(Usd.parse(usd), tokens, 50, 600), weight=weight)


@pytest.mark.parametrize(
    ("usd", "tokens", "size", "affords"),
    [
        # $0.50 for 100,000 tokens of fresh input: $5 a million, and so $6.25 for each million bytes.
        pytest.param("9.5", 900_000, 100_000, True, id="$0.63 of $9"),
        pytest.param("1.5", 900_000, 100_000, False, id="$0.63, and $0.10 to answer with, of $1"),
        pytest.param("9.5", 200_000, 100_000, False, id="more than half of the tokens"),
    ],
)
def test_a_request_that_continues_none_must_fit_into_half_of_what_is_left(
    usd: str, tokens: int, size: int, affords: bool
) -> None:
    budget = Budget(Ceilings(Usd.parse("10"), 1_000_000, 50, 600), clock=lambda: 0.0)
    before = answered(str(Usd.parse(usd) + Usd.parse("0.5")), tokens, weight=100 * 100_000)
    assert not budget.affords(before, size)  # nobody knows yet what a token costs
    budget.nearly_gone(before)
    last = answered(usd, tokens, weight=100)
    budget.nearly_gone(last)
    assert budget.affords(last, size) == affords
    unmetered: Any = Reply([], "tool_use")
    assert budget.affords(unmetered, size)
