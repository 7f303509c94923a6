"""Whether each request of a conversation goes on from the one before: the same blocks, and more behind."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


@dataclass
class Conversation:
    """What begins with the same words to the same model; `broken`: requests that changed what was sent."""

    requests: int = 0
    broken: int = 0
    blocks: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


class Continuity:
    """Every conversation of this address, by how it begins."""

    def __init__(self) -> None:
        self._known: dict[str, Conversation] = {}

    def heard(self, body: dict[str, Any], key: str) -> None:
        blocks = [_hash([m["role"], block]) for m in body["messages"] for block in _blocks(m)]
        first = _hash([body["model"], body.get("system"), body.get("tools"), blocks[:1]])
        talk = self._known.setdefault(first, Conversation())
        talk.requests += 1
        talk.broken += blocks[: len(talk.blocks)] != talk.blocks
        talk.blocks = blocks
        talk.keys.add(key)

    def json(self) -> list[dict[str, int]]:
        return [
            {"requests": t.requests, "broken": t.broken, "blocks": len(t.blocks), "keys": len(t.keys)}
            for t in self._known.values()
        ]


def _blocks(message: dict[str, Any]) -> list[Any]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _hash(value: Any) -> str:
    return sha256(json.dumps(_unmarked(value), sort_keys=True).encode()).hexdigest()


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(item) for name, item in value.items() if name != "cache_control"}
    return [_unmarked(item) for item in value] if isinstance(value, list) else value
