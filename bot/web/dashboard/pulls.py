"""`/pulls`: pull requests and issues with what was spent on each. `/pulls/OWNER/REPO/NUMBER`: one of them."""

from __future__ import annotations

from urllib.parse import quote

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core.money import ZERO, Usd, total
from bot.core.run_list import how
from bot.core.signals import MergedPull, judge_cost
from bot.core.thread_list import (
    HAVING,
    ISSUE,
    MERGED,
    OPEN,
    SORTS,
    STATES,
    WORDS,
    Mark,
    ThreadCost,
    Unclear,
    Wanted,
    as_json,
    seen,
)
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stories import thread_bill
from bot.stories.thread_bill import ThreadBill
from bot.web.answers import Problem
from bot.web.dashboard import asked, plots
from bot.web.dashboard.figures import NOT_YOURS
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.tables import Cell, Column, Table, money, when, whole
from bot.web.who import Visitor

A_PAGE = 50
A_FILE = 5_000  # rows of the CSV
NUMBERS = 10**15  # GitHub's are below
FILTERS = ("repo", "class", "line", "developer", "state", "having")
NAMES = {"repo": "repository", "line": "budget line", "having": "only"}
NO_THREAD = (
    "There is no pull request or issue here on which anything was spent, or it is in a repository that you "
    "may not read"
)
NONE = (
    "No pull request or issue is like that. A comment such as `/agent fix` on one starts a run; a longer "
    "window or fewer filters show more."
)


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links.append(Link("/pulls", "Pull requests"))

    @frame.get("/pulls")
    def pulls(visitor: Visitor) -> AnyResponse:
        if tidied := frame.tidied():
            return tidied
        most = A_FILE if "csv" in request.args else A_PAGE
        window, wanted = wanted_of(services, visitor)
        found = services.thread_list.read(wanted, most + 1)
        shown = [seen(one, visitor.sight) for one in found[:most]]
        return frame.show(
            visitor,
            "pulls.html",
            "Pull requests",
            (_for_a_file(shown) if "csv" in request.args else _threads(shown, window.zone),),
            window=window,
            window_presets=asked.PRESETS,
            wanted=wanted,
            following=str(found[most - 1].mark(wanted.sort)) if len(found) > most else "",
            given={name: request.args[name] for name in FILTERS if name in request.args},
            names=NAMES,
            words=WORDS,
            having=HAVING,
            sorts=SORTS,
            **asked.choices(services, visitor),
        )

    @frame.get("/pulls/<owner>/<repo>/<int:number>")
    def pull(visitor: Visitor, owner: str, repo: str, number: int) -> AnyResponse:
        id, name = repository_of(visitor, f"{owner}/{repo}")
        bill = bill_of(services, id, number)
        zone = services.policy.caps.zone
        shown, others = parted(visitor, bill)
        return frame.show(
            visitor,
            "pull.html",
            f"{name}#{number}",
            (_runs(bill, shown, others, zone),),
            bill=bill,
            thread=seen(thread_of(bill, id, name, number), visitor.sight),
            told=WORDS[_state(bill)],
            verdict=judge_cost(bill.usd) if bill.merged else "",
            elsewhere=total(run.spent.usd for run in bill.runs if _for_another(bill, run.id)),
            url=f"{services.settings.github_web_url}/{quote(name)}/{_kind(bill)}/{number}",
        )


def wanted_of(services: Services, visitor: Visitor) -> tuple[asked.Window, Wanted]:
    """What the address asks for. Raises Problem 400, and 403 where people's figures are not to be seen."""
    args = request.args
    window = asked.window(args, services.database.now_ms(), services.policy.caps.zone)
    only = asked.only(args, visitor, by_person=False)
    if only.visible is not None and not only.visible:
        raise Problem(403, NOT_YOURS)
    state = asked.word(args, "state", STATES)
    having, sort = asked.word(args, "having", HAVING), asked.word(args, "sort", SORTS, SORTS[0])
    try:
        after = Mark.parse(args["after"]) if args.get("after") else None
    except Unclear as unclear:
        raise Problem(400, str(unclear)) from unclear
    return window, Wanted(only, window.since, window.until, state, having, sort, after)


def repository_of(visitor: Visitor, name: str) -> tuple[int, str]:
    """A repository that the visitor may read: GitHub's number and name of it. Raises Problem 404."""
    for one in visitor.access:
        if one.repo.full_name.lower() == name.lower() and visitor.sight.name(one.repo.id):
            return one.repo.id, one.repo.full_name
    raise Problem(404, NO_THREAD)


def bill_of(services: Services, repository_id: int, number: int) -> ThreadBill:
    """Raises Problem 404."""
    bill = thread_bill.read(services, repository_id, number) if number < NUMBERS else None
    if bill is None or not bill.runs:
        raise Problem(404, NO_THREAD)
    return bill


def parted(visitor: Visitor, bill: ThreadBill) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """The runs that the visitor may see one by one, and those of other people."""
    mine = {run.id for run in bill.runs if visitor.sight.run(run.repository_id, run.actor_id)}
    return (
        tuple(run for run in bill.runs if run.id in mine),
        tuple(run for run in bill.runs if run.id not in mine),
    )


def page_of(one: ThreadCost | MergedPull) -> str:
    """The address of its page, if it may be named."""
    return f"/pulls/{quote(one.repository)}/{one.number}" if one.number else ""


