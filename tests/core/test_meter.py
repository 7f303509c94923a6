"""The bound of a request is never below what it is billed, and nothing that has no bound passes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import meter
from bot.core.prices import PriceBook

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PRICE = PriceBook().price("claude-opus-4-7", NOW)


def body(**given: Any) -> bytes:
    known = {"model": "claude-opus-4-7", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**known, **given}, ensure_ascii=False).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "not a JSON object", id="empty"),
        pytest.param(b"[1]", "not a JSON object", id="a list"),
        pytest.param(b"\xff\xfe{}", "not a JSON object", id="not UTF-8"),
        pytest.param(b'{"max_tokens":1,"max_tokens":999999}', "twice", id="a key twice at the top"),
        pytest.param(b'{"messages":[{"role":"user","role":"x"}]}', "twice", id="a key twice further down"),
        pytest.param(b'{"m\\u0061x_tokens":1}', "escapes", id="an escaped key"),
        pytest.param(b'{"model":"m"} {"model":"n"}', "goes on", id="two objects"),
        pytest.param(b'{"a":' + b"[" * 200_000, "JSON|deep", id="nested without end"),
        pytest.param(body(max_tokens="100"), "max_tokens", id="max_tokens as text"),
        pytest.param(body(max_tokens=True), "max_tokens", id="max_tokens as truth"),
        pytest.param(body(max_tokens=0), "max_tokens", id="max_tokens of nothing"),
        pytest.param(body(max_tokens=1e3), "max_tokens", id="max_tokens as a float"),
        pytest.param(body(max_tokens=10**30), "max_tokens", id="max_tokens that no ledger can hold"),
        pytest.param(b'{"max_tokens":' + b"9" * 5_000 + b"}", "JSON", id="a number without end"),
        pytest.param(body(model=""), "model", id="no model"),
        pytest.param(body(messages=[]), "messages", id="no messages"),
        pytest.param(body(messages=["hi"]), "messages", id="a message that is none"),
        pytest.param(body(mcp_servers=[{"url": "x"}]), "cannot be bounded", id="MCP servers"),
        pytest.param(body(fallbacks=[{"model": "x"}]), "cannot be bounded", id="fallback models"),
        pytest.param(body(speed="fast"), "cannot be priced", id="fast mode"),
        pytest.param(
            body(tools=[{"type": "web_search_20260209", "name": "web_search"}]), "server", id="a server tool"
        ),
        pytest.param(
            body(context_management={"edits": [{"type": "compact_20260112"}]}), "compaction", id="compaction"
        ),
        *(
            pytest.param(
                body(messages=[{"role": "user", "content": [{"type": kind, "source": source}]}]),
                "cannot be bounded",
                id=f"{kind} by {source['type']}",
            )
            for kind in ("image", "document")
            for source in ({"type": "url", "url": "https://x"}, {"type": "file", "file_id": "f"})
        ),
        pytest.param(
            body(
                messages=[
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url"}}]}
                        ],
                    }
                ]
            ),
            "cannot be bounded",
            id="an image by URL inside a tool's result",
        ),
    ],
)
def test_what_cannot_be_read_or_bounded_is_refused_with_a_sentence(raw: bytes, says: str) -> None:
    with pytest.raises(meter.Refused, match=says):
        meter.bound(meter.read(raw), PRICE)


def test_the_conversation_can_be_looked_at() -> None:
    talk = [{"role": "user", "content": "run it"}, {"role": "assistant", "content": [{"type": "text"}]}]
    assert list(meter.read(body(messages=talk)).messages) == talk


def test_a_tools_own_arguments_are_only_bytes() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"type": "image", "source": {"type": "url"}}}
    meter.read(body(messages=[{"role": "assistant", "content": [call]}]))


@given(
    st.integers(1, 10**9), st.integers(1, 10**9), st.text(max_size=30), st.sampled_from(["", " ", "\n\t "])
)
def test_splicing_changes_max_tokens_and_nothing_else(asked: int, to: int, text: str, space: str) -> None:
    talk = json.dumps([{"role": "user", "content": text}])
    raw = (
        f'{{{space}"model"{space}:{space}"m",{space}"messages":{talk},'
        f'"metadata":{{"max_tokens":7}},"max_tokens":{space}{asked}{space}, "x":"\\"max_tokens\\":5é"}}'
    ).encode()
    spliced = b"".join(meter.splice(raw, meter.read(raw), to))
    before, after = json.loads(raw), json.loads(spliced)
    assert after.pop("max_tokens") == to
    assert before.pop("max_tokens") == asked
    assert before == after
    assert len(spliced) - len(raw) == len(str(to)) - len(str(asked))


# -- soundness: a tokenizer that makes a token of every byte of text, and every documented overhead in full --

texts = st.text(max_size=60)
marks = st.sampled_from(
    [{}, {}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)
blocks = st.one_of(
    st.builds(lambda t, m: {"type": "text", "text": t, **m}, texts, marks),
    st.builds(
        lambda t, m: {"type": "tool_result", "tool_use_id": "toolu_1", "content": t, **m}, texts, marks
    ),
    st.builds(
        lambda t: {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": t}}, texts
    ),
    st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": "c2ln" * (2 + len(t))}, texts),
    st.just(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    ),
)
messages = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant"]),
    st.one_of(texts, st.lists(blocks, min_size=1, max_size=3)),
)
TOOLS: list[dict[str, Any]] = [
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"name": "look", "description": "é" * 40, "input_schema": {"type": "object"}},
]
tools = st.lists(st.sampled_from(TOOLS), unique_by=lambda tool: str(tool["name"]))


def dearest_tokens(request: dict[str, Any]) -> int:
    """Input tokens as the worst tokenizer would count them, written without the meter's help."""

    def text_bytes(value: Any) -> int:
        if isinstance(value, str):
            return len(value.encode("utf-8", "surrogatepass"))
        if isinstance(value, dict):
            if value.get("type") == "image":
                return 4_784
            return sum(text_bytes(v) + text_bytes(k) for k, v in value.items() if k != "cache_control")
        if isinstance(value, list):
            return sum(text_bytes(item) for item in value)
        return len(str(value))

    counted = sum(text_bytes(request[name]) for name in ("messages", "system") if name in request)
    for tool in request.get("tools", ()):
        counted += {"bash": 325, "str_replace_based_edit_tool": 700}.get(tool["name"], text_bytes(tool))
    return counted + (804 if request.get("tools") else 0)


