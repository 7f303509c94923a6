"""`/people`: a month by person, for a lead. `/people/LOGIN` and `/me`: one person's month, for themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from flask import redirect
from werkzeug.wrappers import Response as AnyResponse

from bot.core.caps import Opened, Scope, Standing, due, notice
from bot.core.money import Usd
from bot.core.person_month import PersonMonth
from bot.core.rollup import FAR, Part, Rollup, Task, causes, elapsed
from bot.web.dashboard import charts, figures
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.tables import Cell, Column, Table, count, money
from bot.web.who import Visitor

NOBODY = "No run was launched in this month: a comment such as `/agent fix` on a pull request launches one."

STATES = {"queued": "waits in line", "open": "live", "running": "live"}


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/people", "People", lambda sight: sight.others), Link("/me", "Me")]

    @frame.get("/")
    def first(visitor: Visitor) -> AnyResponse:
        return redirect("/people" if visitor.sight.others else "/me", 303)

    @frame.get("/people")
    def people(visitor: Visitor) -> AnyResponse:
        month, sight, zone = frame.month(), visitor.sight, services.policy.caps.zone
        found = figures.team(services, sight, month)
        standings = figures.caps_of_people(services, found) if sight.everyone else {}
        shared = figures.shared_caps(services, visitor, month) if sight.everyone else ()
        opened = services.people.opened(month) if sight.everyone else ()
        by_day = services.rollups.by_day(month, zone, repositories=sight.figures_of(None))
        marks = [("median", found.median), ("90 % at most", found.p90), ("most", found.most)]
        far = Usd(found.median.nanos * FAR)
        return frame.show(
            visitor,
            "people.html",
            f"People in {month}",
            (
                _people(found, standings, month),
                _tasks("top", "Dearest tasks", found.top, zone, whose=True),
                _parts("repositories", "Repositories", figures.readable(services, sight, month)),
                _caps("caps", "Shared caps", shared),
                _opened(opened, zone),
            ),
            month=month,
            this_month=frame.this_month(),
            rollup=found,
            far=[(person, person.usd.nanos // found.median.nanos, causes(person)) for person in found.far],
            chart=charts.month(month, by_day, found.elapsed, None, found.projected),
            spread=charts.spread(
                [(person.name, person.usd) for person in found.people],
                [*marks, (f"{FAR} times the median", far)] if found.far else marks,
            ),
            empty=NOBODY,
        )

    @frame.get("/me")
    def me(visitor: Visitor) -> AnyResponse:
        return shown(visitor, (visitor.person, visitor.login))

    @frame.get("/people/<login>")
    def person(visitor: Visitor, login: str) -> AnyResponse:
        return shown(visitor, figures.person_of(services, visitor, login))

    def shown(visitor: Visitor, whose: tuple[int, str]) -> AnyResponse:
        month, sight, zone = frame.month(), visitor.sight, services.policy.caps.zone
        found = figures.person_month(services, sight, whose, month)
        line = "" if found.caps else None  # what is on a line is not under the cap that the chart shows
        by_day = services.rollups.by_day(month, zone, whose[0], sight.figures_of(whose[0]), line)
        now = datetime.fromtimestamp(services.database.now_ms() / 1000, UTC)
        part = elapsed(month, now, zone)
        own = whose[0] == visitor.person
        tables = [
            _tasks("runs", "Runs", found.runs, zone),
            _parts("lines", "Budget lines", found.lines),
            _parts("repositories", "Where it went", found.repositories),
            _opened(found.opened, zone),
        ]
        if own and not sight.others:
            tables.append(
                _parts("sums", "Repositories that you may read", figures.readable(services, sight, month))
            )
        return frame.show(
            visitor,
            "person.html",
            f"{whose[1]} in {month}",
            tables,
            month=month,
            this_month=frame.this_month(),
            person_month=found,
            own=own,
            cap=next(iter(found.caps), None),
            cap_bar=[charts.cap_bar(one) for one in found.caps],
            notices=[notice(one, mention=False) for one in found.caps if due(one)],
            chart=charts.month(month, by_day, part, _most(found), None),
        )


def _most(found: PersonMonth) -> Usd | None:
    return found.caps[0].most if found.caps else None


def _people(rollup: Rollup, standings: dict[int, Standing], month: str) -> Table:
    most = max((person.usd for person in rollup.people), default=Usd(1))
    columns = [Column("person"), Column("spend", True), Column("tasks", True), Column("a task", True)]
    columns += [Column("on lines", True), Column("halted", True)]
    columns += [Column("of their cap")] if standings else []
    rows = []
    for person in rollup.people:
        share = charts.bar(person.usd, most, f"{person.name}: {person.usd} of the most, {most}")
        row = [
            Cell(person.name, href=f"/people/{quote(person.name, safe='')}?month={month}"),
            money(person.usd, bar=share),
            count(person.tasks),
            money(person.a_task),
            money(person.lines),
            money(person.halted),
        ]
        if standings:
            row.append(_standing(standings.get(person.id)))
        rows.append(tuple(row))
    about = "By the month in which a run was launched; what is live counts with what it has spent by now."
    return Table("people", "By person", tuple(columns), rows, NOBODY, about)


def _standing(standing: Standing | None) -> Cell:
    if standing is None:
        return Cell("no cap", "")
    words = f"{standing.percent} % of {standing.most}"
    words += f", {standing.held} held" if standing.held else ""
    words += ", reached" if standing.reached else ""
    return Cell(words, str(standing.percent), bar=charts.cap_bar(standing))


def _tasks(id: str, title: str, tasks: tuple[Task, ...], zone: str, whose: bool = False) -> Table:
    columns = [Column("cost", True), Column("task"), Column("outcome"), Column("counts against")]
    columns += [Column("person")] if whose else []
    columns += [Column("launched")]
    rows = []
    for task in tasks:
        where = f"{task.repository}#{task.thread}" if task.thread else task.repository or "this machine"
        state = STATES.get(task.state, task.state)
        how = f"{state}: {task.reason.replace('_', ' ')}" if task.reason else state
        row = [
            money(task.usd),
            Cell(where, href=task.url, note=task.task_class),
            Cell(how),
            Cell(f"line {task.line}" if task.line else "own cap"),
        ]
        row += [Cell(task.actor)] if whose else []
        rows.append((*row, _when(task.at, zone)))
    return Table(id, title, tuple(columns), rows, NOBODY)


def _parts(id: str, title: str, parts: tuple[Part, ...]) -> Table:
    most = max((part.usd for part in parts), default=Usd(1))
    rows = [
        (
            Cell(part.name or "no repository"),
            money(part.usd, bar=charts.bar(part.usd, most, f"{part.usd} of the most, {most}")),
            count(part.tasks),
        )
        for part in parts
    ]
    columns = (Column("name"), Column("spend", True), Column("tasks", True))
    return Table(id, title, columns, rows, "Nothing was spent here in this month.")


def _caps(id: str, title: str, standings: tuple[Standing, ...]) -> Table:
    rows = [
        (Cell(one.cap.name, note=str(one.cap.scope)), money(one.spent), money(one.left), _standing(one))
        for one in standings
    ]
    columns = (Column("cap"), Column("spent", True), Column("left", True), Column("standing"))
    empty = "No line, repository or installation has a cap: `lines` and `caps` of POLICY_FILE set them."
    return Table(id, title, columns, rows, empty)


def _opened(opened: tuple[Opened, ...], zone: str) -> Table:
    rows = [
        (
            Cell(one.name, note="" if one.scope == Scope.PERSON else one.scope),
            money(one.usd),
            Cell(one.by),
            Cell(one.reason or "no reason given", one.reason),
            _when(one.at, zone),
        )
        for one in opened
    ]
    columns = (Column("cap"), Column("opened", True), Column("by"), Column("why"), Column("when"))
    empty = (
        "No cap was reached and opened in this month. `/agent ack` opens a quarter of one that is reached."
    )
    return Table("acknowledged", "Acknowledged", columns, rows, empty)


def _when(at: int, zone: str) -> Cell:
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
    return Cell(f"{local:%-d %b, %H:%M}", local.isoformat(timespec="seconds"))
