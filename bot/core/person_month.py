"""One person's month: what they spent on what, and how it stands against their cap (R20, R21, R24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.caps import Opened, Scope, Standing
from bot.core.cursor import SOURCE
from bot.core.money import Usd
from bot.core.rollup import Part, Task, task_json
from bot.core.untrusted import printable


@dataclass(frozen=True, slots=True)
class PersonMonth:
    """`whole`: False where only some repositories' part of it may be seen; then no cap is told. `runs` are
    the dearest, at most 500; `lines` without what counts under the person's own cap. `cursor`: what Cursor's
    admin API tells of them, which is not in `usd`; None: not told."""

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
    cursor: Usd | None = None


def standing_json(standing: Standing) -> dict[str, Any]:
    """A cap in a month. `usd` is the cap itself, `most` with the slices that were opened."""
    return {
        "scope": str(standing.cap.scope),
        "name": standing.cap.name,
        "month": standing.month,
        "usd": standing.cap.usd.exact,
        "most_usd": standing.most.exact,
        "spent_usd": standing.spent.exact,
        "cursor_usd": standing.cursor.exact,
        "held_usd": standing.held.exact,
        "left_usd": standing.left.exact,
        "percent": standing.percent,
        "reached": standing.reached,
        "acknowledged": standing.acknowledged,
        "live": standing.live,
    }


def as_json(month: PersonMonth) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    return {
        "login": month.login,
        "month": month.month,
        "usd": month.usd.exact,
        "tasks": month.tasks,
        "usd_per_task": month.usd.over(month.tasks).exact if month.tasks else None,
        "whole": month.whole,
        "caps": [standing_json(one) for one in month.caps],
        "lines": [_part(one) for one in month.lines],
        "repositories": [_part(one) for one in month.repositories],
        "runs": [task_json(one) | {"line": one.line, "launched_ms": one.at} for one in month.runs],
        "acknowledged": [
            {"cap": one.name, "by": one.by, "reason": one.reason, "usd": one.usd.exact, "at_ms": one.at}
            for one in month.opened
        ],
        "cursor_usd": month.cursor.exact if month.cursor is not None else None,
    }


def as_text(told: Mapping[str, Any]) -> str:
    """That JSON for people, on a terminal; `line_caps` there: how the months of their budget lines stand."""
    who = f"{told['login']} has" if told["login"] else "Here you have"
    when = f" in {told['month']}" if told["month"] else ""
    lines = [f"{who} spent {Usd.parse(told['usd'])}{when}."]
    if told.get("cursor_usd") and (used := Usd.parse(told["cursor_usd"])):
        lines.append(f"With Cursor: {used} beside it, {SOURCE}.")
    lines += [_cap(cap) for cap in (*told["caps"], *told.get("line_caps", ()))]
    if told["lines"]:
        shown = ", ".join(f"{Usd.parse(part['usd'])} on {part['name']}" for part in told["lines"])
        lines.append(f"Of it on lines, which count under no cap of yours: {shown}.")
    if told["runs"]:
        lines += ["", *_runs(told["runs"])]
    return printable("\n".join(lines))


def _cap(cap: Mapping[str, Any]) -> str:
    whose = f"{cap['name']}'s cap" if cap["scope"] == Scope.PERSON else f"The cap of {cap['name']}"
    spent, most, held, used = (Usd.parse(cap[f"{name}_usd"]) for name in ("spent", "most", "held", "cursor"))
    elsewhere = f", {used} of it with Cursor" if used else ""
    live = f", {held} held by live runs" if held else ""
    then = "; it is reached" if cap["reached"] else f", {Usd.parse(cap['left_usd'])} left"
    return f"{whose} for {cap['month']}: {spent} of {most} spent{elsewhere} ({cap['percent']} %){live}{then}."


def _runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(str(Usd.parse(run["usd"])), run["run"], _state(run), _where(run)) for run in runs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"  {usd:>{widths[0]}}  {id:<{widths[1]}}  {how:<{widths[2]}}  {where}".rstrip()
        for usd, id, how, where in rows
    ]


def _state(run: Mapping[str, Any]) -> str:
    return f"{run['state']} ({run['reason']})" if run["reason"] else str(run["state"])


def _where(run: Mapping[str, Any]) -> str:
    where = run["url"] or run["repository"] + (f"#{run['thread']}" if run["thread"] else "")
    line = f", on the line {run['line']}" if run["line"] else ""
    return f"{run['class']} {where}".rstrip() + line


def _part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "usd": part.usd.exact, "tasks": part.tasks}
