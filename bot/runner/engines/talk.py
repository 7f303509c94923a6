"""The native engine's conversation: what stands in it, what is sent of it, what a later attempt is left."""

from __future__ import annotations

from typing import Any

from bot.core.ceilings import NATIVE_ENGINE, Reason
from bot.core.transcript import Transcript, going_on
from bot.runner.engines import Block, Ending, Event, Message, Remaining, Reply
from bot.runner.engines.budget import Budget
from bot.runner.engines.context import Context


class Talk:
    """The conversation, and what came of it. It only ever grows; what is still sent of it, `context` says."""

    def __init__(self, prompt: str, context: Context, earlier: Transcript | None = None) -> None:
        self.messages: list[Message] = [{"role": "user", "content": [_text(prompt)]}]
        self.context = context
        self.turns = self.tool_calls = 0
        if earlier is not None:
            self.messages = going_on(earlier.messages, prompt)
            self.turns, self.tool_calls = earlier.turns, earlier.tool_calls
            context.go_on(self.messages, earlier.anchor)
        self.words = ""  # the last that the model said
        self.calls: list[Block] = []
        self.wrapping_up: Reason | None = None

    def marked(self) -> list[Message]:
        """The messages as they are sent, with a cache breakpoint at the end of the last two of ours.

        The last one writes what is new. The one before stands where the last request wrote, so that it is
        found even when more blocks lie between them than the cache looks back over (20). A third one stands
        where the context will not change any more; the fourth that there may be, after the system prompt.
        """
        ours = [index for index, message in enumerate(self.messages) if message["role"] == "user"][-2:]
        marks = {self.context.anchor, *ours}
        sent = self.context.sent(self.messages)
        return [_marked(message) if index in marks else message for index, message in enumerate(sent)]

    def cleared(self, reply: Reply, budget: Budget) -> int:
        """Clear old results of tools if that pays now; how many tokens it frees."""
        return self.context.clear(
            self.messages,
            reply.input,
            reply.size,
            budget.turns(reply),
            lambda size: budget.affords(reply, size),
        )

    def heard(self, reply: Reply) -> str:
        """Take an answer in; what was said in it."""
        self.turns += 1
        content = reply.content
        if reply.stop_reason not in ("tool_use", "pause_turn"):
            # A call that was cut in the middle has no result, and one without a result is refused.
            content = [block for block in content if block["type"] != "tool_use"]
        self.calls = [block for block in content if block["type"] == "tool_use"]
        said = "\n".join(block["text"] for block in content if block["type"] == "text").strip()
        self.words = said or self.words
        if any(block["type"] not in ("thinking", "redacted_thinking") for block in content):
            self.messages.append({"role": "assistant", "content": content})
        else:
            self.messages.append({"role": "assistant", "content": [*content, _text("(cut short)")]})
        return said

    def answer(self, results: list[Block]) -> None:
        self.messages.append({"role": "user", "content": results})

    def go_on(self, words: str) -> None:
        self.messages.append({"role": "user", "content": [_text(words)]})

    def say(self, words: str) -> None:
        """Words of ours, after the results of the turn."""
        last = self.messages[-1]
        if last["role"] == "user":
            self.messages[-1] = {"role": "user", "content": [*last["content"], _text(words)]}
        else:
            self.go_on(words)

    def event(self, kind: Any, text: str, before: Remaining | None = None) -> Event:
        kept = self.so_far() if kind in ("turn", "results") else None
        return Event(kind, text, self.turns, self.tool_calls, before or Remaining(), kept)

    def so_far(self) -> Transcript:
        return Transcript(
            NATIVE_ENGINE, tuple(self.messages), self.turns, self.tool_calls, anchor=self.context.anchor
        )

    def ended(self, outcome: Any, reason: str | None = None, message: str | None = None) -> Ending:
        told = self.wrapping_up if outcome == "done" else None
        counted = self.tool_calls, self.turns
        return Ending(outcome, self.words, reason, message, *counted, told, self.so_far())


def _text(words: str) -> Block:
    return {"type": "text", "text": words}


def _marked(message: Message) -> Message:
    *rest, last = message["content"]
    return {**message, "content": [*rest, {**last, "cache_control": {"type": "ephemeral"}}]}
