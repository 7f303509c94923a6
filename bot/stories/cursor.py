"""What Cursor's admin API tells is booked once an hour: what is new, and what is told otherwise by now (R33).

It is read a week at a time and booked a day at a time, each day whole or not at all; who dies in between has
booked the days before, and the next import goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bot.clients.cursor import CursorApi, CursorError, Say, silent
from bot.core.caps import month_of
from bot.core.cursor import Event, Outcome
from bot.core.cursor_words import Cycle, Imported, as_line
from bot.core.drift import day_of
from bot.core.money import ZERO
from bot.core.times import DAY_MS, HOUR_MS
from bot.logs import Log
from bot.services import Services
from bot.stores.cursor import LOOK, Superseded
from bot.stories.durable import Story, name_of

DAYS = 3  # looked at every hour, for what Cursor tells late or otherwise
MOST_DAYS = 31  # looked at once a day
SPAN = 7 * DAY_MS  # of one request's window
BUSY = "another process imports from Cursor just now; nothing was done here"

log = Log("cursor")


def hourly(story: Story) -> str:
    """The last days' events; a sentence of what came of it."""
    return str(story.step("import", _recent, story.services))


def enqueue(services: Services) -> None:
    """Have it done once an hour, by whichever worker is first: more often there is nothing new."""
    if services.cursor is not None:
        hour = services.database.now_ms() // HOUR_MS
        services.queue.put(name_of(hourly), f"cursor-{hour}")


def _recent(services: Services) -> str:
    now = services.database.now_ms()
    reached = services.looks.reached(LOOK) or now - MOST_DAYS * DAY_MS
    # The first of a day looks at a month; after an outage it goes back to where the last one came.
    back = DAYS if day_of(reached) == day_of(now) else MOST_DAYS
    since = min(now // DAY_MS - back, reached // DAY_MS) * DAY_MS
    try:
        found = imported(services, since, now)
    except (CursorError, Superseded) as error:
        log.warning("unread", str(error))
        return str(error)
    if found.unread:
        log.warning("unread", found.unread)
    return as_line(found.outcome)


def imported(
    services: Services,
    since: int,
    until: int,
    say: Say = silent,
    tell: Callable[[str], None] = lambda words: None,
) -> Imported:
    """Book what is told of [since, until) ms; `say` hears of each page, `tell` of each day that changes.

    Done again with the same, nothing is booked. Raises CursorError and Superseded; what was booked before
    stands.
    """
    api = services.cursor
    if api is None:
        raise CursorError("CURSOR_ADMIN_KEY is not set: without it nothing of Cursor's can be read")
    for gone in services.processes.dead("cursor", services.process):
        services.processes.stop(gone)  # an import that was killed holds nobody up
    reached = services.looks.begin(LOOK, -MOST_DAYS * DAY_MS)
    if reached is None:
        raise Superseded(BUSY)
    through = None
    try:
        found = _booked(services, api, since, until, _alive(services, say), tell)
        through = until if since <= reached <= until else None  # without a gap
    finally:
        services.looks.end(LOOK, through)
    return found


def _alive(services: Services, say: Say) -> Say:
    """Whoever looks is still there while pages are asked for."""

    def heard(report: str, page: int) -> None:
        services.looks.go_on(LOOK)
        services.processes.seen(services.process)
        say(report, page)

    return heard


def _booked(
    services: Services, api: CursorApi, since: int, until: int, say: Say, tell: Callable[[str], None]
) -> Imported:
    store, outcome, kept, unpriced = services.cursor_events, Outcome(), ZERO, 0
    say("what is older", 1)
    # Where nothing older is told, what is booked and told no more may have been forgotten, not taken back.
    first = since if api.older(since) else None
    for start in range(since, until, SPAN):
        end = min(until, start + SPAN)
        told = api.events(start, end, say)
        unpriced += sum(not event.priced for event in told)
        if first is None and told:
            first = min(event.key.at for event in told)
        known = end if first is None else max(start, first)
        kept += store.total(start, known)
        for low, high, events in _days(known, end, told):
            came = store.book(low, high, events, lambda at: month_of(at, services.policy.caps.zone))
            outcome += came
            if came.events or came.corrections:
                tell(f"{day_of(low)}: {as_line(came)}")
    cycle, unread = _cycle(services, api, say)
    return Imported(since, until, outcome, kept, unpriced, cycle, unread)


def _days(since: int, until: int, told: Iterable[Event]) -> Iterable[tuple[int, int, Sequence[Event]]]:
    by_day: dict[int, list[Event]] = {}
    for event in told:
        by_day.setdefault(event.key.at // DAY_MS, []).append(event)
    for day in range(since // DAY_MS, -(-until // DAY_MS)):
        yield max(since, day * DAY_MS), min(until, (day + 1) * DAY_MS), by_day.get(day, ())


def _cycle(services: Services, api: CursorApi, say: Say) -> tuple[Cycle | None, str]:
    """Cursor's own sums of the billing cycle beside what is booked of it; else why they are not there."""
    try:
        spent = api.spent(say)
    except CursorError as error:
        return None, f"spend by user was not read: {error}"
    booked = services.cursor_events.by_email(spent.since, services.database.now_ms())
    return Cycle(spent.since, spent.by_email, booked), ""
