"""What is to be known of a request's conversation for its bound: sizes, prefixes, what bytes do not bound.

Images: https://platform.claude.com/docs/en/build-with-claude/vision (2026-08-22).
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.core.allowances import Refused
from bot.core.body import SHORT, Long, length, weighed

MAX_MESSAGES = 100_000  # api/messages: "There is a limit of 100,000 messages in a single request"
IMAGE_TOKENS = 4_784


@dataclass(slots=True)
class Seen:
    """What stands in content blocks and has a price or a bound of its own. A tool's input is only bytes."""

    lifetimes: set[str] = field(default_factory=set)
    images: list[int] = field(default_factory=list)  # bytes of base64 of each
    sources: list[str] = field(default_factory=list)
    tools: list[Any] = field(default_factory=list)  # that a message adds

    def mark(self, block: dict[str, Any]) -> None:
        mark = block.get("cache_control")
        if isinstance(mark, dict):
            self.lifetimes.add("1h" if mark.get("ttl") == "1h" else "5m")

    def blocks(self, blocks: Any) -> None:
        """Messages, tools and content blocks alike: what nests is `content`, the block's or its source's."""
        for block in blocks if isinstance(blocks, list) else (blocks,):
            if isinstance(block, dict):
                self.mark(block)
                self._source(block)
                self.blocks(block.get("content"))

    def images_of(self, message: Any) -> list[int]:
        """Look through one message; the images that it brought."""
        before = len(self.images)
        self.blocks([message])
        return self.images[before:]

    def _source(self, block: dict[str, Any]) -> None:
        kind, source = block.get("type"), block.get("source")
        if kind == "container_upload":
            self.sources.append("file")
        if kind == "tool_addition" and isinstance(block.get("tool"), dict):
            definition = block["tool"].get("definition")
            if definition is not None:
                self.tools.append(definition)
                self.blocks(definition)
        if not isinstance(source, dict):
            return
        if source.get("type") in ("url", "file"):
            self.sources.append(str(source["type"]))
        elif kind == "image":
            data = source.get("data")
            self.images.append(length(data) if isinstance(data, str) else 0)
        elif source.get("type") == "base64":
            self.sources.append("pdf")
        self.blocks(source.get("content"))


class Talk:
    """What is to be known of a conversation; each message is written out once, for its hash and size."""

    def __init__(self, seen: Seen, keep: int) -> None:
        self.sizes: list[int] = []  # tokens at the most of each message
        self.kept: deque[Mapping[str, Any]] = deque()
        self._seen = seen
        self._digest = hashlib.sha256()
        self._digests = [self._digest.digest()]
        self._keep = keep
        self._lengths: deque[int] = deque()  # of those kept

    def add(self, message: Any, characters: int) -> None:
        """The next message, which takes so many characters of the body's text."""
        if not isinstance(message, dict):
            raise Refused("messages: each must be an object")
        if len(self.sizes) == MAX_MESSAGES:
            raise Refused(f"messages: a request may have {MAX_MESSAGES:,} at most")
        images = self._seen.images_of(message)
        blocks = _blocks(message)
        written, size = _canonical(blocks)
        self._digest.update(b"\n" + written)
        self._digests.append(self._digest.digest())
        self.sizes.append(with_images(size if blocks is message else size - _WRAPPING, images))
        self._hold(message, characters)

    def _hold(self, message: Mapping[str, Any], characters: int) -> None:
        self.kept.append(message)
        self._lengths.append(characters)
        self._keep -= characters
        while self._keep < 0:
            self.kept.popleft()
            self._keep += self._lengths.popleft()

    def prefixes(self, top: Mapping[str, Any]) -> tuple[str, ...]:
        """Hashes of the fixed part and the first k messages, k = 0 … n."""
        # The first three change nothing that counts as input; cache marks move from turn to turn.
        skipped = ("max_tokens", "stream", "metadata", "cache_control", "service_tier", "messages")
        fixed, _ = _canonical({name: value for name, value in top.items() if name not in skipped})
        start = hashlib.sha256(fixed).digest()
        return tuple(hashlib.sha256(start + digest).hexdigest() for digest in self._digests)


def with_images(size: int, images: list[int]) -> int:
    """Tokens of so many bytes at the most: each image at its documented cap instead of its base64."""
    return size - sum(images) + IMAGE_TOKENS * len(images)


def _blocks(message: Any) -> Any:
    # A text and a list of one text block are the same; clients switch to mark the cache.
    if isinstance(message, dict) and isinstance(message.get("content"), str):
        return {**message, "content": [{"type": "text", "text": message["content"]}]}
    return message


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _canonical(value: Any) -> tuple[bytes, int]:
    """The one way to write a value, long texts by their hash; and its size with those texts written out."""
    saved: list[int] = []
    written = _ENCODER.encode(_reduced(value, saved)).encode("utf-8", "surrogatepass")
    return written, len(written) + sum(saved)


_HASHED = "\x7f"  # begins what stands for a long text; a text that begins so itself gets one more


def _reduced(value: Any, saved: list[int]) -> Any:
    """Without cache marks and long texts; `saved` is told how many bytes fewer each of those takes."""
    if isinstance(value, str):
        if len(value) > SHORT or isinstance(value, Long):
            digest, size = weighed(value)
            saved.append(size - len(_HASHED + digest))
            return _HASHED + digest
        if value.startswith(_HASHED):
            saved.append(-len(_HASHED))
            return _HASHED + value
    elif isinstance(value, dict):
        return {key: _reduced(item, saved) for key, item in value.items() if key != "cache_control"}
    elif isinstance(value, list):
        return [_reduced(item, saved) for item in value]
    return value


# What _blocks puts around a text that came plain: it is not in the body, so it does not count as input.
_WRAPPING = len(_canonical([{"type": "text", "text": ""}])[0]) - len(_canonical("")[0])
