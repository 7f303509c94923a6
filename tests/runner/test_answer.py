"""An answer put together from its events, and a request from its messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.runner.engines.answer import Answer
from bot.runner.engines.claude import Written

START: dict[str, Any] = {
    "type": "message_start",
    "message": {"usage": {"input_tokens": 10, "cache_creation_input_tokens": 5, "output_tokens": 1}},
}


def heard(*events: dict[str, Any]) -> Answer:
    answer = Answer()
    for event in (START, *events):
        answer.hear(event)
    return answer


def block(index: int, begun: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    start = {"type": "content_block_start", "index": index, "content_block": begun}
    return [start, *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)]


@pytest.mark.parametrize(
    ("begun", "deltas", "sent_back"),
    [
        pytest.param(
            {"type": "text", "text": "", "citations": None},
            [{"type": "text_delta", "text": "Good "}, {"type": "text_delta", "text": "day."}],
            {"type": "text", "text": "Good day."},
            id="text, without what is for its reader",
        ),
        pytest.param(
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": "So"}, {"type": "signature_delta", "signature": "c2ln"}],
            {"type": "thinking", "thinking": "So", "signature": "c2ln"},
            id="a thought and its signature",
        ),
        pytest.param(
            {"type": "redacted_thinking", "data": "xyz"}, [], {"type": "redacted_thinking", "data": "xyz"},
            id="a hidden thought",
        ),
        pytest.param(
            {"type": "tool_use", "id": "t", "name": "bash", "input": {}, "caller": {"type": "direct"}},
            [{"type": "input_json_delta", "partial_json": each} for each in ("", '{"command": "l', 's"}')],
            {"type": "tool_use", "id": "t", "name": "bash", "input": {"command": "ls"}},
            id="a call",
        ),
        pytest.param(
            {"type": "tool_use", "id": "t", "name": "bash", "input": {}}, [],
            {"type": "tool_use", "id": "t", "name": "bash", "input": {}},
            id="a call without input",
        ),
        pytest.param(
            {"type": "tool_use", "id": "t", "name": "bash", "input": {}},
            [{"type": "input_json_delta", "partial_json": '{"command": "l'}],
            {"type": "tool_use", "id": "t", "name": "bash", "input": {}},
            id="a call that was cut",
        ),
        pytest.param(
            {"type": "new_thing", "data": 1},
            [{"type": "new_delta", "more": 2}],
            {"type": "new_thing", "data": 1},
            id="a block that is not known yet",
        ),
    ],
)  # fmt: skip
def test_a_block_goes_back_as_it_came(
    begun: dict[str, Any], deltas: list[dict[str, Any]], sent_back: dict[str, Any]
) -> None:
    assert heard(*block(0, begun, *deltas)).content() == [sent_back]


def test_the_last_usage_wins_and_what_it_leaves_out_stays() -> None:
    usage = {"output_tokens": 7, "cache_creation_input_tokens": None}
    answer = heard({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    assert answer.stop_reason == "end_turn"
    assert answer.used("input_tokens", "cache_creation_input_tokens", "output_tokens") == 22
    assert answer.used("cache_read_input_tokens") == 0


def test_an_answer_without_a_stop_reason_is_not_whole() -> None:
    assert heard({"type": "ping"}, *block(0, {"type": "text", "text": "x"})).stop_reason is None


def test_a_request_is_written_from_what_was_written_before_and_from_what_is_new() -> None:
    written = Written({"model": "m", "stream": True})
    one, two, three = ({"role": "user", "content": f"é {n}"} for n in range(3))
    for messages in ([one], [one, two, three], [one, {**two}, three], [three], [one, two]):
        body = json.loads(written.request(messages))
        assert body == {"model": "m", "stream": True, "messages": messages}
