"""Where the step of a workflow asks for a run of its own: by its job's identity, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from bot.clients.github import GitHubError, Unavailable
from bot.core import steps
from bot.services import Services
from bot.stories.ruling import Refusal
from bot.stories.step import open_run
from bot.web.answers import Problem, answer, body, json_object
from bot.web.runs import claimed, identity

if TYPE_CHECKING:
    from bot.clients.oidc import Verifier

MAX_ASKED = 1024 * 1024
STRANGE_SECONDS = 60.0
MOST_STRANGERS = 1_000


class Strangers:
    """Repositories in which, GitHub said just now, the App is not installed: any job at all may ask us, and
    what GitHub lets the App look up is for those in which it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[int, float] = {}  # the oldest first

    def add(self, repository_id: int) -> None:
        with self._lock:
            self._until.pop(repository_id, None)
            self._until[repository_id] = self._clock() + STRANGE_SECONDS
            while len(self._until) > MOST_STRANGERS:
                del self._until[next(iter(self._until))]

    def __contains__(self, repository_id: int) -> bool:
        return self._until.get(repository_id, 0.0) > self._clock()


def door(
    services: Services, oidc: Callable[[], Verifier], clock: Callable[[], float] = time.monotonic
) -> Blueprint:
    """`POST /api/runs/open`: a run and its brief, as a claim answers."""
    strangers = Strangers(clock)
    made = Blueprint("steps", __name__, url_prefix="/api/runs")
    made.register_error_handler(Problem, lambda problem: problem.response())

    @made.post("/open")
    def open_() -> Response:
        claims = identity(services, oidc)
        if claims.repository_id in strangers:
            why = (
                f"the App is not installed in {claims.repository}, by what GitHub said less than a minute ago"
            )
            raise Problem(403, f"no run was opened: {why}. Nothing was spent.")
        try:
            asked = steps.read(json_object(body(request, MAX_ASKED)))
            run = open_run(services, claims, asked)
        except steps.Unclear as error:
            raise Problem(400, f"{error}.") from error
        except Refusal as refusal:
            if refusal.reason == "not_installed":
                strangers.add(claims.repository_id)
            raise Problem(403, f"no run was opened: {refusal}. Nothing was spent.") from refusal
        except Unavailable as error:
            raise Problem(503, f"no run was opened yet: {error}") from error
        except GitHubError as error:
            raise Problem(403, f"no run was opened, GitHub did not tell what it needs: {error}") from error
        return answer(200, **claimed(services, run, claims.run_id))

    return made
