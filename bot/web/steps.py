"""Where the step of a workflow asks for a run of its own: by its job's identity, and nothing else."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from bot.clients.github import GitHubError, Unavailable
from bot.clients.identity import Claims
from bot.core import steps
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stories.ruling import Refusal
from bot.stories.step import given, open_run
from bot.web.answers import Problem, answer, body, json_object
from bot.web.runs import claimed, identity
from bot.web.turnstile import Turnstile

if TYPE_CHECKING:
    from bot.clients.oidc import Verifier

MAX_ASKED = 1024 * 1024
FRESH_SECONDS = 60.0
MOST_REPOSITORIES = 1_000
MOST_IN_VAIN = 30  # in a minute, of one repository
AGAIN_SECONDS = 5


class Installations:
    """Where the App is installed, and where not, by what GitHub said just now: any job at all may ask us, and
    what GitHub answers the App itself is for everybody."""

    def __init__(self, ask: Callable[[str], int | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._lock = threading.Lock()
        self._known: OrderedDict[int, tuple[float, int | None]] = OrderedDict()  # the oldest first

    def known(self, repository_id: int) -> tuple[int | None] | None:
        """What GitHub said less than a minute ago, if anything. Asks nobody."""
        until, installation = self._known.get(repository_id, (0.0, None))
        return (installation,) if until > self._clock() else None

    def of(self, repository_id: int, full_name: str) -> int | None:
        """Raises GitHubError."""
        if (known := self.known(repository_id)) is not None:
            return known[0]
        installation = self._ask(full_name)
        with self._lock:
            self._known[repository_id] = self._clock() + FRESH_SECONDS, installation
            self._known.move_to_end(repository_id)
            while len(self._known) > MOST_REPOSITORIES:
                self._known.popitem(last=False)
        return installation


class Turnstiles:
    """One for each repository: what a job of one asks for in vain keeps no other out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._made: OrderedDict[int, Turnstile] = OrderedDict()  # the longest unused first

    def of(self, repository_id: int) -> Turnstile:
        with self._lock:
            made = self._made.setdefault(repository_id, Turnstile(MOST_IN_VAIN, self._clock))
            self._made.move_to_end(repository_id)
            while len(self._made) > MOST_REPOSITORIES:
                self._made.popitem(last=False)
            return made


def door(
    services: Services, oidc: Callable[[], Verifier], clock: Callable[[], float] = time.monotonic
) -> Blueprint:
    """`POST /api/runs/open`: a run and its brief, as a claim answers."""
    installations, turnstiles = Installations(services.github.installation, clock), Turnstiles(clock)
    made = Blueprint("steps", __name__, url_prefix="/api/runs")
    made.register_error_handler(Problem, lambda problem: problem.response())

    def opened(claims: Claims, asked: steps.Asked) -> Run:
        """A new run: what opens none is counted, and what is under way, until it has."""
        strange = Refusal(
            "not_installed",
            f"the App is not installed in {claims.repository}, by what GitHub said less than a minute ago",
        )  # not recorded: anyone's repository may ask
        if installations.known(claims.repository_id) == (None,):
            raise strange
        turnstile = turnstiles.of(claims.repository_id)
        if not turnstile.passes():
            why = f"{claims.repository} asks for too many at once, or asked in vain too often in this minute"
            raise Problem(429, f"no run was opened yet: {why}. Nothing was spent.", AGAIN_SECONDS)
        installation = installations.of(claims.repository_id, claims.repository)
        if installation is None:
            raise strange
        run = open_run(services, claims, asked, installation)
        turnstile.back()
        return run

    @made.post("/open")
    def open_() -> Response:
        claims = identity(services, oidc)
        try:
            asked = steps.read(json_object(body(request, MAX_ASKED)))
            run = given(services, claims, asked) or opened(claims, asked)
        except steps.Unclear as error:
            raise Problem(400, f"{error}.") from error
        except Refusal as refusal:
            raise Problem(403, f"no run was opened: {refusal}. Nothing was spent.") from refusal
        except Unavailable as error:
            raise Problem(503, f"no run was opened yet: {error}") from error
        except GitHubError as error:
            raise Problem(403, f"no run was opened, GitHub did not tell what it needs: {error}") from error
        return answer(200, **claimed(services, run, claims.run_id))

    return made
