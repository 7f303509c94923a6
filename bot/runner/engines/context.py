"""What of a conversation is still sent: old results of tools are cleared, rarely and many at once (R10).

The arithmetic, in the price of fresh input. What is sent is read from the cache, at 0.1. To clear F tokens
changes what stands before the newest R of them, so the cache misses those and they are written anew, at 1.25
and not 0.1: that costs 1.15 R once and saves 0.1 F at every turn that is still to come. With half of a
context cleared it takes 12 turns until that has paid, with three quarters 4: so much is cleared, or nothing.

On our side and not by the API's `context_management`, which clears without saying what it leaves: a gateway
could not bound such a request by the last one (core/meter, `followable`).
Prices: https://platform.claude.com/docs/en/about-claude/pricing (2026-08-22).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bot.runner.engines import Block, Message

READ, WRITE, OUTPUT = 10, 125, 500  # hundredths of the price of fresh input
MARGIN = 2  # what was cleared may have to be read again
NEWEST = 3  # messages with results that are never cleared
SMALL = 400  # characters; the note that stands for a result has nearly as many
NOTE = (
    "({size:,} characters of output stood here and were cleared to keep this conversation small. "
    "Run the command or view the file again if you need them.)"
)


class Context:
    """The conversation as it is sent. At most about `most` tokens of it, unless the model itself said more.

    `anchor` is the message up to which nothing will change any more: a cache breakpoint stands there, so that
    clearing again misses only what comes after it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.anchor = 0
        self._cleared: dict[int, Message] = {}

    def go_on(self, messages: Sequence[Message], anchor: int) -> None:
        """Send no more of an earlier attempt's conversation than that did."""
        self.anchor = min(anchor, len(messages) - 1)
        self._cleared = self._notes(messages, self.anchor)

    def sent(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, those that were cleared in their short form: the same objects at every turn."""
        return [self._cleared.get(index, message) for index, message in enumerate(messages)]

    def clear(
        self,
        messages: Sequence[Message],
        tokens: int,
        size: int,
        turns: int,
        affords: Callable[[int], bool],
    ) -> int:
        """Clear what should be cleared now; the tokens that this frees, 0 for nothing.

        `tokens` and `size` (bytes) are of the last request; its answer and what we say to that have come
        since. `turns` are still to come. `affords`: the next request will not continue the last one, so a
        gateway bounds it by its bytes (G3), and there must be room for that.
        """
        if not tokens or not size:
            return 0
        new = sum(map(_characters, messages[-2:]))
        tokens, size = tokens + new * tokens // size, size + new
        if tokens <= self.most // 2:
            return 0
        upto = self._boundary(messages, self.most // 4 * size // tokens)
        found = self._notes(messages, upto)
        freed = sum(_characters(messages[index]) - _characters(short) for index, short in found.items())
        behind = sum(map(_characters, messages[upto + 1 :]))
        saved = freed * READ * turns
        pays = saved >= MARGIN * behind * (WRITE - READ)
        # At its bound it is cleared even if it does not pay; but not for a little, again and again.
        must = tokens > self.most and freed * tokens // size >= self.most // 8
        if not (pays or must) or not freed or not affords(size - freed):
            return 0
        self._cleared.update(found)
        self.anchor = upto
        return freed * tokens // size

    def _notes(self, messages: Sequence[Message], upto: int) -> dict[int, Message]:
        """The short form of each message up to there that has one and is still sent whole."""
        return {
            index: short
            for index, message in enumerate(messages[: upto + 1])
            if index not in self._cleared and (short := _short(message)) is not message
        }

    def _boundary(self, messages: Sequence[Message], keep: int) -> int:
        """The last message whose results are old: those after it have `keep` characters or are the newest."""
        seen = kept = 0
        for index in range(len(messages) - 1, self.anchor, -1):
            size = sum(len(block["content"]) for block in _results(messages[index]))
            if size and seen >= NEWEST and kept + size > keep:
                return index
            seen, kept = seen + (size > 0), kept + size
        return self.anchor


def _results(message: Message) -> list[Block]:
    return [block for block in message["content"] if block["type"] == "tool_result"]


def _short(message: Message) -> Message:
    """The message with a note for each long result; itself where it has none."""
    if all(len(block["content"]) <= SMALL for block in _results(message)):
        return message
    return {**message, "content": [_noted(block) for block in message["content"]]}


def _noted(block: Block) -> Block:
    if block["type"] != "tool_result" or len(block["content"]) <= SMALL:
        return block
    return {**block, "content": NOTE.format(size=len(block["content"]))}


def _characters(message: Message) -> int:
    return sum(len(text) for block in message["content"] for text in _texts(block))


def _texts(block: Any) -> list[str]:
    if isinstance(block, str):
        return [block]
    values = block.values() if isinstance(block, dict) else block if isinstance(block, list) else ()
    return [text for value in values for text in _texts(value)]
