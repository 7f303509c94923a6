"""`/healthz`: this process answers. `/readyz`: and its database does, at this version's schema."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Blueprint, Response
from sqlalchemy.exc import SQLAlchemyError

from bot.services import Services
from bot.stores.tables import runs
from bot.web.answers import answer


def door(services: Services) -> Blueprint:
    made = Blueprint("health", __name__)

    @made.get("/healthz")
    def healthz() -> Response:
        return answer(200, ok=True)

    @made.get("/readyz")
    def readyz() -> Response:
        try:
            with services.database.read() as tx:
                tx.execute(sa.select(runs.c.id).limit(1)).first()
            workers = services.processes.alive("worker")
        except SQLAlchemyError:
            return answer(503, ok=False, why="the database does not answer, or was not migrated")
        # Without a worker the doors still take deliveries, and nothing of them is lost.
        return answer(200, ok=True, workers=workers)

    return made
