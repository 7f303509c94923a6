"""A run has ended: its work is judged and published, and its comment becomes the report.

Started by the runner's result, by the end of its workflow, or by the watchdog; told once (see finish_key).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from bot.core import changeset, marks, reports, results
from bot.core.ceilings import Reason, halt_message
from bot.core.changeset import Changeset
from bot.core.money import Usd
from bot.core.pieces import Piece, read
from bot.core.reports import Published
from bot.core.results import ITS_OWN, Result
from bot.core.sizes import Size, size
from bot.services import Services
from bot.stores.handover import CHANGESET
from bot.stores.run_rows import APART, Run
from bot.stories import notice, publish
from bot.stories.durable import Story
from bot.stories.names import marker, repo_of, run_of, told_on
from bot.stories.post import post

# What was in flight at a halt is read to its end for at most two minutes (G5).
DRAINED_SECONDS = 130.0
LOOK_SECONDS = 0.5
GONE = "its runner fell silent"
LAST_TURN = "its runner handed in no result, this is its work after its last complete turn"


def finish(story: Story, run_id: str, attempt: int, why: str = GONE) -> str:
    """Tell the end of one attempt. `why`: what is said if it left no result. Returns the final state."""
    services = story.services
    story.step("take no more results", services.handover.decide, run_id, attempt)
    posted = services.handover.result(run_id, attempt)
    result = results.read(posted) if posted is not None else None
    story.step("end it", _end, services, run_id, attempt, result, why)
    story.step("wait for what is in flight", _settled, services, run_id)
    run = run_of(services, run_id)
    if run.state == "refused":
        story.step("record the refusal", _refused, services, run)
    # A run that broke off may have been unable to look at its tree again: then what it had uploaded counts.
    unseen = result is None or (result.outcome != "done" and not result.changeset.base)
    changes = _left(services, run) if result is None or unseen else result.changeset
    published = publish.publish(story, run, changes)
    if result is None and published is not None and published.kind in ("branch", "patch"):
        published = replace(published, note=LAST_TURN)
    pieces = read(result.summary) if result is not None and run.task_class == "split" else ()
    sizes = story.step("price the pieces", _sizes, services, run, pieces) if pieces else ()
    story.step("keep what came of it", _keep, services, run_id, result, published, pieces, sizes)
    story.step("tell of the month", notice.tell, services, run_id)
    # Its thread may have been merged before it began, or while it ran.
    story.step("attribute", services.pulls.follow, run.repository_id or 0, run.thread or 0)
    story.step("wait for the live comment", _quiet, services, run_id)
    # A step's job and a laptop ask for its report; what ended in line is told of in its sweep's comment.
    in_line = run.item and run.dispatched_at is None and run.state != "failed"
    if run.origin not in APART and not in_line:
        report(story, run_id)
    if result is None and run.workflow_run_id is not None and run.origin not in APART:
        story.attempt("end its workflow", services.github.cancel, repo_of(run), run.workflow_run_id)
    story.step("it is finished", services.runs.finished, run_id, attempt)
    return run.state


def _end(services: Services, run_id: str, attempt: int, result: Result | None, why: str) -> None:
    """The state it ends in; one that the gateway or `/agent stop` has ended stays as it is."""
    run = run_of(services, run_id)
    if result is None:
        what = "never started" if run.state in ("queued", "open") else "was lost"
        services.runs.end(run_id, "lost", message=f"{what}: {why}", attempt=attempt)
    elif result.outcome == "done":
        services.runs.end(run_id, "done", message=result.message, attempt=attempt)
    elif result.outcome == "halted" and result.reason in ITS_OWN:
        message = halt_message(result.reason, run.spent.steps, run.ceilings, result.message or None)
        services.runs.end(run_id, "halted", reason=result.reason, message=message, attempt=attempt)
    else:
        # What else halts a run is the gateway's to call; if it did, the run is halted already.
        services.runs.end(
            run_id, "failed", message=result.message or "the agent did not finish", attempt=attempt
        )
    if result is not None and result.tool_calls > run.spent.tool_calls:
        services.runs.set(run_id, tool_calls=result.tool_calls)


def _refused(services: Services, run: Run) -> None:
    """So that whoever may open the cap for its person finds whose it is."""
    services.refusals.record(
        repository_id=run.repository_id or 0,
        repository=run.repository,
        thread=run.thread or 0,
        comment_kind=run.comment_kind or "",
        comment_id=run.comment_id or 0,
        actor=run.actor,
        actor_id=run.actor_id or 0,
        reason=str(run.reason or "refused"),
        message=run.message,
    )


def _left(services: Services, run: Run) -> Changeset:
    """What the run had made by its last complete turn: it is uploaded after every one (L4).

    A step's and a laptop's is in the working tree there, or gone with it.
    """
    kept = services.handover.latest(run.id, CHANGESET) if run.origin not in APART else None
    return changeset.read(json.loads(kept[1]) if kept else None)


def _settled(services: Services, run_id: str) -> None:
    until = time.monotonic() + DRAINED_SECONDS
    while services.ledger.account_of(run_id).held_steps and time.monotonic() < until:
        services.ledger.expire()
        time.sleep(LOOK_SECONDS)


# -- reporting --


def _sizes(services: Services, run: Run, pieces: Sequence[Piece]) -> tuple[Size, ...]:
    """What a piece of each class usually costs, as far as past runs tell."""
    here = services.signals.spreads(repository_id=run.repository_id)
    around = services.signals.spreads(installation=run.installation)
    costs = run.snapshot["class_costs"]
    classes = dict.fromkeys(piece.task_class for piece in pieces)
    return tuple(size(name, here.get(name), around.get(name), Usd(costs[name])) for name in classes)


def _keep(
    services: Services,
    run_id: str,
    result: Result | None,
    published: Published | None,
    pieces: Sequence[Piece],
    sizes: Sequence[Size],
) -> None:
    columns: dict[str, object] = {}
    if published is not None:
        columns["published"] = asdict(published)
    if result is not None:
        check = asdict(result.check) if result.check else None
        columns["result"] = {
            "summary": result.summary,
            "check": check,
            "isolation": result.isolation,
            "own_usd": result.own.exact if result.own is not None else None,
            "pieces": [asdict(piece) for piece in pieces],
            "sizes": [size.to_json() for size in sizes],
        }
    if columns:
        services.runs.set(run_id, **columns)


def _quiet(services: Services, run_id: str) -> None:
    """Until nobody can still be editing the live comment: the last report must be the last."""
    while services.handover.being_reported(run_id):
        time.sleep(LOOK_SECONDS)


def report(story: Story, run_id: str) -> None:
    """What the run's comment and check say of it now."""
    services = story.services
    run, told = run_of(services, run_id), services.runs.report(run_id)
    story.attempt("the report", _post, services, run_id)
    if run.check_run_id is not None:
        story.attempt(
            "the check",
            services.github.finish_check,
            repo_of(run),
            run.check_run_id,
            conclusion(run, told.check.exit_code if told.check else None),
            marks.of_report(told),
        )


