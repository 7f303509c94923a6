"""`/agent fix` becomes a run: who may, what holds, one row, one comment, one workflow.

Everything is kept in the run's snapshot as it was at the trigger; edits afterwards change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from bot import logs
from bot.clients.github import GitHubError
from bot.core import commands, replies
from bot.core.caps import Cap, Reached
from bot.core.commands import Ack, Approve, Malformed, Plain, Resume, Start, Sweep
from bot.core.events import REVIEW_COMMENT, CommentCreated
from bot.core.offers import BROKEN_OFF
from bot.core.roles import Role
from bot.core.untrusted import code, listing, tail
from bot.core.waiting import Full, Limit
from bot.services import Services
from bot.stores.run_rows import NewRun
from bot.stores.switch import Paused
from bot.stories import ack, admit, approve, asides, decide, relabel, resume, sweep
from bot.stories.draft import draft
from bot.stories.durable import Story
from bot.stories.names import line, run_of
from bot.stories.ruling import (
    Refusal,
    caps_of,
    limits_of,
    policy_of,
    resolve,
)
from bot.stories.scene import Scene, look

MOST_HUNK = 8_000  # characters


def on_comment(story: Story, event: CommentCreated) -> str | None:
    """What a new comment starts; returns the id of the run or the sweep, or None if it starts none."""
    command = commands.parse(event.body)
    if command is None or not story.step("take the comment", _take, story, event):
        return None
    role = story.step("the commenter's role", story.services.github.role, event.repo, event.actor)
    if role < Role.WRITE:
        asides.not_entitled(story, event, role)
        return None
    late = story.step("how late it is", asides.late, story, event)
    if late is not None and command != Plain("stop"):
        asides.refuse(story, event, "late", f"it came {late} hours late", replies.late(late))
        return None
    if isinstance(command, Malformed):
        asides.refuse(story, event, "malformed", command.why, replies.malformed(command))
        return None
    kind: Literal["issue_comment", "review_comment"] = (
        "review_comment" if event.kind == REVIEW_COMMENT else "issue_comment"
    )
    story.attempt("eyes", story.services.github.react, event.repo, kind, event.comment_id)
    match command:
        case Start():
            return _told(story, event, start(story, event, command, role))
        case Plain("accept"):
            decide.accept(story, decide.by_comment(story, event, role))
        case Plain("discard"):
            decide.discard(story, decide.by_comment(story, event, role))
        case Plain("stop"):
            if not sweep.stop(story, event, late):
                asides.stop(story, event, late)
        case Plain("status"):
            if not sweep.status(story, event):
                asides.status(story, event)
        case Plain("cost"):
            asides.cost(story, event, ack.standings(story, event))
        case Plain():
            asides.help_(story, event, _holding(story, event, role))
        case Resume():
            if (begun := sweep.to_resume(story, event)) is not None:
                return sweep.go_on(story, event, command, role, begun)
            return _told(story, event, resume.resume(story, event, command, role))
        case Sweep():
            return sweep.sweep(story, event, command, role)
        case Approve():
            approve.approve(story, event, command, role)
        case Ack(reason):
            ack.ack(story, event, reason)
    return None


def _told(story: Story, event: CommentCreated, run_id: str | None) -> str | None:
    """Who asked in the thread of a review comment is told there where the report is."""
    if run_id is not None and event.kind == REVIEW_COMMENT:
        asides.reply(story, event, "started", replies.started(line(run_of(story.services, run_id))))
    return run_id


def _take(story: Story, event: CommentCreated) -> bool:
    """False for a comment that another delivery has brought already: it has had its effect."""
    return story.services.deliveries.take(event.repo.id, event.kind, event.comment_id, story.delivery)


def start(story: Story, event: CommentCreated, command: Start, role: Role) -> str | None:
    """Open the run and send its workflow off, or say why not."""
    try:
        scene = story.step("look around", look, story.services, event)
        new = _new_run(story, event, command, role, scene)
    except (Refusal, GitHubError) as error:
        asides.not_started(story, event, error)
        return None
    person = event.actor_id, event.actor
    caps = caps_of(story.services, person, event.repo, new.line)
    limits = limits_of(policy_of(story.services, scene), person, event.repo, new.line)
    opened = story.step("open the run", _open, story.services, event, new, caps, limits)
    if isinstance(opened, Reached | Full | Paused):
        ack.no(story, event, opened)
        return None
    outcome, run_id = opened
    logs.add(run=run_id)
    if outcome == "busy":
        asides.busy(story, event, run_id)
    elif outcome == "sweeping":
        sweep.busy(story, event, run_id)
    if outcome != "opened":
        return None
    relabel.catch_up(story, run_id, scene.looked_at)
    admit.begin(story, run_id)
    return run_id


def _new_run(story: Story, event: CommentCreated, command: Start, role: Role, scene: Scene) -> NewRun:
    """The run as it would be opened. Raises Refusal."""
    drafted, ruling = draft(story, event, scene, role, command.task_class, command.options)
    task, planned = _task(event, command), {}
    if drafted.task_class == "split":
        before = story.step("what came before", _before, story.services, event)
        task = "\n\n".join(part for part in (before.get("task", ""), task) if part)
        costs = {name: row.usd.nanos for name, row in ruling.classes.items()}
        planned = {"class_costs": costs, "before": before}
    return replace(drafted, task=task, snapshot=drafted.snapshot | planned)


def _task(event: CommentCreated, command: Start) -> str:
    """What the person wrote; of a review comment also where, for which the repository's words are quoted."""
    if not event.path:
        return command.instruction
    where = f"{code(event.path, 300)}" + (f", line {event.lines}" if event.lines else "")
    # The commented line is the last of its hunk.
    hunk = listing(tail(event.hunk, MOST_HUNK), "diff") if event.hunk.strip() else ""
    place = f"The comment is on {where}" + (", the last line of this piece of the diff:" if hunk else ".")
    return "\n\n".join(part for part in (command.instruction, place, hunk) if part)


