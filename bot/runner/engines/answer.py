"""An answer of the Messages API, put together from the events of its stream.

By hand, not by the SDK's helper: that one builds a model of every event and reads a call's input anew with
every piece of it. https://platform.claude.com/docs/en/build-with-claude/streaming (2026-08-22).
"""

from __future__ import annotations

import json
from typing import Any

from bot.runner.engines import Block

# Of each kind of delta: the field of the block that it continues, and its own.
_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("input", "partial_json"),
}
# What goes back of a block: what else is in it is for its reader.
_KEPT = {
    "text": ("type", "text"),
    "tool_use": ("type", "id", "name", "input"),
    "thinking": ("type", "thinking", "signature"),
    "redacted_thinking": ("type", "data"),
}


class Answer:
    """Fed each event of a stream; whole once it has a stop reason."""

    def __init__(self) -> None:
        self.stop_reason: str | None = None
        self.category = ""  # of a refusal
        self._usage: dict[str, Any] = {}
        self._begun: dict[int, Block] = {}
        self._pieces: dict[int, dict[str, list[str]]] = {}

    def hear(self, event: Any) -> None:
        """Kinds of events and deltas that are new are left alone, as the docs ask for."""
        match event:
            case {"type": "message_start", "message": {"usage": usage}}:
                self._usage.update(usage)
            case {"type": "content_block_start", "index": index, "content_block": block}:
                self._begun[index] = block
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                if delta["type"] in _DELTAS:
                    continued, own = _DELTAS[delta["type"]]
                    self._pieces.setdefault(index, {}).setdefault(continued, []).append(delta[own])
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                self.stop_reason = delta.get("stop_reason")
                self.category = (delta.get("stop_details") or {}).get("category") or ""
                # Cumulative: the last value wins.
                self._usage.update({name: value for name, value in usage.items() if value is not None})
            case _:
                pass

    def content(self) -> list[Block]:
        """Its blocks in order, as they are sent back."""
        return [self._block(index) for index in sorted(self._begun)]

    def used(self, *counters: str) -> int:
        """The sum of these counters of its usage, in tokens."""
        return sum(self._usage.get(counter) or 0 for counter in counters)

    def _block(self, index: int) -> Block:
        block = dict(self._begun[index])
        for name, pieces in self._pieces.get(index, {}).items():
            text = "".join(pieces)
            if name == "input":
                block[name] = _input(text) if text else block[name]
            else:
                block[name] = (block.get(name) or "") + text
        kept = _KEPT.get(block["type"])
        return {name: block[name] for name in kept if name in block} if kept else block


def _input(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}  # cut in the middle: a call that is not carried out
