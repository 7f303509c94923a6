"""What bytes do not bound is refused, and what is allowed is held at what the policy states."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from anthropic.types import message_create_params, tool_union_param
from anthropic.types.beta import beta_tool_union_param
from anthropic.types.beta import message_create_params as beta_params
from hypothesis import given
from hypothesis import strategies as st

from bot.core import meter
from bot.core.allowances import is_client_tool
from bot.core.rules import Allowance, Rules
from tests.core.test_meter import NOW, PRICE, body
from tests.core.test_prices import BOOK

ROOT = Path(__file__).parents[2]
ROOM = Allowance(uses=3, tokens=1_000, nanos=7)
HAIKU = BOOK.price("claude-haiku-4-5", NOW)


def source(kind: str, **given: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, **given}]}]}


def tool(kind: str, **given: Any) -> dict[str, Any]:
    return {"tools": [{"type": kind, "name": "t", **given}]}


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
FETCHED = {"type": "web_fetch_result", "content": {"type": "document", "source": PDF}}
ADDED = {"type": "tool_definition", "definition": {"type": "web_search_20260318", "name": "web_search"}}
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("url", source("image", source={"type": "url", "url": "https://x"})),
    ("file", source("document", source={"type": "file", "file_id": "f"})),
    ("file", source("container_upload", file_id="f")),
    ("pdf", source("document", source=PDF)),
    ("pdf", source("web_fetch_tool_result", tool_use_id="s", content=FETCHED)),
    ("web_search", tool("web_search_20260209")),
    ("web_search", source("tool_addition", tool=ADDED)),
    ("web_fetch", tool("web_fetch_20260318")),
    ("code_execution", tool("code_execution_20260521")),
    ("code_execution", {"container": "container_1"}),
    ("tool_search", tool("tool_search_tool_regex_20251119")),
    ("advisor", tool("advisor_20260301", model="claude-haiku-4-5")),
    ("mcp_servers", {"mcp_servers": [{"type": "url", "name": "m", "url": "https://x"}]}),
    ("fallbacks", {"fallbacks": [{"model": "claude-haiku-4-5"}]}),
    ("compaction", {"context_management": {"edits": [{"type": "compact_20260112"}]}}),
    ("compaction", {"compaction": {"type": "summarize"}}),
]


@pytest.mark.parametrize(("key", "asked"), ASKED)
def test_each_is_refused_by_name_and_with_an_allowance_adds_to_the_bound(
    key: str, asked: dict[str, Any]
) -> None:
    request = meter.read(body(**asked))
    with pytest.raises(meter.Refused, match=rf"\(allow\.{key}\)"):
        meter.bound(request, PRICE)
    others = (HAIKU,) if key in ("fallbacks", "advisor") else ()
    allowed = meter.bound(request, PRICE, rules=Rules(allow={key: ROOM}), fallbacks=others)
    assert allowed.nanos(100) > meter.bound(meter.read(body()), PRICE).nanos(100)
    assert allowed.tokens(100) > request.byte_bound + 100
    assert not request.followable


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param({"fallbacks": "default"}, "name each", id="fallbacks that the server chooses"),
        pytest.param(
            {"fallbacks": [{"model": "m", "max_tokens": 9}]}, "max_tokens", id="a length of its own"
        ),
        pytest.param(
            {"fallbacks": [{"model": "m", "speed": "fast"}]}, "speed", id="a fallback that is faster"
        ),
        pytest.param({"thread": {"type": "continue", "previous_message_id": "m"}}, "size", id="a thread"),
        pytest.param({"billing_policy": {"bill_to": "user_profile"}}, "nobody else", id="another payer"),
        pytest.param({"speed": "fast"}, "speed", id="fast mode"),
        pytest.param(tool("browser_toolset_20260801"), "not known", id="a toolset without a size"),
        pytest.param(tool("of_tomorrow_20270101"), "not known", id="a tool of tomorrow"),
        pytest.param(tool("web_search_20260318", max_uses="9"), "max_uses", id="a limit that is no number"),
    ],
)
def test_what_no_allowance_bounds_is_refused_whatever_is_allowed(asked: dict[str, Any], says: str) -> None:
    rules = Rules(allow=dict.fromkeys([key for key, _ in ASKED], ROOM))
    with pytest.raises(meter.Refused, match=says):
        meter.bound(meter.read(body(**asked)), PRICE, rules=rules, fallbacks=(HAIKU,))


def test_a_requests_own_limit_is_held_and_may_not_be_above_the_policys() -> None:
    rules = Rules(allow={"web_search": ROOM})

    def flat(**limits: int) -> int:
        return meter.bound(meter.read(body(**tool("web_search_20260318", **limits))), PRICE, rules=rules).flat

    assert flat(max_uses=2) == 2 * PRICE.search + ROOM.nanos
    assert flat() == 3 * PRICE.search + ROOM.nanos
    with pytest.raises(
        meter.Refused, match=r"4 uses of web_search, of at most 3 \(allow\.web_search\.uses\)"
    ):
        flat(max_uses=4)
    chain = {"fallbacks": [{"model": "claude-haiku-4-5"}] * 4}
    with pytest.raises(meter.Refused, match=r"allow\.fallbacks\.uses"):
        meter.bound(meter.read(body(**chain)), PRICE, rules=Rules(allow={"fallbacks": ROOM}))


def test_a_chain_is_held_at_its_dearest_model_once_for_each() -> None:
    request = meter.read(body(model="claude-haiku-4-5", fallbacks=[{"model": "claude-opus-4-7"}]))
    bound = meter.bound(request, HAIKU, rules=Rules(allow={"fallbacks": ROOM}), fallbacks=(PRICE,))
    assert (bound.input_rate, bound.output_rate) == (PRICE.rates[0].input, PRICE.rates[0].output)
    assert bound.tokens(100) - bound.tokens(0) == 200


@given(st.integers(0, 3), st.lists(st.integers(0, 1_000), max_size=3), st.integers(1, 4_000))
def test_a_loop_on_the_server_never_reads_more_than_is_held(
    uses: int, brought: list[int], output: int
) -> None:
    """Each pass reads the conversation, what searches have brought, and what was written so far."""
    asked = body(max_tokens=output, **tool("web_search_20260318", max_uses=uses))
    request = meter.read(asked)
    bound = meter.bound(request, PRICE, rules=Rules(allow={"web_search": ROOM}))
    size, billed = request.byte_bound, request.byte_bound
    for tokens in brought[:uses]:
        size += tokens
        billed += size + output  # as if all had been written before each pass
    assert billed <= bound.input


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**8),
    st.integers(0, 10**5),
    st.integers(1, 4),
    st.integers(0, 10**9),
)
def test_what_fits_an_exposed_bound_does_fit_and_one_token_more_does_not(
    nanos: int, tokens: int, size: int, answers: int, flat: int
) -> None:
    bound = meter.Bound(
        size,
        6_250,
        25_000,
        True,
        written=size // 3,
        answers=answers,
        flat=flat,
        cached=size // 2,
        read_rate=500,
    )
    most = bound.fits(nanos, tokens)
    if most >= 0:
        assert bound.nanos(most) <= nanos
        assert bound.tokens(most) <= tokens
    assert bound.nanos(max(0, most + 1)) > nanos or bound.tokens(max(0, most + 1)) > tokens


# -- decided for every name that the SDK knows --


def _parameters() -> set[str]:
    both = (
        message_create_params.MessageCreateParamsStreaming,
        beta_params.MessageCreateParamsStreaming,
    )
    return {name for params in both for name in get_type_hints(params)}


def test_every_parameter_of_the_sdk_is_decided_in_the_docs() -> None:
    text = (ROOT / "docs" / "gateway.md").read_text("utf-8")
    table = text.partition("## Every parameter of a request")[2].partition("\n## ")[0]
    told = {n for row in re.findall(r"^\| (`.*?) \|", table, re.M) for n in re.findall(r"`(\w+)`", row)}
    assert told == _parameters()


def _tools() -> list[str]:
    unions = (*get_args(tool_union_param.ToolUnionParam), *get_args(beta_tool_union_param.BetaToolUnionParam))
    return sorted(
        {str(k) for one in unions for k in get_args(get_type_hints(one).get("type")) if k != "custom"}
    )


@pytest.mark.parametrize("kind", _tools())
def test_every_tool_of_the_sdk_runs_at_the_client_or_is_refused(kind: str) -> None:
    if kind == "mcp_toolset":
        return  # of a server among mcp_servers, which is refused
    asked = body(**tool(kind, model="claude-haiku-4-5"))
    if is_client_tool(kind):
        assert meter.bound(meter.read(asked), PRICE).input > len(asked) + meter.TOOL_PROMPT_TOKENS
    else:
        with pytest.raises(meter.Refused):
            meter.bound(meter.read(asked), PRICE)


def test_what_is_counted_upstream_is_what_count_tokens_takes() -> None:
    sent = json.loads(
        b"".join(meter.countable(body(max_tokens=5, stream=True, metadata={"user_id": "u"}, system="s")))
    )
    assert set(sent) == {"model", "messages", "system"}
