"""What the model's side sends: streams in any pieces, broken ones, usages of any shape."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from bot.core.money import ZERO
from bot.core.prices import PriceBook, UnknownModel
from bot.core.usage import MAX_EVENT, Answer, Reader, read_count, read_message
from tests.fuzz.target import Target, pure
from tests.fuzz.values import mutated, spoiled, written

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PRICES = PriceBook()
USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "cache_read_input_tokens": 40,
    "output_tokens": 5,
    "server_tool_use": {"web_search_requests": 1},
    "inference_geo": "us",
    "service_tier": "standard",
    "iterations": [
        {"type": "message", "input_tokens": 12, "output_tokens": 5},
        {"type": "advisor_message", "model": "claude-haiku-4-5", "input_tokens": 30, "output_tokens": 40},
    ],
}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-7",
    "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "ok"}], "usage": USAGE,
}  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": 'a "usage"\n\ndata: {}'},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 30}},
    {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": USAGE},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"type": "message_stop"},
]
ENDS = st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\n", b"\r\r", b""])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events in any order, some of them broken, with line ends of every kind."""
    parts = []
    for event in draw(st.lists(st.sampled_from(EVENTS), max_size=8)):
        data = draw(mutated(st.just(event))) if draw(st.integers(0, 3)) == 0 else written(event)
        head = draw(
            st.sampled_from([f"event: {event['type']}\n".encode(), b"", b": a comment\n", b"id: 1\n"])
        )
        parts.append(
            head + draw(st.sampled_from([b"data: ", b"data:", b"data :", b" data: "])) + data + draw(ENDS)
        )
    return spoiled(draw, b"".join(parts))


def fed(stream: bytes, cuts: list[int], long_cache: bool) -> Answer:
    reader, start = Reader(long_cache=long_cache), 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        reader.feed(stream[start:cut])
        start = max(start, cut)
    return reader.answer


def priced(answer: Answer) -> None:
    """Nothing is worth less than nothing, and every counter fits where it is kept."""
    if answer.usage is None:
        return
    assert answer.usage.metered >= 0
    for part in answer.usage.flat():
        assert min(part.input, part.output, part.cache_read, part.cache_write_5m, part.cache_write_1h) >= 0
    with suppress(UnknownModel):  # the hold is what it costs then
        assert PRICES.cost(answer.usage, NOW).total >= ZERO


def a_stream(given: tuple[bytes, list[int], bool]) -> None:
    """However it is cut, it says the same."""
    stream, cuts, long_cache = given
    whole, cut = fed(stream, [], long_cache), fed(stream, cuts, long_cache)
    assert whole == cut
    priced(cut)


def an_endless_stream(given: tuple[bytes, int, int]) -> None:
    """A line without an end is passed on and not kept."""
    piece, size, times = given
    reader, chunk = Reader(), (piece * (size // len(piece) + 1))[:size]
    for _ in range(times):
        reader.feed(chunk)
        assert len(reader._rest) <= MAX_EVENT + size
    reader.feed(b"\n" + b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in EVENTS))
    assert reader.answer.finished


def a_message(raw: bytes) -> None:
    answer = read_message(raw)
    priced(answer)
    assert answer.finished is (answer.usage is not None)
    counted = read_count(raw)
    assert counted is None or counted >= 0


TARGETS = (
    Target(
        "streams",
        "a stream says the same wherever it is cut, and nothing in it is worth less than nothing",
        st.tuples(streams(), st.lists(st.integers(0, 4_000), max_size=12), st.booleans()),
        pure(a_stream),
        200,
    ),
    Target(
        "endless streams",
        "what has no end is not kept",
        st.tuples(
            st.sampled_from(
                [b"x", b"data: ", b'data: {"usage": ', b"\r", b'"', b"\n", b"event: error\ndata: {\n"]
            ),
            st.sampled_from([1_000, 65_536, 1 << 20]),
            st.integers(1, 12),
        ),
        pure(an_endless_stream),
        20,
    ),
    Target(
        "messages",
        "an answer's usage is read, or it has none",
        mutated(st.just(MESSAGE)),
        pure(a_message),
        200,
    ),
)
