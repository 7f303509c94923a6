"""What an answer of the Messages API says it used, from a JSON body or from a stream's passing bytes (R3).

Source of the shapes: anthropic SDK 2.13.0: types/{usage,message_delta_usage,beta/beta_usage}.py.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bot.core.allowances import Refused
from bot.core.body import LIMITS, scan

MOST = 10**12  # tokens of one answer that fit into the ledger's columns, whatever an upstream says
MAX_EVENT = 8 * 1024 * 1024  # a longer line of a stream is passed on, not read


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer; the counters are disjoint. `model` and `geo` as the answer named them."""

    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0
    web_searches: int = 0
    model: str = ""
    geo: str = ""
    service_tier: str = ""
    speed: str = ""
    others: tuple[Usage, ...] = ()  # iterations that the top level does not contain, each with its model

    @property
    def total_input(self) -> int:
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read

    @property
    def metered(self) -> int:
        """What the token ceiling counts: fresh input, cache writes and output (R3)."""
        own = self.input + self.cache_write_5m + self.cache_write_1h + self.output
        return own + sum(other.metered for other in self.others)

    def flat(self) -> tuple[Usage, ...]:
        return (replace(self, others=()), *self.others) if self.others else (self,)

    def counted(self, name: str) -> int:
        return sum(int(getattr(part, name)) for part in (self, *self.others))


def _count(raw: Any, name: str) -> int:
    value = raw.get(name) if isinstance(raw, dict) else None
    return min(value, MOST) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def told(raw: Any, *names: str) -> bool:
    """Whether counts stand there at all: a usage that is missing is never a usage of nothing."""
    values = [raw.get(name) for name in names] if isinstance(raw, dict) else [None]
    return all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


def parse(raw: Any, *, model: str = "", long_cache: bool = False) -> Usage:
    """An answer's `usage` object. Writes whose lifetime is not told count as 1-hour ones if `long_cache`."""
    if not isinstance(raw, dict):
        return Usage(model=model)
    usage = _counters(raw, model, long_cache)
    return _with_iterations(usage, raw, long_cache) if raw.get("iterations") else usage


def _counters(raw: dict[str, Any], model: str, long_cache: bool) -> Usage:
    writes, split = _count(raw, "cache_creation_input_tokens"), raw.get("cache_creation")
    short, long = _count(split, "ephemeral_5m_input_tokens"), _count(split, "ephemeral_1h_input_tokens")
    untold = max(0, writes - short - long)
    return Usage(
        input=_count(raw, "input_tokens"),
        cache_write_5m=short + (0 if long_cache else untold),
        cache_write_1h=long + (untold if long_cache else 0),
        cache_read=_count(raw, "cache_read_input_tokens"),
        output=_count(raw, "output_tokens"),
        web_searches=_count(raw.get("server_tool_use"), "web_search_requests"),
        model=model,
        geo=str(raw.get("inference_geo") or ""),
        service_tier=str(raw.get("service_tier") or ""),
        speed=str(raw.get("speed") or ""),
    )


_TOKENS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
_OWN = ("message", "fallback_message")


def _with_iterations(usage: Usage, raw: dict[str, Any], long_cache: bool) -> Usage:
    """The answer's own passes stand in the top-level counters; compaction, advice and other models' do not.

    Where the own passes add up to more than the top level says, they count: the dearer of the two.
    """
    own, others = Usage(), []
    for entry in raw["iterations"] if isinstance(raw["iterations"], list) else ():
        if not isinstance(entry, dict):
            continue
        part = _counters(entry, str(entry.get("model") or usage.model), long_cache)
        if entry.get("type") in _OWN and part.model == usage.model:
            own = replace(own, **{name: getattr(own, name) + getattr(part, name) for name in _TOKENS})
        else:
            others.append(replace(part, geo=usage.geo, service_tier=usage.service_tier, speed=usage.speed))
    most = {name: max(getattr(usage, name), getattr(own, name)) for name in _TOKENS}
    return replace(usage, others=tuple(others), **most)


@dataclass(slots=True)
class Answer:
    """What is known of an answer so far. `usage` is None until the upstream has told any."""

    usage: Usage | None = None
    raw: dict[str, Any] | None = None
    model: str = ""
    stop_reason: str | None = None
    error: dict[str, Any] | None = None
    started: bool = False  # message_start was seen, or a whole JSON message
    finished: bool = False  # message_stop was seen, or a whole JSON message
    output_told: bool = False  # the output's final count was seen
    refused_before_output: bool = False

    @property
    def unstarted(self) -> bool:
        """An error came in place of the first event: no message was begun, and none is billed (G5)."""
        return self.error is not None and not self.started


