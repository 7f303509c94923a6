"""What the bytes of a request do not bound, and what a policy may allow for it (G8).

Each such thing has a key of its own under `allow` in the policy. Without an allowance the request is refused;
with one its stated amount is added to the bound, and an answer above that still halts the run (G4).

Shapes: anthropic SDK 2.13.0, types/beta/{message_create_params,beta_tool_union_param,beta_fallback_param}.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.rules import Allowance


class Refused(Exception):
    """The request cannot be forwarded: 400 with this sentence, and the run goes on (G8)."""


# Each key, and why what it names has no bound of its own.
WHY = {
    "url": "a source by URL has no size that is known beforehand; send it inline",
    "file": "a source by file id has no size that is known beforehand; send it inline",
    "pdf": "the tokens of a PDF cannot be bounded beforehand; send its text",
    "web_search": "web search runs and bills on the server",
    "web_fetch": "web fetch runs on the server, and what it brings is input",
    "code_execution": "code execution runs on the server and bills by time",
    "tool_search": "tool search runs on the server, and each search reads the conversation again",
    "advisor": "another model advises at its own price",
    "mcp_servers": "MCP servers are called by the upstream, as often as it likes",
    "fallbacks": "another model may answer at another price",
    "compaction": "compaction runs the model again on the server",
}
SOURCES = ("url", "file", "pdf")
SERVER_TOOLS = ("web_search", "web_fetch", "code_execution", "tool_search", "advisor")
_WRITES = ("advisor", "compaction")  # their tokens are output of a model, not input


@dataclass(frozen=True, slots=True)
class Beyond:
    """One thing that bytes do not bound. `uses`, `tokens`: the request's own limits, None if it has none."""

    key: str
    uses: int | None = None
    tokens: int | None = None
    model: str = ""  # that may answer, beside the one that was asked


@dataclass(frozen=True, slots=True)
class Exposure:
    """The most that what is allowed may add to one request, in tokens and nano-dollars."""

    sources: int = 0  # tokens of input that stand in the conversation
    passes: int = 1  # how often the model may read the conversation
    results: int = 0  # tokens of input that come in between
    written: int = 0  # tokens of output beside max_tokens
    answers: int = 1  # how many models may each answer with max_tokens
    searches: int = 0
    nanos: int = 0  # what no usage tells, booked with every answer


NOTHING = Exposure()


def find(top: Mapping[str, Any], sources: Sequence[str], definitions: Sequence[Any]) -> tuple[Beyond, ...]:
    """All that bytes do not bound. `sources`: url, file and pdf, once for each; `definitions`: of every tool.

    Raises Refused for what no allowance could bound either.
    """
    _refuse(top)
    edits = top.get("context_management")
    found = [
        *(Beyond(source) for source in sources),
        *(beyond for tool in definitions if (beyond := _server_tool(tool)) is not None),
        *(Beyond("mcp_servers") for _ in _list(top, "mcp_servers")),
        *_fallbacks(top.get("fallbacks") or ()),
        *(
            Beyond("compaction")
            for edit in (edits.get("edits") or () if isinstance(edits, dict) else ())
            if str(edit.get("type") if isinstance(edit, dict) else edit).startswith("compact")
        ),
        *([Beyond("compaction")] if top.get("compaction") else []),
    ]
    if top.get("container") and not any(beyond.key == "code_execution" for beyond in found):
        found.append(Beyond("code_execution"))
    return tuple(found)


def _list(top: Mapping[str, Any], name: str) -> list[Any]:
    told = top.get(name) or []
    if not isinstance(told, list):
        raise Refused(f"{name}: a list is required")
    return told


def _refuse(top: Mapping[str, Any]) -> None:
    if top.get("speed") not in (None, "standard"):
        raise Refused("this request cannot be priced: speed: only standard has a price in the book")
    if top.get("fallback_models"):  # as other gateways call it
        raise Refused("this request cannot be priced: fallback_models: another model may answer")
    thread = top.get("thread")
    if thread is not None and not (isinstance(thread, dict) and thread.get("type") == "create"):
        raise Refused(
            "this request cannot be bounded: thread: the conversation that it goes on is held by the "
            "upstream, so its size is not known here; send the messages"
        )
    payer = top.get("billing_policy")
    if payer is not None and not (isinstance(payer, dict) and payer.get("bill_to") in (None, "self")):
        raise Refused("billing_policy: a run is billed to its own key and to nobody else")


