"""How a run is called at GitHub: in comments, commits, workflows; each is looked for before it is made."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from bot.core import onboarding, reports
from bot.core.events import CommentCreated, WorkflowCompleted
from bot.core.places import Repo
from bot.core.replies import Line
from bot.services import Services
from bot.stores.run_rows import Run

WORKFLOW = PurePosixPath(onboarding.WORKFLOW).name  # as a dispatch names it
CHECK = "Tollgate"
RUN_NAME = re.compile(r"Tollgate run ([0-9a-f]{12})\.([0-9]{1,6})\Z")


def run_of(services: Services, run_id: str) -> Run:
    """A run that is known to exist."""
    run = services.runs.get(run_id)
    if run is None:
        raise KeyError(run_id)
    return run


def repo_of(run: Run) -> Repo:
    return Repo(run.installation or 0, run.repository_id or 0, run.repository)


def marker(run: Run) -> str:
    """The first line of its report."""
    return reports.marker(run.id, run.attempt)


def reply_marker(kind: str, event: CommentCreated) -> str:
    """The first line of any other answer to a comment."""
    return f"<!-- tollgate-reply:{kind}:{event.comment_id} -->"


def trailer(run: Run) -> str:
    """The last line of its commit."""
    return f"Tollgate-Run: {run.id}.{run.attempt}"


def run_name(run: Run) -> str:
    """The display title of its workflow (see workflows/agent.yml); RUN_NAME reads it back."""
    return f"Tollgate run {run.id}.{run.attempt}"


def attempt_of(event: WorkflowCompleted) -> tuple[str, int] | None:
    """The run and the attempt whose workflow has ended; None for any other, whatever it is called."""
    named = RUN_NAME.match(event.title) if event.workflow == onboarding.WORKFLOW else None
    return (named[1], int(named[2])) if named else None


def workflow_ref(run: Run) -> str:
    """What its OIDC token must carry (L5)."""
    return f"{run.repository}/{onboarding.WORKFLOW}@refs/heads/{run.snapshot['default_branch']}"


def told_on(run: Run) -> int:
    """The thread that its report is on: of an item of a sweep its own pull request, once there is one."""
    return (run.item and run.published_pull) or run.thread or 0


def thread_url(run: Run) -> str:
    """That thread, at its report if there is one yet."""
    if run.item and run.published_pull:
        return pull_url(run)
    url = str(run.snapshot["thread"].get("url", ""))  # on a laptop there is no thread
    return f"{url}#issuecomment-{run.report_comment_id}" if run.report_comment_id else url


def page(run: Run) -> str:
    """The repository's own page."""
    return str(run.snapshot["thread"]["url"]).rsplit("/", 2)[0]


def pull_url(run: Run) -> str:
    """The pull request that was opened for it."""
    return f"{page(run)}/pull/{run.published_pull}"


def line(run: Run) -> Line:
    """A run as a reply mentions it."""
    return Line(
        run=run.id,
        actor=run.actor,
        task_class=run.task_class,
        state=run.state,
        reason=run.reason,
        usd=run.spent.usd,
        ceiling=run.ceilings.usd,
        steps=run.spent.steps,
        most_steps=run.ceilings.steps,
        url=thread_url(run),
        estimated=run.estimated,
    )
