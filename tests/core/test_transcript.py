"""A conversation is kept and read back whole, and goes on in a form that the API takes."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.rules import Stuck
from bot.core.stuck import judge
from bot.core.transcript import (
    MAX_BYTES,
    NOT_EXECUTED,
    Malformed,
    Transcript,
    going_on,
    read,
    write,
)

words = st.text(max_size=20)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[dict[str, Any], ...]:
    """As an engine makes them: it may have stopped before, between or after the results of a turn."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": draw(words)}]}]
    number = 0
    for _ in range(draw(st.integers(0, 4))):
        calls = []
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            calls.append(
                {
                    "type": "tool_use",
                    "id": f"toolu_{number}",
                    "name": "bash",
                    "input": {"command": draw(words)},
                }
            )
        thought = (
            [{"type": "thinking", "thinking": "", "signature": draw(words)}] if draw(st.booleans()) else []
        )
        messages.append({"role": "assistant", "content": [*thought, {"type": "text", "text": "."}, *calls]})
        results: list[dict[str, Any]] = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": draw(words)} for call in calls
        ]
        messages.append({"role": "user", "content": results or [{"type": "text", "text": "go on"}]})
    left = draw(st.integers(1, len(messages)))
    return tuple(messages[:left])


@given(conversations(), st.integers(0, 99), st.integers(0, 99))
def test_what_is_kept_is_read_back_whole(messages: Any, turns: int, calls: int) -> None:
    kept = Transcript("opus", messages, turns, calls, "/tmp/x/work/y", ("make test",), 3)  # noqa: S108
    assert read(write(kept)) == kept
    assert write(kept) == write(kept)


@given(conversations(), st.integers(0, 3))
def test_it_goes_on_with_all_before_unchanged_and_a_result_for_every_call(messages: Any, lost: int) -> None:
    if messages[-1]["role"] == "user" and len(messages) > 1:  # some results of the last turn never came
        kept = messages[-1]["content"][: len(messages[-1]["content"]) - lost]
        messages = (*messages[:-1], {"role": "user", "content": kept})
    found = going_on(messages, "Go on.")
    flat = [(m["role"], block) for m in messages for block in m["content"]]
    assert [(m["role"], block) for m in found for block in m["content"]][: len(flat)] == flat
    assert [m["role"] for m in found] == ["user", "assistant"] * (len(found) // 2) + ["user"] * (
        len(found) % 2
    )
    assert found[-1]["role"] == "user"
    assert found[-1]["content"][-1] == {"type": "text", "text": "Go on."}
    for message, after in pairwise(found):
        asked = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        assert [b["tool_use_id"] for b in after["content"] if b["type"] == "tool_result"] == asked
    added = [b for m in found for b in m["content"] if b.get("content") == NOT_EXECUTED]
    assert all(block["is_error"] for block in added)


def test_a_run_that_was_stuck_may_ask_again_when_it_goes_on() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "do"}]}]
    for number in range(6):
        call = {"type": "tool_use", "id": f"t{number}", "name": "bash", "input": {"command": "ls"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "a b"}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert judge(messages, Stuck()) is not None
    assert judge(going_on(messages, "It was resumed now."), Stuck()) is None


def packed(value: Any) -> bytes:
    return gzip.compress(json.dumps(value).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", gzip.compress(b"{"), packed([]), packed({"version": 2}), packed({"version": 1}),
        packed({"version": 1, "engine": "opus", "messages": [], "failed": []}),
        packed({"version": 1, "engine": "opus", "messages": [{"role": "system"}], "failed": []}),
        packed({"version": 1, "engine": "opus", "messages": [{"role": "user"}], "failed": []}),
        gzip.compress(b"[" * 100_000), gzip.compress(b" " * (MAX_BYTES + 1)),
    ],
    ids=[
        "nothing", "not packed", "broken", "a list", "another version", "empty", "no message",
        "a system message", "a message without content", "nested too deeply", "too large",
    ],
)  # fmt: skip
def test_what_is_no_transcript_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(Malformed, match="conversation"):
        read(content)


def test_more_than_a_request_may_hold_is_not_kept() -> None:
    huge = Transcript("opus", ({"role": "user", "content": [{"type": "text", "text": "x" * MAX_BYTES}]},))
    with pytest.raises(Malformed, match="is not kept"):
        write(huge)
