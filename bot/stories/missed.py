"""GitHub's log of deliveries is compared with what came: what did not come is received now, in its order.

A delivery may fail, time out, or be answered by a proxy in our place; GitHub sends none again by itself. Its
payload is read from the log by the App's own token, so it needs no signature, and is received as at the door.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot import logs
from bot.clients.github import Attempt, GitHubError, Unrecognized
from bot.core import commands
from bot.core.events import CommentCreated, Malformed
from bot.logs import Log
from bot.services import Services
from bot.stores.looks import DELIVERIES
from bot.stories.durable import Aside, Story
from bot.stories.receive import ROUTES, receive

LOOK_SECONDS = 300.0  # between two looks; a command that comes asks for one of its own
OVERLAP_MS = 300_000  # looked at again: attempts that were under way, clocks that differ
TURN_SECONDS = 1.0  # before a command asks again whether the look is done
BLIND_MS = 60_000  # a command waits no longer for a log that cannot be read

log = Log("missed")
github = Log("github")


@dataclass(frozen=True, slots=True)
class Missed:
    """A delivery that had not come, and what became of it."""

    guid: str
    at: int
    event: str
    action: str
    status: str  # what GitHub's log says
    outcome: str


def look(services: Services, say: Callable[[Missed], None] = lambda missed: None) -> bool:
    """Compare what is new in the log, and receive what was missed. False if another process is at it.

    Raises GitHubError; then what was not received is found by the next look.
    """
    through = services.looks.begin(DELIVERIES, OVERLAP_MS)
    if through is None:
        return False
    done = None
    try:
        since = (through - OVERLAP_MS) // 1000 * 1000  # the log knows whole seconds
        tried = _attempts(services, since)
        for attempt in _unknown(services, tried):
            with logs.about():
                missed = _recover(services, attempt)
            services.looks.found(DELIVERIES)
            said = (
                f"GitHub could not deliver {missed.event}.{missed.action} ({missed.status}): {missed.outcome}"
            )
            log.warning("received_late", said, delivery=missed.guid)
            say(missed)
        done = max((attempt.at for attempt in tried), default=through)
    finally:
        services.looks.end(DELIVERIES, done)
    return True


def regularly(services: Services) -> None:
    """The same where nobody waits for it: what cannot be read now is read by the next look."""
    try:
        look(services)
    except Unrecognized:
        pass  # said where it was noticed
    except GitHubError as error:
        log.warning("unread", f"GitHub's log of deliveries is read later: {error}")


def _attempts(services: Services, since: int) -> list[Attempt]:
    try:
        tried = list(services.github.attempts(since))
    except Unrecognized as error:
        if services.looks.unrecognized(True):
            github.error("unrecognized", f"{error}. Stories wait: set the key of today, restart the workers")
        raise
    if services.looks.unrecognized(False):
        github.info("recognized", "GitHub knows the App by its private key again")
    return tried


def _unknown(services: Services, tried: Sequence[Attempt]) -> list[Attempt]:
    """The first attempt of each delivery that would start something and did not come, oldest first."""
    first = {}
    for attempt in tried:  # newest first: the oldest stays
        if (attempt.event, attempt.action) in ROUTES:
            first[attempt.guid] = attempt
    known = services.deliveries.known(list(first))
    unknown = (attempt for guid, attempt in first.items() if guid not in known)
    return sorted(unknown, key=lambda attempt: (attempt.at, attempt.id))


def _recover(services: Services, attempt: Attempt) -> Missed:
    payload = services.github.delivered(attempt.id)
    if payload is None:
        services.github.redeliver(attempt.id)
        outcome = "sent again, for the log does not have what it was"
    else:
        try:
            received = receive(services, attempt.guid, attempt.event, payload)
            outcome = f"started {received.story}" if received.new and received.story else "started nothing"
        except Malformed as error:
            # Recorded, so that it is not found again and again.
            services.deliveries.note(attempt.guid, attempt.event, attempt.action)
            outcome = f"cannot be read: {error}"
    return Missed(attempt.guid, attempt.at, attempt.event, attempt.action, attempt.status, outcome)


def nothing_before(story: Story, about: object) -> None:
    """Raises Aside until the log was read after this command came, and no older one of its thread waits."""
    services = story.services
    if not isinstance(about, CommentCreated) or commands.parse(about.body) is None:
        return
    came = services.deliveries.received_at(story.delivery)
    if came is None:
        return
    if services.looks.looked_at(DELIVERIES) <= came:
        try:
            looked = look(services)
        except GitHubError:
            looked = services.database.now_ms() > came + BLIND_MS
        if not looked:
            raise Aside(TURN_SECONDS, "GitHub's log of deliveries is read first")
    if services.queue.overtakes(story.id):
        raise Aside(0, "an older command of its thread goes first")
