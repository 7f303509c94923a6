"""`/api/v1/pulls`: pull requests and issues with what was spent on each, and one of them, as JSON."""

from __future__ import annotations

from typing import Any

from bot.core.money import total
from bot.core.thread_list import HAVING, SORTS, STATES, as_json, seen
from bot.stores.run_rows import Run
from bot.stories.thread_bill import ThreadBill
from bot.web.dashboard.frame import Frame
from bot.web.dashboard.pulls import A_PAGE, bill_of, parted, repository_of, thread_of, wanted_of
from bot.web.dashboard.shapes import COUNT, MS, TEXT, USD, Parameter, maybe, record, rows, word
from bot.web.dashboard.signal_shapes import FILTERS, PULL, WINDOW
from bot.web.who import Visitor

TAKES = {
    **WINDOW,
    **FILTERS,
    "state": Parameter("Only those that stand so", word(*STATES)),
    "having": Parameter("Only those above the band, with halted runs, or that were reverted", word(*HAVING)),
    "sort": Parameter("The dearest first, or the latest", word(*SORTS)),
    "after": Parameter("The `next` of the answer before, for those that follow", TEXT),
}
IN_PATH = {
    "owner": Parameter("Whose repository it is", TEXT),
    "repo": Parameter("The repository's name", TEXT),
    "number": Parameter("The number of the pull request or issue", COUNT),
}
THREAD = PULL | {"state": word(*STATES), "estimated_usd": USD, "at_ms": MS}
RUN = {
    "run": TEXT,
    "actor": TEXT,
    "class": TEXT,
    "engine": TEXT,
    "line": TEXT,
    "state": TEXT,
    "reason": maybe(TEXT),
    "attempt": COUNT,
    "steps": COUNT,
    "usd": USD,
    "estimated_usd": USD,
    "counts": TEXT,
    "launched_ms": MS,
}
ONE = record(THREAD | {"list": rows(record(RUN)), "others": record({"runs": COUNT, "usd": USD})})
ALL = record({"since": maybe(MS), "until": MS, "threads": rows(record(THREAD)), "next": maybe(TEXT)})


def mount(frame: Frame) -> None:
    services = frame.services

    @frame.api("/api/v1/pulls", takes=TAKES, answers=ALL)
    def pulls_json(visitor: Visitor) -> dict[str, Any]:
        """Pull requests and issues with what was spent on each, fifty at a time."""
        window, wanted = wanted_of(services, visitor)
        found = services.thread_list.read(wanted, A_PAGE + 1)
        return {
            "since": window.since or None,
            "until": window.until,
            "threads": [as_json(seen(one, visitor.sight)) for one in found[:A_PAGE]],
            "next": str(found[A_PAGE - 1].mark(wanted.sort)) if len(found) > A_PAGE else None,
        }

    @frame.api("/api/v1/pulls/<owner>/<repo>/<int:number>", takes=IN_PATH, answers=ONE)
    def pull_json(visitor: Visitor, owner: str, repo: str, number: int) -> dict[str, Any]:
        """What one pull request or issue has cost, with the runs that the visitor may see one by one."""
        id, name = repository_of(visitor, f"{owner}/{repo}")
        bill = bill_of(services, id, number)
        shown, others = parted(visitor, bill)
        return {
            **as_json(seen(thread_of(bill, id, name, number), visitor.sight)),
            "list": [_run(bill, run) for run in shown],
            "others": {"runs": len(others), "usd": total(run.spent.usd for run in others).exact},
        }


def _run(bill: ThreadBill, run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "actor": run.actor,
        "class": run.task_class,
        "engine": run.engine,
        "line": run.line,
        "state": run.state,
        "reason": run.reason,
        "attempt": run.attempt,
        "steps": run.spent.steps,
        "usd": run.spent.usd.exact,
        "estimated_usd": run.estimated.exact,
        "counts": bill.counts.get(run.id, ""),
        "launched_ms": run.opened_at,
    }
