"""What no door takes: an address that is none, another method, a body without end, an accident of ours."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Response as AnyResponse

from bot.web.answers import Problem

# Doors for programs answer in their own way.
PROGRAMS = ("/api/", "/webhooks/", "/anthropic", "/healthz", "/readyz", "/metrics")
NOWHERE = "Nothing is at this address. The first page leads to everything that you may see"
SAID = {
    404: "nothing is at this address of the service",
    413: "the body is larger than anything that is sent here",
    500: (
        "something broke in the service itself, and its log says what. What was asked for may have been done "
        "all the same: look before you ask again"
    ),
}


def mount(blueprint: Blueprint, page: Callable[[Problem], AnyResponse]) -> None:
    """For the whole roof: a sentence as JSON, and as a `page` to a browser that asks for one of those."""

    def otherwise(error: HTTPException) -> AnyResponse:
        programs = request.path.startswith(PROGRAMS) or "html" not in request.headers.get("Accept", "")
        status = error.code or 500
        said = NOWHERE if status == 404 and not programs else _said(error, status)
        problem = Problem(status, said)
        answered = problem.response() if programs else page(problem)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answered.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return answered

    for status in (405, *SAID):
        blueprint.app_errorhandler(status)(otherwise)
    blueprint.before_app_request(_no_nul)
    blueprint.record_once(_no_merging)


def _said(error: HTTPException, status: int) -> str:
    if isinstance(error, MethodNotAllowed):
        takes = ", ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
        return f"this address does not take {request.method[:20]}, but {takes or 'nothing'}"
    return SAID[status]


def _no_merging(state: BlueprintSetupState) -> None:
    """`//a` is no address. (Werkzeug would lead to `/a`, at the host that the client says it has asked.)"""
    state.app.url_map.merge_slashes = False


def _no_nul() -> None:
    """No address has a NUL in it, and PostgreSQL takes none to look it up with."""
    if "\0" in request.path:
        raise NotFound
