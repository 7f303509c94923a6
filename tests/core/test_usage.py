"""Usage is read from whatever bytes pass, however they are cut into pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.usage import Reader, Usage, parse, read_message

START = {
    "type": "message_start",
    "message": {
        "model": "claude-opus-4-7",
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "cache_read_input_tokens": 40,
            "output_tokens": 1,
            "inference_geo": "us",
            "service_tier": "standard",
        },
    },
}
DELTA = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 99, "input_tokens": 15, "cache_creation_input_tokens": 30},
}
TEXT = {
    "type": "content_block_delta",
    "delta": {"type": "text_delta", "text": 'a "usage" in a text: \n\n data: {}'},
}
STOP = {"type": "message_stop"}


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def read(stream: bytes, cuts: list[int]) -> Reader:
    reader, start = Reader(), 0
    for cut in [*sorted(c % (len(stream) + 1) for c in cuts), len(stream)]:
        reader.feed(stream[start:cut])
        start = max(start, cut)
    return reader


@given(st.lists(st.integers(0, 5_000), max_size=40))
def test_the_last_cumulative_value_wins_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    answer = read(sse(START, TEXT, TEXT, DELTA, STOP), cuts).answer
    assert answer.usage == Usage(15, 10, 20, 40, 99, 0, "claude-opus-4-7", "us", "standard")
    assert (answer.stop_reason, answer.finished, answer.error) == ("end_turn", True, None)


def test_a_stream_that_ends_early_is_started_but_not_finished() -> None:
    answer = read(sse(START, TEXT), []).answer
    assert (answer.started, answer.finished) == (True, False)
    assert answer.usage is not None


def test_before_message_start_nothing_is_known() -> None:
    assert read(b": ping\n\nevent: ping\ndata: {}\n\n", []).answer.usage is None


def test_an_error_event_is_seen() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert read(sse(START, error), []).answer.error == error["error"]


def test_a_refusal_before_any_output_is_told_from_one_in_mid_stream() -> None:
    refusal = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 5}}
    assert read(sse(START, refusal, STOP), []).answer.refused_before_output
    assert not read(sse(START, TEXT, refusal, STOP), []).answer.refused_before_output


@pytest.mark.parametrize(
    "block",
    [
        {"type": "redacted_thinking", "data": "EmwKAhgB"},
        {"type": "redacted_thinking", "data": "E" * (9 << 20)},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "tool_use", "id": "toolu_1", "name": "n", "input": {}},
        {"type": "text", "text": "a"},
        {"type": "of tomorrow"},
    ],
    ids=["redacted", "longer than is read", "result", "tool", "text", "unknown"],
)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=5))
@settings(max_examples=10, deadline=None)
def test_content_that_comes_whole_is_output_as_in_a_json_answer(
    block: dict[str, Any], cuts: list[int]
) -> None:
    begins = {"type": "content_block_start", "index": 0, "content_block": block}
    refusal = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 5}}
    for order in ((START, begins, refusal, STOP), (START, refusal, begins, STOP)):
        answer = read(sse(*order), cuts).answer
        assert (answer.refused_before_output, answer.started) == (False, True)
    whole = {"type": "message", "stop_reason": "refusal", "usage": {"input_tokens": 1, "output_tokens": 5}}
    assert not read_message(json.dumps(whole | {"content": [block]}).encode()).refused_before_output


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_a_block_that_has_only_begun_is_no_output_yet(kind: str) -> None:
    begins = {"type": "content_block_start", "index": 0, "content_block": {"type": kind, kind: ""}}
    refusal = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 5}}
    assert read(sse(START, begins, refusal, STOP), []).answer.refused_before_output


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_make_the_reader_fail(noise: bytes, cuts: list[int]) -> None:
    read(noise + b"\ndata: " + noise + b'"usage"\n', cuts)
    read_message(noise)


@pytest.mark.parametrize("reason", ["end_turn", "refusal"])
@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "a" * (2 << 20)}],
        [{"type": "text", "text": '"usage": {"output_tokens": 9}, ' * (1 << 17)}],
        [{"type": "text", "text": "\\😀\n" * (1 << 18)}] * 2,
        [{"type": "tool_use", "id": "t", "name": "n", "input": {str(n): n for n in range(1 << 17)}}],
        "x" * (2 << 20),
    ],
    ids=["text", "a text that speaks of usage", "escapes", "more small parts than are read", "no list"],
)
def test_a_large_answer_says_what_a_small_one_does(content: Any, reason: str) -> None:
    message = {
        "type": "message",
        "model": "claude-opus-4-7",
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": reason,
        "usage": {"input_tokens": 20, "output_tokens": 30, "cache_creation_input_tokens": 5},
    }
    small = read_message(json.dumps(message).encode())
    for ascii_only in (True, False):
        large = json.dumps(message | {"content": content}, ensure_ascii=ascii_only).encode()
        assert len(large) > 1 << 20
        assert read_message(bytearray(large)) == small
    assert read_message(large[:-1]).usage is None


@pytest.mark.parametrize("at", [0, 1], ids=["in one piece", "after it"])
def test_a_refusal_that_output_follows_is_no_refusal_before_it_wherever_the_stream_is_cut(at: int) -> None:
    refusal = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 5}}
    cut = len(sse(START, refusal)) * at
    assert not read(sse(START, refusal, TEXT, STOP), [cut]).answer.refused_before_output


@pytest.mark.parametrize("long", [False, True])
def test_writes_whose_lifetime_is_not_told_take_the_requests(long: bool) -> None:
    usage = parse({"cache_creation_input_tokens": 7}, long_cache=long)
    assert (usage.cache_write_5m, usage.cache_write_1h) == ((0, 7) if long else (7, 0))


def test_iterations_of_other_models_are_counted_beside_the_top_level() -> None:
    usage = parse(
        {
            "input_tokens": 1,
            "output_tokens": 2,
            "iterations": [
                {"type": "message", "input_tokens": 1, "output_tokens": 2},
                {
                    "type": "advisor_message",
                    "model": "claude-haiku-4-5",
                    "input_tokens": 30,
                    "output_tokens": 40,
                },
            ],
        },
        model="claude-opus-4-7",
    )
    assert usage.metered == 73
    assert [part.model for part in usage.flat()] == ["claude-opus-4-7", "claude-haiku-4-5"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s)
    )
)
def test_a_usage_of_any_shape_is_read_without_failing(raw: Any) -> None:
    assert parse(raw).metered >= 0


MODEL = "claude-opus-4-7"
parts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "fallback_message", "compaction", "advisor_message"]),
        "model": st.sampled_from([None, MODEL, "claude-haiku-4-5"]),
        "input_tokens": st.integers(0, 10**6),
        "output_tokens": st.integers(0, 10**6),
        "cache_read_input_tokens": st.integers(0, 10**6),
        "cache_creation_input_tokens": st.integers(0, 10**6),
    }
)


@given(st.lists(parts, max_size=5), st.sampled_from(["", "us"]))
def test_no_token_of_an_iteration_is_lost(entries: list[dict[str, Any]], geo: str) -> None:
    own = [e for e in entries if e["type"].endswith("message") and e["type"] != "advisor_message"]
    own = [e for e in own if e["model"] in (None, MODEL)]
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    top = {name: sum(entry[name] for entry in own) for name in names}
    usage = parse({**top, "inference_geo": geo, "iterations": entries}, model=MODEL)
    assert usage.counted("output") == sum(entry["output_tokens"] for entry in entries)
    assert sum(part.total_input for part in usage.flat()) == sum(
        e[n] for e in entries for n in names if n != "output_tokens"
    )
    assert {part.geo for part in usage.flat()} == {geo}
    # A top level that told less than the passes did is not believed.
    assert (
        parse({"input_tokens": 0, "output_tokens": 0, "iterations": entries}, model=MODEL).metered
        == usage.metered
    )


@pytest.mark.parametrize("pings", [0, 2])
def test_an_error_in_place_of_the_first_event_began_no_message(pings: int) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    ping = {"type": "ping"}
    assert read(sse(*[ping] * pings, error), []).answer.unstarted
    assert not read(sse(START, error), []).answer.unstarted
    assert not read(sse(TEXT, error), []).answer.unstarted
    assert not read(sse(ping), []).answer.unstarted
