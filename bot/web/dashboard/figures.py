"""The figures of pages and API, as far as a visitor may see them, from the stores that the CLI asks too."""

from __future__ import annotations

from dataclasses import replace

from bot.core.caps import Standing, accounts_of, of_installation, of_line, of_person, of_repository
from bot.core.cursor import Share
from bot.core.money import total
from bot.core.person_month import PersonMonth
from bot.core.rollup import Part, Rollup, Task
from bot.core.visibility import HIDDEN, Sight
from bot.services import Services
from bot.stories.ruling import own_cap
from bot.web.answers import Problem
from bot.web.who import Visitor

NOT_YOURS = (
    "Other people's figures are seen by whoever the service's policy names in `viewers`, by role or by name, "
    "and you are not among them. Your own month is at /me"
)


def team(services: Services, sight: Sight, month: str) -> Rollup:
    """The month by person, where the visitor may see people. Raises Problem 403."""
    if not sight.others:
        raise Problem(403, NOT_YOURS)
    now = services.database.utc()
    where = sight.figures_of(None)
    caps = services.policy.caps
    accounts = caps.accounts if where is None else None  # Cursor's events are in no repository
    found = services.rollups.read(month, now, caps.zone, repositories=where, accounts=accounts)
    return replace(found, top=tuple(named(sight, task) for task in found.top))


def person_of(services: Services, visitor: Visitor, login: str) -> tuple[int, str]:
    """Whose month is asked for: number and name. Raises Problem 403, and 404 to who may see others."""
    if login.lower() == visitor.login.lower():
        return visitor.person, visitor.login
    if not visitor.sight.others:
        raise Problem(403, NOT_YOURS)  # whether there is such a person or not
    found = services.rollups.person(login, visitor.sight.figures_of(None))
    if found is None:
        raise Problem(404, f"Nobody called {login[:100]} has launched a run here")
    return found


def person_month(services: Services, sight: Sight, person: tuple[int, str], month: str) -> PersonMonth:
    """One person's month, as far as it may be seen. Raises Problem 403."""
    id, login = person
    where = sight.figures_of(id)
    if where is not None and not where:
        raise Problem(403, NOT_YOURS)
    store, whole = services.rollups, sight.months_of(id)
    lines = store.by_line(month, id, where)
    cap = own_cap(services, person) if whole else None
    accounts = accounts_of(services.policy.caps, login, services.people.names(id, None).person)
    return PersonMonth(
        login=login,
        month=month,
        usd=total(part.usd for part in lines),
        tasks=sum(part.tasks for part in lines),
        whole=whole,
        caps=services.people.standings((cap,) if cap else (), month),
        lines=tuple(part for part in lines if part.name),
        repositories=tuple(
            part if sight.name(part.id, id) else replace(part, name=HIDDEN)
            for part in store.by_repository(month, id, where)
        ),
        runs=tuple(named(sight, task, id) for task in store.tasks(month, id, where)),
        opened=services.people.opened(month, cap) if cap else (),
        cursor=total(services.cursor_events.month(month, accounts).values()) if whole else None,
    )


def caps_of_people(services: Services, rollup: Rollup) -> dict[int, Standing]:
    """How each person's own cap stands, by person; who has none is left out."""
    policy = services.policy.caps
    named = {*policy.people, *policy.accounts.values()}
    before = services.people.called([person.id for person in rollup.people], named)
    caps = {
        person.id: cap
        for person in rollup.people
        if (cap := of_person(policy, (person.id, person.name), before.get(person.id, frozenset())))
    }
    return dict(
        zip(caps, services.people.standings_of_people(tuple(caps.values()), rollup.month), strict=True)
    )


def caps_with_cursor(services: Services, rollup: Rollup) -> tuple[tuple[Share, Standing | None], ...]:
    """What was used with Cursor, and how the cap of each person stands that has no run in the month."""
    known = {person.id for person in rollup.people}
    told = rollup.cursor or ()
    new = [share for share in told if share.known and share.person not in known]
    caps = {share: of_person(services.policy.caps, (share.person, share.name)) for share in new}
    capped = [share for share, cap in caps.items() if cap is not None]
    stand = services.people.standings_of_people([cap for cap in caps.values() if cap], rollup.month)
    by_share = dict(zip(capped, stand, strict=True))
    return tuple((share, by_share.get(share)) for share in told)


def shared_caps(services: Services, visitor: Visitor, month: str) -> tuple[Standing, ...]:
    """How the caps that are nobody's own stand: installations, repositories, lines; for who sees everyone."""
    caps, policy = [], services.policy
    if policy.caps.installation is not None:
        ids = sorted({one.repo.installation for one in visitor.access})
        caps += [of_installation(id, policy.caps.installation) for id in ids]
    for part in services.rollups.by_repository(month) if policy.caps.repositories else ():
        if part.id is not None and (cap := of_repository(policy.caps, (part.id, part.name))):
            shown = cap if visitor.sight.name(part.id) else replace(cap, name=HIDDEN)
            caps.append(shown)
    caps += [of_line(name, line) for name, line in policy.lines.items()]
    return services.people.standings(tuple(caps), month)


def readable(services: Services, sight: Sight, month: str) -> tuple[Part, ...]:
    """The sums of the repositories that the visitor may read."""
    return services.rollups.by_repository(month, repositories=sight.readable)


def named(sight: Sight, task: Task, person: int | None = None) -> Task:
    """A task, without what tells of a repository that the visitor may not read."""
    if sight.name(task.repository_id, person):
        return task
    return replace(task, repository=HIDDEN, thread=None, url="")
