"""How many tokens things are here: a model of a tokenizer, always the same, never above a token a byte."""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

TOOL_PROMPT = {"auto": 675, "none": 675, "any": 804, "tool": 804}
BUILT_IN = {"bash_": 325, "text_editor_": 700}
IMAGE_MOST = 4_784
LIFE_NAMES = ("5m", "1h")
_A_MESSAGE = 3  # its role and frame; at least 26 bytes of JSON
_A_RESULT = 8  # its id; at least 50 bytes of JSON


@dataclass(frozen=True, slots=True)
class Piece:
    """One block of the prompt, in the order in which prompts are read: tools, system, messages."""

    tokens: int
    key: bytes  # what the cache compares
    ttl: str | None = None  # a breakpoint after it: "5m" or "1h"
    place: str = "messages"
    cacheable: bool = True


class Scale:
    """Weighs prompts and answers. `dense` is the worst a tokenizer may do: a token for each byte of JSON."""

    def __init__(self, dense: bool = False) -> None:
        self.dense = dense

    def text(self, text: str) -> int:
        """Tokens of a text: about 3.2 bytes each, at least one."""
        size = len(text.encode("utf-8", "surrogatepass"))
        return max(1, size if self.dense else (size * 5 + 15) // 16)

    def longest(self, tokens: int) -> int:
        """How many bytes of text fit into so many tokens."""
        return tokens if self.dense else tokens * 16 // 5

    def data(self, value: object) -> int:
        return self.text(compact(value))

    def pieces(self, body: dict[str, Any], caching: bool) -> list[Piece]:
        """The blocks of a request that has been checked. Keys are empty where nothing is to be cached."""
        found: list[Piece] = []
        tools = body.get("tools") or []
        for tool in tools:
            plain = _without_control(tool)
            found.append(Piece(self.tool(plain), _key(plain, caching), _ttl(tool), "tools"))
        if tools:
            first, prompt = found[0], TOOL_PROMPT[(body.get("tool_choice") or {}).get("type", "auto")]
            found[0] = Piece(first.tokens + prompt, first.key, first.ttl, "tools")
        system = body.get("system") or []
        for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
            found.append(self._piece(block, caching, "system", 0))
        # What of the request's head is part of the messages' prefix, though not a block of it.
        budget = (body.get("output_config") or {}).get("task_budget")
        head = _key([body.get("tool_choice"), body.get("thinking"), budget], caching)
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            frame = 26 if self.dense else _A_MESSAGE
            for block in blocks:
                piece = self._piece(block, caching, message["role"], frame)
                found.append(Piece(piece.tokens, head + piece.key, piece.ttl, "messages", piece.cacheable))
                frame, head = 0, b""
        if body.get("cache_control"):
            # Automatic caching: a breakpoint after the last block that may have one.
            last = max((index for index, piece in enumerate(found) if piece.cacheable), default=-1)
            if last >= 0 and not found[last].ttl:
                found[last] = replace(found[last], ttl=_ttl(body))
        return found

    def tool(self, tool: dict[str, Any]) -> int:
        kind = tool.get("type") or "custom"
        built_in = next((more for prefix, more in BUILT_IN.items() if kind.startswith(prefix)), None)
        if built_in is None:
            return self.data(tool)
        return built_in + (self.data(tool) if self.dense else 0)

    def _piece(self, block: dict[str, Any], caching: bool, place: str, more: int) -> Piece:
        plain = _without_control(block)
        cacheable = block["type"] not in ("thinking", "redacted_thinking") and block.get("text") != ""
        key = _key([place, _rendered(plain)], caching)
        return Piece(self.block(plain) + more, key, _ttl(block), place, cacheable)

    def block(self, block: dict[str, Any]) -> int:
        """Tokens of one block of content, as it stands in a request."""
        match block["type"]:
            case "text":
                return self.text(block["text"])
            case "image":
                return IMAGE_MOST if self.dense else _image(block)
            case "thinking":
                return thought_tokens(block) or 1
            case "tool_use":
                return self.call(block["name"], block["input"])
            case "tool_result":
                inside = block.get("content") or ""
                own = len(block["tool_use_id"]) + 40 if self.dense else _A_RESULT
                if isinstance(inside, str):
                    return own + self.text(inside)
                return own + sum(self.block(each) for each in inside)
            case _:
                return self.data(block)

    def call(self, name: str, given: object) -> int:
        """Tokens of a tool call: the same when it is made and when it is sent back."""
        return self.data({"name": name, "input": given})


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _key(value: object, caching: bool) -> bytes:
    return compact(value).encode("utf-8", "surrogatepass") if caching else b""


def _without_control(block: dict[str, Any]) -> dict[str, Any]:
    if "cache_control" not in block:
        return block
    return {name: value for name, value in block.items() if name != "cache_control"}


def _rendered(block: dict[str, Any]) -> dict[str, Any]:
    """What of a block becomes tokens: a result in plain words is the same as one block of text."""
    inside = block.get("content")
    if block["type"] != "tool_result" or not inside:
        return block
    blocks = [{"type": "text", "text": inside}] if isinstance(inside, str) else inside
    return {**block, "content": [_without_control(each) for each in blocks]}


def _ttl(block: dict[str, Any]) -> str | None:
    control = block.get("cache_control")
    return control.get("ttl", "5m") if control else None


def _image(block: dict[str, Any]) -> int:
    # Width times height over 750 for a PNG that says its size; else a picture of about a million pixels.
    source = block.get("source") or {}
    try:
        head = b64decode(source.get("data", "")[:64])
    except NotBase64:
        head = b""
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return int(max(1, min(IMAGE_MOST, width * height // 750)))
    return 1_600


# A signature carries its thought, as Anthropic's does (there encrypted), so that a thought that was not shown
# is still weighed when it comes back, and a signature is longer than its thought has tokens.


def sign(thought: str, tokens: int) -> str:
    """The signature of a thinking block of so many tokens."""
    payload = b"%d:" % tokens + thought.encode()
    return b64encode(sha256(payload).digest()[:12] + payload).decode()


def thought_tokens(block: dict[str, Any]) -> int | None:
    """The tokens of a thinking block that comes back; None when its signature is not ours."""
    try:
        signed = b64decode(block.get("signature") or "", validate=True)
    except NotBase64:
        return None
    payload = signed[12:]
    if not payload or sha256(payload).digest()[:12] != signed[:12]:
        return None
    return int(payload.partition(b":")[0])
