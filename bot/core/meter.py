"""The most a request may cost, before it leaves (G2, G3, G8). Pure; the gateway only obeys.

A bound of the input rests on two facts. No token of text is shorter than a byte of the JSON that carries it,
so bytes bound text; documented overheads (tool prompts, images) are added on top. And a conversation that
goes on contains the last one whole, whose true size its answer told: only what is new is bounded by bytes.

Overheads: https://platform.claude.com/docs/en/about-claude/pricing, …/build-with-claude/vision (2026-08-22).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.core import allowances
from bot.core import body as bodies
from bot.core.allowances import Beyond, Refused
from bot.core.body import LIMITS, Bytes, Limits
from bot.core.prices import GEO_DENOMINATOR, GEO_NUMERATOR, Price, Rates
from bot.core.rules import STRICTEST, Rules
from bot.core.talk import Seen, Talk, with_images

__all__ = [
    "Bound",
    "Previous",
    "Refused",
    "Request",
    "bound",
    "countable",
    "counted",
    "expected",
    "floor",
    "read",
    "splice",
]

MOST_TOKENS = 10**9  # no answer is ever so long, and its price still fits into the ledger
MAX_BODY = 32 * 1024 * 1024  # api/errors: request_too_large
TOOL_PROMPT_TOKENS = 804  # 675 with tool_choice auto or none, 804 with any or tool
TOOL_TOKENS = {"bash": 325, "text_editor": 700, "str_replace_based_edit_tool": 700}
UNDOCUMENTED_TOOL_TOKENS = 3_000  # a wide allowance for a client tool whose definition is the model's own
FORMAT_TOKENS = 1_000  # a wide one too: output_config.format adds a prompt of an undocumented size
FLOOR, FLOOR_THINKING = 1_024, 4_096  # G2
WINDOW = 16  # how many messages back a continued conversation may have been cut off
# build-with-claude/prompt-caching (2026-08-22): 5 minutes at the least after it was written or read; half a
# minute of it is for the request to get there.
CACHE_LIVES_MS = 300_000 - 30_000
# anthropic SDK 2.13.0, types/beta/message_count_tokens_params.py
COUNTED = (
    "messages", "model", "cache_control", "compaction", "context_management", "mcp_servers", "output_config",
    "speed", "system", "thinking", "tool_choice", "tools",
)  # fmt: skip
MARGIN, MARGIN_TOKENS = 10, 1_000  # a tenth and so many tokens above what count_tokens says


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed body. `span` is where the one top-level `max_tokens` stands, in bytes."""

    model: str
    max_tokens: int
    span: tuple[int, int]
    stream: bool
    thinking: bool
    thought: int  # budget_tokens of thinking that is `enabled`: max_tokens must be above it
    long_cache: bool  # a 1-hour breakpoint: the dearest input there is
    short_cache: bool
    dearer_geo_possible: bool  # inference_geo may be "us": not excluded by the request
    byte_bound: int  # tokens of input at the most, whatever went before
    prefixes: tuple[str, ...]  # hash of the fixed part and the first k messages, k = 0 … n
    sizes: tuple[int, ...]  # tokens at the most of each message
    followable: bool  # the next request may be bounded by this one's usage
    # The conversation, to be looked at until the request leaves. Of a body above a megabyte
    # (Limits.whole) the last megabyte, in which a text of over 65,536 characters is a body.Long.
    messages: Sequence[Mapping[str, Any]]
    beyond: tuple[Beyond, ...] = ()  # what bytes do not bound: the run's rules must allow it

    @property
    def prefix(self) -> str:
        return self.prefixes[-1]


