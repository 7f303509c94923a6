"""The laptops' door (P7): a person logs a machine in, opens runs there, and asks what they have spent.

A laptop's token opens runs in its person's name, under their caps, and shows that person's spend. The runs
themselves go through the runners' door and the gateway, each with a token of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from bot.clients.github import GitHubError, Unavailable
from bot.core import laptop as asks
from bot.core import person_month, reports, steps
from bot.core.caps import month_of, of_lines
from bot.core.untrusted import line
from bot.core.visibility import themselves
from bot.services import Services
from bot.stores.laptops import PREFIX, Laptop
from bot.stories import laptop as story
from bot.stories import login as logins
from bot.stories.asides import halt
from bot.stories.ruling import Refusal
from bot.web.answers import Problem, answer, bearer, body, json_object
from bot.web.bearers import NOT_GOOD
from bot.web.dashboard import figures
from bot.web.runs import claimed
from bot.web.turnstile import Turnstile

MAX_ASKED = 1024 * 1024
MAX_LOGIN = 64 * 1024
MOST_LOGINS = 30  # attempts in a minute, of anybody: each has GitHub asked
TOKEN = re.compile(r"[!-~]{1,1000}")  # what goes into a header as it is; GitHub's have 40 to some hundreds


def door(services: Services, clock: Callable[[], float] = time.monotonic) -> Blueprint:
    """`/api/laptop`: how to log in, `login`, `logins` and their end, `runs`, `cost`."""
    turnstile = Turnstile(MOST_LOGINS, clock)
    made = Blueprint("laptop", __name__, url_prefix="/api/laptop")
    made.register_error_handler(Problem, lambda problem: problem.response())

    @made.get("")
    def about() -> Response:
        client_id = services.settings.github_client_id
        if not client_id:
            raise Problem(503, "nobody can log in here: the service has no GITHUB_CLIENT_ID.")
        return answer(200, client_id=client_id, github=services.settings.github_web_url)

    @made.post("/login")
    def log_in() -> Response:
        asked = json_object(body(request, MAX_LOGIN))
        token, machine = asked.get("token"), asked.get("machine")
        if not isinstance(token, str) or not TOKEN.fullmatch(token) or not isinstance(machine, str):
            raise Problem(400, "a login is a token of GitHub's, and the machine's name.")
        if not turnstile.passes():
            raise Problem(429, "too many log in just now; try again in a minute.")
        try:
            secret, laptop = logins.log_in(services, token, line(machine, asks.MOST_MACHINE) or "?")
        except Refusal as refusal:
            raise Problem(403, f"not logged in: {refusal}.") from refusal
        except Unavailable as error:
            raise Problem(503, f"not logged in yet: {error}") from error
        except GitHubError as error:
            raise Problem(403, "not logged in: GitHub does not know this token as this App's.") from error
        return answer(200, token=secret, **_shown(laptop))

    @made.get("/logins")
    def all_() -> Response:
        laptop = _known(services)
        mine = services.laptops.all(laptop.actor_id)
        return answer(200, this=laptop.id, logins=[_shown(one) for one in mine])

    @made.delete("/logins/<id>")
    def log_out(id: str) -> Response:
        laptop = _known(services)
        if (halted := logins.log_out(services, id, laptop.actor, laptop.actor_id)) is None:
            raise Problem(404, "you have no such login.")
        return answer(200, halted=halted)

    @made.post("/runs")
    def open_() -> Response:
        laptop = _known(services)
        try:
            asked = asks.read(json_object(body(request, MAX_ASKED, known=True)))
            run = story.open_run(services, laptop, asked)
        except steps.Unclear as error:
            raise Problem(400, f"{error}.") from error
        except Refusal as refusal:
            raise Problem(403, f"no run was opened: {refusal}. Nothing was spent.") from refusal
        except (story.NotYet, Unavailable) as error:
            raise Problem(503, f"no run was opened yet: {error}") from error
        except GitHubError as error:
            raise Problem(403, f"no run was opened, GitHub did not tell what it needs: {error}") from error
        brief = claimed(services, run, None)
        if services.laptops.of(bearer(request)) is None:  # revoked while it was asked about
            halt(services, run.id, "its login was revoked")
            raise Problem(401, f"{NOT_GOOD}.")
        return answer(200, **brief, start=reports.terminal_start(services.runs.report(run.id)))

    @made.get("/cost")
    def cost() -> Response:
        laptop = _known(services)
        month = month_of(services.database.now_ms(), services.policy.caps.zone)
        whose = laptop.actor_id, laptop.actor
        found = figures.person_month(services, themselves(laptop.actor_id), whose, month)
        stand = services.people.standings(of_lines(services.policy.lines, laptop.actor), month)
        lines = [person_month.standing_json(one) for one in stand]
        return answer(200, **person_month.as_json(found), line_caps=lines)

    return made


def _known(services: Services) -> Laptop:
    """Whose token it is. Raises Problem 401."""
    token = bearer(request)
    laptop = services.laptops.of(token) if token.startswith(PREFIX) else None
    if laptop is None:
        raise Problem(401, f"{NOT_GOOD}.")
    return laptop


def _shown(laptop: Laptop) -> dict[str, Any]:
    return {
        "id": laptop.id,
        "login": laptop.actor,
        "machine": laptop.machine,
        "made_at": laptop.made_at,
        "expires_at": laptop.expires_at,
        "seen_at": laptop.seen_at,
    }
