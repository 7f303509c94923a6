"""`/agent accept`, `/agent discard` and the buttons that do the same: a person decides about a run's work.

By a comment it is the newest run that left something, by a button the run whose check run has it; either is
decided once: what was settled stays settled. Nothing else on the thread is touched, and no commit that was
published. The rules are those of the run and those of today, whichever are stricter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from bot.clients.github import GitHubError
from bot.core import changeset, verdicts
from bot.core.changeset import Changeset
from bot.core.events import ButtonPressed, CommentCreated
from bot.core.objections import Objection, needed
from bot.core.offers import DECISIONS, UNDECIDED
from bot.core.outcomes import Published
from bot.core.places import Repo
from bot.core.roles import Role
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stories import finish, policy_file, publish
from bot.stories.asides import reply
from bot.stories.durable import Story
from bot.stories.names import line, repo_of, run_of
from bot.stories.ruling import Refusal, within


@dataclass(frozen=True, slots=True)
class Left:
    """A run whose work waits for a decision, as it was when the command came."""

    run: str
    attempt: int
    published: Published


@dataclass(frozen=True, slots=True)
class Asked:
    """Who decides, where, with which role; `answer(kind, text)` tells them. `run`: whose button it was."""

    repo: Repo
    number: int
    actor: str
    role: Role
    answer: Callable[[str, str], None]
    run: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
    """`why` it cannot be accepted ("": it can), by which rules, and what the person lets through."""

    why: str
    forbidden: tuple[str, ...] = ()
    publish: str = "push"
    held: tuple[Objection, ...] = ()


def by_comment(story: Story, event: CommentCreated, role: Role) -> Asked:
    return Asked(event.repo, event.number, event.actor, role, partial(reply, story, event))


def on_button(story: Story, event: ButtonPressed) -> None:
    """A button of a run's check run: `accept` or `discard`, by whoever may say so in a comment."""
    services = story.services
    run = story.step("whose button it is", _owner, services, event)
    if run is None or event.identifier not in DECISIONS.values():
        return
    role = story.step("the role of who pressed it", services.github.role, event.repo, event.actor)
    asked = Asked(event.repo, run.thread or 0, event.actor, role, partial(_answer, story, event, run), run.id)
    if role < Role.WRITE:
        asked.answer("not_entitled", verdicts.may_not_decide(event.actor, str(role)))
    elif event.external_id != f"{run.id}.{run.attempt}":
        asked.answer(event.identifier, verdicts.old_button(line(run)))
    else:
        (accept if event.identifier == "accept" else discard)(story, asked)


def _owner(services: Services, event: ButtonPressed) -> Run | None:
    """The run whose check run it is, by what we know of both."""
    run = services.runs.get(event.external_id.partition(".")[0])
    if run is None or run.repository_id != event.repo.id:
        return None
    ours = run.check_run_id == event.check_id or event.external_id != f"{run.id}.{run.attempt}"
    return run if ours else None


def _answer(story: Story, event: ButtonPressed, run: Run, kind: str, text: str) -> None:
    """On the run's thread; the same to the same person once."""
    digest = hashlib.sha256(f"{event.actor}\n{text}".encode()).hexdigest()[:16]
    mark = f"<!-- tollgate-reply:{kind}:{event.check_id}-{digest} -->"
    comment = story.services.github.comment
    story.attempt(f"reply: {kind}", comment, event.repo, run.thread or 0, f"{mark}\n{text}", mark)


def accept(story: Story, asked: Asked) -> None:
    """Publish it where a finished run's changes go, by the same rules, and say so."""
    left = _left(story, asked, "accept")
    if left is None:
        return None
    services, run = story.services, run_of(story.services, left.run)
    changes = _changes(services, run)
    try:
        found = story.step("what speaks against it", _weigh, services, run, changes, asked.role)
    except GitHubError as error:
        found = Weighed(f"GitHub did not tell what there is to know first: {error}")
    if found.why:
        return asked.answer("accept", verdicts.not_accepted(line(run), found.why, left.published))
    if not _settle(story, asked, left, "accepted", found.held):
        return None
    rules = {"forbidden_paths": list(found.forbidden), "publish": found.publish}
    judged = replace(run, snapshot=run.snapshot | rules)
    placed = publish.accept(story, judged, changes, asked.actor, found.held)
    # A patch is all that can come of an outsider's fork; of what is on a branch already it would be less.
    shown = placed.kind == "patch" and left.published.kind != "branch"
    done = shown or placed.kind in ("pushed", "pull_request")
    kept = done or placed.kind == "branch"
    if kept:  # if only beside where it was meant for; while nobody else may take it
        story.step("keep where it went", services.runs.set, run.id, published=asdict(placed))
    if not done:
        story.step("it is free again", services.runs.unsettle, run.id, story.delivery)
    if kept:
        _remove_aside(story, run, left.published, but=placed.ref)
        _tell(story, run)
    said = (
        verdicts.accepted(line(run), placed)
        if done
        else verdicts.not_accepted(line(run), placed.note, placed if kept else left.published)
    )
    return asked.answer("accept", said)