def _post(services: Services, run_id: str) -> None:
    """The live comment becomes the report; if there is none, or none any more, the report is a new one."""
    run, text = run_of(services, run_id), _text(services, run_id)
    known = run.report_comment_id
    if (told := post(services, repo_of(run), told_on(run), known, text, marker(run))) != known:
        services.runs.set(run_id, report_comment_id=told)


def amend(services: Services, run_id: str) -> None:
    """Its report says what is known of it by now; nothing where there is no report, or none any more."""
    run = run_of(services, run_id)
    if run.finished_at is not None and run.report_comment_id is not None:
        services.github.edit_comment(repo_of(run), run.report_comment_id, _text(services, run_id))


def _text(services: Services, run_id: str) -> str:
    """The report; the last of a merged pull request's says what that has cost."""
    told, pull = services.report(run_id), services.pulls.concluded(run_id)
    return reports.comment(replace(told, merged=services.signals.pull(*pull) if pull else None))


def conclusion(run: Run, exit_code: int | None) -> str:
    """What the check run says: only a run that is done and whose tests do not fail is a success."""
    if run.state == "halted" and run.reason != Reason.BOUND_EXCEEDED:
        return "neutral"
    if run.state in ("lost", "refused") or run.settled_as == "discarded":
        return "neutral"
    if run.published is not None and run.published.kind in ("held", "refused"):
        return "action_required"
    return "success" if run.state == "done" and not exit_code else "failure"
