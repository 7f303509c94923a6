"""`/agent resume`: a run that broke off goes on in a further attempt, with its work and conversation (L4).

The same run: what it has spent counts on, and what is asked for now are new totals, by the same rules as at a
start. Its snapshot stays: it goes on from the commit that it was given, and L6 holds when it is published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bot.clients.github import GitHubError
from bot.core import again, replies
from bot.core.caps import Reached
from bot.core.ceilings import NATIVE_ENGINE
from bot.core.commands import Options, Resume
from bot.core.events import CommentCreated
from bot.core.limits import KINDS, Resolved
from bot.core.offers import BROKEN_OFF
from bot.core.policy import Policy
from bot.core.prices import UnknownModel
from bot.core.roles import Role
from bot.core.waiting import Full, Limit
from bot.services import Services
from bot.stores.handover import CHANGESET, TRANSCRIPT
from bot.stores.run_rows import NewRun, Run
from bot.stores.sweeps import Sweep
from bot.stores.switch import Paused
from bot.stories import ack, admit, asides, relabel
from bot.stories.durable import Story
from bot.stories.names import run_of
from bot.stories.ruling import (
    Refusal,
    allowed,
    caps_of,
    cleared,
    kept,
    keyed,
    limits_of,
    line_of_all,
    policy_of,
    resolve,
    tightened,
    weighed,
)
from bot.stories.scene import Scene, look

# The report of a halted run stands when what was in flight is settled, two minutes at the most (G5).
REPORT_SECONDS = 180.0
LOOK_SECONDS = 0.5
Told = TypeVar("Told", Run, Sweep)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which run goes on after which attempt, as `new` has it; `resumed` is kept with the attempt.

    What it spends counts for `whose` it is, who started it (GitHub's number, name), whoever has it go on.
    """

    run: str
    attempt: int
    whose: tuple[int, str]
    new: NewRun
    resumed: dict[str, Any]


def resume(story: Story, event: CommentCreated, command: Resume, role: Role) -> str | None:
    """Open the next attempt of the thread's last broken-off run and send it off, or say why not."""
    services = story.services
    begun = story.step("what it has begun already", _begun, services, event, story.delivery)
    if begun is not None:
        admit.begin(story, begun)
        return begun
    try:
        scene = story.step("look around", look, services, event)
        live, run = story.step("the run to go on with", _last, services, event)
        if live is not None:
            asides.busy(story, event, live)
            return None
        planned = weighed(story, "what going on takes", _plan, story, event, command, role, scene, run)
    except (Refusal, GitHubError) as error:
        asides.not_started(story, event, error)
        return None
    limits = limits_of(policy_of(services, scene), planned.whose, event.repo, planned.new.line)
    reopened = story.step("go on with it", _reopen, services, event, planned, limits)
    if isinstance(reopened, Reached | Full | Paused):
        ack.no(story, event, reopened, planned.run)
        return None
    outcome, run_id = reopened
    if outcome == "busy":
        asides.busy(story, event, run_id)
    elif outcome == "decided":
        why = f"run {run_id} was resumed, accepted or discarded just now"
        asides.refuse(story, event, outcome, why, replies.refused(why))
    if outcome != "opened":
        return None
    relabel.catch_up(story, run_id, scene.looked_at)
    admit.begin(story, run_id)
    return run_id


def _begun(services: Services, event: CommentCreated, delivery: str) -> str | None:
    """The run that this very comment had go on, if its story failed only after that (L2)."""
    runs = _runs(services, event)
    return next((run.id for run in runs if run.live and run.opened_by == delivery), None)


def _last(services: Services, event: CommentCreated) -> tuple[str | None, str | None]:
    """The thread's live run, and the one that broke off last and that nobody has decided about."""
    runs = _runs(services, event)
    live = next((run.id for run in runs if run.live), None)
    broken = [run for run in runs if run.state in BROKEN_OFF and run.settled_as is None]
    last = max(broken, key=lambda run: run.ended_at or 0, default=None)
    return live, last.id if last else None


def _runs(services: Services, event: CommentCreated) -> list[Run]:
    """The thread's, but for the items of a sweep: those go on with it."""
    return [run for run in services.threads.all(event.repo.id, event.number) if not run.sweep]


def _plan(
    story: Story, event: CommentCreated, command: Resume, role: Role, scene: Scene, run_id: str | None
) -> Plan:
    """The next attempt. Raises Refusal."""
    services = story.services
    if scene.objection is not None:
        raise Refusal(*scene.objection)
    if run_id is None:
        why = "there is no run on this thread that was halted and waits to go on; `/agent fix` starts one"
        raise Refusal("nothing_to_resume", why)
    for name in ("parallel", "total"):
        if getattr(command.options, name) is not None:
            raise Refusal("malformed", f"`{name}=` is for a sweep, and the last run here is none")
    run = _reported(services, run_id)
    if not _kept(services, run):
        raise Refusal("nothing_kept", f"nothing of run {run.id} is kept that it could go on from")
    return further(story, event, command, role, scene, policy_of(services, scene), run)


def _kept(services: Services, run: Run) -> bool:
    return any(services.handover.latest(run.id, kind) for kind in (TRANSCRIPT, CHANGESET))


