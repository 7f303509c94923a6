"""`/lines`: how each budget line stands in a month, at which pace, and who spends it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core import budget_lines
from bot.core.budget_lines import BudgetLine
from bot.core.caps import of_line
from bot.core.rollup import Part, elapsed
from bot.services import Services
from bot.web.answers import Problem
from bot.web.dashboard import charts
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.shapes import COUNT, MONTH, PART, TEXT, USD, YES, maybe, record, rows
from bot.web.dashboard.tables import Cell, Column, Table, count, money, standing
from bot.web.who import Visitor

CHARTS = 6  # lines whose month is drawn without being asked for
NONE = (
    "There is no budget line that you may see: `lines` of POLICY_FILE makes one, with its amount a month and "
    "its members, and `/agent fix line=NAME` spends it."
)
LINES = record(
    {
        "month": TEXT,
        "lines": rows(
            record(
                {
                    "name": TEXT,
                    **dict.fromkeys(("monthly_usd", "most_usd", "spent_usd", "held_usd", "left_usd"), USD),
                    "projected_usd": maybe(USD),
                    "percent": COUNT,
                    "reached": YES,
                    "acknowledged": COUNT,
                    "live": COUNT,
                    "concurrency": maybe(COUNT),
                    "members": rows(TEXT),
                    "spenders": rows(PART),
                }
            )
        ),
        "gone": rows(PART),
    }
)


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/lines", "Lines")]

    @frame.get("/lines")
    def lines(visitor: Visitor) -> AnyResponse:
        month, zone = frame.month(), services.policy.caps.zone
        every, gone = read(services, visitor, month)
        asked = request.args.get("line", "").lower()
        found = tuple(one for one in every if one.name == asked) if asked else every
        if asked and not found:
            raise Problem(404, f"There is no budget line {asked[:40]!r} that you may see")
        drawn = {
            one.name: charts.month(
                month,
                services.rollups.by_day(month, zone, line=one.name),
                one.elapsed,
                one.standing.most,
                one.projected,
            )
            for one in found[:CHARTS]
        }
        return frame.show(
            visitor,
            "lines.html",
            f"Budget lines in {month}",
            (_lines(found, month), _spenders(found, month), _gone(gone)),
            month=month,
            this_month=frame.this_month(),
            lines=found,
            one=asked,
            drawn=drawn,
            bars={one.name: charts.cap_bar(one.standing) for one in found},
            empty=NONE,
        )

    @frame.api("/api/v1/lines", takes={"month": MONTH}, answers=LINES)
    def lines_json(visitor: Visitor) -> dict[str, Any]:
        """How the budget lines stand that the visitor is a member of; all of them for who sees everybody."""
        month = frame.month()
        return budget_lines.as_json(month, *read(services, visitor, month))


def read(services: Services, visitor: Visitor, month: str) -> tuple[tuple[BudgetLine, ...], tuple[Part, ...]]:
    """The lines that the visitor may see, and what was spent on lines that the policy has no more."""
    sight, policy = visitor.sight, services.policy
    mine = {
        name: line for name, line in policy.lines.items() if sight.line(visitor.login.lower() in line.members)
    }
    standings = services.people.standings([of_line(name, line) for name, line in mine.items()], month)
    spenders = services.rollups.on_lines(month, sight.figures_of(None), visitor.person)
    opened = services.people.opened(month) if mine else ()
    now = services.database.utc()
    part = elapsed(month, now, policy.caps.zone)
    found = tuple(
        BudgetLine(
            one.cap.id,
            mine[one.cap.id],
            one,
            part,
            spenders.get(one.cap.id, ()),
            tuple(each for each in opened if (each.scope, each.name) == (one.cap.scope, one.cap.name)),
        )
        for one in standings
    )
    if not sight.everyone:
        return found, ()
    gone = services.rollups.by_line(month)
    return found, tuple(one for one in gone if one.name and one.name not in policy.lines)


def _lines(found: tuple[BudgetLine, ...], month: str) -> Table:
    columns = [Column("line"), *(Column(name, True) for name in ("spent", "held", "left", "at this pace"))]
    columns += [Column("standing"), Column("live at once", True), Column("members")]
    rows = []
    for one in found:
        live = f"{one.standing.live} of {one.line.concurrency}" if one.line.concurrency else None
        rows.append(
            (
                Cell(one.name, href=f"/lines?line={quote(one.name)}&month={month}"),
                money(one.standing.spent),
                money(one.standing.held),
                money(one.standing.left),
                Cell("too early to tell", "") if one.projected is None else money(one.projected),
                standing(one.standing),
                Cell(live or f"{one.standing.live}", str(one.standing.live)),
                Cell(", ".join(sorted(one.line.members))),
            )
        )
    about = "By the month in which a run was launched. What is on a line counts under no person's cap."
    return Table("lines", "All lines", tuple(columns), rows, NONE, about)


def _spenders(found: tuple[BudgetLine, ...], month: str) -> Table:
    rows = [
        (
            Cell(part.name, href=f"/people/{quote(part.name, safe='')}?month={month}"),
            Cell(one.name),
            money(part.usd, bar=_share(part, one)),
            count(part.tasks),
        )
        for one in found
        for part in one.spenders
    ]
    columns = (Column("person"), Column("line"), Column("spend", True), Column("tasks", True))
    empty = "Nobody whose figures you may see has spent anything on these lines in this month."
    return Table("spenders", "Who spends on them", columns, rows, empty)


def _share(part: Part, one: BudgetLine) -> str:
    return charts.bar(part.usd, one.standing.spent, f"{part.usd} of {one.standing.spent} on {one.name}")


def _gone(gone: tuple[Part, ...]) -> Table:
    rows = [(Cell(part.name), money(part.usd), count(part.tasks)) for part in gone]
    columns = (Column("line"), Column("spend", True), Column("tasks", True))
    empty = "Everything on lines was spent on those above."
    return Table("gone", "On lines that the policy has no more", columns, rows, empty)
