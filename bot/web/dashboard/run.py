"""`/runs/RUN`: how a run stands, how it came towards each ceiling, every request with its hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core import bill, comments, headlines
from bot.core.ceilings import span
from bot.core.money import ZERO, Usd
from bot.core.prices import same_model
from bot.core.run_list import how, where
from bot.core.timeline import ANSWERED, KINDS, Request, Timeline, request_json
from bot.web.answers import Problem
from bot.web.dashboard import charts
from bot.web.dashboard.curves import curves
from bot.web.dashboard.frame import Frame
from bot.web.dashboard.run_figures import Gauge, Seen, gauges, seen
from bot.web.dashboard.tables import Cell, Column, Table, count, money, whole
from bot.web.who import Visitor

A_PAGE = 100  # rows of the timeline
NOT_YET = "Nothing was sent to a model yet."
BY = {"": "by request", "time": "by time"}


def mount(frame: Frame) -> None:
    services = frame.services

    @frame.get("/runs/<run>")
    def run(visitor: Visitor, run: str) -> AnyResponse:
        found = seen(services, visitor, run)
        live = _word(frame, visitor, found) if found.live else ""
        if same := frame.unchanged(live):
            return same
        zone, by = services.policy.caps.zone, request.args.get("by", "")
        if by not in BY:
            raise Problem(400, "`by` is time, or nothing: then it is by request")
        requests = services.timelines.of(run)
        turns, older = _turns(found, requests, zone, request.args.get("before", ""))
        if request.args.get("csv") == "turns":
            turns = whole("turns", "Requests", [request_json(one) for one in requests.requests])
        return frame.show(
            visitor,
            "run.html",
            f"Run {run}",
            (_ceilings(gauges(found, requests)), turns, _holds(requests), _counters(found)),
            live,
            seen=found,
            report=found.report,
            tone=found.run.state,
            spent=headlines.spent(found.report),
            tried="" if found.hidden else comments.tried(found.report),
            there=Cell("", href=found.listed.url).to,
            words=bill.words(found.report),
            curves=curves(requests, found.report.ceilings, by == "time"),
            by=by,
            ways=BY,
            older=older,
            facts=_facts(frame, found, zone),
            every=5 if found.run.state == "queued" else 3,
            said=f"{how(found.run.state, found.run.reason)}: {headlines.spent(found.report)}",
            phase=f"{found.run.state} {found.run.attempt}",
            at=_local(found.now, zone).isoformat(timespec="seconds"),
        )


def _word(frame: Frame, visitor: Visitor, found: Seen) -> str:
    """Another one whenever the page would show something else; what runs is looked at every ten seconds."""
    clock = found.now // 10_000 if found.run.state == "running" else 0
    told = (found.hidden, found.run, found.report.position, request.query_string, clock)
    return frame.word(visitor, *told)


def _ceilings(found: Sequence[Gauge]) -> Table:
    columns = (
        Column("ceiling"), Column("used", True), Column("of", True), Column("used of it"),
        Column("in flight", True), Column("set by"),
    )  # fmt: skip
    rows = []
    for one in found:
        said = f"{one.shown[0]} of {one.shown[1]} used, {one.per_cent} %"
        exact = [Usd(n).exact if one.name == "cost" else str(n) for n in (one.used, one.most, one.held)]
        bar = charts.against(one.used, one.held, one.most, said)
        rows.append(
            (
                Cell(one.name),
                Cell(one.shown[0], exact[0]),
                Cell(one.shown[1], exact[1]),
                Cell(f"{one.per_cent} %", str(one.per_cent), bar=bar),
                Cell(one.shown[2] if one.held or not one.shown[2] else "nothing", exact[2]),
                Cell(one.source or "not told"),
            )
        )
    about = "No request is sent whose worst case does not fit under every one of these."
    return Table("ceilings", "Ceilings", columns, rows, "", about)


def _holds(requests: Timeline) -> Table:
    rows = [
        (Cell(KINDS[one.kind]), count(one.requests), money(one.held), money(one.used), money(one.back))
        for one in requests.holds
    ]
    columns = (
        Column("requests that were"), Column("how many", True), Column("held before", True),
        Column("charged", True), Column("went back", True),
    )  # fmt: skip
    about = (
        "Before a request leaves, the most that it could cost is held; its answer replaces that by what it "
        "used, and the rest goes back."
    )
    return Table("holds", "Holds and settlements", columns, rows, NOT_YET, about)


def _counters(found: Seen) -> Table:
    used, by = found.report.spent, found.report.cost_by
    counted = (
        ("input", used.input, by.input),
        ("cache write", used.cache_write_5m + used.cache_write_1h, by.cache_write),
        ("cache read", used.cache_read, by.cache_read),
        ("output", used.output, by.output),
        ("server tools", None, by.server_tools),
    )
    most = max((usd for _, _, usd in counted), default=ZERO)
    rows = []
    for name, tokens, usd in counted:
        share = usd.nanos * 100 // used.usd.nanos if used.usd else 0
        bar = charts.bar(usd, most, f"{name}: {usd}, {share} % of the run") if usd else ""
        told = Cell("none", "") if tokens is None else count(tokens)
        rows.append((Cell(name), told, money(usd), Cell(f"{share} %", str(share), bar=bar)))
    columns = (Column("counter"), Column("tokens", True), Column("cost", True), Column("of the cost"))
    return Table("counters", "What it was spent on", columns, rows, NOT_YET)


# -- its timeline --


def _turns(found: Seen, requests: Timeline, zone: str, before: str) -> tuple[Table, str]:
    """A page of it, newest first, and what `before` is for the next one ("": this is the last).

    Rows are counted from the oldest, so that a link leads to the same ones while others are added.
    """
    if before and not (before.isascii() and before.isdigit() and len(before) < 10):
        raise Problem(400, "`before` is a row of the table: take it from the link below it")
    entries: list[tuple[int, int, Request | str]] = [
        *((one.at, 1, one) for one in requests.requests),
        *((at, order, what) for at, order, what in _events(found, requests)),
    ]
    entries.sort(key=lambda entry: entry[:2])
    end = min(int(before), len(entries)) if before else len(entries)
    start = max(0, end - A_PAGE)
    steps = {one.id: one.step for one in requests.requests}
    rows, day = [], ""
    for at, _, what in reversed(entries[start:end]):
        moment = _when(at, zone, day)
        rows.append((moment, *(_event(what) if isinstance(what, str) else _request(what, steps))))
        day = moment.note or day
    columns = (
        Column("when"), Column("step", True), Column("what"), Column("input", True),
        Column("cache write", True), Column("cache read", True), Column("output", True),
        Column("cost", True), Column("held", True), Column("went back", True),
    )  # fmt: skip
    about = f"Newest first, in {zone}. As CSV each request with everything that the ledger has of it."
    return Table("turns", "Timeline", columns, rows, NOT_YET, about), str(start) if start else ""


def _events(found: Seen, requests: Timeline) -> list[tuple[int, int, str]]:
    """What happened besides: when (ms), before (0) or after (2) a request of the same moment, and what."""
    run = found.run
    by = f" by {run.actor}" if run.actor else ""
    told: list[tuple[int | None, int, str]] = [(run.opened_at, 0, f"Launched{by}")]
    attempts: dict[int, int] = {}
    for one in requests.requests:
        if one.state != "corrected":
            attempts[one.attempt] = min(one.held_at, attempts.get(one.attempt, one.held_at))
    for attempt, at in attempts.items():
        resumed = found.report.resumed if attempt == run.attempt else None
        who = f", resumed by {resumed.by}" if resumed else ""
        told.append((at if attempt > 1 else None, 0, f"Attempt {attempt} begins{who}"))
    last = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    told += [
        (run.queued_at, 0, f"Got in line{last}"),
        (run.dispatched_at, 0, f"Its workflow was sent off{last}"),
        (run.started_at if run.attempt == 1 else None, 0, "Its runner began, and the clock with it"),
        (run.ended_at, 2, found.outcome),
        (run.finished_at, 3, f"The report stands{last}"),
    ]
    return [(at, order, what) for at, order, what in told if at is not None]


def _event(what: str) -> tuple[Cell, ...]:
    return (Cell(""), Cell(what, tone="event"), *(Cell("") for _ in range(7)))


def _request(one: Request, steps: dict[int, int | None]) -> tuple[Cell, ...]:
    model, notes = one.model or one.model_asked, []
    if one.clamped_max_tokens is not None:
        notes.append(f"max_tokens lowered to {one.clamped_max_tokens:,}")
    if one.attempt > 1:
        notes.append(f"attempt {one.attempt}")
    if not same_model(one.model_asked, model):
        notes.append(f"{one.model_asked} was asked for")
    written = one.cache_write_5m + one.cache_write_1h
    charged = one.charged
    tokens = (one.input, written, one.cache_read, one.output)
    return (
        Cell(str(one.step or ""), str(one.step or "")),
        Cell(_what(one, steps), note=" · ".join([model, *notes])),
        *(count(number) if charged else Cell("") for number in tokens),
        money(one.usd) if charged else Cell(""),
        money(one.hold) if one.state != "corrected" else Cell(""),
        money(one.back) if one.state in (*ANSWERED, "released") else Cell(""),
    )


def _what(one: Request, steps: dict[int, int | None]) -> str:
    """How a request ended, in a few words."""
    said = (one.stop_reason or one.ending or "").replace("_", " ")
    match one.state:
        case "held":
            return "in flight"
        case "corrected":
            step = steps.get(one.corrects or 0)
            return f"the truth about step {step}: the difference" if step else "a correction: the difference"
        case "estimated":
            return f"estimated, for it never said: {said}" + (", corrected since" if one.mended else "")
        case "released":
            status = f" with {one.status}" if one.status else ""
            return f"not charged: ended{status}, {said}" if said else f"not charged: ended{status}"
        case _:
            return said or "answered"


def _when(at: int, zone: str, above: str) -> Cell:
    """To the second, with its day where that is not the one of the row `above`."""
    local = _local(at, zone)
    day = f"{local:%-d %b}"
    return Cell(f"{local:%H:%M:%S}", local.isoformat(), note="" if day == above else day)


def _local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))


# -- what it is --


def _facts(frame: Frame, found: Seen, zone: str) -> list[tuple[str, str, str]]:
    """Name, words, and where they lead, if that is a page."""
    run, listed, github = found.run, found.listed, frame.services.settings.github_web_url
    head = run.snapshot.get("head") or {}
    sha, ref = str(head.get("sha") or ""), str(head.get("ref") or "")
    careful = f", effort {run.effort}" if run.effort else ""
    facts = [
        ("Asked for by", run.actor or "nobody", ""),
        ("Where", where(listed.repository, listed.thread), listed.url),
        ("Class", run.task_class, ""),
        ("Engine", run.engine, ""),
        ("Model", (run.model or "its engine's") + careful, ""),
        ("Counts against", f"line {run.line}" if run.line else "own cap", ""),
        ("Launched", f"{_local(run.opened_at, zone):%-d %b %Y, %H:%M:%S}", ""),
        ("Ran for", span(found.report.spent.seconds), ""),
        ("Attempt", str(run.attempt), ""),
        ("Prices", run.price_book, ""),
    ]
    if sha and run.repository and not found.hidden:
        on = f"{sha[:10]} on {ref}" if ref else sha[:10]
        facts.append(("Began on", on, f"{github}/{run.repository}/commit/{sha}"))
    if listed.thread and not found.hidden:
        facts.append(
            ("All runs on it", f"#{listed.thread}", f"/pulls/{quote(run.repository)}/{listed.thread}")
        )
    if run.workflow_url and not found.hidden:
        facts.append(("Workflow", "its run on GitHub", run.workflow_url))
    if run.published_pull and run.repository and not found.hidden:
        to = f"{github}/{run.repository}/pull/{run.published_pull}"
        facts.append(("Pull request", f"#{run.published_pull}", to))
    return [(name, words, Cell("", href=to).to) for name, words, to in facts if words]
