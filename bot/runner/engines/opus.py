"""The agent that runs when nobody says otherwise: one loop between a model and two tools."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version

from bot.core.ceilings import NATIVE_ENGINE, Reason
from bot.core.transcript import NOT_EXECUTED
from bot.runner import prompts
from bot.runner.engines import (
    Block,
    Ending,
    Halted,
    Model,
    NoAnswer,
    Task,
    Tell,
    Workspace,
    WrapUp,
)
from bot.runner.engines.budget import Budget
from bot.runner.engines.claude import Claude
from bot.runner.engines.context import Context
from bot.runner.engines.talk import Talk
from bot.runner.tools import one_line

CUT_SHORT = 3  # answers in a row that max_tokens ended; after that it would go on for ever


class Opus:
    """The native engine. It talks to one model, the one in its task, and never to another."""

    name = NATIVE_ENGINE
    native = True
    settings = ()

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
