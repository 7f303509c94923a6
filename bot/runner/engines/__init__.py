"""The three small protocols that agents are made of; those that a run may be given to are in named.py.

A model answers a conversation, a workspace carries out what it asks for, an engine goes on between the two
until there is an end. What happens meanwhile is told to a listener. An engine that is a program of others
brings its own conversation and tools: foreign.py has what such ones share, and says how one is added.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from bot.core.care import CARE
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.transcript import Transcript
from bot.runner.isolation import User

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

    def ran(self, command: str, failed: bool) -> None:
        """Hear of a command that an engine has carried out by itself, in the tree's root."""


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
    own: Usd | None = None  # what a program of others says that it has cost


@dataclass(frozen=True, slots=True)
class Ground:
    """What an engine that is a program of others finds of this machine.

    It works on `work` as `user` (None: as ourselves), with `env`, in which no secret is, and the empty
    `home`. `aside` is ours: the user reads it and writes nothing in it. `engines`: where such programs are
    installed. `base`: what the base branch has of the files that it takes its settings from, by path.
    """

    work: Path
    home: Path
    aside: Path
    engines: Path
    env: Mapping[str, str]
    user: User | None = None
    base: Mapping[str, bytes] = field(default_factory=dict)


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
    ground: Ground | None = None
    check: str | None = None  # the command that decides whether it works, where there is one

    def __repr__(self) -> str:
        return f"Task(model={self.model!r})"  # never the token


Tell = Callable[[Event], None]


class Engine(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def settings(self) -> tuple[str, ...]:
        """Files and folders ("x/") of a repository that it obeys: it is given the base branch's."""

    @property
    def native(self) -> bool:
        """Whether it works by our tools, and is told how to use them."""

    def work(self, task: Task, workspace: Workspace, tell: Tell, stop: threading.Event) -> Ending:
        """Go on until there is an end, or `stop` is set."""
