"""What a character may do next: answer, in some manner of delivery, or fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STAMP = "@" * 20  # nanoseconds of CLOCK_MONOTONIC, which is the same for every process of a machine


@dataclass(frozen=True, slots=True)
class Say:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `input` is what the tool's schema asks for."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is brought. The default: whole, at once, honestly."""

    event_ms: int = 0  # pause before each event of a stream
    ends: str = "complete"  # or cut · reset · truncated · error · error-reset · pings · silent · gibberish
    after_events: int = 1  # for cut, reset, truncated, error: how many events are sent before
    refused: bool = False  # a refusal before any output: listed in the usage, not billed
    stamped: bool = False  # STAMP in an event becomes the moment at which it leaves
    overbilled: int = 1  # the input is billed as this many tokens a byte of the body, and 10,000 more


@dataclass(frozen=True, slots=True)
class Answer:
    """The next turn of the assistant. It calls tools or it ends."""

    blocks: tuple[Say | Call, ...]
    thought: str = ""  # shown only where thinking was asked for
    stop: str = ""  # a stop reason other than end_turn or tool_use
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error in place of an answer; costs nothing."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    details: dict[str, Any] | None = None
