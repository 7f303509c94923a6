"""The runners' door: a workflow run claims its run, tells how it goes, and hands in what it made.

Until the claim a runner has its OIDC identity and nothing else; after it, the run's token.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from bot import logs
from bot.clients.identity import Claims, OidcError, OidcUnavailable
from bot.core import changeset, reports, steps
from bot.core.ceilings import WRAP_UP
from bot.core.changeset import Malformed
from bot.core.money import ZERO
from bot.core.results import count, read
from bot.core.secrets import redacted
from bot.core.untrusted import line
from bot.services import Services
from bot.stores.handover import CHANGESET, LINES, TRANSCRIPT
from bot.stores.run_rows import STEP, Run
from bot.stores.runs import new_token, token_hash
from bot.stories import finish
from bot.stories.asides import halt
from bot.stories.durable import name_of
from bot.stories.names import workflow_ref
from bot.stories.spend import Halted, NoRun, Spend
from bot.web.answers import Problem, answer, bearer, body, json_object

if TYPE_CHECKING:
    from bot.clients.oidc import Verifier

MAX_CLAIM = 64 * 1024
MAX_EVENTS = 1024 * 1024
MAX_LINE = 2_000  # characters of a line that are looked at
MAX_RESULT = 32 * 1024 * 1024


def door(services: Services, oidc: Callable[[], Verifier], spend: Spend) -> Blueprint:
    """`/api/runs/claim`; of a claimed run `/api/runs/{id}`, its `events`, `work`, `result` and `report`."""
    made = Blueprint("runs", __name__, url_prefix="/api/runs")
    made.register_error_handler(Problem, lambda problem: problem.response())

    @made.post("/claim")
    def claim() -> Response:
        claims = identity(services, oidc)
        run = _claimable(services, json_object(body(request, MAX_CLAIM)))
        _check(run, claims)
        return answer(200, **claimed(services, run, claims.run_id))

    @made.post("/<run_id>/events")
    def events(run_id: str) -> Response:
        run, token = _by_token(services, run_id)
        told = json_object(body(request, MAX_EVENTS, known=True)).get("events")
        if not isinstance(told, list) or not all(isinstance(event, dict) for event in told):
            raise Problem(400, "events must be a list of objects")
        counts = [number for event in told if (number := count(event.get("tool_calls"))) is not None]
        services.handover.beat(run.id, max(counts, default=None), _lines(told))
        if any(event.get("type") == WRAP_UP for event in told):
            services.ledger.open_slice(run.id, run.attempt)
        with suppress(Halted, NoRun):
            spend.account(token)  # a run past its deadline is halted here too (G7)
        return answer(200, **_standing(services.runs.get(run.id) or run, services.database.now_ms()))

    @made.put("/<run_id>/work")
    def keep(run_id: str) -> Response:
        run, _ = _by_token(services, run_id)
        work = _work(json_object(body(request, MAX_RESULT, known=True)))
        if not services.handover.keep(run.id, run.attempt, work):
            raise Problem(409, f"run {run.id} is finished already; this work came too late")
        return answer(200, state=run.state)

    @made.get("/<run_id>/work")
    def left(run_id: str) -> Response:
        run, _ = _by_token(services, run_id)
        talk = services.handover.latest(run.id, TRANSCRIPT)
        changes = services.handover.latest(run.id, CHANGESET)
        return answer(
            200,
            transcript=base64.b64encode(talk[1]).decode() if talk else None,
            changeset=json.loads(changes[1]) if changes else None,
        )

    @made.get("/<run_id>")
    def standing(run_id: str) -> Response:
        run = _read_by(services, oidc, run_id)
        told = reports.to_json(services.runs.report(run.id, turns=False))
        return answer(200, **told | _standing(run, services.database.now_ms()))

    @made.get("/<run_id>/report")
    def report(run_id: str) -> Response:
        run = _read_by(services, oidc, run_id)
        told = services.report(run.id)
        return answer(
            200,
            finished=run.finished_at is not None,
            settled=not run.live and not services.ledger.account_of(run.id).held_steps,
            report=reports.to_json(told),
            summary=reports.job_summary(told, steps.here(told) if run.origin == STEP else ""),
            terminal=reports.terminal(told),
        )

    @made.post("/<run_id>/result")
    def result(run_id: str) -> Response:
        run, _ = _by_token(services, run_id)
        posted = body(request, MAX_RESULT, known=True)
        try:
            outcome = read(posted).outcome
        except Malformed as error:
            raise Problem(400, f"{error}.") from error
        made = json.loads(posted).get("changeset") if outcome != "done" else None
        left = json.dumps(made).encode() if made is not None else None
        if not services.handover.take(run.id, run.attempt, posted, name_of(finish.finish), left):
            raise Problem(409, f"run {run.id} is finished already; this result came too late")
        return answer(202, state=run.state)

    return made


def identity(services: Services, oidc: Callable[[], Verifier]) -> Claims:
    """Who asks, by the token that GitHub signed for its job. Raises Problem."""
    try:
        return oidc().verify(bearer(request), services.database.now_ms() / 1000)
    except OidcUnavailable as error:
        raise Problem(503, str(error)) from error
    except OidcError as error:
        raise Problem(401, str(error)) from error


def claimed(services: Services, run: Run, workflow_run_id: int | None) -> dict[str, Any]:
    """The run's brief for whoever claims it; asked again, with a new token in the place of the one before."""
    _not_paused(services, run)
    secret = new_token()
    if not services.runs.claim(run.id, run.attempt, token_hash(secret), workflow_run_id):
        raise Problem(409, f"run {run.id} is claimed by another workflow run, or has ended")
    _logged(run)
    return _brief(services, services.runs.get(run.id) or run, secret)


