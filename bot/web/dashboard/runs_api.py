"""`/api/v1/runs`: the list of runs, one run, and its requests, as JSON."""

from __future__ import annotations

from typing import Any

from flask import request

from bot.core import run_list
from bot.core.ceilings import Reason
from bot.core.run_list import STATES
from bot.core.timeline import KINDS
from bot.web.answers import Problem
from bot.web.dashboard.frame import Frame
from bot.web.dashboard.run_figures import as_json, seen, turns_json
from bot.web.dashboard.runs import A_PAGE, wanted_of
from bot.web.dashboard.shapes import (
    CEILINGS,
    COST_BY,
    COUNT,
    DAY,
    MS,
    TEXT,
    USD,
    YES,
    Parameter,
    Shape,
    by_name,
    maybe,
    record,
    rows,
    word,
)
from bot.web.who import Visitor

FILTERS = {
    "state": Parameter("How they stand; live: not over", word(*STATES)),
    "reason": Parameter("Why they halted", word(*Reason)),
    "repo": Parameter("Only in this repository, OWNER/NAME", TEXT),
    "class": Parameter("Only of this class", TEXT),
    "developer": Parameter("Only this person's, by their login", TEXT),
    "engine": Parameter("Only by this engine", TEXT),
    "line": Parameter("Only on this budget line; (none): on none", TEXT),
    "since": Parameter("Launched on this day or later, in the time zone of the caps", DAY),
    "until": Parameter("Launched before this day", DAY),
    "before": Parameter("The `next` of the answer before, for the runs after those", TEXT),
}
ID = Parameter("The run's id: 12 of 0-9 and a-f", TEXT)
LISTED: dict[str, Shape] = {
    "run": TEXT,
    "state": TEXT,
    "reason": maybe(TEXT),
    "actor": TEXT,
    "repository": TEXT,
    "thread": maybe(COUNT),
    "url": TEXT,
    "class": TEXT,
    "engine": TEXT,
    "model": TEXT,
    "line": TEXT,
    "origin": TEXT,
    "attempt": COUNT,
    "usd": USD,
    "estimated_usd": USD,
    "held_usd": USD,
    "ceiling_usd": USD,
    "tokens": COUNT,
    "steps": COUNT,
    "most_steps": COUNT,
    "launched_ms": MS,
    "started_ms": maybe(MS),
    "ended_ms": maybe(MS),
}
COUNTERS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
SPENT = record({"usd": USD, **dict.fromkeys(("tokens", "steps", "tool_calls", "seconds", *COUNTERS), COUNT)})
REPORT = record(
    {
        "run": TEXT,
        "outcome": TEXT,
        "reason": maybe(TEXT),
        "message": TEXT,
        "model": TEXT,
        "engine": TEXT,
        "ceilings": CEILINGS,
        "spent": SPENT,
        "cost_by": COST_BY,
        "estimated_usd": USD,
        "own_usd": maybe(USD),
        "price_book": TEXT,
        "clamps": rows(TEXT),
    }
)
LIST = record({"runs": rows(record(LISTED)), "next": maybe(TEXT)})
HOLDS = record({"kind": word(*KINDS), "requests": COUNT, "held_usd": USD, "usd": USD, "back_usd": USD})
RUN = record(
    LISTED
    | {
        "report": REPORT,
        "outcome": TEXT,
        "sources": by_name(TEXT),
        "requests": rows(HOLDS),
        "next": rows(record({"command": TEXT, "does": TEXT})),
    }
)
DIFFERENCE: Shape = {"type": "integer", "description": "below 0 in a correction that takes back"}
TURN = record(
    {
        "id": COUNT,
        "attempt": COUNT,
        "state": word(*KINDS),
        "step": maybe(COUNT),
        "corrects": maybe(COUNT),
        "mended": YES,
        "held_ms": MS,
        "settled_ms": maybe(MS),
        "model_asked": TEXT,
        "model": maybe(TEXT),
        "max_tokens": COUNT,
        "clamped_max_tokens": maybe(COUNT),
        "hold_usd": USD,
        "hold_tokens": COUNT,
        "usd": USD,
        "back_usd": USD,
        **dict.fromkeys(("tokens", *COUNTERS), DIFFERENCE),
        "status": maybe(COUNT),
        "stop_reason": maybe(TEXT),
        "ending": maybe(TEXT),
        "request_id": maybe(TEXT),
        "price_book": TEXT,
    }
)
AFTER = Parameter(
    "The `next` of the answer before, for the turns after those", COUNT | {"maximum": 10**18 - 1}
)
TURNS = 500  # in an answer


def mount(frame: Frame) -> None:
    services = frame.services

    @frame.api("/api/v1/runs", takes=FILTERS, answers=LIST)
    def runs_json(visitor: Visitor) -> dict[str, Any]:
        """Runs, newest first, fifty at a time: one's own, and those of people whose figures one may see."""
        wanted = wanted_of(request.args, services.policy.caps.zone)
        found = services.run_list.read(wanted, visitor.sight, A_PAGE + 1)
        shown = found[:A_PAGE]
        return {
            "runs": [run_list.as_json(one) for one in shown],
            "next": str(shown[-1].mark) if len(found) > A_PAGE else None,
        }

    @frame.api("/api/v1/runs/<run>", takes={"run": ID}, answers=RUN)
    def run_json(visitor: Visitor, run: str) -> dict[str, Any]:
        """One run: what `--report` has of it, its holds by how they were settled, what can be done next."""
        found = seen(services, visitor, run)
        return as_json(found, services.timelines.of(run))

    @frame.api(
        "/api/v1/runs/<run>/turns",
        takes={"run": ID, "after": AFTER},
        answers=record({"turns": rows(TURN), "next": maybe(COUNT)}),
    )
    def turns_of_run(visitor: Visitor, run: str) -> dict[str, Any]:
        """A run's requests to a model and their corrections, in the order of the ledger, 500 at a time."""
        seen(services, visitor, run)
        after = request.args.get("after", "") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Problem(400, "`after` is the `next` of an answer, a whole number")
        return turns_json(services.timelines.of(run), int(after), TURNS)