def _state(bill: ThreadBill) -> str:
    if bill.merged:
        return MERGED
    return ISSUE if any(run.thread_kind == ISSUE for run in bill.counted) else OPEN


def _kind(bill: ThreadBill) -> str:
    return "issues" if _state(bill) == ISSUE else "pull"


def _for_another(bill: ThreadBill, run: str) -> bool:
    return not bill.merged and run in bill.counts


def thread_of(bill: ThreadBill, repository_id: int, repository: str, number: int) -> ThreadCost:
    """The same as the list has of it, but that here all that was on the thread counts."""
    runs, last = bill.counted, bill.runs[-1]
    about = bill.merged
    halted = total(run.spent.usd for run in runs if run.state == "halted")
    parts = [
        part for run in runs for part in (run.cost_by.input, run.cost_by.cache_write, run.cost_by.cache_read)
    ]
    return ThreadCost(
        repository_id=repository_id,
        repository=repository,
        number=number,
        state=_state(bill),
        title=about.title if about else str(last.snapshot.get("thread", {}).get("title", "")),
        author=about.author if about else "",
        usd=bill.usd,
        runs=len(runs),
        attempts=sum(run.attempt for run in runs),
        at=last.opened_at,
        estimated=total(run.estimated for run in runs),
        halted=halted,
        context=total(parts),
        reverted=bool(about and about.reverted),
    )


def _threads(shown: list[ThreadCost], zone: str) -> Table:
    most = max((one.usd for one in shown), default=ZERO)
    columns = (
        Column("cost", True), Column("pull request or issue"), Column("state"), Column("runs", True),
        Column("went on"), Column("when"),
    )  # fmt: skip
    rows = []
    for one in shown:
        where = f"{one.repository}#{one.number}" if one.number else one.repository
        title = f"{where}: {one.usd} of the most, {most}; {one.halted} of it on halted runs"
        by = [f"by {one.author}" if one.author else "", "reverted since" if one.reverted else ""]
        again = f"{one.attempts:,} attempts" if one.attempts > one.runs else ""
        rows.append(
            (
                money(
                    one.usd, bar=plots.share(one.usd, one.halted, most, title), note=_estimated(one.estimated)
                ),
                Cell(where, href=page_of(one), note=one.title),
                Cell(WORDS[one.state], note=", ".join(part for part in by if part)),
                Cell(f"{one.runs:,}", note=again),
                Cell(_went_on(one)),
                when(one.at, zone),
            )
        )
    about = (
        "Each run counts once: for the merged pull request that it belongs to, else where it was. Merged "
        "ones are those of the window, with all that they have ever cost; others those with their last run "
        "in it. The left part of a bar is of runs that were halted."
    )
    return Table("pulls", "Pull requests and issues", columns, rows, NONE, about)


def _went_on(one: ThreadCost) -> str:
    """Of an outlier why it is one, of another the same shares."""
    if one.outlier:
        return f"above the band: {', '.join(one.causes) or 'nothing sticks out'}"
    shares = ((one.context, "context"), (one.halted, "halted runs"))
    told = [f"{usd.nanos / one.usd.nanos:.0%} {what}" for usd, what in shares if one.usd.nanos > 0 and usd]
    return ", ".join(told) or "output alone"


def _for_a_file(shown: list[ThreadCost]) -> Table:
    told = [as_json(one) | {"causes": ", ".join(one.causes) if one.outlier else ""} for one in shown]
    return whole("pulls", "Pull requests and issues", told)


def _runs(bill: ThreadBill, shown: tuple[Run, ...], others: tuple[Run, ...], zone: str) -> Table:
    most = max((run.spent.usd for run in shown), default=ZERO)
    rows: list[tuple[Cell, ...]] = []
    for run in shown:
        halted = run.spent.usd if run.state == "halted" else ZERO
        of = f"{run.spent.usd} of its ceiling, {run.ceilings.usd}"
        rows.append(
            (
                Cell(
                    run.id, href=f"/runs/{run.id}", note=f"attempt {run.attempt}" if run.attempt > 1 else ""
                ),
                Cell(run.actor or "nobody"),
                Cell(run.task_class, note=" · ".join(part for part in (run.engine, run.line) if part)),
                Cell(how(run.state, run.reason), tone=run.state),
                Cell(f"{run.spent.steps}"),
                money(
                    run.spent.usd,
                    bar=plots.share(run.spent.usd, halted, most, of),
                    note=_estimated(run.estimated),
                ),
                Cell(bill.counts.get(run.id, "here").replace("`", "")),
                when(run.opened_at, zone),
            )
        )
    if others:
        usd = total(run.spent.usd for run in others)
        many = f"{len(others):,} of other people"
        rows.append((Cell(many), *(Cell("") for _ in range(4)), money(usd), Cell(""), Cell("")))
    columns = (
        Column("run"), Column("asked for by"), Column("class"), Column("outcome"), Column("steps", True),
        Column("cost", True), Column("counts"), Column("launched"),
    )  # fmt: skip
    about = "Oldest first. `/agent cost` on it tells the same."
    return Table("runs", "Runs", columns, rows, NONE, about)


def _estimated(usd: Usd) -> str:
    return f"{usd} estimated" if usd else ""
