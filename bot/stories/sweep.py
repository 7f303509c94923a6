"""`/agent sweep`: a run and a pull request for each open item of an issue's task list, N at a time (R23).

All items are put in line at once, as they stood when the command came; from there on each is let in, sent off
and ended as any other run. What is over all of them is the sweep's row: how many at once, and its total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.clients.github import GitHubError
from bot.core import commands, replies, sweeps, tasklist
from bot.core.caps import LEAST
from bot.core.ceilings import Reason, halt_message
from bot.core.commands import Options, Resume
from bot.core.events import CommentCreated
from bot.core.limits import KINDS
from bot.core.money import Usd, total
from bot.core.policy import Policy
from bot.core.roles import Role
from bot.services import Services
from bot.stores.run_rows import NewRun, Run
from bot.stores.runs import new_id
from bot.stores.sweeps import Again, NewSweep, Sweep
from bot.stores.switch import Paused
from bot.stories import ack, admit, asides, resume, tally
from bot.stories.draft import draft
from bot.stories.durable import Story
from bot.stories.names import repo_of, run_of
from bot.stories.ruling import Refusal, line_of_all, policy_of, resolve, tightened, weighed
from bot.stories.scene import Scene, look


def sweep(story: Story, event: CommentCreated, command: commands.Sweep, role: Role) -> str | None:
    """Open it and have its first items let in, or say why not; its id."""
    services = story.services
    try:
        scene = story.step("look around", look, services, event)
        new, items = _new(story, event, command, role, scene)
    except (Refusal, GitHubError) as error:
        asides.not_started(story, event, error)
        return None
    opened = story.step("open the sweep", _open, services, event, new, items)
    return _begun(story, event, opened)


def begin(story: Story, sweep_id: str) -> None:
    """Say what was begun, and let in whom there is room for."""
    story.attempt("say what was begun", tally.once, story.services, sweep_id)
    story.step("let the first in", admit.look, story.services)


def busy(story: Story, event: CommentCreated, sweep_id: str) -> None:
    """A second start on a thread is answered with a link to the live sweep (L3)."""
    why = f"sweep {sweep_id} is live on this thread"
    asides.refuse(story, event, "busy", why, sweeps.in_the_way(*_told(story.services, sweep_id)))


def stop(story: Story, event: CommentCreated, late: int | None) -> bool:
    """Halt all of the thread's live sweep; False if there is none.

    A stop that comes late ends no sweep that was started after it was written.
    """
    services = story.services
    live = story.step("the live sweep", _live, services, event)
    if live is None:
        return False
    if late is not None and tally.sweep_of(services, live).opened_at > event.at:
        asides.refuse(story, event, "late", f"it came {late} hours late", replies.late(late))
        return True
    unclaimed = story.step("halt all of it", _halt, services, live, event.actor)
    asides.reply(story, event, "stop", sweeps.stopping(*_told(services, live)))
    for run in (run_of(services, run_id) for run_id in unclaimed):
        story.step(f"have {run.id} finished", asides.finish_unclaimed, services, run)
        if run.workflow_run_id is not None:
            story.attempt(
                f"end the workflow of {run.id}", services.github.cancel, repo_of(run), run.workflow_run_id
            )
    return True


def status(story: Story, event: CommentCreated) -> bool:
    """Say how the thread's live sweep stands; False if there is none."""
    live = story.step("the live sweep", _live, story.services, event)
    if live is not None:
        asides.reply(story, event, "status", f"{sweeps.one_line(*_told(story.services, live))}.")
    return live is not None


def to_resume(story: Story, event: CommentCreated) -> str | None:
    """The sweep that `/agent resume` here is about; None where the last that was asked for is a run."""
    return story.step("the sweep to go on with", _to_resume, story.services, event)


def go_on(story: Story, event: CommentCreated, command: Resume, role: Role, sweep_id: str) -> str | None:
    """Put what is not finished in line again, with new totals, or say why not."""
    services = story.services
    live = story.step("the live sweep", _live, services, event)
    if live is not None:
        if (
            tally.sweep_of(services, live).opened_by == story.delivery
        ):  # its story failed only after that (L2)
            begin(story, live)
            return live
        busy(story, event, live)
        return None
    try:
        scene = story.step("look around", look, services, event)
        planned = weighed(story, "what going on takes", _again, story, event, command, role, scene, sweep_id)
    except (Refusal, GitHubError) as error:
        asides.not_started(story, event, error)
        return None
    return _begun(story, event, story.step("go on with it", _reopen, services, event, sweep_id, planned))


def _begun(story: Story, event: CommentCreated, opened: tuple[str, str] | Paused) -> str | None:
    if isinstance(opened, Paused):
        ack.no(story, event, opened)
        return None
    outcome, id = opened
    if outcome == "busy":
        asides.busy(story, event, id)
    elif outcome == "sweeping":
        busy(story, event, id)
    if outcome != "opened":
        return None
    begin(story, id)
    return id