def _work(raw: dict[str, Any]) -> dict[str, bytes]:
    """The work so far by its kind. A transcript is opened by whoever goes on from it, not here."""
    packed, changes = str(raw.get("transcript", "?")), raw.get("changeset")
    try:
        found = {TRANSCRIPT: base64.b64decode(packed, validate=True)}
        if changes is not None:
            changeset.read(changes)
            found[CHANGESET] = json.dumps(changes).encode()
    except ValueError as error:
        raise Problem(400, "transcript must be base64") from error
    except Malformed as error:
        raise Problem(400, f"{error}.") from error
    return found


def _lines(told: list[dict[str, Any]]) -> list[str]:
    """What the agent did, a line for each event that says so."""
    texts = [event["text"] for event in told if isinstance(event.get("text"), str)]
    return [line(redacted(text[:MAX_LINE])[0], 200) for text in texts[-LINES:] if text.strip()]


def _by_token(services: Services, run_id: str) -> tuple[Run, str]:
    token = bearer(request)
    run = services.handover.of_token(token_hash(token))
    if run is None or run.id != run_id:
        raise Problem(401, "this is not the token of that run")
    _logged(run)
    return run, token


def _read_by(services: Services, oidc: Callable[[], Verifier], run_id: str) -> Run:
    """The run, for its own token or for any job of the workflow run that claimed it. Raises Problem 401."""
    token = bearer(request)
    run = services.handover.of_token(token_hash(token))
    if run is None and token.count(".") == 2:
        claims, run = identity(services, oidc), services.runs.get(run_id)
        theirs = (claims.repository_id, claims.run_id)
        if run is not None and theirs != (run.repository_id, run.workflow_run_id):
            run = None
    if run is None or run.id != run_id:
        raise Problem(401, "this is neither the token of that run nor of its workflow run")
    _logged(run)
    return run


def _logged(run: Run) -> None:
    logs.add(run=run.id, installation=run.installation, repository=run.repository)


def _claimable(services: Services, asked: dict[str, Any]) -> Run:
    run_id, attempt = asked.get("run"), count(asked.get("attempt"))
    if not isinstance(run_id, str) or not run_id.isascii() or not run_id.isalnum() or attempt is None:
        raise Problem(400, "a claim names its run and its attempt")
    run = services.runs.get(run_id)
    if run is None or run.origin != "github" or attempt > run.attempt:
        raise Problem(404, f"run {run_id[:12]}.{attempt} is not known (yet)")
    if attempt < run.attempt:
        raise Problem(409, f"attempt {attempt} of run {run.id} is over; {run.attempt} goes on")
    if not run.live:
        raise Problem(409, f"run {run.id} has ended: {run.message or run.state}")
    if run.dispatched_at is None:
        raise Problem(404, f"run {run.id}.{attempt} is not dispatched (yet)")
    return run


def _check(run: Run, claims: Claims) -> None:
    """Compare the identity with what was dispatched (L5). Raises Problem 403 that says what differs."""
    expected = (
        ("repository_id", claims.repository_id, run.repository_id),
        ("workflow_ref", claims.workflow_ref, workflow_ref(run)),
        ("event_name", claims.event_name, "workflow_dispatch"),
        ("run_id", claims.run_id, run.workflow_run_id or claims.run_id),
    )
    for name, given, wanted in expected:
        if given != wanted:
            raise Problem(403, f"the token's {name} is {given}, but run {run.id} was dispatched as {wanted}")


def _not_paused(services: Services, run: Run) -> None:
    """Raises Problem 409 where nothing runs; the run is halted, and can be resumed later."""
    off = services.switch.paused(run.repository, run.repository_id)
    if off is not None:
        halt(services, run.id, str(off))
        raise Problem(409, f"run {run.id} does not start: {off}")


def _brief(services: Services, run: Run, secret: str) -> dict[str, Any]:
    snapshot, service = run.snapshot, services.settings.public_url
    return {
        "run": run.id,
        "attempt": run.attempt,
        "token": secret,
        "base_url": f"{service}/anthropic",
        "task": run.task,
        "class": run.task_class,
        "engine": run.engine,
        "model": run.model,
        "effort": run.effort,
        "context": snapshot["context"],
        "thread": snapshot["thread"],
        "repository": {
            "full_name": run.repository,
            "id": run.repository_id,
            "default_branch": snapshot["default_branch"],
        },
        "head": snapshot["head"],
        # Whose settings an engine obeys. A step's checkout is whatever its workflow makes of it: nobody's.
        "base_ref": snapshot.get("base_ref") or (snapshot["default_branch"] if run.thread else ""),
        "ceilings": {
            "usd": run.ceilings.usd.exact,
            "tokens": run.ceilings.tokens,
            "steps": run.ceilings.steps,
            "seconds": run.ceilings.seconds,
        },
        "seconds_left": _seconds_left(run, services.database.now_ms()),
        "check": snapshot.get("check"),
        "resumed": {name: run.resumed.get(name, "") for name in ("why", "text")} if run.resumed else None,
        "forbidden_paths": snapshot["forbidden_paths"],
        "before": snapshot.get("before") or None,
    }


def _standing(run: Run, now: int) -> dict[str, Any]:
    left = max(ZERO, run.ceilings.usd - run.spent.usd - run.held)
    return {
        "state": run.state,
        "reason": run.reason,
        "message": run.message,
        "remaining": {
            "usd": left.exact,
            "tokens": max(0, run.ceilings.tokens - run.spent.tokens),
            "steps": max(0, run.ceilings.steps - run.spent.steps),
            "seconds": _seconds_left(run, now),
        },
    }


def _seconds_left(run: Run, now: int) -> int:
    return max(0, (run.deadline_at - now) // 1000) if run.deadline_at else run.ceilings.seconds
