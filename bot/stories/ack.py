"""`/agent ack`: somebody who may opens the next slice of a cap that is reached (R21, P4)."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core import replies
from bot.core.caps import Cap, Reached, Scope, Standing, month_of, of_lines
from bot.core.events import CommentCreated
from bot.core.offers import BROKEN_OFF
from bot.core.policy import Policy
from bot.core.waiting import Full
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stores.switch import Paused
from bot.stories import asides
from bot.stories.durable import Story
from bot.stories.names import run_of
from bot.stories.ruling import Refusal, caps_of


def refuse(story: Story, event: CommentCreated, standing: Standing, run: str | None = None) -> None:
    """The cap, what used it up, and who may open more. `run`: the one that was to go on."""
    services, cap = story.services, standing.cap
    spenders = story.step("what the month went on", services.people.dearest, cap, standing.month)
    opens = openers(services.policy, cap)
    text = replies.cap_reached(standing, spenders, opens)
    asides.refuse(story, event, "cap_reached", replies.reached(standing), text, run)


def no(story: Story, event: CommentCreated, why: Reached | Full | Paused, run: str | None = None) -> None:
    """Nothing was started: a cap is reached, there is no room, or nothing runs here for now."""
    if isinstance(why, Reached):
        return refuse(story, event, why.standing, run)
    if isinstance(why, Full):
        return asides.refuse(story, event, "full", str(why), replies.full(why))
    text = replies.refused(f"{why}; nothing runs until that is lifted")
    return asides.refuse(story, event, "paused", str(why), text)


def ack(story: Story, event: CommentCreated, reason: str) -> None:
    """Open a slice of each reached cap that stands in the way here, as far as the commenter may."""
    services, now = story.services, _month(story)
    month, caps = story.step("what stands in the way", _in_the_way, services, event, now)
    if not caps:
        return asides.reply(story, event, "ack", replies.no_caps())
    opened, denied = [], []
    for cap in caps:
        if not _may(services.policy, cap, event):
            denied.append(cap)
            continue
        comment = (event.kind, event.comment_id)
        standing = story.step(
            f"open the next slice: {cap.scope} {cap.id}",
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
            text += "\n\n" + _another_s(services.policy, barred)
        return asides.reply(story, event, "ack", text)
    if barred:
        text = _another_s(services.policy, barred)
        return asides.refuse(story, event, "not_approver", "a cap is another's to open", text)
    return asides.reply(story, event, "ack", replies.nothing_reached(stand))


def standings(story: Story, event: CommentCreated) -> tuple[Standing, ...]:
    """How every cap that holds for the commenter here stands now."""
    people, caps = story.services.people, _all(story.services, event, (event.actor_id, event.actor))
    return story.step("how they stand", people.standings, caps, _month(story))


def _month(story: Story) -> str:
    """The month that it is for the service's caps."""
    now = story.step("the time", story.services.database.now_ms)
    return month_of(now, story.services.policy.caps.zone)


def _all(services: Services, event: CommentCreated, person: tuple[int, str]) -> tuple[Cap, ...]:
    """What the person has to fit under here, and the months of the budget lines that they may use."""
    return caps_of(services, person, event.repo, "") + of_lines(services.policy.lines, person[1])


def _in_the_way(services: Services, event: CommentCreated, now: str) -> tuple[str, tuple[Cap, ...]]:
    """The month, and its caps, that an acknowledgement here is about.

    A run that was to go on here, was refused last and still waits, is its person's, in the month of its
    launch. Otherwise an approver answers for whoever was refused here last; everybody else for themselves.
    """
    refused = services.refusals.last(event.repo.id, event.number, "cap_reached")
    if refused is not None and refused.run is not None:
        run = run_of(services, refused.run)
        caps = _of_run(services, event, run)
        if any(one.reached for one in services.people.standings(caps, run.month)):
            return run.month, caps
    approves = event.actor.lower() in services.policy.approvers
    person = refused.person if refused and approves else (event.actor_id, event.actor)
    return now, _all(services, event, person)


def _of_run(services: Services, event: CommentCreated, run: Run) -> tuple[Cap, ...]:
    """What it has to fit under to go on; nothing if it is decided about, or its line closed by now."""
    if run.state not in BROKEN_OFF or run.settled_as is not None:
        return ()
    try:
        return caps_of(services, (run.actor_id or event.actor_id, run.actor), event.repo, run.line)
    except Refusal:
        return ()


def _another_s(policy: Policy, barred: Sequence[Standing]) -> str:
    return replies.may_not_open([(one, openers(policy, one.cap)) for one in barred])


def _may(policy: Policy, cap: Cap, event: CommentCreated) -> bool:
    if event.actor.lower() in policy.approvers:
        return True
    own = cap.scope is Scope.PERSON and cap.id == str(event.actor_id)
    return own and policy.caps.acknowledge == "self"


def openers(policy: Policy, cap: Cap) -> tuple[str, ...]:
    """Who may open the next slice, by name."""
    own = (cap.name,) if cap.scope is Scope.PERSON and policy.caps.acknowledge == "self" else ()
    return own or policy.approvers
