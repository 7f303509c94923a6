"""The agents that a run may be given to, by name; the three small protocols that they are made of.

A model answers a conversation, a workspace carries out what it asks for, an engine goes on between the two
until there is an end. What happens meanwhile is told to a listener.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bot.core.care import CARE
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.transcript import Transcript

Block = dict[str, Any]  # of a message, as it stands on the wire
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of each ceiling, from the gateway's headers; None where no gateway says so."""

    usd: Usd | None = None
    tokens: int | None = None
    steps: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model. `before` is what was left when it began: its own cost is not yet in it."""

    content: list[Block]
    stop_reason: str | None
    tokens: int = 0  # that count against the token ceiling
    input: int = 0  # tokens of the whole conversation as it was sent, cached or not
    size: int = 0  # bytes of the request
    weight: int = 0  # what it cost, in hundredths of the price of a token of fresh input
    clamped: int | None = None  # the lowered max_tokens
    before: Remaining = field(default_factory=Remaining)
    detail: str = ""  # of a refusal


class Halted(Exception):
    """The run is halted: there will be no further answer. The message is the gateway's sentence."""

    def __init__(self, reason: str | None, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WrapUp(Exception):
    """Nothing was asked, and the run goes on: what is left is kept back for wrapping up (G10)."""

    def __init__(self, ceiling: Reason, left: str) -> None:
        super().__init__(left)
        self.ceiling, self.left = ceiling, left


class NoAnswer(Exception):
    """The model cannot be asked, for a reason that asking again does not change; a sentence."""


class Model(Protocol):
    def ask(self, messages: Sequence[Message], stop: threading.Event) -> Reply:
        """The next answer. Raises Halted, WrapUp, NoAnswer."""

    def close(self) -> None: ...


class Said(Protocol):
    """What the model reads of a call."""

    @property
    def text(self) -> str: ...
    @property
    def error(self) -> bool: ...


class Workspace(Protocol):
    def call(self, name: str, given: Any, stop: threading.Event) -> Said:
        """Carry out one call of the model; what goes wrong is a sentence for it, not an exception."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `tool_calls`: all so far; `before` as in Reply.

    With a turn and with its results comes the conversation so far.
    """

    kind: Literal["turn", "tool", "results", "wrap_up", "note"]
    text: str
    turn: int
    tool_calls: int
    before: Remaining = field(default_factory=Remaining)
    so_far: Transcript | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How the work ended. `summary` is the last that the model said, `so_far` the conversation at its end."""

    outcome: Literal["done", "halted", "failed"]
    summary: str = ""
    reason: str | None = None
    message: str | None = None
    tool_calls: int = 0
    turns: int = 0
    wrapped_up: Reason | None = None  # it ended by itself, but had been told that this ceiling is near
    so_far: Transcript | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What an engine is given. `prompt` opens the conversation; `system` is the same in every turn.

    With `earlier` it goes on from that conversation, and `prompt` is what is said to it then (L4).
    """

    system: str
    prompt: str
    model: str
    effort: str
    base_url: str
    token: str
    ceilings: Ceilings
    context: int = CARE["default"].context  # tokens of conversation that are worked in, at most
    earlier: Transcript | None = None

    def __repr__(self) -> str:
        return f"Task(model={self.model!r})"  # never the token


Tell = Callable[[Event], None]


class Engine(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def work(self, task: Task, workspace: Workspace, tell: Tell, stop: threading.Event) -> Ending:
        """Go on until there is an end, or `stop` is set."""


class UnknownEngine(Exception):
    """No engine has that name; a sentence."""


def named(name: str) -> Engine:
    """The engine of that name. Raises UnknownEngine."""
    from bot.runner.engines.opus import Opus  # they import the protocols above

    engines: dict[str, Callable[[], Engine]] = {"opus": Opus}
    if name not in engines:
        raise UnknownEngine(f"there is no engine {name!r} here: {', '.join(engines)}")
    return engines[name]()
