"""A run as it is known at the trigger, and as its row stands; a turn of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.reports import CostBy, Published, Spent, Turn
from bot.core.rules import STRICTEST, Rules
from bot.stores.tables import LIVE

STEP = "step"  # the origin of a run that a step of somebody's workflow is
LAPTOP = "laptop"  # of one on a person's own machine that counts with the service (P7)
APART = (STEP, LAPTOP)  # whose work and report stay with whoever opened them, not on a thread
SERVED = ("github", *APART)  # whose runner is another machine; the watchdog ends them


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is known at the trigger. `snapshot` is JSON-able; `comment_*` are None for local runs."""

    id: str
    origin: str
    ceilings: Ceilings
    task_class: str
    engine: str
    model: str
    price_book: str
    effort: str = ""
    task: str = ""
    actor: str = ""
    actor_id: int | None = None
    month: str = ""
    line: str = ""
    sweep: str = ""
    item: int | None = None
    key_name: str = ""
    opened_by: str = ""
    branch: str = ""
    installation: int | None = None
    repository_id: int | None = None
    repository: str = ""
    thread: int | None = None
    thread_kind: str | None = None
    comment_kind: str | None = None
    comment_id: int | None = None
    snapshot: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    clamps: tuple[str, ...] = ()
    rules: Rules = STRICTEST
    retention: int = 30  # days for which its conversation and changes are kept
    keeps_back: bool = False  # a slice of each ceiling for wrapping up: the native engine's alone (G10)


@dataclass(frozen=True, slots=True)
class Run:
    """A run's row as it stands. Times in ms since the epoch."""

    id: str
    origin: str
    installation: int | None
    repository_id: int | None
    repository: str
    thread: int | None
    thread_kind: str | None
    comment_kind: str | None
    comment_id: int | None
    actor: str
    actor_id: int | None
    month: str
    line: str
    sweep: str
    item: int | None
    key_name: str
    opened_by: str
    task_class: str
    engine: str
    model: str
    effort: str
    task: str
    snapshot: dict[str, Any]
    ceilings: Ceilings
    sources: dict[str, str]
    clamps: tuple[str, ...]
    state: str
    reason: Reason | None
    message: str
    notice: str
    attempt: int
    opened_at: int
    queued_at: int | None
    started_at: int | None
    deadline_at: int | None
    lease_until_at: int | None
    ended_at: int | None
    spent: Spent
    held: Usd
    estimated: Usd
    needed: Usd | None
    needed_tokens: int | None
    cost_by: CostBy
    price_book: str
    report_comment_id: int | None
    check_run_id: int | None
    workflow_run_id: int | None
    workflow_url: str
    dispatched_at: int | None
    published_pull: int | None
    settled_as: str | None
    settled_by: str | None
    settled_in: str | None
    finishing_at: int | None
    finished_at: int | None
    last_lines: tuple[str, ...]
    published: Published | None
    result: dict[str, Any]
    resumed: dict[str, Any]  # empty for a first attempt

    @property
    def live(self) -> bool:
        """Not over: running, about to, or waiting in line."""
        return self.state in LIVE

    @property
    def begun(self) -> bool:
        """Whether it was ever sent off: what ends in line was not."""
        return self.dispatched_at is not None or self.spent.steps > 0


def limit_columns(new: NewRun) -> dict[str, Any]:
    """The columns of what an attempt may spend, and why."""
    return {
        "ceiling_nanos": new.ceilings.usd.nanos,
        "ceiling_tokens": new.ceilings.tokens,
        "ceiling_steps": new.ceilings.steps,
        "ceiling_seconds": new.ceilings.seconds,
        "ceiling_cached_tokens": new.ceilings.cached_tokens,
        "kept_back": int(new.keeps_back),
        "sources": json.dumps(new.sources),
        "clamps": json.dumps(list(new.clamps)),
        "rules": new.rules.json(),
        "retention_days": new.retention,
    }


def from_row(row: sa.RowMapping) -> Run:
    """A row of the runs table as a value."""
    ended, started = row["ended_at"], row["started_at"]
    seconds = (ended - started if ended and started else row["earlier_ms"]) // 1000
    published = json.loads(row["published"]) if row["published"] else None
    return Run(
        **{name: row[name] for name in _PLAIN},
        snapshot=json.loads(row["snapshot"]),
        ceilings=Ceilings(
            Usd(row["ceiling_nanos"]),
            row["ceiling_tokens"],
            row["ceiling_steps"],
            row["ceiling_seconds"],
            row["ceiling_cached_tokens"],
        ),
        sources=json.loads(row["sources"]),
        clamps=tuple(json.loads(row["clamps"])),
        reason=Reason(row["reason"]) if row["reason"] else None,
        spent=Spent(
            usd=Usd(row["spent_nanos"]),
            tokens=row["spent_tokens"],
            seconds=seconds,
            **{name: row[name] for name in _COUNTERS},
        ),
        held=Usd(row["held_nanos"]),
        estimated=Usd(row["estimated_nanos"]),
        needed=None if row["needed_nanos"] is None else Usd(row["needed_nanos"]),
        needed_tokens=row["needed_tokens"],
        cost_by=CostBy(
            Usd(row["cost_input_nanos"]),
            Usd(row["cost_write_nanos"]),
            Usd(row["cost_read_nanos"]),
            Usd(row["cost_output_nanos"]),
            Usd(row["cost_tools_nanos"]),
        ),
        last_lines=tuple(json.loads(row["last_lines"])),
        published=Published.of_json(published) if published else None,
        result=json.loads(row["result"]) if row["result"] else {},
        resumed=json.loads(row["resumed"]) if row["resumed"] else {},
    )


_COUNTERS = ("steps", "tool_calls", "input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
_PLAIN = (
    "id", "origin", "installation", "repository_id", "repository", "thread", "thread_kind",
    "comment_kind", "comment_id", "actor", "actor_id", "month", "line", "sweep", "item", "key_name",
    "opened_by", "task_class", "engine", "model", "effort", "task", "state", "message", "notice", "attempt",
    "opened_at", "queued_at", "started_at", "deadline_at", "lease_until_at", "ended_at", "price_book",
    "report_comment_id", "check_run_id", "workflow_run_id", "workflow_url", "dispatched_at",
    "published_pull", "settled_as", "settled_by", "settled_in", "finishing_at", "finished_at",
)  # fmt: skip


def turn_of(row: sa.RowMapping) -> Turn:
    """A row of the turns table as a report has it."""
    return Turn(
        step=row["step"] or 0,
        model=row["model"] or row["model_asked"],
        usd=Usd(row["nanos"]),
        input=row["input"],
        cache_write=row["cache_write_5m"] + row["cache_write_1h"],
        cache_read=row["cache_read"],
        output=row["output"],
        stop_reason=row["stop_reason"],
        estimated=row["state"] == "estimated",
        clamped_max_tokens=row["clamped_max_tokens"],
    )
