"""A run in line is let in when there is room: as of now, not as of when it was asked for.

Its commit, labels and policy stay those of its trigger; the switch, the caps, the budget line's members, the
keys that there are, and how many the service lets run at once are of the moment.
"""

from __future__ import annotations

from bot.clients.github import GitHubError
from bot.core.caps import month_of
from bot.core.roles import Role
from bot.core.waiting import admissible
from bot.services import Services
from bot.stores.fitting import Under
from bot.stores.run_rows import Run
from bot.stores.waiting import Asked, Stories
from bot.stories import asides, finish
from bot.stories.durable import Story, name_of
from bot.stories.names import repo_of, run_of
from bot.stories.ruling import Refusal, caps_of, keyed
from bot.stories.send import announce, send
from bot.stories.waiting import as_waiting, limits

DELETED = (404, 410)  # what GitHub says of an issue that is not there any more


def begin(story: Story, run_id: str) -> None:
    """A run that was just opened is sent off; one in line is let in if it can be, else told its place."""
    state = story.step("whether it waits", _waits, story.services, run_id)
    if state == "queued":
        announce(story, run_id, waits=True)
    elif state == "open":
        send(story, run_id)


def _waits(services: Services, run_id: str) -> str:
    """`open`; `queued`; `admitted`: it was in line, and has a story of its own from here on."""
    if (state := run_of(services, run_id).state) != "queued":
        return state
    look(services)
    return "queued" if run_of(services, run_id).state == "queued" else "admitted"


def admitted(story: Story, run_id: str, attempt: int) -> str:
    """Told once for an attempt that was let in: it is sent off; its comment is the live one from here on."""
    run = run_of(story.services, run_id)
    if run.attempt == attempt and run.live and not leave(story, run_id) and _may_still(story, run):
        send(story, run_id)
    return run_id


def leave(story: Story, run_id: str) -> bool:
    """Whether its thread was closed or deleted while it waited; then it ends, before it has cost anything."""
    closed = story.attempt("whether its thread is closed", _closed, story.services, run_id)
    if closed:
        _end(story, run_id, "its thread was closed while it waited in line")
    return bool(closed)


def _may_still(story: Story, run: Run) -> bool:
    """Whether who asked for it may still write there, after days perhaps; else it ends in the same way."""
    services = story.services
    login, number = story.step("who asked for it", _asker, services, run)
    role = story.attempt("their role of now", services.github.role, repo_of(run), login, number)
    if role is not None and role >= Role.WRITE:
        return True
    told = "GitHub did not tell the role of" if role is None else f"the role {role} is all there is now of"
    _end(story, run.id, f"{told} {login}, who asked for it and needs write permission")
    return False


def _asker(services: Services, run: Run) -> tuple[str, int | None]:
    """GitHub's name and number, if that is known, of whoever had this attempt get in line."""
    sweep = services.sweeps.get(run.sweep) if run.sweep else None
    by = sweep.resumed_by if sweep is not None else str(run.resumed.get("by", ""))
    return (by, None) if by and by != run.actor else (run.actor, run.actor_id)


def _end(story: Story, run_id: str, why: str) -> None:
    services = story.services
    story.step("end it", asides.halt, services, run_id, why)
    story.step("have it finished", asides.finish_unclaimed, services, run_of(services, run_id))


def _closed(services: Services, run_id: str) -> bool:
    run = run_of(services, run_id)
    look_at = services.github.pull if run.thread_kind == "pull" else services.github.issue
    try:
        return run.thread is not None and look_at(repo_of(run), run.thread).state != "open"
    except GitHubError as error:
        if error.status not in DELETED:
            raise
        return True  # nobody could stop it there any more


def look(services: Services) -> None:
    """Let in everybody there is room for. Whoever sees room may call it, and several at once."""
    stay: frozenset[str] = frozenset()
    # Who has to wait for money makes room for whoever is behind.
    while waiting := {run.id: run for run in services.waiting.all() if run.id not in stay}:
        line = as_waiting(services, waiting.values())
        chosen = admissible(line, services.waiting.live())
        if not chosen:
            return
        asked = [_asked(services, waiting[one.one.run]) for one in chosen]
        stay |= services.waiting.admit(asked, Stories(name_of(admitted), name_of(finish.finish)))


def _asked(services: Services, run: Run) -> Asked:
    sweep = services.sweeps.get(run.sweep) if run.sweep else None
    try:
        keyed(services, run.key_name)
        caps = caps_of(services, (run.actor_id or 0, run.actor), repo_of(run), run.line)
        if sweep is not None:
            caps = (sweep.cap, *caps)
    except Refusal as refusal:
        return Asked(run, str(refusal))
    # A further attempt stays in the month of its launch; what was never launched is in none.
    now = services.database.now_ms()
    month = run.month if run.attempt > 1 and run.begun else month_of(now, services.policy.caps.zone)
    return Asked(run, Under(caps, limits(services, run, sweep), month))