def further(
    story: Story,
    event: CommentCreated,
    command: Resume,
    role: Role,
    scene: Scene,
    ruling: Policy,
    run: Run,
) -> Plan:
    """A run's next attempt: from where it stopped if that is kept, else from the start, without `resumed`.

    Raises Refusal.
    """
    services = story.services
    given = str(run.snapshot["head"]["sha"])
    approved = services.approvals.of(event.repo.id, event.number, given) or ""
    cleared(scene, given, approved)
    if command.options.engine not in (None, run.engine):
        raise Refusal("engine", f"run {run.id} is by the engine {run.engine}, and goes on with no other")
    allowed(run.engine, ruling)
    keyed(services, run.key_name)
    line_of_all(ruling, run.line, run.actor, event.actor)
    asked = str(run.snapshot.get("asked", run.task_class))
    totals = _totals(run, command.options)
    resolved = resolve(asked, totals, role, scene.labels, ruling)
    if run.item:
        named = run.snapshot["item"]["class"]
        ceilings, sources = tightened(resolved.ceilings, resolved.sources, named, ruling)
        resolved = replace(resolved, ceilings=ceilings, sources=sources)
    taken = _takes(services, run, command, resolved) if run.begun else None
    judged = {
        "approved_by": approved if scene.outsider else "",
        "forbidden_paths": list(ruling.forbidden),
        "publish": ruling.publish,
        "role": str(role),
    }
    new = NewRun(
        id=run.id,
        origin=run.origin,
        ceilings=resolved.ceilings,
        task_class=run.task_class,
        engine=run.engine,
        model=run.model,
        price_book=services.prices.version,
        actor=run.actor,
        actor_id=run.actor_id,
        line=run.line,
        repository=event.repo.full_name,
        month=run.month,
        opened_by=story.delivery,
        snapshot=run.snapshot | judged | kept(asked, totals, scene),
        sources=resolved.sources,
        clamps=resolved.clamps,
        rules=ruling.rules,
        keeps_back=run.engine == NATIVE_ENGINE,
        retention=ruling.retention,
    )
    resumed: dict[str, Any] = {}
    if taken is not None and _kept(services, run):
        resumed = {
            "by": event.actor,
            "text": command.instruction,
            "why": run.message or run.state,
            "tokens": taken.tokens,
            "nanos": taken.cost.nanos,
        }
    return Plan(run.id, run.attempt, (run.actor_id or event.actor_id, run.actor), new, resumed)


def _reported(services: Services, run_id: str) -> Run:
    """The run, once its last report stands. Raises Refusal."""
    return told_to_the_end(lambda: run_of(services, run_id), f"run {run_id} is still being wound up")


def told_to_the_end(read: Callable[[], Told], why: str) -> Told:
    """What `read` gives, once its last word is said. Raises Refusal with `why`."""
    until = time.monotonic() + REPORT_SECONDS
    while (found := read()).finished_at is None:
        if time.monotonic() > until:
            raise Refusal("not_reported", f"{why}; ask again in a few minutes")
        time.sleep(LOOK_SECONDS)
    return found


def _totals(run: Run, options: Options) -> Options:
    """What is asked for now; where nothing is, what was asked for before, on the word of whoever asks now."""
    totals = {
        kind: getattr(run.ceilings, name)
        for name, kind in KINDS
        if getattr(options, kind) is None and run.sources.get(name) == "comment"
    }
    given = {kind: getattr(options, kind) for _, kind in KINDS if getattr(options, kind) is not None}
    return Options(**totals, **given, line=options.line)


def _takes(services: Services, run: Run, command: Resume, resolved: Resolved) -> again.Again:
    """What going on costs at first. Raises Refusal, with what would suffice, where too little is left."""
    now = services.database.utc()
    try:
        price = services.prices.price(run.model, now)
    except UnknownModel as error:
        raise Refusal("model", f"the run's model cannot be priced any more: {error}") from error
    taken = again.reading(price, services.runs.turns(run.id), len(command.instruction.encode()))
    refused = (run.needed.nanos if run.needed else 0, run.needed_tokens or 0)
    if short := again.short(run.spent, resolved.ceilings, taken, refused):
        raise Refusal("nothing_left", replies.nothing_left(run.spent, short, resolved.clamps))
    cached = resolved.ceilings.cached_tokens
    if cached is not None and run.spent.cache_read + taken.tokens > cached:
        why = f"the policy's {cached:,} cached tokens leave too little; only the policy can raise that"
        raise Refusal("nothing_left", why)
    return taken


def _reopen(
    services: Services, event: CommentCreated, plan: Plan, limits: Sequence[Limit]
) -> tuple[str, str] | Reached | Full | Paused:
    """("opened", id) if this story's attempt is there; ("busy", id of the live run); ("decided", id); else
    the cap that leaves too little."""
    run = run_of(services, plan.run)
    if run.attempt == plan.attempt:
        caps = caps_of(services, plan.whose, event.repo, run.line)
        reopened = services.people.reopen(
            plan.attempt, plan.new, caps, plan.resumed, limits=limits, by=event.actor
        )
        if isinstance(reopened, Reached | Full | Paused):
            return reopened
        if reopened:
            return "opened", plan.run
        run = run_of(services, plan.run)
    if run.attempt == plan.attempt + 1 and run.opened_by == plan.new.opened_by:
        return "opened", run.id
    live = services.threads.live(event.repo.id, event.number)
    return ("busy", live.id) if live else ("decided", run.id)
