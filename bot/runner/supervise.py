"""An engine at work, watched: it ends by itself, at the deadline, or when somebody says stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from bot.core.ceilings import Reason
from bot.core.reports import Check
from bot.runner.engines import Ending, Engine, Event, Task, Tell, Workspace

DEADLINE_GRACE = 1.5  # seconds in which the gateway may say it first, in its own words
ENDING_SECONDS = 5.0  # for an engine to notice that it should end


@dataclass
class Stop:
    """Says stop to an engine and its tools, once: the first reason is kept."""

    event: threading.Event = field(default_factory=threading.Event)
    reason: str | None = None
    message: str | None = None
    cancelled: bool = False  # the machine is about to be taken away: hurry
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self, reason: str | None, message: str | None, *, cancelled: bool = False) -> None:
        with self._lock:
            self.cancelled = self.cancelled or cancelled
            if not self.event.is_set():
                self.reason, self.message = reason, message
                self.event.set()


def watched(
    engine: Engine,
    task: Task,
    workspace: Workspace,
    tell: Tell,
    stop: Stop,
    seconds_left: float,
    patience: float = ENDING_SECONDS,
) -> Ending:
    """The engine's ending, or the stop's. The engine works in a thread of its own: a silent upstream or a
    tool that hangs cannot keep this one from going on. Ctrl-C is a stop.
    """
    last = Ending("halted")
    ended: list[Ending] = []

    def listen(event: Event) -> None:
        nonlocal last
        summary = event.text if event.kind == "turn" else last.summary
        last = replace(last, summary=summary, tool_calls=event.tool_calls, turns=event.turn)
        tell(event)

    def work() -> None:
        try:
            ended.append(engine.work(task, workspace, listen, stop.event))
        except Exception as error:  # noqa: BLE001 - whatever it is, what was made is handed in
            message = f"the engine broke: {type(error).__name__}: {error}"
            ended.append(replace(last, outcome="failed", message=message))

    thread = threading.Thread(target=work, name="engine", daemon=True)
    until = time.monotonic() + seconds_left + DEADLINE_GRACE
    try:
        thread.start()
        while thread.is_alive() and not stop.event.is_set():
            thread.join(0.05)
            if time.monotonic() > until:
                stop.now(Reason.WALL_CLOCK, "the wall-clock ceiling was reached")
    except KeyboardInterrupt:
        stop.now(Reason.STOPPED, "interrupted", cancelled=True)
    if stop.event.is_set():
        thread.join(patience)
    own = ended[0] if ended else last
    if not stop.event.is_set() or (own.outcome != "halted" and own.wrapped_up is None and ended):
        return own
    # The gateway's own sentence, where the engine has heard it, is the better one.
    return replace(
        own, outcome="halted", reason=own.reason or stop.reason, message=_better(own.message, stop.message)
    )


def _better(own: str | None, other: str | None) -> str | None:
    return other if own in (None, "stopped") else own


def judged(ending: Ending, found: Check | None, failed: Collection[str]) -> Ending:
    """An agent that ended after it was told to wrap up has finished its task only if tests say so: they pass,
    and they had failed (`failed`: the test commands that did).

    Else it was its ceiling that ended it, and its work is kept aside as a halted run's is.
    """
    if ending.wrapped_up is None:
        return ending
    if found is not None and found.exit_code == 0 and found.command in failed:
        return ending
    message = ending.message or "the agent was told that this ceiling was near, and wrapped up"
    return replace(ending, outcome="halted", reason=ending.wrapped_up, message=message)