# -- what it will be --


def _new(
    story: Story, event: CommentCreated, command: commands.Sweep, role: Role, scene: Scene
) -> tuple[NewSweep, tuple[NewRun, ...]]:
    """The sweep and its items as they would be opened. Raises Refusal."""
    if scene.kind != "issue":
        raise Refusal("sweep", "a sweep takes place on an issue with a task list, and this is a pull request")
    try:
        drafted, ruling = draft(story, event, scene, role, "sweep", command.options)
    except Refusal as refusal:
        raise _with_lines(story.services.policy, event.actor, refusal) from refusal
    if not drafted.line:
        why = (
            "a sweep spends a budget line and nobody's own month, and none is named: not by `line=`, not by "
            "a label, not by `sweep.line` of the policy"
        )
        raise _with_lines(ruling, event.actor, Refusal("line", why))
    found = tasklist.items(scene.body)
    if not found:
        why = "this issue's text has no unchecked item; a sweep takes those that stand as `- [ ] words`"
        raise Refusal("no_items", why)
    if len(found) > ruling.sweep.items:
        many = f"this issue's text has {len(found)} unchecked items, more than the {ruling.sweep.items}"
        raise Refusal("too_many_items", f"{many} that the policy's `sweep.items` allows")
    ids = story.step("name the items", _names, len(found))
    whole, clamps = _total(command.options, ruling, drafted.ceilings.usd * len(found))
    new = NewSweep(
        id=drafted.id,
        installation=event.repo.installation,
        repository_id=event.repo.id,
        repository=event.repo.full_name,
        thread=event.number,
        comment_id=event.comment_id,
        actor=event.actor,
        actor_id=event.actor_id,
        line=drafted.line,
        parallel=command.options.parallel or ruling.sweep.parallel,
        total=whole,
        each=drafted.ceilings,
        url=scene.url,
        opened_by=story.delivery,
        clamps=(*drafted.clamps, *clamps),
    )
    items = (
        _item(drafted, new.id, id, number, item, len(found), command.instruction, ruling)
        for number, (id, item) in enumerate(zip(ids, found, strict=True), 1)
    )
    return new, tuple(items)


def _with_lines(policy: Policy, person: str, refusal: Refusal) -> Refusal:
    """The same, and which lines the person may use, where it is about those."""
    if refusal.reason != "line":
        return refusal
    lines = [f"`line={name}`" for name, line in policy.lines.items() if person.lower() in line.members]
    may = f"{person} may use {', '.join(lines)}" if lines else f"{person} may use none"
    return Refusal("line", f"{refusal}; {may}")


def _names(count: int) -> list[str]:
    """In their order: of those who came at once the lowest goes first."""
    return sorted(new_id() for _ in range(count))


def _total(options: Options, ruling: Policy, otherwise: Usd) -> tuple[Usd, tuple[str, ...]]:
    """What all items may spend together, and the clamp in words where that is less than asked."""
    most = ruling.sweep.total
    asked = options.total or most or otherwise
    if most is None or asked <= most:
        return asked, ()
    return most, (f"total: {asked} is more than {most}, the most that the policy's `sweep.total` allows",)


def _item(
    drafted: NewRun,
    sweep_id: str,
    id: str,
    number: int,
    item: tasklist.Item,
    of: int,
    instruction: str,
    ruling: Policy,
) -> NewRun:
    ceilings, sources = tightened(drafted.ceilings, drafted.sources, item.task_class, ruling)
    kept = {"text": item.text, "title": item.title, "class": item.task_class, "of": of}
    return replace(
        drafted,
        id=id,
        sweep=sweep_id,
        item=number,
        comment_kind=f"sweep.{number}",
        task="\n\n".join(part for part in (item.task, instruction) if part),
        ceilings=ceilings,
        sources=sources,
        snapshot=drafted.snapshot | {"item": kept},
    )


# -- what is there --


def _open(
    services: Services, event: CommentCreated, new: NewSweep, items: Sequence[NewRun]
) -> tuple[str, str] | Paused:
    """("opened", id) if this story's sweep is there; ("seen", id) for a comment that has another story's;
    ("busy" or "sweeping", id of the thread's live run or sweep); or why nothing runs."""
    while True:
        known = services.sweeps.of_comment(event.repo.id, event.comment_id)
        if known is not None:
            return ("opened" if known.opened_by == new.opened_by else "seen"), known.id
        opened = services.sweeps.open(new, items)
        if isinstance(opened, Paused):
            return opened
        if opened:
            return "opened", new.id
        if live := in_the_way(services, event):
            return live


def in_the_way(services: Services, event: CommentCreated) -> tuple[str, str] | None:
    """What is live on the thread."""
    run = services.threads.live(event.repo.id, event.number)
    if run is not None:
        return "busy", run.id
    live = _live(services, event)
    return ("sweeping", live) if live else None


