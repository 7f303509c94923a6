"""One person's month by run: what `python -m bot cost` shows (R20)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.caps import Standing, whose
from bot.core.money import ZERO, Usd, total
from bot.core.untrusted import printable

MOST_RUNS = 100  # that are named, the dearest


@dataclass(frozen=True, slots=True)
class Spend:
    """A run's part of it. `held`: what a live one may still spend."""

    run: str
    origin: str
    engine: str
    task_class: str
    repository: str
    thread: int | None
    line: str
    state: str
    reason: str | None
    opened_at: int
    usd: Usd
    estimated: Usd
    held: Usd
    url: str


@dataclass(frozen=True, slots=True)
class Mine:
    """A month; `lines`: by budget line, "" is the person's own."""

    month: str
    lines: Mapping[str, Usd]
    estimated: Usd
    runs: tuple[Spend, ...]


def as_json(mine: Mine, standings: Sequence[Standing] = (), login: str = "") -> dict[str, Any]:
    """For machines: money as decimal strings."""
    return {
        "login": login,
        "month": mine.month,
        "usd": mine.lines.get("", ZERO).exact,
        "on_lines_usd": {line: usd.exact for line, usd in mine.lines.items() if line},
        "estimated_usd": mine.estimated.exact,
        "caps": [
            {
                "name": whose(one),
                "scope": one.cap.scope.value,
                "spent_usd": one.spent.exact,
                "held_usd": one.held.exact,
                "most_usd": one.most.exact,
                "left_usd": one.left.exact,
                "percent": one.percent,
                "reached": one.reached,
            }
            for one in standings
        ],
        "runs": [
            {
                "run": one.run,
                "origin": one.origin,
                "engine": one.engine,
                "class": one.task_class,
                "repository": one.repository,
                "thread": one.thread,
                "line": one.line,
                "state": one.state,
                "reason": one.reason,
                "opened_at": one.opened_at,
                "usd": one.usd.exact,
                "estimated_usd": one.estimated.exact,
                "held_usd": one.held.exact,
                "url": one.url,
            }
            for one in mine.runs
        ],
    }


def together(months: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several machines' ledgers as one, the dearest runs first."""
    runs = [run for one in months for run in one["runs"]]
    runs.sort(key=lambda run: -Usd.parse(run["usd"]).nanos)
    summed = {name: total(Usd.parse(one[name]) for one in months).exact for name in ("usd", "estimated_usd")}
    return {**months[0], **summed, "runs": runs}


def as_text(told: Mapping[str, Any]) -> str:
    """The same JSON for people, on a terminal."""
    own = Usd.parse(told["usd"])
    on_lines = {line: Usd.parse(usd) for line, usd in told["on_lines_usd"].items()}
    who = f"{told['login']} has" if told["login"] else "This machine has"
    when = f" in {told['month']}" if told["month"] else ""
    estimated = Usd.parse(told["estimated_usd"])
    about = f" ({estimated} of it estimated)" if estimated else ""
    text = [f"{who} spent {own + total(on_lines.values())}{when}{about}."]
    text += [_cap(cap) for cap in told["caps"]]
    if on_lines:
        shown = ", ".join(f"{usd} on {line}" for line, usd in on_lines.items())
        text.append(f"On lines, which count under no cap of yours: {shown}.")
    if told["runs"]:
        text += ["", *_rows(told["runs"])]
    return printable("\n".join(text))


def _cap(cap: Mapping[str, Any]) -> str:
    spent, most, held = (Usd.parse(cap[f"{name}_usd"]) for name in ("spent", "most", "held"))
    live = f", {held} held by live runs" if held else ""
    then = "; it is reached" if cap["reached"] else f", {Usd.parse(cap['left_usd'])} left"
    return f"{cap['name']}: {spent} of {most} spent ({cap['percent']} %){live}{then}."


def _rows(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [(str(Usd.parse(run["usd"])), run["run"], *_what(run)) for run in runs]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [
        f"  {usd:>{widths[0]}}  {id:<{widths[1]}}  {how:<{widths[2]}}  {where}".rstrip()
        for usd, id, how, where in cells
    ]
    if len(runs) >= MOST_RUNS:
        rows.append(f"  … the dearest {MOST_RUNS}")
    return rows


def _what(run: Mapping[str, Any]) -> tuple[str, str]:
    how = f"{run['state']} ({run['reason']})" if run["reason"] else str(run["state"])
    where = run["url"] or run["repository"] + (f"#{run['thread']}" if run["thread"] else "")
    what = run["engine"] if run["origin"] in ("exec", "laptop") else run["class"]
    line = f", on the line {run['line']}" if run["line"] else ""
    return how, f"{what}{' ' + where if where else ''}{line}"
