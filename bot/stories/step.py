"""A step of somebody's workflow asks for a run of its own: who asks, whether they may, what holds; one row.

All that counts is what GitHub signed and what GitHub says when it is asked. Nothing is done there, so this is
told at the door and told again when it is asked again.
"""

from __future__ import annotations

from dataclasses import replace

from bot.clients.identity import Claims
from bot.core.caps import Cap
from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.steps import Asked
from bot.core.waiting import Limit
from bot.services import Services
from bot.stores.run_rows import STEP, NewRun, Run
from bot.stores.runs import new_id
from bot.stories import policy_file
from bot.stories.opening import fits, new_run, record
from bot.stories.ruling import Refusal, caps_of, limits_of, resolve, within

WORKFLOWS = ".github/workflows/"
MOST_A_JOB = 50  # runs, one after the other


def open_run(services: Services, claims: Claims, asked: Asked, installation: int) -> Run:
    """A run for this step, which has none yet. Raises Refusal, which is recorded, and GitHubError."""
    repo = Repo(installation, claims.repository_id, claims.repository)
    try:
        new, limits = _new_run(services, claims, asked, repo)
        page = services.github.workflow_run(repo, claims.run_id).url
        caps = _caps(services, claims, repo, new.line)
        # A job cannot wait: its minutes would run on meanwhile.
        fitted = services.people.open(new, caps, limits=limits, waits=False)
        if (opened := given(services, claims, asked)) is None:
            fits(fitted)
            raise Refusal("busy", "this job has a live run already: its steps come one after the other")
    except Refusal as refusal:
        whose = claims.actor_id, claims.actor
        record(services, refusal, STEP, asked.number, (claims.repository_id, claims.repository), whose)
        raise
    services.runs.dispatched(opened.id, claims.run_id, page)
    return opened


def given(services: Services, claims: Claims, asked: Asked) -> Run | None:
    """What this step was given when it asked before. Raises Refusal for a number of another job's step."""
    run = services.threads.of_comment(claims.repository_id, STEP, asked.number)
    if run is not None and run.opened_by != job(claims):
        raise Refusal("busy", "its number is another step's")
    return run


def job(claims: Claims) -> str:
    """The job whose step asks, by GitHub's word; where GitHub does not tell jobs apart, its workflow run."""
    return f"job:{claims.run_id}.{claims.run_attempt}.{claims.job_id or 0}"


def _new_run(
    services: Services, claims: Claims, asked: Asked, repo: Repo
) -> tuple[NewRun, tuple[Limit, ...]]:
    """The run as it would be opened, and what it has to find room under. Raises Refusal."""
    github = services.github
    default = github.default_branch(repo)
    _own_workflow(claims, default)
    role = _entitled(services, claims, repo)
    if services.threads.of_job(repo.id, job(claims)) >= MOST_A_JOB:
        raise Refusal("too_many", f"this job has had {MOST_A_JOB} runs already")
    ruling = within(services, policy_file.read(services, repo, default), default)
    resolved = resolve(asked.task_class, asked.options, role, (), ruling, by="input")
    whose, now = (claims.actor_id, claims.actor), services.database.now_ms()
    new = new_run(services, new_id(), STEP, repo, whose, role, ruling, resolved, now, line=resolved.line)
    new = replace(
        new,
        task=asked.task,
        opened_by=job(claims),
        comment_kind=STEP,
        comment_id=asked.number,
        snapshot={
            **new.snapshot,
            "head": {"ref": claims.ref, "sha": claims.sha},
            "default_branch": default,
            "workflow": claims.workflow_ref,
            "event": claims.event_name,
            "check": asked.check or ruling.check,
        },
    )
    return new, limits_of(ruling, (claims.actor_id or 0, claims.actor), repo, new.line)


def _caps(services: Services, claims: Claims, repo: Repo, line: str) -> tuple[Cap, ...]:
    """What it has to fit under. Raises Refusal where GitHub does not say whose month it is."""
    if claims.actor_id is None:
        raise Refusal("not_entitled", "its token does not say by number who started its workflow")
    return caps_of(services, (claims.actor_id, claims.actor), repo, line)


def _own_workflow(claims: Claims, default: str) -> None:
    """Only a workflow file of the default branch asks: what a pull request brings along decides nothing."""
    path, at, ref = claims.workflow_ref.partition("@")
    here = f"{claims.repository}/{WORKFLOWS}".lower()
    if not at or not path.lower().startswith(here) or ref != f"refs/heads/{default}":
        raise Refusal(
            "workflow",
            f"its workflow is {claims.workflow_ref}, and only one of the default branch ({default}) may open "
            "runs: in the workflow of a pull request, use the action without the service, or a comment",
        )


def _entitled(services: Services, claims: Claims, repo: Repo) -> Role:
    """The role of whoever GitHub says started the workflow run; of a schedule, who last changed it."""
    if claims.actor.endswith("[bot]"):
        raise Refusal("not_entitled", f"{claims.actor} started its workflow, and no bot may start a run")
    role = services.github.role(repo, claims.actor)
    if role < Role.WRITE:
        raise Refusal(
            "not_entitled",
            f"{claims.actor} started its workflow and has the role {role} here; write permission is needed",
        )
    return role