def _live(services: Services, event: CommentCreated) -> str | None:
    live = services.sweeps.live(event.repo.id, event.number)
    return live.id if live else None


def _told(services: Services, sweep_id: str) -> tuple[sweeps.Told, str]:
    """The sweep as it is shown, and where."""
    known = tally.sweep_of(services, sweep_id)
    return tally.told_of(services, known, services.sweeps.items(sweep_id)), tally.url_of(known)


def _halt(services: Services, sweep_id: str, who: str) -> list[str]:
    """Halt every item that is not over; those that no runner has, whose end is told at once."""
    said = f"stopped by {who}"
    messages = {
        run.id: halt_message(Reason.STOPPED, run.spent.steps, run.ceilings, said)
        for run in services.sweeps.items(sweep_id)
        if run.live
    }
    services.sweeps.stop(sweep_id, who, messages)
    return [
        run.id
        for run in services.sweeps.items(sweep_id)
        if run.state == "halted" and run.started_at is None and run.finishing_at is None
    ]


# -- going on --


def _to_resume(services: Services, event: CommentCreated) -> str | None:
    known = services.sweeps.last(event.repo.id, event.number)
    if known is None:
        return None
    runs = services.threads.all(event.repo.id, event.number)
    since = known.ended_at or known.opened_at
    if not known.live and any(not run.sweep and run.opened_at > since for run in runs):
        return None
    return known.id


def _again(
    story: Story, event: CommentCreated, command: Resume, role: Role, scene: Scene, sweep_id: str
) -> Again:
    """Its next attempt. Raises Refusal."""
    services, options = story.services, command.options
    known, items = _told_to_the_end(services, sweep_id), services.sweeps.items(sweep_id)
    if scene.objection is not None:
        raise Refusal(*scene.objection)
    if options.line is not None and options.line != known.line:
        raise Refusal("line", f"sweep {sweep_id} is on the budget line {known.line}, and goes on on no other")
    ruling = policy_of(services, scene)
    line_of_all(ruling, known.line, known.actor, event.actor)
    told = tally.told_of(services, known, items)
    left = [run for run, entry in zip(items, told.entries, strict=True) if entry.unfinished]
    if not left:
        raise Refusal("nothing_to_resume", f"every item of sweep {sweep_id} is done or decided about")
    whole, clamps = _total(replace(options, total=options.total or known.total), ruling, known.total)
    spent = total(run.spent.usd for run in items)
    if whole - spent < LEAST:
        why = f"it has spent {spent} of its total of {whole}; `/agent resume total=…` with more lets it go on"
        raise Refusal("nothing_left", why)
    going, notes = [], list(clamps)
    for run in left:
        try:
            going.append(_further(story, event, command, role, scene, ruling, run))
        except Refusal as refusal:
            notes.append(f"item {run.item} stays as it is: {refusal}")
    if not going:
        raise Refusal("nothing_left", "; ".join(notes)[:900])
    given = {kind: getattr(options, kind) or getattr(known.each, name) for name, kind in KINDS}
    each = resolve("sweep", Options(**given), role, scene.labels, ruling).ceilings
    return Again(
        after=known.attempt,
        parallel=options.parallel or known.parallel,
        total=whole,
        each=each,
        by=event.actor,
        opened_by=story.delivery,
        clamps=tuple(notes),
        items=tuple(going),
    )


def _told_to_the_end(services: Services, sweep_id: str) -> Sweep:
    """The sweep, once its last word is said. Raises Refusal."""
    why = f"the end of sweep {sweep_id} is still being told"
    return resume.told_to_the_end(lambda: tally.sweep_of(services, sweep_id), why)


def _further(
    story: Story,
    event: CommentCreated,
    command: Resume,
    role: Role,
    scene: Scene,
    ruling: Policy,
    run: Run,
) -> tuple[int, NewRun, dict[str, object]]:
    """An item's next attempt: from where it stopped if that is kept, else from the start. Raises Refusal."""
    planned = resume.further(story, event, command, role, scene, ruling, run)
    if not planned.resumed:  # as it begins anew, on what is there now
        head = {"ref": scene.head_ref, "sha": scene.head_sha}
        return run.attempt, replace(planned.new, snapshot=planned.new.snapshot | {"head": head}), {}
    return run.attempt, planned.new, planned.resumed


def _reopen(
    services: Services, event: CommentCreated, sweep_id: str, again: Again
) -> tuple[str, str] | Paused:
    """As `_open`, for the next attempt."""
    reopened = services.sweeps.reopen(sweep_id, again)
    if isinstance(reopened, Paused):
        return reopened
    if reopened or tally.sweep_of(services, sweep_id).opened_by == again.opened_by:
        return "opened", sweep_id
    return in_the_way(services, event) or ("seen", sweep_id)
