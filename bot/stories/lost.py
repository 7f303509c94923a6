"""Runs that nobody ends any more: their workflow is over, their runner silent, their time up."""

from __future__ import annotations

from bot.core.ceilings import Reason
from bot.core.events import WorkflowCompleted
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stories import finish
from bot.stories.durable import Story, name_of
from bot.stories.names import attempt_of
from bot.stories.spend import Spend


def on_workflow_completed(story: Story, event: WorkflowCompleted) -> str | None:
    """A workflow has ended; if it was a run's, and left no result, the run is lost."""
    services = story.services
    id, attempt = attempt_of(event) or ("", 0)
    run = services.runs.get(id)
    if run is None or run.repository_id != event.repo.id or run.attempt != attempt:
        return None
    # In line it has none yet; where it was just sent off, which one it is may not be kept yet.
    if run.state == "queued" or run.workflow_run_id not in (None, event.run_id):
        return None
    why = f"its workflow ended ({event.conclusion or 'no conclusion'}) without handing in a result"
    story.step(
        "have it finished",
        services.queue.put,
        name_of(finish.finish),
        finish_key(run.id, run.attempt),
        run.id,
        run.attempt,
        why,
    )
    return run.id


def watch(services: Services) -> None:
    """One look at everything that is overdue. Several workers may look at once."""
    services.ledger.expire()
    for run in services.handover.past_deadline():
        Spend(services.ledger, services.prices).halt(services.ledger.account_of(run), Reason.WALL_CLOCK)
    for overdue in services.handover.overdue():
        services.queue.put(
            name_of(finish.finish),
            finish_key(overdue.run, overdue.attempt),
            overdue.run,
            overdue.attempt,
        )
    for stranded in services.handover.unfinished():
        key = finish_key(stranded.run, stranded.attempt)
        services.queue.again(name_of(finish.finish), key, stranded.run, stranded.attempt)