def _server_tool(tool: Any) -> Beyond | None:
    """What a tool's definition opens; None for one that the client runs. Raises Refused."""
    if not isinstance(tool, dict):
        raise Refused("tools: each must be an object")
    kind = tool.get("type")
    if kind is None or kind == "custom" or is_client_tool(kind):
        return None
    if kind == "mcp_toolset":
        return None  # it names one of mcp_servers, which is counted there
    key = next((key for key in SERVER_TOOLS if str(kind).startswith(key + "_")), None)
    if key is None:
        raise Refused(
            f"this request cannot be bounded: the tool {kind!r} is not known here; what it costs neither"
        )
    limit = "max_tokens" if key == "advisor" else "max_content_tokens"
    model = tool.get("model") if key == "advisor" else ""
    if not isinstance(model, str) or (key == "advisor" and not model):
        raise Refused("tools: the advisor's model: a name is required")
    return Beyond(key, _limit(tool, "max_uses"), _limit(tool, limit), model)


# Client tools whose definition is the model's own; a toolset has many of them and no documented size.
_CLIENT_TOOLS = ("bash_", "text_editor_", "memory_", "computer_2")


def is_client_tool(kind: Any) -> bool:
    """Whether a tool of that type runs at the client, with a definition that the model knows."""
    return isinstance(kind, str) and kind.startswith(_CLIENT_TOOLS)


def _limit(tool: Mapping[str, Any], name: str) -> int | None:
    told = tool.get(name)
    if told is None:
        return None
    if not isinstance(told, int) or isinstance(told, bool) or told < 0:
        raise Refused(f"tools: {name}: a whole number is required")
    return told


def _fallbacks(chain: Any) -> Iterator[Beyond]:
    if not isinstance(chain, list | tuple):
        raise Refused(
            "this request cannot be priced: fallbacks: which models may answer is not said; name each of them"
        )
    for entry in chain:
        model = entry.get("model") if isinstance(entry, dict) else None
        if not isinstance(model, str) or not model:
            raise Refused("fallbacks: each entry must name its model")
        if entry.get("max_tokens") is not None:
            raise Refused("fallbacks: leave max_tokens out of its entries; the request's own holds for all")
        if entry.get("speed") not in (None, "standard"):
            raise Refused("this request cannot be priced: speed: only standard has a price in the book")
        yield Beyond("fallbacks", uses=1, model=model)


# -- what is allowed --


def expose(found: Sequence[Beyond], allow: Mapping[str, Allowance]) -> Exposure:
    """What the policy's allowances make of it. Raises Refused, naming the key that would allow it."""
    if not found:
        return NOTHING
    sources = results = written = searches = nanos = 0
    passes = answers = 1
    for beyond in found:
        key, allowance = beyond.key, allow.get(beyond.key)
        if allowance is None:
            raise Refused(
                f"this request cannot be bounded: {WHY[key]}, or have the service's policy allow it "
                f"(allow.{key})"
            )
        tokens = _within(beyond, "tokens", beyond.tokens, allowance.tokens)
        if key in SOURCES:
            sources += tokens
            continue
        if key == "fallbacks":
            answers += 1
            continue
        uses = _within(beyond, "uses", beyond.uses, allowance.uses)
        passes += uses
        results += uses * tokens
        if key in _WRITES:
            written += uses * tokens
            passes += uses if key == "advisor" else 0  # the adviser reads it, and then the model its advice
        searches += uses if key == "web_search" else 0
        nanos += allowance.nanos
    if answers > 1:
        _within(found[0], "uses", answers - 1, allow["fallbacks"].uses, "fallbacks")
    return Exposure(sources, passes, results, written, answers, searches, nanos)


def _within(beyond: Beyond, what: str, asked: int | None, allowed: int, key: str = "") -> int:
    """The request's own limit where it has one; it may not be above the policy's."""
    if asked is not None and asked > allowed:
        key = key or beyond.key
        raise Refused(
            f"this request asks for more than the service's policy allows: {asked:,} {what} of {key}, "
            f"of at most {allowed:,} (allow.{key}.{what})"
        )
    return allowed if asked is None else asked
