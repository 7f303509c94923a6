"""`/api/v1`: what the pages show, as JSON."""

from __future__ import annotations

from flask import Response

from bot.core import person_month
from bot.core import rollup as rollups
from bot.web.answers import answer
from bot.web.dashboard import figures
from bot.web.dashboard.frame import Frame
from bot.web.who import Visitor


def mount(frame: Frame) -> None:
    services = frame.services

    @frame.get("/api/v1/rollup")
    def rollup(visitor: Visitor) -> Response:
        """The same as `metrics --month … --json`, as far as the visitor may see people."""
        return answer(200, **rollups.as_json(figures.team(services, visitor.sight, frame.month())))

    @frame.get("/api/v1/people/<login>")
    def person_json(visitor: Visitor, login: str) -> Response:
        whose = figures.person_of(services, visitor, login)
        found = figures.person_month(services, visitor.sight, whose, frame.month())
        return answer(200, **person_month.as_json(found))
