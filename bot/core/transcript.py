"""A run's conversation as it would be sent next, and where its engine stood: a later attempt goes on from it.

Kept as gzipped JSON with a version. Nothing but the conversation stands in it: no token, no environment.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

VERSION = 1
MAX_BYTES = 32 * 1024 * 1024  # of the JSON: no request to the model may be larger
NOT_EXECUTED = "Not executed: the run had halted."
Message = dict[str, Any]


class Malformed(Exception):
    """It cannot be read; a sentence."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """`messages` as the Messages API takes them; the last may be an answer whose calls have no results yet.

    `session`: of an engine that is a program of others, what it goes on from by itself, instead of messages.
    `workspace`: where the work tree was; `failed`: the test commands that had failed at least once. `anchor`:
    the message up to which old results of tools were no longer sent.
    """

    engine: str
    messages: tuple[Message, ...]
    turns: int = 0
    tool_calls: int = 0
    workspace: str = ""
    failed: tuple[str, ...] = ()
    anchor: int = 0
    session: str = ""


def write(transcript: Transcript) -> bytes:
    """As it is kept. Raises Malformed for more than MAX_BYTES."""
    content = json.dumps({"version": VERSION, **asdict(transcript)}, separators=(",", ":")).encode()
    if len(content) > MAX_BYTES:
        raise Malformed(f"a conversation of {len(content):,} bytes is not kept; {MAX_BYTES:,} are the most")
    return gzip.compress(content, 6, mtime=0)


def read(content: bytes) -> Transcript:
    """What `write` wrote. Raises Malformed; never reads more than MAX_BYTES."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            plain = file.read(MAX_BYTES + 1)
        if len(plain) > MAX_BYTES:
            raise Malformed(f"the conversation is larger than {MAX_BYTES:,} bytes")
        raw = json.loads(plain)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise Malformed(f"the conversation cannot be read: {error}") from error
    if not isinstance(raw, dict) or raw.get("version") != VERSION:
        raise Malformed("the conversation was kept by another version")
    try:
        known = {each.name: raw[each.name] for each in fields(Transcript) if each.name in raw}
        found = Transcript(**known | {"messages": tuple(known["messages"]), "failed": tuple(known["failed"])})
    except (KeyError, TypeError) as error:
        raise Malformed("the conversation lacks something") from error
    if not isinstance(found.anchor, int) or found.anchor < 0:
        raise Malformed("the conversation's anchor is no place in it")
    if not isinstance(found.session, str):
        raise Malformed("the conversation's session is no text")
    if not (found.messages or found.session) or not all(_is_message(message) for message in found.messages):
        raise Malformed("the conversation has something in it that is no message")
    return found


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
        return False
    content = message.get("content")
    return isinstance(content, list) and all(isinstance(b, dict) and "type" in b for b in content)


def going_on(messages: Sequence[Message], words: str) -> list[Message]:
    """The conversation with `words` of ours at its end: the API takes it, and all before stays as it was.

    Calls that have no result are answered with NOT_EXECUTED.
    """
    *before, last = messages
    said: list[dict[str, Any]] = [{"type": "text", "text": words}]
    if last["role"] == "user":
        calls = before[-1]["content"] if before and before[-1]["role"] == "assistant" else []
        return [*before, {**last, "content": [*last["content"], *_unanswered(calls, last), *said]}]
    return [*messages, {"role": "user", "content": [*_unanswered(last["content"], None), *said]}]


def _unanswered(blocks: Sequence[dict[str, Any]], results: Message | None) -> list[dict[str, Any]]:
    known = {block.get("tool_use_id") for block in results["content"]} if results else set()
    return [
        {"type": "tool_result", "tool_use_id": block["id"], "content": NOT_EXECUTED, "is_error": True}
        for block in blocks
        if block["type"] == "tool_use" and block["id"] not in known
    ]
