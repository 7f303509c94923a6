"""Runs one after the other, newest first: which are wanted, what is shown of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from bot.core.money import Usd
from bot.core.offers import LIVE
from bot.core.signals import EVERYTHING, Only
from bot.core.visibility import HIDDEN, Sight

STATES = ("live", "queued", "open", "running", "done", "halted", "failed", "lost", "refused")
# Of the last run that was shown: when it was opened, and its id.
_MARK = re.compile(r"(?P<at>[0-9]{1,15})-(?P<run>[0-9a-f]{12})")

WORDS = {"queued": "waits in line", "open": "waits for its workflow"}


def how(state: str, reason: str | None) -> str:
    """How a run stands, in a few words: `halted: cost ceiling`."""
    said = WORDS.get(state, state)
    return f"{said}: {reason.replace('_', ' ')}" if reason else said


def where(repository: str, thread: int | None) -> str:
    """Where a run works, for people: `acme/calendar#4`."""
    return f"{repository}#{thread}" if thread else repository or "this machine"


@dataclass(frozen=True, slots=True)
class Mark:
    """The run after which a page goes on; in an address `AT-RUN`."""

    at: int
    run: str

    @staticmethod
    def parse(text: str) -> Mark | None:
        """None for what is no place in any list."""
        found = _MARK.fullmatch(text)
        return Mark(int(found["at"]), found["run"]) if found else None

    def __str__(self) -> str:
        return f"{self.at}-{self.run}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs; what is not given is any. `state`: one of STATES; `since` and `until` (ms, exclusive): when
    they were launched; `before`: those after that one in the list."""

    only: Only = EVERYTHING
    state: str = ""
    reason: str = ""
    engine: str = ""
    since: int | None = None
    until: int | None = None
    before: Mark | None = None

    @property
    def states(self) -> tuple[str, ...]:
        """Of the ledger; none: all."""
        return LIVE if self.state == "live" else (self.state,) if self.state else ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A run as it stands in a list. Times in ms since the epoch; `url`: of its thread, or its workflow."""

    run: str
    origin: str
    repository_id: int | None
    repository: str
    thread: int | None
    url: str
    actor_id: int | None
    actor: str
    task_class: str
    engine: str
    model: str
    line: str
    state: str
    reason: str | None
    attempt: int
    steps: int
    most_steps: int
    usd: Usd
    estimated: Usd
    held: Usd
    ceiling: Usd
    tokens: int
    opened_at: int
    started_at: int | None
    ended_at: int | None

    @property
    def mark(self) -> Mark:
        return Mark(self.opened_at, self.run)

    def seconds(self, now: int) -> int | None:
        """For how long it ran, or has been running; None: it never began."""
        if self.started_at is None:
            return None
        return max(0, (self.ended_at or now) - self.started_at) // 1000

    def seen(self, sight: Sight) -> Listed:
        """Without what tells of a repository that may not be read."""
        if sight.name(self.repository_id, self.actor_id):
            return self
        return replace(self, repository=HIDDEN, thread=None, url="")


def as_json(one: Listed) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    return {
        "run": one.run,
        "state": one.state,
        "reason": one.reason,
        "actor": one.actor,
        "repository": one.repository,
        "thread": one.thread,
        "url": one.url,
        "class": one.task_class,
        "engine": one.engine,
        "model": one.model,
        "line": one.line,
        "origin": one.origin,
        "attempt": one.attempt,
        "usd": one.usd.exact,
        "estimated_usd": one.estimated.exact,
        "held_usd": one.held.exact,
        "ceiling_usd": one.ceiling.exact,
        "tokens": one.tokens,
        "steps": one.steps,
        "most_steps": one.most_steps,
        "launched_ms": one.opened_at,
        "started_ms": one.started_at,
        "ended_ms": one.ended_at,
    }