@given(st.lists(messages, min_size=1, max_size=6), tools, texts)
def test_the_bound_is_never_below_the_dearest_count(
    talk: list[Any], given_tools: list[Any], system: str
) -> None:
    request = {"messages": talk, "tools": given_tools, "system": system}
    bound = meter.bound(meter.read(body(**request)), PRICE)
    assert bound.input >= dearest_tokens(request)


@given(
    st.lists(messages, min_size=1, max_size=4),
    st.lists(messages, max_size=4),
    tools,
    st.integers(1, 500),
)
def test_a_continued_conversation_is_bounded_by_what_the_last_answer_told(
    first: list[Any], more: list[Any], given_tools: list[Any], output: int
) -> None:
    before = meter.read(body(messages=first, tools=given_tools))
    told = dearest_tokens({"messages": first, "tools": given_tools})
    whole = {"messages": first + more, "tools": given_tools}
    bound = meter.bound(meter.read(body(**whole)), PRICE, meter.Previous(before.prefix, told, output))
    assert bound.input >= dearest_tokens(whole)


def test_marks_that_move_and_texts_that_become_blocks_do_not_break_a_conversation() -> None:
    plain = meter.read(body(messages=[{"role": "user", "content": "a"}]))
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    marked = meter.read(body(messages=[{"role": "user", "content": [block]}], max_tokens=5, stream=True))
    assert plain.prefix == marked.prefix