@dataclass(frozen=True, slots=True)
class Previous:
    """An earlier turn of the same conversation: its prefix, its true input, its output.

    `cached`: how much of its input it left in the cache; `at`: when it was sent, in ms.
    """

    prefix: str
    total_input: int
    output: int
    cached: int = 0
    at: int = 0


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a request may use: input tokens, and their rate and the output's, in nano-dollars.

    `written`: tokens of output beside max_tokens; `answers`: how many models may answer with max_tokens each;
    `flat`: nano-dollars that are not for tokens, of which no usage tells `unseen`.
    `cached`: of the input, what is expected to be read from the cache at `read_rate`. `doubt`: what it says
    when this bound is beaten that may be; such a one is taken alone, so that one answer at most can do so.
    """

    input: int
    input_rate: int
    output_rate: int
    geo: bool
    written: int = 0
    answers: int = 1
    flat: int = 0
    unseen: int = 0
    cached: int = 0
    read_rate: int = 0
    doubt: str = ""

    def nanos(self, max_tokens: int) -> int:
        """The most it may cost with that many output tokens, in nano-dollars."""
        nanos = self._input_nanos() + (self.answers * max_tokens + self.written) * self.output_rate
        return (-(-nanos * GEO_NUMERATOR // GEO_DENOMINATOR) if self.geo else nanos) + self.flat

    def tokens(self, max_tokens: int) -> int:
        return self.input - self.cached + self.answers * max_tokens + self.written

    def fits(self, nanos: int, tokens: int) -> int:
        """The largest max_tokens that fits in so much; negative: not even the input does."""
        nanos -= self.flat
        if self.geo:
            nanos = nanos * GEO_DENOMINATOR // GEO_NUMERATOR
        left = nanos - self._input_nanos() - self.written * self.output_rate
        by_money = left // (self.answers * max(1, self.output_rate))
        return min(by_money, (tokens - self.tokens(0)) // self.answers)

    def _input_nanos(self) -> int:
        return (self.input - self.cached) * self.input_rate + self.cached * self.read_rate


def read(body: Bytes, limits: Limits = LIMITS) -> Request:
    """Parse a `/v1/messages` body. Raises Refused with a sentence for what cannot be read or bounded."""
    try:
        return _read(body, limits)
    except RecursionError as error:
        raise Refused("the body is nested too deeply") from error


def _read(body: Bytes, limits: Limits) -> Request:
    seen = Seen()
    talk = Talk(seen, limits.whole)
    top, spans = bodies.scan(body, "messages", talk.add, ("max_tokens",), limits)
    model, asked = top.get("model"), top.get("max_tokens")
    if not isinstance(model, str) or not model:
        raise Refused("model: a name is required")
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise Refused("max_tokens: a whole number of at least 1 is required")
    if asked > MOST_TOKENS:
        raise Refused(f"max_tokens: no model answers with more than {MOST_TOKENS:,} tokens")
    if not talk.sizes:
        raise Refused("messages: at least one message is required")
    seen.mark(top)
    seen.blocks(top.get("system"))
    seen.blocks(top.get("tools"))
    tools = top.get("tools") or []
    if not isinstance(tools, list):
        raise Refused("tools: a list is required")
    definitions = [*tools, *seen.tools]
    beyond = allowances.find(top, seen.sources, definitions)
    overhead = (TOOL_PROMPT_TOKENS if definitions else 0) + sum(_tool_tokens(tool) for tool in definitions)
    if _object(top, "output_config").get("format"):
        overhead += FORMAT_TOKENS
    thinking = _object(top, "thinking")
    return Request(
        model=model,
        max_tokens=asked,
        span=spans["max_tokens"],
        stream=top.get("stream") is True,
        thinking=thinking.get("type", "disabled") != "disabled",
        thought=_thought(thinking),
        long_cache="1h" in seen.lifetimes,
        short_cache="5m" in seen.lifetimes,
        dearer_geo_possible=top.get("inference_geo") != "global",
        byte_bound=with_images(len(body), seen.images) + overhead,
        prefixes=talk.prefixes(top),
        sizes=tuple(talk.sizes),
        # Edits of the context, and what the server does in between, change what counts from turn to turn: no
        # continuation is assumed.
        followable=not ("context_management" in top or "thread" in top or beyond),
        beyond=beyond,
        messages=tuple(talk.kept),
    )


def _object(top: dict[str, Any], name: str) -> dict[str, Any]:
    told = top.get(name)
    return told if isinstance(told, dict) else {}


def bound(
    request: Request,
    price: Price,
    previous: Previous | None = None,
    rules: Rules = STRICTEST,
    fallbacks: Sequence[Price] = (),
) -> Bound:
    """G3: by the earlier turn where this one continues it, else by bytes; never above the context window.

    `fallbacks`: the prices of the other models that may answer or advise. Raises Refused for what the rules
    do not allow (G8).
    """
    more = allowances.expose(request.beyond, rules.allow)
    tokens = request.byte_bound + more.sources
    if previous is not None and request.followable and previous.prefix in request.prefixes:
        known = request.prefixes.index(previous.prefix)
        new = request.sizes[known:]
        # The first new message is the last answer coming back: what it was, or its bytes, whichever is more.
        answer = max(previous.output, new[0]) if new else 0
        tokens = min(tokens, previous.total_input + answer + sum(new[1:]))
    passes = more.passes * more.answers
    if passes > 1:  # what was written and brought so far is read again
        tokens += more.results + more.written + more.answers * request.max_tokens
    models = (price, *fallbacks)
    tokens = passes * min(tokens, max(model.context_window for model in models))
    rates = [model.at(tokens) for model in models]
    return Bound(
        tokens,
        max(_dearest_input(rate, request) for rate in rates),
        max(rate.output for rate in rates),
        request.dearer_geo_possible,
        written=more.written,
        answers=more.answers,
        flat=more.searches * max(model.search for model in models) + more.nanos,
        unseen=more.nanos,
    )


def _dearest_input(rates: Rates, request: Request) -> int:
    candidates = [rates.input]
    if request.short_cache or request.long_cache:
        candidates.append(rates.cache_write_5m)
    if request.long_cache:
        candidates.append(rates.cache_write_1h)
    return max(candidates)


def expected(strict: Bound, request: Request, price: Price, previous: Previous | None, now: int) -> Bound:
    """The bound if what the earlier turn left in the cache is read from there (G3); else the same."""
    marked = request.short_cache or request.long_cache
    if previous is None or not marked or not request.followable or previous.prefix not in request.prefixes:
        return strict
    if not previous.cached or now - previous.at >= CACHE_LIVES_MS:
        return strict
    doubt = "an answer cost more than its bound: the cache that its admission counted on was missed"
    cached = min(previous.cached, strict.input)
    return replace(strict, cached=cached, read_rate=price.at(strict.input).cache_read, doubt=doubt)


def counted(strict: Bound, request: Request, tokens: int) -> Bound:
    """The bound by the upstream's own estimate of the input, with a margin; never above the strict one."""
    estimate = tokens + -(-tokens // MARGIN) + MARGIN_TOKENS
    if request.beyond or estimate >= strict.input:
        return strict
    doubt = "an answer cost more than its bound: the upstream had counted its input too low beforehand"
    return replace(strict, input=estimate, doubt=doubt)


def floor(request: Request) -> int:
    """G2: an answer shorter than this is of no use, so the run halts instead."""
    if request.thought:  # the upstream wants max_tokens above it; with thinking between tools it may be below
        return min(request.max_tokens, request.thought + FLOOR)
    return min(request.max_tokens, FLOOR_THINKING if request.thinking else FLOOR)


def _thought(thinking: dict[str, Any]) -> int:
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else 0
    return budget if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0 else 0


def splice(body: Bytes, request: Request, max_tokens: int) -> tuple[Bytes, ...]:
    """The same bytes with another max_tokens, in pieces: nothing of the body is copied."""
    start, end = request.span
    view = memoryview(body)
    return view[:start], str(max_tokens).encode(), view[end:]


def countable(body: Bytes) -> tuple[Bytes, ...]:
    """What of a body count_tokens takes, in pieces: it refuses what has nothing to do with its input."""
    _, spans = bodies.scan(body, "messages", lambda message, characters: None, COUNTED)
    view = memoryview(body)
    pieces: list[Bytes] = []
    for name, (start, end) in spans.items():
        pieces += [b"," if pieces else b"{", f'"{name}":'.encode(), view[start:end]]
    return (*pieces, b"}")


def _tool_tokens(tool: Any) -> int:
    kind = tool.get("type")
    if not allowances.is_client_tool(kind):
        return 0 if kind in (None, "custom") else UNDOCUMENTED_TOOL_TOKENS  # its bytes bound a custom one
    return next((n for name, n in TOOL_TOKENS.items() if kind.startswith(name)), UNDOCUMENTED_TOOL_TOKENS)
