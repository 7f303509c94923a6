"""Prometheus' door: `GET /metrics`, open to whoever has METRICS_TOKEN and closed where there is none."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, request
from sqlalchemy.exc import SQLAlchemyError

from bot.exports.prometheus import Exposition
from bot.services import Services
from bot.web.answers import Problem, bearer


def door(services: Services) -> Blueprint:
    made = Blueprint("metrics", __name__)
    made.register_error_handler(Problem, lambda problem: problem.response())
    token, exposition = services.settings.secrets.metrics_token, Exposition(services)

    @made.get("/metrics")
    def metrics() -> Response:
        if not token:
            raise Problem(503, "METRICS_TOKEN is not set: this door stays closed")
        if not hmac.compare_digest(bearer(request).encode("utf-8", "replace"), token.encode()):
            raise Problem(401, "this is not METRICS_TOKEN")
        try:
            text, content_type = exposition.text(request.headers.get("Accept", ""))
        except SQLAlchemyError as error:
            raise Problem(503, "the database does not answer, or took too long to count") from error
        return Response(text, content_type=content_type)

    return made