def discard(story: Story, asked: Asked) -> None:
    """Drop it: its branch if nobody has added to it, and everything that was stored of it."""
    left = _left(story, asked, "discard")
    if left is None or not _settle(story, asked, left, "discarded"):
        return
    services, run = story.services, run_of(story.services, left.run)
    stays = _remove_aside(story, run, left.published)
    story.step("drop what is stored", services.handover.drop, run.id)
    story.step("nothing is kept", services.runs.set, run.id, published=None)
    _tell(story, run)
    asked.answer("discard", verdicts.discarded(line(run), stays))


def _tell(story: Story, run: Run) -> None:
    """In its report, and in the comment of the sweep that it is an item of."""
    finish.report(story, run.id)
    if run.sweep:
        story.step("have its sweep told of anew", story.services.sweeps.touch, run.sweep)


def _left(story: Story, asked: Asked, verb: str) -> Left | None:
    """What there is to decide about; if there is nothing, the person is answered with why."""
    found = story.step(f"what there is to {verb}", _look, story.services, asked, verb, story.delivery)
    if isinstance(found, Left):
        return found
    asked.answer(verb, found)
    return None


def _look(services: Services, asked: Asked, verb: str, delivery: str) -> Left | str:
    """The newest run that left work, or the one that was asked about; or the answer that there is none.

    One that this very story has settled still waits for what it had failed to do (L2).
    """
    runs = services.threads.all(asked.repo.id, asked.number)
    if asked.run:
        runs = tuple(run for run in runs if run.id == asked.run)
    else:  # the items of a sweep are not waiting for one another
        runs = tuple(run for run in runs if not (run.sweep and run.finished_at is None))
    # A live run, or one that is just ending, has the first word: its work is not whole yet.
    newest = sorted(runs, key=lambda run: (run.finished_at is None, run.ended_at or 0), reverse=True)
    for run in newest:
        if run.finished_at is None:
            return verdicts.decide_later(verb, line(run))
        waits = run.published is not None and run.published.kind in UNDECIDED
        if run.settled_as and not (waits and run.settled_in == delivery):
            return verdicts.settled_already(line(run), run.settled_as, run.settled_by or "", run.published)
        if run.published is not None and waits:
            return Left(run.id, run.attempt, run.published)
    last = newest[0] if newest else None
    return verdicts.nothing_to_decide(verb, line(last) if last else None, last.published if last else None)


def _settle(story: Story, asked: Asked, left: Left, how: str, held: Sequence[Objection] = ()) -> bool:
    """Take it for this story; if somebody else was quicker, the person is answered with what they did."""
    services, why = story.services, [str(one) for one in held]
    if story.step(
        "settle it", services.runs.settle, left.run, left.attempt, how, asked.actor, story.delivery, why
    ):
        return True
    verb = "accept" if how == "accepted" else "discard"
    asked.answer(verb, story.step("who was quicker", _overtaken, services, left.run, verb))
    return False


def _overtaken(services: Services, run_id: str, verb: str) -> str:
    run = run_of(services, run_id)
    if run.settled_as:
        return verdicts.settled_already(line(run), run.settled_as, run.settled_by or "", run.published)
    return verdicts.decide_later(verb, line(run))


def _changes(services: Services, run: Run) -> Changeset:
    """Empty once they are not stored any more."""
    kept = services.handover.changes(run.id)
    return changeset.read(json.loads(kept)) if kept is not None else Changeset("", ())


def _weigh(services: Services, run: Run, changes: Changeset, role: Role) -> Weighed:
    """Whether somebody of this role may accept it as it stands, by the stricter of two policies."""
    if not changes:
        return Weighed("its changes are not stored here any more")
    branch = str(run.snapshot["default_branch"])
    try:
        today = within(services, policy_file.read(services, repo_of(run), branch), branch)
    except Refusal as refusal:
        return Weighed(str(refusal))
    was = run.snapshot
    forbidden = tuple(dict.fromkeys((*was["forbidden_paths"], *today.forbidden)))
    mode = "push" if was.get("publish", "push") == today.publish == "push" else "pull_request"
    stricter = replace(run, snapshot=was | {"forbidden_paths": list(forbidden)})
    held = publish.objections_to(stricter, changes)
    needs = needed(held)
    if needs is None or role < needs:
        return Weighed(verdicts.held_back([str(one) for one in held], str(needs or ""), str(role)))
    return Weighed(_gone(services, run), forbidden, mode, held)


def _gone(services: Services, run: Run) -> str:
    """Why there is nowhere to put it; "" if there is."""
    if run.thread_kind != "pull":
        return ""
    try:
        state = services.github.pull(repo_of(run), run.thread or 0).state
    except GitHubError as error:
        if error.status != 404:
            raise
        return "this pull request is not there any more"
    return "" if state == "open" else "this pull request is closed"


def _remove_aside(story: Story, run: Run, aside: Published, but: str = "") -> str:
    """Remove the branch that it was kept on, if it was; the name of it if somebody has added to it."""
    if aside.kind != "branch" or aside.ref == but:
        return ""
    removed = story.attempt(
        "remove the branch set aside", story.services.github.delete_branch, repo_of(run), aside.ref, aside.sha
    )
    return aside.ref if removed is False else ""
