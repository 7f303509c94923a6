"""`/runs`: runs one after the other, newest first, by filters in the address; the live ones by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core import run_list
from bot.core.ceilings import Reason, span
from bot.core.offers import LIVE
from bot.core.run_list import STATES, WORDS, Listed, Mark, Wanted, how, where
from bot.core.signals import Only
from bot.web.answers import Problem
from bot.web.dashboard import charts
from bot.web.dashboard.asked import between, choices, on_line, text, word
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.tables import Cell, Column, Table, money, when, whole
from bot.web.who import Visitor

A_PAGE = 50
A_FILE = 5_000  # rows of the CSV
FILTERS = ("state", "reason", "repo", "class", "developer", "engine", "line", "since", "until")
NONE = (
    "No run that you may see is like that. A comment such as `/agent fix` on a pull request launches one; "
    "fewer filters show more."
)
NONE_LIVE = "Nothing runs just now. A comment such as `/agent fix` on a pull request launches a run."


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links.append(Link("/runs", "Runs"))

    @frame.get("/runs")
    def runs(visitor: Visitor) -> AnyResponse:
        zone, most = services.policy.caps.zone, A_FILE if request.args.get("csv") else A_PAGE
        wanted = wanted_of(request.args, zone)
        found, now = services.run_list.read(wanted, visitor.sight, most + 1), services.database.now_ms()
        shown, more = found[:most], found[most : most + 1]
        watched = wanted.before is None and bool(wanted.states) and set(wanted.states) <= set(LIVE)
        ran = [one.seconds(now // 10_000 * 10_000) for one in shown]
        live = frame.word(visitor, shown, ran) if watched else ""
        if same := frame.unchanged(live):
            return same
        table = _runs(shown, zone, now, NONE_LIVE if watched else NONE)
        if "csv" in request.args:
            table = whole("runs", "Runs", [run_list.as_json(one) for one in shown])
        return frame.show(
            visitor,
            "runs.html",
            "Live runs" if wanted.state == "live" else "Runs",
            (table,),
            live,
            wanted=wanted,
            filters={name: request.args.get(name, "") for name in FILTERS},
            filtered=any(request.args.get(name) for name in FILTERS),
            choices=_choices(frame, visitor),
            older=str(shown[-1].mark) if more else "",
            every=5 if shown else 15,
            said=f"{len(shown)} live" if shown else "nothing is live",
            at=when(now, zone).value,
        )


def wanted_of(args: Mapping[str, str], zone: str) -> Wanted:
    """What the address asks for. Raises Problem 400."""
    since, until = between(args, zone)
    place = text(args, "before")
    before = Mark.parse(place) if place else None
    if place and before is None:
        raise Problem(400, f"`before` is the `next` of a list of runs, not {place[:40]!r}")
    return Wanted(
        only=Only(
            repository=text(args, "repo"),
            task_class=text(args, "class"),
            line=on_line(text(args, "line")),
            developer=text(args, "developer"),
        ),
        state=word(args, "state", STATES),
        reason=word(args, "reason", tuple(Reason)),
        engine=text(args, "engine"),
        since=since,
        until=until,
        before=before,
    )


def _choices(frame: Frame, visitor: Visitor) -> dict[str, Any]:
    """What the filters may be: of those that take any name, the names that the policy knows."""
    return choices(frame.services, visitor) | {
        "state": [(state, WORDS.get(state, state)) for state in STATES],
        "reason": [(str(reason), reason.replace("_", " ")) for reason in Reason],
        "engine": frame.services.policy.engines,
    }


def _runs(runs: tuple[Listed, ...], zone: str, now: int, empty: str) -> Table:
    columns = (
        Column("run"), Column("task"), Column("person"), Column("cost", True),
        Column("of its ceiling", True), Column("steps", True), Column("ran for", True), Column("launched"),
    )  # fmt: skip
    rows = []
    for one in runs:
        kind = f"{one.task_class} · {one.engine}" + (f" · line {one.line}" if one.line else "")
        seconds = one.seconds(now)
        said = f"{one.usd} spent and {one.held} held of {one.ceiling}"
        id = one.run + (f", attempt {one.attempt}" if one.attempt > 1 else "")
        about = f"{one.estimated} estimated" if one.estimated else ""
        rows.append(
            (
                Cell(how(one.state, one.reason), href=f"/runs/{one.run}", note=id, tone=one.state),
                Cell(where(one.repository, one.thread), href=one.url, note=kind),
                Cell(one.actor or "nobody"),
                money(one.usd, note=about),
                money(
                    one.ceiling, bar=charts.against(one.usd.nanos, one.held.nanos, one.ceiling.nanos, said)
                ),
                Cell(f"{one.steps:,} of {one.most_steps:,}", str(one.steps)),
                Cell("not yet", "") if seconds is None else Cell(span(seconds), str(seconds)),
                when(one.opened_at, zone),
            )
        )
    about = f"Times in {zone}; cost is what the ledger has booked, and the bar has besides what is held."
    return Table("runs", "Runs", columns, rows, empty, about)
