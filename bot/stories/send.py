"""A run that is open is announced on its thread and its workflow sent off: every attempt of it."""

from __future__ import annotations

from dataclasses import replace

from bot.clients.github import GitHubError
from bot.core import onboarding, reports
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stories import finish, waiting
from bot.stories.durable import Story, name_of
from bot.stories.names import CHECK, WORKFLOW, marker, repo_of, run_name, run_of, thread_url


def send(story: Story, run_id: str) -> None:
    """Announce it and dispatch its workflow; if GitHub refuses, it has failed and its report says why."""
    services = story.services
    try:
        check = announce(story, run_id)
        if check is not None and run_of(services, run_id).queued_at is not None:
            story.attempt("its check begins", _begin_check, services, run_id, check)
        story.step("dispatch", dispatch, services, run_id)
    except GitHubError as error:
        why = f"its workflow `{onboarding.WORKFLOW}` could not be started: {error}"
        if error.status in (404, 422):
            why += ". Is that file on the default branch, and may GitHub Actions run it? Nothing was spent"
        story.step("it failed", services.runs.end, run_id, "failed", message=why)
        attempt = run_of(services, run_id).attempt
        story.step(
            "have it finished",
            services.queue.put,
            name_of(finish.finish),
            finish_key(run_id, attempt),
            run_id,
            attempt,
        )


def announce(story: Story, run_id: str, *, waits: bool = False) -> int | None:
    """The comment that will become the report, and a check run beside it, whose id this is.

    Of a run that `waits` in line both say so.
    """
    services, run = story.services, run_of(story.services, run_id)
    if run.item:
        return None  # its sweep's comment tells of it
    text = reports.comment(waiting.report(services, run_id))
    number = run.thread or 0
    comment = story.step("comment", services.github.comment, repo_of(run), number, text, marker(run))
    # Its place was told just now; a run that is sent off is told as soon as it runs.
    told = {"reported_at": services.database.now} if waits else {}
    story.step("remember the comment", services.runs.set, run_id, report_comment_id=comment, **told)
    check = story.attempt(
        "check run",
        services.github.start_check,
        repo_of(run),
        run.snapshot["head"]["sha"],
        CHECK,
        f"{run.id}.{run.attempt}",
        thread_url(replace(run, report_comment_id=comment)),
        f"{run.task_class} run for {run.actor}, at most {run.ceilings.usd}",
        "The run's report is a comment on the thread.",
        queued=waits,
    )
    story.step("remember the check", services.runs.set, run_id, check_run_id=check)
    return check


def _begin_check(services: Services, run_id: str, check: int) -> None:
    """Nothing for a run that has ended: its check is over, or soon will be."""
    run = run_of(services, run_id)
    if run.state == "open":
        services.github.begin_check(repo_of(run), check)


def dispatch(services: Services, run_id: str) -> None:
    """Look for its workflow, start it if there is none, and remember it; nothing for a run that has ended."""
    run = run_of(services, run_id)
    if run.state != "open" or run.dispatched_at is not None:
        return
    sent = services.github.dispatch(
        repo_of(run),
        WORKFLOW,
        run.snapshot["default_branch"],
        {"run": run.id, "attempt": str(run.attempt), "service": services.settings.public_url},
        run_name(run),
    )
    services.runs.dispatched(run_id, sent.workflow_run_id, sent.url)
