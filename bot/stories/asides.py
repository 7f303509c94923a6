"""What a comment may ask for beside a run: to stop one, to know something; and how it is told no."""

from __future__ import annotations

from collections.abc import Sequence

from bot.clients.github import GitHubError
from bot.core import headlines, replies
from bot.core.caps import Standing
from bot.core.ceilings import Reason, halt_message
from bot.core.events import REVIEW_COMMENT, CommentCreated
from bot.core.roles import Role
from bot.core.times import HOUR_MS
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stores.run_rows import Run
from bot.stories import finish, policy_check, thread_bill, waiting
from bot.stories.durable import Story, name_of
from bot.stories.names import line, reply_marker, repo_of, run_of
from bot.stories.ruling import Refusal

# A command that reaches us so long after it was written (an outage, a backlog) is answered and not obeyed.
LATE_MS = 4 * HOUR_MS
UNSENT = "unsent-"  # begins the id of what GitHub never told us of and was found: it comes late in any case


def reply(story: Story, event: CommentCreated, kind: str, text: str) -> None:
    """One answer to a comment, however often the step runs: where it was asked."""
    mark = reply_marker(kind, event)
    story.attempt(f"reply: {kind}", _reply, story.services, event, f"{mark}\n{text}", mark)


def _reply(services: Services, event: CommentCreated, text: str, mark: str) -> int:
    github = services.github
    if event.kind == REVIEW_COMMENT:
        try:
            first = event.answers or event.comment_id
            return github.answer_review(event.repo, event.number, first, text, mark)
        except GitHubError as error:
            if error.status not in (404, 422):  # the thread is gone: then beside it
                raise
    return github.comment(event.repo, event.number, text, mark)


def refuse(
    story: Story, event: CommentCreated, reason: str, why: str, text: str, run: str | None = None
) -> None:
    """Record that nothing was started, or that `run` does not go on, and say why; of a wrong policy, on its
    line too."""
    _record(story, event, reason, why, run)
    if reason == "policy" and (page := policy_check.of_the_default_branch(story, event.repo)):
        text += replies.policy_page(page)
    reply(story, event, reason, text)


def not_started(story: Story, event: CommentCreated, error: Refusal | GitHubError) -> None:
    """Nothing was, for a rule says no or GitHub did not answer; after the eyes, silence would be worse."""
    if isinstance(error, Refusal):
        reason, why = error.reason, str(error)
    else:
        reason, why = "github", f"GitHub did not tell what this run needs to know: {error}"
    refuse(story, event, reason, why, replies.refused(why))


def not_entitled(story: Story, event: CommentCreated, role: Role) -> None:
    """Told once to each person on a thread: whoever may not start anything may not make us talk either."""
    first = _record(story, event, "not_entitled", f"{event.actor} has the role {role}")
    if first:
        reply(story, event, "not_entitled", replies.not_entitled(str(role)))


def _record(story: Story, event: CommentCreated, reason: str, why: str, run: str | None = None) -> bool:
    return story.step(
        "record the refusal",
        story.services.refusals.record,
        repository_id=event.repo.id,
        repository=event.repo.full_name,
        thread=event.number,
        comment_kind=event.kind,
        comment_id=event.comment_id,
        actor=event.actor,
        actor_id=event.actor_id,
        reason=reason,
        message=why,
        run=run,
    )


def busy(story: Story, event: CommentCreated, run_id: str) -> None:
    """A second start on a thread is answered with a link to the live run (L3)."""
    live = run_of(story.services, run_id)
    refuse(story, event, "busy", f"run {run_id} is live on this thread", replies.busy(line(live)))


def late(story: Story, event: CommentCreated) -> int | None:
    """How many hours ago it was written, if it comes too late to do what it asks for."""
    age = story.services.database.now_ms() - event.at if event.at else 0
    return age // HOUR_MS if age >= LATE_MS or story.delivery.startswith(UNSENT) else None


def stop(story: Story, event: CommentCreated, late: int | None = None) -> None:
    """Halt the thread's live run; its runner sees it with its next call and hands in what it has.

    A stop that comes late ends no run that was started after it was written.
    """
    services = story.services
    live = story.step("the live run", _live, services, event)
    if late is not None and live is not None and run_of(services, live).opened_at > event.at:
        return refuse(story, event, "late", f"it came {late} hours late", replies.late(late))
    if live is None:
        return reply(story, event, "stop", replies.nothing_to_stop())
    started = story.step("halt it", halt, services, live, f"stopped by {event.actor}")
    run = run_of(services, live)
    # Without a lease nobody was ever to claim it.
    said = replies.taken_out if run.lease_until_at is None else replies.stopping
    reply(story, event, "stop", said(line(run)))
    if not started:
        # Nobody has claimed it, and nobody can any more: it ends here.
        story.step("have it finished", finish_unclaimed, services, run)
        if run.workflow_run_id is not None:
            story.attempt("end its workflow", services.github.cancel, repo_of(run), run.workflow_run_id)
    return None


def finish_unclaimed(services: Services, run: Run) -> None:
    """Have a run finished that was halted before any runner had it."""
    key, why = finish_key(run.id, run.attempt), "stopped before its workflow began"
    services.queue.put(name_of(finish.finish), key, run.id, run.attempt, why)


def halt(services: Services, run_id: str, why: str) -> bool:
    """Move a live run to halted(stopped), for why; whether a runner had claimed it."""
    run = run_of(services, run_id)
    message = halt_message(Reason.STOPPED, run.spent.steps, run.ceilings, why)
    services.runs.end(run_id, "halted", reason=Reason.STOPPED, message=message, attempt=run.attempt)
    return run_of(services, run_id).started_at is not None


def status(story: Story, event: CommentCreated) -> None:
    services = story.services
    live = services.threads.live(event.repo.id, event.number)
    stands = waiting.report(services, live.id) if live is not None and live.state == "queued" else None
    place = f"{headlines.outcome(stands).lower()}: {stands.waits_for}" if stands and stands.waits_for else ""
    reply(story, event, "status", replies.status(line(live) if live else None, place))


def cost(story: Story, event: CommentCreated, standings: Sequence[Standing]) -> None:
    """What this thread has cost; of a merged pull request, everything that it has cost (R17)."""
    bill = thread_bill.read(story.services, event.repo.id, event.number)
    lines = [line(run) for run in bill.runs]
    reply(story, event, "cost", replies.cost(lines, standings, bill.counts, bill.merged))


def help_(story: Story, event: CommentCreated, holding: str) -> None:
    reply(story, event, "help", replies.help_text(holding))


def _live(services: Services, event: CommentCreated) -> str | None:
    live = services.threads.live(event.repo.id, event.number)
    return live.id if live else None
