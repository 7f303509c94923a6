"""A character's answer as the Messages API words it: fitted to max_tokens, as one object or as events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from sandbox.characters.answers import Answer, Call, Say
from sandbox.claude.prices import Model, Usage
from sandbox.claude.tokens import Scale, compact, sign

DELTAS = 100  # at most about so many deltas a block
REFUSAL = {
    "type": "refusal",
    "category": "cyber",
    "explanation": "This request was declined by the sandbox's character.",
}


@dataclass(slots=True)
class Block:
    """One block of an answer: as it stands in JSON, what its deltas add up to, its tokens."""

    content: dict[str, Any]
    streamed: str
    tokens: int


@dataclass(slots=True)
class Made:
    """An answer as it will be sent."""

    blocks: list[Block]
    stop_reason: str
    stop_sequence: str | None
    output: int
    thinking: int


def fit(answer: Answer, body: dict[str, Any], scale: Scale, room: int) -> Made:
    """Cut an answer at `room` tokens (max_tokens, or what the context holds) and at the stop sequences."""
    made = Made([], answer.stop, None, 0, 0)
    thinking = body.get("thinking") or {}
    if thinking.get("type") in ("adaptive", "enabled") and answer.thought:
        _think(made, answer.thought, thinking.get("display", "omitted"), scale, room)
    for part in answer.blocks:
        if made.stop_reason in ("max_tokens", "stop_sequence"):
            break
        left = room - made.output
        if left <= 0:
            made.stop_reason = "max_tokens"
        elif isinstance(part, Say):
            _say(made, part.text, body.get("stop_sequences") or [], scale, left)
        else:
            _call(made, part, scale, left)
    if not made.stop_reason:
        made.stop_reason = "tool_use" if any(isinstance(part, Call) for part in answer.blocks) else "end_turn"
    made.output = max(1, made.output)  # even an empty answer has some
    return made


def _think(made: Made, thought: str, display: str, scale: Scale, room: int) -> None:
    tokens = scale.text(thought)
    if tokens > room:
        thought, tokens, made.stop_reason = _cut(thought, scale.longest(room)), room, "max_tokens"
    shown = thought if display == "summarized" else ""
    content = {"type": "thinking", "thinking": shown, "signature": sign(thought, tokens)}
    made.blocks.append(Block(content, shown, tokens))
    made.output += tokens
    made.thinking = tokens


def _say(made: Made, text: str, stops: list[str], scale: Scale, left: int) -> None:
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    if found:
        at, made.stop_sequence = min(found)
        text, made.stop_reason = text[:at], "stop_sequence"
    tokens = scale.text(text)
    if tokens > left:
        text, tokens = _cut(text, scale.longest(left)), left
        made.stop_reason, made.stop_sequence = "max_tokens", None
    made.blocks.append(Block({"type": "text", "text": text}, text, tokens))
    made.output += tokens


def _call(made: Made, call: Call, scale: Scale, left: int) -> None:
    given, streamed, tokens = call.input, compact(call.input), scale.call(call.name, call.input)
    if tokens > left:
        # The JSON of a call that was cut does not parse; in an answer in one piece the call has no input.
        streamed, given, tokens = _cut(streamed, scale.longest(left)), {}, left
        made.stop_reason = "max_tokens"
    content = {"type": "tool_use", "id": f"toolu_01{token_hex(11)}", "name": call.name, "input": given}
    made.blocks.append(Block(content, streamed, tokens))
    made.output += tokens


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def usage_json(usage: Usage, geo: str) -> dict[str, Any]:
    """`usage` as a message has it."""
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.thinking},
        "service_tier": "standard",
        "inference_geo": geo,
    }


def message(made: Made, id: str, model: Model, usage: Usage, geo: str) -> bytes:
    """The whole answer as one JSON object."""
    return json.dumps(
        {
            "model": model.id,
            "id": id,
            "type": "message",
            "role": "assistant",
            "content": [block.content for block in made.blocks],
            "stop_reason": made.stop_reason,
            "stop_sequence": made.stop_sequence,
            "stop_details": REFUSAL if made.stop_reason == "refusal" else None,
            "usage": usage_json(usage, geo),
        },
        separators=(",", ":"),
    ).encode()


Event = tuple[bytes, int]  # (as sent, output tokens generated up to here)

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def events(made: Made, id: str, model: Model, usage: Usage, geo: str) -> list[Event]:
    """The whole answer as events: message_start has the input's usage, message_delta all of it."""
    begun: dict[str, Any] = {
        "model": model.id,
        "id": id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_json(
            Usage(usage.input, usage.cache_write_5m, usage.cache_write_1h, usage.cache_read, 1), geo
        ),
    }
    found = [(event("message_start", message=begun), 1)]
    before = 0
    for index, block in enumerate(made.blocks):
        found.append((event("content_block_start", index=index, content_block=_empty(block)), max(1, before)))
        if index == 0:
            found.append((PING, 1))
        deltas = _deltas(block)
        for number, delta in enumerate(deltas, 1):
            upto = before + block.tokens * number // len(deltas)
            found.append((event("content_block_delta", index=index, delta=delta), max(1, upto)))
        before += block.tokens
        found.append((event("content_block_stop", index=index), max(1, before)))
    ended: dict[str, Any] = {"stop_reason": made.stop_reason, "stop_sequence": made.stop_sequence}
    if made.stop_reason == "refusal":
        ended["stop_details"] = REFUSAL
    total = usage_json(usage, geo)
    for of_start_only in ("cache_creation", "service_tier", "inference_geo"):
        del total[of_start_only]
    found.append((event("message_delta", delta=ended, usage=total), usage.output))
    found.append((event("message_stop"), usage.output))
    return found


def event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _empty(block: Block) -> dict[str, Any]:
    match block.content["type"]:
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use":
            return {**block.content, "input": {}}
        case _:
            return {"type": "text", "text": ""}


def _deltas(block: Block) -> list[dict[str, Any]]:
    size = max(24, len(block.streamed) // DELTAS + 1)
    parts = [block.streamed[at : at + size] for at in range(0, len(block.streamed), size)]
    match block.content["type"]:
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": part} for part in parts]
            return [*thoughts, {"type": "signature_delta", "signature": block.content["signature"]}]
        case "tool_use":
            return [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]
        case _:
            return [{"type": "text_delta", "text": part} for part in parts]