@pytest.mark.parametrize(
    "change",
    [
        {"model": "claude-opus-4-6"},
        {"system": "other"},
        {"tools": [{"name": "t", "input_schema": {}}]},
        {"thinking": {"type": "adaptive"}},
        {"messages": [{"role": "user", "content": "ho"}]},
        {"tool_choice": {"type": "any"}},
    ],
)
def test_another_model_tools_system_or_history_is_another_conversation(change: dict[str, Any]) -> None:
    assert meter.read(body()).prefix not in meter.read(body(**change)).prefixes


def test_the_dearest_rate_that_could_apply_is_held() -> None:
    def rate(mark: dict[str, Any] | None) -> int:
        block = {"type": "text", "text": "a", **({"cache_control": mark} if mark else {})}
        return meter.bound(
            meter.read(body(messages=[{"role": "user", "content": [block]}])), PRICE
        ).input_rate

    assert rate(None) == 5_000
    assert rate({"type": "ephemeral"}) == 6_250
    assert rate({"type": "ephemeral", "ttl": "1h"}) == 10_000


def test_a_bound_never_exceeds_the_context_window() -> None:
    assert meter.bound(meter.read(body(system="a" * 2_000_000)), PRICE).input == PRICE.context_window


@given(st.integers(0, 10**11), st.integers(0, 10**7), st.integers(0, 10**6), st.booleans())
def test_what_fits_does_fit_and_one_token_more_does_not(
    nanos: int, tokens: int, size: int, geo: bool
) -> None:
    bound = meter.Bound(size, 6_250, 25_000, geo)
    most = bound.fits(nanos, tokens)
    if most >= 0:
        assert bound.nanos(most) <= nanos
        assert bound.tokens(most) <= tokens
        assert bound.nanos(most + 1) > nanos or bound.tokens(most + 1) > tokens
    else:
        assert bound.nanos(0) > nanos or bound.tokens(0) > tokens


@pytest.mark.parametrize(
    ("thinking", "asked", "least"),
    [
        (None, 64_000, 1_024),
        ({"type": "disabled"}, 64_000, 1_024),
        ({"type": "adaptive"}, 64_000, 4_096),
        ({"type": "enabled", "budget_tokens": 10_000}, 64_000, 11_024),
        ({"type": "enabled", "budget_tokens": 10_000}, 10_500, 10_500),
        ({"type": "enabled", "budget_tokens": 90_000}, 64_000, 64_000),
        (None, 7, 7),
    ],
)
def test_an_answer_is_never_lowered_below_what_is_of_use(thinking: Any, asked: int, least: int) -> None:
    assert meter.floor(meter.read(body(max_tokens=asked, thinking=thinking))) == least


def test_the_cache_is_counted_on_only_while_it_lives_and_only_for_what_was_left_there() -> None:
    marked = meter.read(body(system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]))
    before = meter.Previous(marked.prefix, 50_000, 10, cached=40_000, at=1_000)
    strict = meter.bound(marked, PRICE, before)
    alive = meter.expected(strict, marked, PRICE, before, 1_000 + meter.CACHE_LIVES_MS - 1)
    assert (alive.cached, alive.read_rate, bool(alive.doubt)) == (min(strict.input, 40_000), 500, True)
    assert alive.nanos(10) < strict.nanos(10)
    assert meter.expected(strict, marked, PRICE, before, 1_000 + meter.CACHE_LIVES_MS) is strict
    assert meter.expected(strict, marked, PRICE, None, 1_000) is strict
    unmarked = meter.read(body())
    other = meter.Previous(unmarked.prefix, 50_000, 10, cached=40_000, at=1_000)
    assert meter.expected(strict, unmarked, PRICE, other, 1_000) is strict


@given(st.integers(0, 10**6))
def test_an_estimate_has_its_margin_and_never_raises_a_bound(tokens: int) -> None:
    request = meter.read(body(system="a" * 100_000))
    strict = meter.bound(request, PRICE)
    counted = meter.counted(strict, request, tokens)
    assert counted.input == min(strict.input, tokens + -(-tokens // 10) + 1_000)
    assert bool(counted.doubt) == (counted is not strict)
