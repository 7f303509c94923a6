"""What GitHub tells us becomes a row and a story, whoever brings it: the door, or the look at its own log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot import logs
from bot.core import commands, events
from bot.core.events import ButtonPressed, CommentCreated, Event, WorkflowCompleted
from bot.services import Services
from bot.stores.queue import Turn, turn_at
from bot.stories import decide, launch, lost, merge, onboard, policy_check, relabel
from bot.stories.durable import Tell, name_of, whose
from bot.stories.names import attempt_of

Routes = Mapping[tuple[str, str], Tell]

# The story that each event starts. Edited and deleted comments are not here: they start nothing.
ROUTES: Routes = {
    ("issue_comment", "created"): launch.on_comment,
    ("pull_request_review_comment", "created"): launch.on_comment,
    ("check_run", "requested_action"): decide.on_button,
    ("issues", "labeled"): relabel.on_changed,
    ("issues", "unlabeled"): relabel.on_changed,
    ("pull_request", "labeled"): relabel.on_changed,
    ("pull_request", "unlabeled"): relabel.on_changed,
    ("pull_request", "opened"): policy_check.on_pull_changed,
    ("pull_request", "synchronize"): policy_check.on_pull_changed,
    ("pull_request", "closed"): merge.on_closed,
    ("pull_request", "reopened"): merge.on_closed,
    ("workflow_run", "completed"): lost.on_workflow_completed,
    ("installation", "created"): onboard.on_installed,
    ("installation", "unsuspend"): onboard.on_installed,
    ("installation", "deleted"): onboard.on_uninstalled,
    ("installation", "suspend"): onboard.on_uninstalled,
    ("installation_repositories", "added"): onboard.on_installed,
    ("installation_repositories", "removed"): onboard.on_uninstalled,
}


@dataclass(frozen=True, slots=True)
class Received:
    """The story that a delivery starts, if any, and whether it had not come before."""

    story: str | None
    new: bool


def receive(services: Services, delivery: str, name: str, payload: dict[str, Any]) -> Received:
    """Record a delivery and enqueue its story, both or neither. Raises events.Malformed."""
    action = payload.get("action") or ""
    if not isinstance(action, str) or len(action) > 64 or not (action.isascii() and action.isprintable()):
        raise events.Malformed("action must be a short text")
    logs.add(delivery=delivery)
    tell = ROUTES.get((name, action))
    event = events.parse(name, payload) if tell else None
    if tell is None or event is None or not _tells_us(event):
        return Received(None, services.deliveries.note(delivery, name, action))
    story = name_of(tell)
    logs.add(story=story, **whose(event))
    new = services.deliveries.record(delivery, name, action, story, event, turn=turn_of(event))
    return Received(story, new)


def _tells_us(event: Event) -> bool:
    """Most comments ask nothing of us, and most workflows are no run's: a story that ends with its first line
    is not worth a row in the queue."""
    match event:
        case CommentCreated():
            return commands.parse(event.body) is not None
        case WorkflowCompleted():
            return attempt_of(event) is not None
        case _:
            return True


def turn_of(event: Event) -> Turn | None:
    """Comments of a thread are taken in the order in which they were written, to the second; presses of the
    buttons of a check run one after the other: two at once would both be the first to answer."""
    if isinstance(event, ButtonPressed):
        return Turn(f"{event.repo.id}/check/{event.check_id}", 1)
    if not isinstance(event, CommentCreated):
        return None
    return turn_at(event.repo.id, event.number, event.at)