def read_message(body: bytes | bytearray, *, long_cache: bool = False) -> Answer:
    """A whole JSON answer. Anything that is not a message comes back as an Answer without usage."""
    try:
        message = _message(body)
    except (ValueError, RecursionError):
        return Answer()
    if not isinstance(message, dict) or not told(message.get("usage"), "input_tokens", "output_tokens"):
        return Answer(error=message.get("error") if isinstance(message, dict) else None)
    model = str(message.get("model") or "")
    return Answer(
        usage=parse(message["usage"], model=model, long_cache=long_cache),
        raw=message["usage"],
        model=model,
        stop_reason=_word(message.get("stop_reason")),
        started=True,
        finished=True,
        output_told=True,
        refused_before_output=message.get("stop_reason") == "refusal" and not message.get("content"),
    )


def _message(body: bytes | bytearray) -> Any:
    """What an answer's JSON says; of a large one's content only whether there is any."""
    if len(body) > LIMITS.whole:
        with suppress(Refused):  # what is said strangely is read whole: it was billed all the same
            lengths: list[int] = []
            top, _ = scan(memoryview(body), "content", lambda _item, length: lengths.append(length), ())
            return top | {"content": lengths} if lengths else top
    return json.loads(body)


def read_count(body: bytes) -> int | None:
    """What count_tokens answers, in tokens of input; None if it is not that."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _count(answer, "input_tokens") if told(answer, "input_tokens") else None


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _come_whole(lines: bytes) -> bool:
    """Whether a block that begins in these lines has content already: some kinds have no delta at all.

    In doubt it has, and its answer is billed.
    """
    return any(
        _has_content(line[5:])
        for line in lines.split(b"\n")
        if line.startswith(b"data:") and b"content_block_start" in line
    )


def _has_content(data: bytes) -> bool:
    try:
        block = json.loads(data)["content_block"]
        kind = block["type"]
        return kind not in ("text", "thinking") or bool(block[kind])
    except (ValueError, RecursionError, LookupError, TypeError):
        return True


class Reader:
    """Reads usage from the bytes of an SSE stream as they pass; the bytes themselves are left alone.

    Usage in a stream is cumulative: later values overwrite earlier ones, key by key. Lines are looked at only
    where they can matter, so that hundreds of text deltas cost next to nothing.
    """

    def __init__(self, *, long_cache: bool = False) -> None:
        self.answer = Answer()
        self.long_cache = long_cache
        self._rest = b""
        self._skipping = False
        self._content = False

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk if self._rest else chunk
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return
        lines, rest = data[: end + 1], data[end + 1 :]
        if self._skipping:
            lines = lines[lines.index(b"\n") + 1 :]
            self._skipping = False
        self._keep(rest)
        if b"content_block_delta" in lines or (b"content_block_start" in lines and _come_whole(lines)):
            self._brings_content()
        # The four kinds of line that matter; text deltas are passed over without being parsed.
        if b'"usage"' in lines or b"message_stop" in lines or b'"error"' in lines or b"stop_reason" in lines:
            for line in lines.split(b"\n"):
                if line.startswith(b"data:") and (
                    b'"usage"' in line
                    or b"message_stop" in line
                    or b'"error"' in line
                    or b"stop_reason" in line
                ):
                    self._event(line[5:])

    def _brings_content(self) -> None:
        self._content = self.answer.started = True
        self.answer.refused_before_output = False  # also where the refusal was told first

    def _keep(self, rest: bytes) -> None:
        if self._skipping or len(rest) > MAX_EVENT:
            self._rest, self._skipping = b"", bool(rest) or self._skipping
            if self._skipping:
                self._brings_content()  # nothing else is as long
        else:
            self._rest = rest

    def _event(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        answer = self.answer
        match event.get("type"):
            case "message_start" if isinstance(event.get("message"), dict):
                message = event["message"]
                answer.started = True
                answer.model = str(message.get("model") or "")
                self._merge(message.get("usage"))
            case "message_delta":
                delta = event.get("delta")
                if isinstance(delta, dict) and delta.get("stop_reason"):
                    answer.stop_reason = str(delta["stop_reason"])
                    answer.refused_before_output = answer.stop_reason == "refusal" and not self._content
                self._merge(event.get("usage"))
                answer.output_told = answer.output_told or told(event.get("usage"), "output_tokens")
            case "message_stop":
                answer.finished = True
            case "error":
                answer.error = event.get("error") if isinstance(event.get("error"), dict) else {}
            case _:
                pass

    def _merge(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        known = dict(self.answer.raw or {})
        known.update({key: value for key, value in usage.items() if value is not None})
        self.answer.raw = known
        if told(known, "input_tokens"):
            self.answer.usage = parse(known, model=self.answer.model, long_cache=self.long_cache)
