"""A label that sets ceilings is put on or taken off: who did it is kept, and a live run's ceilings come down.

They never go up while it is live. Who records a change looks for a live run afterwards, and who opens a run
looks for changes afterwards: whichever comes second sees the other.
"""

from __future__ import annotations

from bot.core import limits
from bot.core.events import LabelChanged
from bot.core.policy import PolicyError
from bot.core.roles import Role
from bot.services import Services
from bot.stories.durable import Story
from bot.stories.names import repo_of, run_of
from bot.stories.ruling import again
from bot.stories.scene import labels_on


def on_changed(story: Story, event: LabelChanged) -> str | None:
    """Keep who did it with the role they have now; the id of the live run that it was weighed for."""
    services = story.services
    role: Role | None = None
    if event.by_person and event.added:
        role = story.attempt("their role", services.github.role, event.repo, event.actor)
    # A role that nobody knows is none: such a label only lowers.
    story.step("keep who did it", _keep, services, event, story.delivery, role or Role.NONE)
    live = story.step("the live run", _live, services, event)
    if live is not None:
        story.attempt("bring its ceilings down", bring_down, services, live, event.label, event.added)
    return live


def catch_up(story: Story, run_id: str, looked_at: int) -> None:
    """For a run that was just opened: what has changed since somebody looked at its thread's labels."""
    services, run = story.services, run_of(story.services, run_id)
    change = story.step(
        "labels since then",
        services.labelings.changed_since,
        run.repository_id or 0,
        run.thread or 0,
        looked_at,
    )
    if change is not None:
        story.attempt("bring its ceilings down", bring_down, services, run_id, *change)


def bring_down(services: Services, run_id: str, label: str, added: bool) -> None:
    """Resolve a live run's ceilings anew, with the labels of now; what comes out lower holds from here on."""
    run = run_of(services, run_id)
    if not run.live:
        return
    applied = labels_on(services, repo_of(run), run.thread or 0)
    try:
        resolved = again(services, run, applied)
    except PolicyError:
        return  # the service's own policy has changed since, and no longer goes with this run's
    services.labelings.lower(
        run.id,
        run.attempt,
        lambda held: limits.lowered(held.ceilings, held.sources, resolved, label, added),
    )


def _keep(services: Services, event: LabelChanged, delivery: str, role: Role) -> None:
    services.labelings.record(
        delivery,
        repository_id=event.repo.id,
        thread=event.number,
        label=event.label,
        added=event.added,
        actor=event.actor,
        role=role,
        at=event.at,
    )


def _live(services: Services, event: LabelChanged) -> str | None:
    live = services.threads.live(event.repo.id, event.number)
    return live.id if live else None
