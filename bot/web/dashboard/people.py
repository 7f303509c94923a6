"""`/people`: a month by person, for a lead. `/people/LOGIN` and `/me`: one person's month, for themselves."""

from __future__ import annotations

from urllib.parse import quote

from werkzeug.wrappers import Response as AnyResponse

from bot.core.caps import Opened, Scope, Standing, due, notice
from bot.core.cursor import SOURCE, Share
from bot.core.money import Usd
from bot.core.person_month import PersonMonth
from bot.core.rollup import FAR, UNKNOWN, Part, Rollup, Task, causes, elapsed
from bot.core.run_list import how, where
from bot.web.dashboard import charts, figures
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.tables import Cell, Column, Table, count, money, standing, when
from bot.web.who import Visitor

NOBODY = "No run was launched in this month: a comment such as `/agent fix` on a pull request launches one."


NO_CURSOR = "Nothing of Cursor's is imported in this month: `CURSOR_ADMIN_KEY` has the worker import it."


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/people", "People", lambda sight: sight.others), Link("/me", "Me")]

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
                _cursor(figures.caps_with_cursor(services, found), standings),
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

    @frame.get("/me", others=False)
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
        now = services.database.utc()
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
            source=SOURCE,
            notices=[notice(one, mention=False) for one in found.caps if due(one)],
            chart=charts.month(month, by_day, part, _most(found), None),
        )


def _most(found: PersonMonth) -> Usd | None:
    return found.caps[0].most if found.caps else None


def _people(rollup: Rollup, standings: dict[int, Standing], month: str) -> Table:
    most = max((person.usd for person in rollup.people), default=Usd(1))
    columns = [Column("person"), Column("spend", True), Column("tasks", True), Column("a task", True)]
    columns += [Column("on lines", True), Column("halted", True)]
    columns += [Column("with Cursor", True)] if rollup.cursor else []
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
        if rollup.cursor:
            row.append(money(rollup.with_cursor(person)))
        if standings:
            row.append(standing(standings.get(person.id)))
        rows.append(tuple(row))
    about = "By the month in which a run was launched; what is live counts with what it has spent by now."
    return Table("people", "By person", tuple(columns), rows, NOBODY, about)


def _cursor(told: tuple[tuple[Share, Standing | None], ...], standings: dict[int, Standing]) -> Table:
    rows = []
    for share, own in told:
        stands = standing(standings.get(share.person, own)) if share.known else Cell(UNKNOWN)
        rows.append((Cell(share.called), money(share.usd), stands))
    columns = (Column("account"), Column("spend", True), Column("of their cap"))
    about = f"{SOURCE[0].upper()}{SOURCE[1:]}. It is in no other figure of this page but people's own caps."
    return Table("cursor", "With Cursor", columns, rows, NO_CURSOR, about)


def _tasks(id: str, title: str, tasks: tuple[Task, ...], zone: str, whose: bool = False) -> Table:
    columns = [Column("cost", True), Column("task"), Column("outcome"), Column("counts against")]
    columns += [Column("person")] if whose else []
    columns += [Column("launched")]
    rows = []
    for task in tasks:
        row = [
            money(task.usd),
            Cell(where(task.repository, task.thread), href=task.url, note=task.task_class),
            Cell(how(task.state, task.reason), href=f"/runs/{task.run}"),
            Cell(f"line {task.line}" if task.line else "own cap"),
        ]
        row += [Cell(task.actor)] if whose else []
        rows.append((*row, when(task.at, zone)))
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
        (Cell(one.cap.name, note=str(one.cap.scope)), money(one.spent), money(one.left), standing(one))
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
            when(one.at, zone),
        )
        for one in opened
    ]
    columns = (Column("cap"), Column("opened", True), Column("by"), Column("why"), Column("when"))
    empty = (
        "No cap was reached and opened in this month. `/agent ack` opens a quarter of one that is reached."
    )
    return Table("acknowledged", "Acknowledged", columns, rows, empty)
