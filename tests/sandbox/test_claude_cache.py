"""The prompt cache divides a prompt's tokens as Anthropic's published rules do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.claude.cache import PromptCache
from sandbox.claude.prices import MODELS, Usage
from sandbox.claude.tokens import BUILT_IN, IMAGE_MOST, Piece, Scale, sign, thought_tokens

OPUS = MODELS["claude-opus-4-7"]


def prompt(*parts: str) -> list[Piece]:
    """Each part `name:tokens` or `name:tokens:ttl`, e.g. `rules:3000:5m`."""
    pieces = []
    for part in parts:
        name, tokens, *ttl = part.split(":")
        pieces.append(Piece(int(tokens), name.encode(), ttl[0] if ttl else None))
    return pieces


def ask(cache: PromptCache, at: float, *parts: str, workspace: str = "w", model: str = OPUS.id) -> Usage:
    plan = cache.plan(prompt(*parts), workspace, MODELS[model], at)
    cache.begun(plan, at)
    return plan.usage


RULES, MANY = "rules:3000:5m", [f"b{number}:10" for number in range(30)]

TABLE = [
    # first request, seconds later, second request, what the second uses
    pytest.param(["a:3000"], 1, ["a:3000"], Usage(3000), id="nothing is cached without a breakpoint"),
    pytest.param([RULES], 1, [RULES], Usage(0, 0, 0, 3000), id="the same prefix is read"),
    pytest.param([RULES], 1, [RULES, "q:50"], Usage(50, 0, 0, 3000), id="what comes after it is input"),
    pytest.param(["a:2047:5m"], 1, ["a:2047:5m"], Usage(2047), id="too short: silently not cached"),
    pytest.param(["a:2048:5m"], 1, ["a:2048:5m"], Usage(0, 0, 0, 2048), id="exactly long enough"),
    pytest.param([RULES], 299, [RULES], Usage(0, 0, 0, 3000), id="within five minutes"),
    pytest.param([RULES], 301, [RULES], Usage(0, 3000), id="after five minutes it is written anew"),
    pytest.param(["a:3000:1h"], 3599, ["a:3000:1h"], Usage(0, 0, 0, 3000), id="within the hour"),
    pytest.param(["a:3000:1h"], 3601, ["a:3000:1h"], Usage(0, 0, 3000), id="after the hour"),
    pytest.param(
        [RULES], 1, ["other:3000:5m"], Usage(0, 3000), id="other words of the same length are another prefix"
    ),
    pytest.param(
        ["a:3000", "b:100:5m"],
        1,
        ["x:3000", "b:100:5m"],
        Usage(0, 3100),
        id="a change before it changes the prefix",
    ),
    pytest.param(
        [RULES, "q:50:5m"], 1, [RULES, "q:50", "r:70:5m"], Usage(0, 70, 0, 3050), id="a conversation grows"
    ),
    pytest.param(
        ["t:3000:1h", "m:500:5m"],
        1,
        ["t:3000:1h", "m:500", "n:400:5m", "tail:9"],
        Usage(9, 400, 0, 3500),
        id="hour first, then five minutes",
    ),
    pytest.param(
        ["t:3000:1h"],
        1,
        ["t:3000", "s:500:1h", "m:20:5m"],
        Usage(0, 20, 500, 3000),
        id="each at its own price",
    ),
    pytest.param(
        [RULES],
        1,
        ["rules:3000", *MANY[:18], "end:10:5m"],
        Usage(0, 190, 0, 3000),
        id="found behind nineteen blocks",
    ),
    pytest.param(
        [RULES],
        1,
        ["rules:3000", *MANY[:19], "end:10:5m"],
        Usage(0, 3200),
        id="not found behind twenty: the look-back ends",
    ),
    pytest.param(
        [RULES],
        1,
        [RULES, *MANY[:25], "end:10:5m"],
        Usage(0, 260, 0, 3000),
        id="a second breakpoint looks back for itself",
    ),
    pytest.param(
        ["a:3000", "b:100", "c:100:5m"],
        1,
        ["a:3000", "b:100:5m", "x:100:5m"],
        Usage(0, 3200),
        id="written only where a breakpoint was",
    ),
]


@pytest.mark.parametrize(("first", "later", "second", "used"), TABLE)
def test_a_prompt_is_divided_by_the_rules(
    first: list[str], later: float, second: list[str], used: Usage
) -> None:
    cache = PromptCache()
    ask(cache, 1000.0, *first)
    assert ask(cache, 1000.0 + later, *second) == used


def test_the_first_time_is_written() -> None:
    assert ask(PromptCache(), 0, RULES, "q:5") == Usage(5, 3000)
    assert ask(PromptCache(), 0, "a:3000:1h", "b:3000:5m", "q:5") == Usage(5, 3000, 3000)


def test_reading_makes_it_live_anew() -> None:
    cache = PromptCache()
    ask(cache, 0, RULES)
    for at in (250, 500, 750):
        assert ask(cache, at, RULES).cache_read == 3000
    assert ask(cache, 1051, RULES).cache_read == 0


@pytest.mark.parametrize("other", [{"workspace": "v"}, {"model": "claude-opus-4-6"}])
def test_workspaces_and_models_share_nothing(other: dict[str, str]) -> None:
    cache = PromptCache()
    ask(cache, 0, "a:5000:5m")
    assert ask(cache, 1, "a:5000:5m", **other).cache_read == 0


def test_requests_at_once_all_pay_until_the_first_answer_has_begun() -> None:
    cache = PromptCache()
    plans = [cache.plan(prompt(RULES), "w", OPUS, 0) for _ in range(3)]
    assert {plan.usage.cache_write_5m for plan in plans} == {3000}
    cache.begun(plans[0], 1)
    assert cache.plan(prompt(RULES), "w", OPUS, 2).usage.cache_read == 3000


SIZES = st.lists(
    st.tuples(st.integers(1, 3000), st.sampled_from([None, None, "5m"])), min_size=1, max_size=40
)


@given(SIZES, SIZES)
def test_every_token_is_in_exactly_one_column(one: Any, two: Any) -> None:
    cache = PromptCache()
    for sizes in (one, one + two, two):
        parts = [f"{number}:{size}" + (f":{ttl}" if ttl else "") for number, (size, ttl) in enumerate(sizes)]
        used = ask(cache, 0, *parts)
        assert used.input + used.cache_write_5m + used.cache_write_1h + used.cache_read == sum(
            s for s, _ in sizes
        )
        assert min(used.input, used.cache_write_5m, used.cache_write_1h, used.cache_read) >= 0


# Weights


TEXT = st.text(min_size=1, max_size=200)
BLOCK = st.one_of(
    TEXT.map(lambda text: {"type": "text", "text": text}),
    st.tuples(TEXT, st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.booleans()))).map(
        lambda pair: {"type": "tool_use", "id": "toolu_1", "name": pair[0], "input": pair[1]}
    ),
    TEXT.map(lambda text: {"type": "tool_result", "tool_use_id": "toolu_1", "content": text}),
    TEXT.map(lambda text: {"type": "thinking", "thinking": "", "signature": sign(text, len(text.encode()))}),
    st.just(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    ),
)
BODY = st.fixed_dictionaries(
    {
        "model": st.just("claude-opus-4-7"),
        "max_tokens": st.just(10),
        "messages": st.lists(
            st.one_of(TEXT, st.lists(BLOCK, min_size=1, max_size=6)).map(
                lambda c: {"role": "user", "content": c}
            ),
            min_size=1,
            max_size=8,
        ),
    },
    optional={
        "system": TEXT,
        "tools": st.just(
            [
                {"type": "bash_20250124", "name": "bash"},
                {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
                {"name": "f", "description": "d", "input_schema": {"type": "object"}},
            ]
        ),
    },
)


@given(BODY, st.booleans(), st.booleans())
def test_no_prompt_weighs_more_than_its_bytes_and_the_documented_extras(
    body: dict[str, Any], dense: bool, ascii_only: bool
) -> None:
    sent = json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":")).encode("utf-8", "surrogatepass")
    images = sum(
        isinstance(m["content"], list) and sum(b["type"] == "image" for b in m["content"])
        for m in body["messages"]
    )
    extras = images * IMAGE_MOST + (804 + sum(BUILT_IN.values()) if "tools" in body else 0)
    pieces = Scale(dense).pieces(body, caching=True)
    assert sum(piece.tokens for piece in pieces) <= len(sent) + extras
    assert min(piece.tokens for piece in pieces) >= 1


@given(TEXT)
def test_a_signature_remembers_its_thought_and_is_not_shorter(text: str) -> None:
    tokens = Scale(dense=True).text(text)
    signature = sign(text, tokens)
    assert thought_tokens({"signature": signature}) == tokens <= len(signature)
    assert thought_tokens({"signature": signature[:-4]}) is None
    assert thought_tokens({"signature": "not ours"}) is None


@pytest.mark.parametrize(
    "marked",
    [
        pytest.param([{"type": "text", "text": "x" * 9_000}], id="as a block of text"),
        pytest.param(
            [{"type": "text", "text": "x" * 9_000, "cache_control": {"type": "ephemeral"}}],
            id="as a marked one",
        ),
    ],
)
def test_a_result_in_plain_words_is_the_same_prefix_as_one_block_of_text(marked: Any) -> None:
    def pieces(content: Any) -> list[Piece]:
        result = {"type": "tool_result", "tool_use_id": "t", "content": content}
        call = {"type": "tool_use", "id": "t", "name": "bash", "input": {}}
        messages = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        result["cache_control"] = {"type": "ephemeral"}
        return Scale().pieces({"messages": messages}, caching=True)

    cache = PromptCache()
    cache.begun(cache.plan(pieces(marked), "w", OPUS, 0), 0)
    assert cache.plan(pieces("x" * 9_000), "w", OPUS, 1).usage.cache_read > 2_048
