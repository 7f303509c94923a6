"""`/api/v1`: what the pages show, as JSON."""

from __future__ import annotations

from typing import Any

from flask import Response

from bot.core import person_month
from bot.core import rollup as rollups
from bot.web.answers import answer
from bot.web.dashboard import figures, openapi
from bot.web.dashboard.frame import Frame
from bot.web.dashboard.shapes import (
    COUNT,
    LOGIN,
    MONTH,
    MS,
    NUMBER,
    PART,
    TEXT,
    USD,
    YES,
    maybe,
    record,
    rows,
    word,
)
from bot.web.who import Visitor

TASK = {
    "run": TEXT,
    "actor": TEXT,
    "repository": TEXT,
    "thread": maybe(COUNT),
    "class": TEXT,
    "state": TEXT,
    "reason": maybe(TEXT),
    "usd": USD,
    "url": TEXT,
}
PERSON = record(
    {
        "name": TEXT,
        "usd": USD,
        "tasks": COUNT,
        "usd_per_task": USD,
        "on_lines_usd": USD,
        "halted_usd": USD,
        "context_usd": USD,
        "cursor_usd": maybe(USD),
        "far": YES,
        "causes": rows(TEXT),
    }
)
ROLLUP = record(
    {
        "month": TEXT,
        "elapsed": NUMBER,
        "usd": USD,
        "projected_usd": maybe(USD),
        "tasks": COUNT,
        "usd_per_task": maybe(USD),
        "spread": record({"median": USD, "p90": USD, "max": USD}),
        "people": rows(PERSON),
        "top": rows(record(TASK)),
        "cursor": maybe(
            record(
                {
                    "usd": USD,
                    "source": TEXT,
                    "people": rows(record({"name": TEXT, "usd": USD})),
                    "unknown": rows(record({"email": TEXT, "usd": USD})),
                }
            )
        ),
    }
)
CAP = record(
    {
        "scope": word("person", "repository", "installation", "line"),
        "name": TEXT,
        "month": TEXT,
        "usd": USD,
        "most_usd": USD,
        "spent_usd": USD,
        "cursor_usd": USD,
        "held_usd": USD,
        "left_usd": USD,
        "percent": COUNT,
        "reached": YES,
        "acknowledged": COUNT,
        "live": COUNT,
    }
)
PERSON_MONTH = record(
    {
        "login": TEXT,
        "month": TEXT,
        "usd": USD,
        "tasks": COUNT,
        "usd_per_task": maybe(USD),
        "whole": YES,
        "caps": rows(CAP),
        "lines": rows(PART),
        "repositories": rows(PART),
        "runs": rows(record(TASK | {"line": TEXT, "launched_ms": MS})),
        "acknowledged": rows(record({"cap": TEXT, "by": TEXT, "reason": TEXT, "usd": USD, "at_ms": MS})),
        "cursor_usd": maybe(USD),
    }
)


def mount(frame: Frame) -> None:
    services = frame.services

    @frame.api("/api/v1/rollup", takes={"month": MONTH}, answers=ROLLUP)
    def rollup(visitor: Visitor) -> dict[str, Any]:
        """The same as `metrics --month … --json`, as far as the visitor may see people."""
        return rollups.as_json(figures.team(services, visitor.sight, frame.month()))

    @frame.api("/api/v1/people/<login>", takes={"login": LOGIN, "month": MONTH}, answers=PERSON_MONTH)
    def person_json(visitor: Visitor, login: str) -> dict[str, Any]:
        """One person's month, as far as the visitor may see it."""
        whose = figures.person_of(services, visitor, login)
        return person_month.as_json(figures.person_month(services, visitor.sight, whose, frame.month()))

    @frame.blueprint.get(openapi.PATH)
    def told() -> Response:
        return answer(200, **openapi.document(frame.operations))
