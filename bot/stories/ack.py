"""`/agent ack`: somebody who may opens the next slice of a cap that is reached (R21, P4)."""

from __future__ import annotations

from bot.core import replies
from bot.core.caps import Cap, Line, Reached, Scope, Standing, applying, due, month_of, notice
from bot.core.events import CommentCreated
from bot.core.policy import Policy
from bot.services import Services
from bot.stores.runs import Run
from bot.stores.switch import Paused
from bot.stories import asides
from bot.stories.durable import Story
from bot.stories.names import run_of


def caps_of(
    services: Services,
    event: CommentCreated,
    person: tuple[int, str] | None = None,
    line: tuple[str, Line] | None = None,
) -> tuple[Cap, ...]:
    """What a launch by the commenter (or another `person`) has to fit under."""
    repo = event.repo
    whose = person or (event.actor_id, event.actor)
    before = services.people.names(whose[0], repo.id)
    return applying(services.policy.caps, whose, (repo.id, repo.full_name), repo.installation, line, before)


def refuse(story: Story, event: CommentCreated, standing: Standing) -> None:
    """The cap, what used it up, and who may open more."""
    services, cap = story.services, standing.cap
    shares = story.step("what the month went on", services.people.dearest, cap, standing.month)
    spenders = [
        replies.Spender(one.run, one.repository, one.thread, one.task_class, one.usd) for one in shares
    ]
    opens = _openers(services.policy, cap)
    text = replies.cap_reached(standing, spenders, opens)
    asides.refuse(story, event, "cap_reached", replies.reached(standing), text)


def no(story: Story, event: CommentCreated, why: Reached | Paused) -> None:
    """Nothing was started: a cap is reached, or nothing runs here for now."""
    if isinstance(why, Reached):
        return refuse(story, event, why.standing)
    text = replies.refused(f"{why}; nothing runs until that is lifted")
    return asides.refuse(story, event, "paused", str(why), text)


def ack(story: Story, event: CommentCreated, reason: str) -> None:
    """Open a slice of each reached cap that stands in the way here, as far as the commenter may."""
    services = story.services
    now = story.step("the time", services.database.now_ms)
    month = month_of(now, services.policy.caps.zone)
    person = story.step("whose cap", _person, services, event)
    caps = caps_of(services, event, person) + _lines(services.policy, person or (0, event.actor))
    if not caps:
        return asides.reply(story, event, "ack", replies.no_caps())
    opened, denied = [], []
    for cap in caps:
        if not _may(services.policy, cap, event):
            denied.append(cap)
            continue
        comment = (event.kind, event.comment_id)
        standing = story.step(
            f"open the next slice: {cap.scope}",
            services.people.acknowledge,
            cap,
            month,
            by=event.actor,
            reason=reason[:1_000],
            repository_id=event.repo.id,
            repository=event.repo.full_name,
            comment=comment,
        )
        if standing is not None:
            opened.append(standing)
    stand = story.step("how they stand", services.people.standings, caps, month)
    barred = [one for one in stand if one.reached and one.cap in denied]
    if opened:
        text = replies.acknowledged(opened, reason)
        if barred:
            text += "\n\n" + replies.may_not_open(barred, services.policy.approvers)
        return asides.reply(story, event, "ack", text)
    if barred:
        text = replies.may_not_open(barred, services.policy.approvers)
        return asides.refuse(story, event, "not_approver", "a cap is another's to open", text)
    return asides.reply(story, event, "ack", replies.nothing_reached(stand))


def standings(story: Story, event: CommentCreated) -> tuple[Standing, ...]:
    """How every cap that holds for the commenter here stands now."""
    services = story.services
    now = story.step("the time", services.database.now_ms)
    month = month_of(now, services.policy.caps.zone)
    caps = caps_of(services, event) + _lines(services.policy, (0, event.actor))
    return story.step("how they stand", services.people.standings, caps, month)


def tell(services: Services, run_id: str) -> None:
    """Put it into the run's report, once a month, that most of its person's money is gone (R21)."""
    run = run_of(services, run_id)
    for cap in _own(services, run):
        (standing,) = services.people.standings((cap,), run.month)
        if due(standing) and services.people.tell(cap, run.month, run.id):
            text = notice(standing, services.policy.caps.mention)
            services.runs.set(run.id, notice=text)


def _own(services: Services, run: Run) -> tuple[Cap, ...]:
    if run.actor_id is None or not run.month or run.line:
        return ()
    before = services.people.names(run.actor_id, None)
    caps = applying(services.policy.caps, (run.actor_id, run.actor), (0, ""), 0, before=before)
    return tuple(cap for cap in caps if cap.scope is Scope.PERSON)


def _lines(policy: Policy, person: tuple[int, str]) -> tuple[Cap, ...]:
    """The budget lines that the person may use."""
    mine = ((name, line) for name, line in policy.lines.items() if person[1].lower() in line.members)
    return tuple(Cap(Scope.LINE, name, f"the line {name}", line.monthly) for name, line in mine)


def _person(services: Services, event: CommentCreated) -> tuple[int, str] | None:
    """An approver answers for whoever was refused here last; everybody else for themselves."""
    if event.actor.lower() not in services.policy.approvers:
        return None
    return services.refusals.last(event.repo.id, event.number, "cap_reached")


def _may(policy: Policy, cap: Cap, event: CommentCreated) -> bool:
    if event.actor.lower() in policy.approvers:
        return True
    own = cap.scope is Scope.PERSON and cap.id == str(event.actor_id)
    return own and policy.caps.acknowledge == "self"


def _openers(policy: Policy, cap: Cap) -> tuple[str, ...]:
    """Who may open the next slice, by name."""
    own = (cap.name,) if cap.scope is Scope.PERSON and policy.caps.acknowledge == "self" else ()
    return own or policy.approvers