def _before(services: Services, event: CommentCreated) -> dict[str, str]:
    """The thread's last run, if it broke off: its task, how it ended, its last words.

    The task was a person's; the words are the agent's own, and material.
    """
    runs = [run for run in services.threads.all(event.repo.id, event.number) if run.task_class != "split"]
    last = max(runs, key=lambda run: run.ended_at or 0, default=None)
    if last is None or last.state not in BROKEN_OFF:
        return {}
    words = last.result.get("summary") or "\n".join(last.last_lines)
    return {"task": last.task, "run": last.id, "ended": last.message, "words": words}


def _open(
    services: Services, event: CommentCreated, new: NewRun, caps: Sequence[Cap], limits: Sequence[Limit]
) -> tuple[str, str] | Reached | Full | Paused:
    """("opened", id) if this story's run is there; ("seen", id) for a comment that has another story's;
    ("busy" or "sweeping", id of the thread's live run or sweep); else the cap that leaves too little, or why
    nothing runs."""
    while True:
        known = services.threads.of_comment(event.repo.id, event.kind, event.comment_id)
        if known is not None:
            return ("opened" if known.opened_by == new.opened_by else "seen"), known.id
        opened = services.people.open(new, caps, limits=limits)
        if isinstance(opened, Reached | Full | Paused):
            return opened
        if opened:
            return "opened", new.id
        if live := sweep.in_the_way(services, event):
            return live


def _holding(story: Story, event: CommentCreated, role: Role) -> str:
    """What would hold here now for this person, and why."""
    try:
        scene = story.step("look around", look, story.services, event)
        ruling = policy_of(story.services, scene)
    except Refusal as refusal:
        return replies.refused(str(refusal))
    except GitHubError as error:
        return replies.refused(f"GitHub did not tell what would hold here: {error}")
    rows = []
    for task_class in ("bugfix", "feature", "refactor", "default", "split"):
        rows.append((task_class, resolve(task_class, commands.Options(), role, scene.labels, ruling)))
    return replies.holding(rows, str(role), ruling.most[role])
