"""Where the step of a workflow asks for a run of its own: by its job's identity, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from bot.clients.github import GitHubError, Unavailable
from bot.core import steps
from bot.services import Services
from bot.stories.ruling import Refusal
from bot.stories.step import open_run
from bot.web.answers import Problem, body, json_object
from bot.web.runs import claimed, identity

if TYPE_CHECKING:
    from bot.clients.oidc import Verifier

MAX_ASKED = 1024 * 1024


def door(services: Services, oidc: Callable[[], Verifier]) -> Blueprint:
    """`POST /api/runs/open`: a run and its brief, as a claim answers."""
    made = Blueprint("steps", __name__, url_prefix="/api/runs")
    made.register_error_handler(Problem, lambda problem: problem.response())

    @made.post("/open")
    def open_() -> Response:
        claims = identity(services, oidc)
        try:
            asked = steps.read(json_object(body(request, MAX_ASKED)))
            run = open_run(services, claims, asked)
        except steps.Unclear as error:
            raise Problem(400, f"{error}.") from error
        except Refusal as refusal:
            raise Problem(403, f"no run was opened: {refusal}. Nothing was spent.") from refusal
        except Unavailable as error:
            raise Problem(503, f"no run was opened yet: {error}") from error
        except GitHubError as error:
            raise Problem(403, f"no run was opened, GitHub did not tell what it needs: {error}") from error
        return claimed(services, run, claims)

    return made
