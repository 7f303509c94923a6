"""The agent that runs when nobody says otherwise: one loop between a model and two tools."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from typing import Any

from bot.core.ceilings import Reason
from bot.core.transcript import NOT_EXECUTED, Transcript, going_on
from bot.runner import prompts
from bot.runner.budget import Budget
from bot.runner.engines import (
    Block,
    Ending,
    Event,
    Halted,
    Message,
    Model,
    NoAnswer,
    Remaining,
    Reply,
    Task,
    Tell,
    Workspace,
    WrapUp,
)
from bot.runner.engines.claude import Claude
from bot.runner.engines.context import Context
from bot.runner.tools import one_line

CUT_SHORT = 3  # answers in a row that max_tokens ended; after that it would go on for ever


class Opus:
    """The native engine. It talks to one model, the one in its task, and never to another."""

    name = "opus"

    def __init__(self, model: Callable[[Task], Model] = Claude) -> None:
        self._model = model
        self.version = f"1 (anthropic {version('anthropic')})"

    def work(self, task: Task, workspace: Workspace, tell: Tell, stop: threading.Event) -> Ending:
        """Turn after turn until there is an end; whatever it is, what was done stays in the workspace."""
        with closing(self._model(task)) as model:
            talk = Talk(task.prompt, Context(task.context), task.earlier)
            return _loop(model, Budget(task.ceilings), talk, workspace, tell, stop)


def _loop(
    model: Model, budget: Budget, talk: Talk, workspace: Workspace, tell: Tell, stop: threading.Event
) -> Ending:
    cut = 0
    while not stop.is_set():
        try:
            budget.asked()
            reply = model.ask(talk.marked(), stop)
        except WrapUp as kept:
            if talk.wrapping_up is not None:  # the service was told, and did not hear it
                return talk.ended("halted", talk.wrapping_up, f"only what is kept back is left: {kept.left}")
            _wrap_up(talk, kept.ceiling, kept.left, tell)
            continue
        except Halted as halt:
            return talk.ended("halted", halt.reason, str(halt))
        except NoAnswer as error:
            return talk.ended("failed", message=str(error))
        tell(talk.event("turn", talk.heard(reply), reply.before))
        cut = cut + 1 if reply.stop_reason == "max_tokens" else 0

        match reply.stop_reason:
            case "tool_use":
                talk.answer([_carry_out(talk, call, workspace, tell, stop) for call in talk.calls])
                tell(talk.event("results", ""))
            case "end_turn" | "stop_sequence":
                return talk.ended("done")
            case "max_tokens" if reply.clamped is not None and talk.wrapping_up is None:
                # Of what is kept back for wrapping up nothing is used yet (G10).
                _wrap_up(talk, *budget.scarcer(reply), tell)
                continue
            case "max_tokens" if reply.clamped is not None:
                # What it might still say did not suffice: the gateway halts the run, and knows why.
                return talk.ended("halted", message="the last answer was cut short at the ceiling")
            case "max_tokens" if cut < CUT_SHORT:
                talk.go_on(prompts.text("cut_short"))
            case "max_tokens":
                return talk.ended("failed", message=f"{cut} answers in a row were cut at max_tokens")
            case "pause_turn":
                continue  # the turn goes on when it is sent back as it is
            case "refusal":
                why = f" ({reply.detail})" if reply.detail else ""
                return talk.ended("failed", message=f"the model refused to go on{why}")
            case "model_context_window_exceeded":
                return talk.ended("failed", message="the conversation no longer fits the model's window")
            case other:
                return talk.ended("failed", message=f"the model stopped for an unknown reason: {other}")

        if talk.wrapping_up is None and (gone := budget.nearly_gone(reply)):
            _wrap_up(talk, *gone, tell)
        elif talk.wrapping_up is None and (freed := talk.cleared(reply, budget)):
            tell(talk.event("note", f"old results of tools are no longer sent: about {freed:,} tokens"))
    return talk.ended("halted", message="stopped")


def _wrap_up(talk: Talk, ceiling: Reason, left: str, tell: Tell) -> None:
    """Once; the event opens what the service keeps back for it, and comes before the next request (G10)."""
    talk.wrapping_up = ceiling
    tell(talk.event("wrap_up", f"told to wrap up: {left} left"))
    talk.say(prompts.text("wrap_up").format(left=left))


def _carry_out(talk: Talk, call: Block, workspace: Workspace, tell: Tell, stop: threading.Event) -> Block:
    if stop.is_set():
        return _result(call, NOT_EXECUTED, error=True)
    talk.tool_calls += 1
    tell(talk.event("tool", one_line(call["name"], call["input"])))
    said = workspace.call(call["name"], call["input"], stop)
    return _result(call, said.text, said.error)


def _result(call: Block, text: str, error: bool) -> Block:
    made: Block = {"type": "tool_result", "tool_use_id": call["id"], "content": text}
    return {**made, "is_error": True} if error else made


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
            Opus.name, tuple(self.messages), self.turns, self.tool_calls, anchor=self.context.anchor
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
