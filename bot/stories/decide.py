"""`/agent accept` and `/agent discard`: a person decides about the work of a run that did not finish.

The newest run that left something decides, and once: what was settled stays settled. Nothing else on the
thread is touched, and no commit that was published.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from bot.clients.github import GitHubError
from bot.core import changeset, replies
from bot.core.changeset import Changeset
from bot.core.events import CommentCreated
from bot.core.offers import UNDECIDED
from bot.core.outcomes import Published
from bot.services import Services
from bot.stores.runs import Run
from bot.stories import finish, publish
from bot.stories.asides import reply
from bot.stories.durable import Story
from bot.stories.names import line, repo_of, run_of


@dataclass(frozen=True, slots=True)
class Left:
    """A run whose work waits for a decision, as it was when the command came."""

    run: str
    attempt: int
    published: Published


def accept(story: Story, event: CommentCreated) -> None:
    """Publish it where a finished run's changes go, by the same rules, and say so."""
    left = _left(story, event, "accept")
    if left is None:
        return None
    services, run = story.services, run_of(story.services, left.run)
    changes = _changes(services, run)
    try:
        why = story.step("what speaks against it", _objection, services, run, changes)
    except GitHubError as error:
        why = f"GitHub did not tell what there is to know first: {error}"
    if why:
        return reply(story, event, "accept", replies.not_accepted(line(run), why, left.published))
    if not _settle(story, event, left, "accepted"):
        return None
    placed = publish.accept(story, run, changes)
    done = placed.kind in ("pushed", "pull_request")
    if placed.ref:  # committed, if only beside where it was meant for; while nobody else may take it
        story.step("keep where it went", services.runs.set, run.id, published=asdict(placed))
    if not done:
        story.step("it is free again", services.runs.unsettle, run.id, story.delivery)
    if placed.ref:
        _remove_aside(story, run, left.published, but=placed.ref)
        finish.report(story, run.id)
    said = (
        replies.accepted(line(run), placed)
        if done
        else replies.not_accepted(line(run), placed.note, placed if placed.ref else left.published)
    )
    return reply(story, event, "accept", said)


def discard(story: Story, event: CommentCreated) -> None:
    """Drop it: its branch if nobody has added to it, and everything that was stored of it."""
    left = _left(story, event, "discard")
    if left is None or not _settle(story, event, left, "discarded"):
        return
    services, run = story.services, run_of(story.services, left.run)
    stays = _remove_aside(story, run, left.published)
    story.step("drop what is stored", services.handover.drop, run.id)
    story.step("nothing is kept", services.runs.set, run.id, published=None)
    finish.report(story, run.id)
    reply(story, event, "discard", replies.discarded(line(run), stays))


def _left(story: Story, event: CommentCreated, verb: str) -> Left | None:
    """What there is to decide about; if there is nothing, the comment is answered with why."""
    found = story.step(f"what there is to {verb}", _look, story.services, event, verb, story.delivery)
    if isinstance(found, Left):
        return found
    reply(story, event, verb, found)
    return None


def _look(services: Services, event: CommentCreated, verb: str, delivery: str) -> Left | str:
    """The newest run that left work, or the answer that there is none.

    One that this very comment has settled still waits for what its story had failed to do (L2).
    """
    runs = services.threads.all(event.repo.id, event.number)
    # A live run, or one that is just ending, has the first word: its work is not whole yet.
    newest = sorted(runs, key=lambda run: (run.finished_at is None, run.ended_at or 0), reverse=True)
    for run in newest:
        if run.finished_at is None:
            return replies.decide_later(verb, line(run))
        waits = run.published is not None and run.published.kind in UNDECIDED
        if run.settled_as and not (waits and run.settled_in == delivery):
            return replies.settled_already(line(run), run.settled_as, run.settled_by or "", run.published)
        if run.published is not None and waits:
            return Left(run.id, run.attempt, run.published)
    last = newest[0] if newest else None
    return replies.nothing_to_decide(verb, line(last) if last else None, last.published if last else None)


def _settle(story: Story, event: CommentCreated, left: Left, how: str) -> bool:
    """Take it for this story; if somebody else was quicker, the comment is answered with what they did."""
    services = story.services
    if story.step(
        "settle it", services.runs.settle, left.run, left.attempt, how, event.actor, story.delivery
    ):
        return True
    verb = "accept" if how == "accepted" else "discard"
    reply(story, event, verb, story.step("who was quicker", _overtaken, services, left.run, verb))
    return False


def _overtaken(services: Services, run_id: str, verb: str) -> str:
    run = run_of(services, run_id)
    if run.settled_as:
        return replies.settled_already(line(run), run.settled_as, run.settled_by or "", run.published)
    return replies.decide_later(verb, line(run))


def _changes(services: Services, run: Run) -> Changeset:
    """Empty once they are not stored any more."""
    kept = services.handover.changes(run.id)
    return changeset.read(json.loads(kept)) if kept is not None else Changeset("", ())


def _objection(services: Services, run: Run, changes: Changeset) -> str:
    """Why it cannot be accepted as it stands; "" if it can."""
    if not changes:
        return "its changes are not stored here any more"
    if why := publish.held(run, changes):
        return f"a person has to look first: {'; '.join(why)}"
    if run.thread_kind == "pull":
        try:
            if services.github.pull(repo_of(run), run.thread or 0).state != "open":
                return "this pull request is closed"
        except GitHubError as error:
            if error.status != 404:
                raise
            return "this pull request is not there any more"
    return ""


def _remove_aside(story: Story, run: Run, aside: Published, but: str = "") -> str:
    """Remove the branch that it was kept on, if it was; the name of it if somebody has added to it."""
    if aside.kind != "branch" or aside.ref == but:
        return ""
    removed = story.attempt(
        "remove the branch set aside", story.services.github.delete_branch, repo_of(run), aside.ref, aside.sha
    )
    return aside.ref if removed is False else ""
