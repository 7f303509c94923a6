"""One person's month: what they spent on what, and how it stands against their cap (R20, R21, R24)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.core.caps import Opened, Standing
from bot.core.money import Usd
from bot.core.rollup import Part, Task, task_json


@dataclass(frozen=True, slots=True)
class Account:
    """`whole`: False where only some repositories' part of it may be seen; then no cap is told. `runs` are
    the dearest, at most 500; `lines` without what counts under the person's own cap."""

    login: str
    month: str
    usd: Usd
    tasks: int
    whole: bool
    caps: tuple[Standing, ...]
    lines: tuple[Part, ...]
    repositories: tuple[Part, ...]
    runs: tuple[Task, ...]
    opened: tuple[Opened, ...]


def standing_json(standing: Standing) -> dict[str, Any]:
    """A cap in a month. `usd` is the cap itself, `most` with the slices that were opened."""
    return {
        "scope": str(standing.cap.scope),
        "name": standing.cap.name,
        "month": standing.month,
        "usd": standing.cap.usd.exact,
        "most_usd": standing.most.exact,
        "spent_usd": standing.spent.exact,
        "held_usd": standing.held.exact,
        "left_usd": standing.left.exact,
        "percent": standing.percent,
        "reached": standing.reached,
        "acknowledged": standing.acknowledged,
        "live": standing.live,
    }


def as_json(account: Account) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    return {
        "login": account.login,
        "month": account.month,
        "usd": account.usd.exact,
        "tasks": account.tasks,
        "usd_per_task": account.usd.over(account.tasks).exact if account.tasks else None,
        "whole": account.whole,
        "caps": [standing_json(one) for one in account.caps],
        "lines": [_part(one) for one in account.lines],
        "repositories": [_part(one) for one in account.repositories],
        "runs": [task_json(one) | {"line": one.line, "launched_ms": one.at} for one in account.runs],
        "acknowledged": [
            {"cap": one.name, "by": one.by, "reason": one.reason, "usd": one.usd.exact, "at_ms": one.at}
            for one in account.opened
        ],
    }


def _part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "usd": part.usd.exact, "tasks": part.tasks}
