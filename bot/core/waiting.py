"""How many runs may be live at once, and who of those that wait goes next.

Order: whose person has the fewest live runs, then whose repository, then who came first. So one person's
fifty waiting runs never hold up another's one, and nobody waits while there is room under all their limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.core.caps import Line, Scope

Key = tuple[Scope, str]
MOST_LINKS = 5


@dataclass(frozen=True, slots=True)
class Concurrency:
    """The policy's `concurrency`: how many runs of one person, and in one repository, may be live at once."""

    person: int = 5
    repository: int = 20


@dataclass(frozen=True, slots=True)
class Limit:
    """How many runs may be live under it, whatever the month: open or running, not those that wait.

    `id`: GitHub's number of whose it is, a line's name or a sweep's id; `name`: how people call it.
    """

    scope: Scope
    id: str
    name: str
    at_once: int

    @property
    def key(self) -> Key:
        return self.scope, self.id


@dataclass(frozen=True, slots=True)
class Full:
    """A limit under which there is no room."""

    limit: Limit
    live: int

    def __str__(self) -> str:
        runs = f"{self.live} run{'s' if self.live != 1 else ''}"
        return f"{self.limit.name} has {runs} at once, as many as it may have"


@dataclass(frozen=True, slots=True)
class Live:
    """A run as it counts while it is live: for its person, in its repository, `under` every limit's key."""

    run: str
    person: int
    repository: int
    under: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits: as it would count, the limits that it has to find room under, since when in ms."""

    one: Live
    limits: tuple[Limit, ...]
    since: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting run stands: `position` from 1 among those that wait for the same; what is `full`, and
    which live runs are under it. Nothing full: it is let in with the next look, or waits for money."""

    position: int
    full: Full | None = None
    live: tuple[str, ...] = ()


class Crowd:
    """The live runs, counted; it grows as those who wait are let in."""

    def __init__(self, live: Iterable[Live]) -> None:
        self._people: Counter[int] = Counter()
        self._repositories: Counter[int] = Counter()
        self._under: Counter[Key] = Counter()
        for one in live:
            self.enter(one)

    def enter(self, one: Live) -> None:
        self._people[one.person] += 1
        self._repositories[one.repository] += 1
        self._under.update(one.under)

    def full(self, limits: Iterable[Limit]) -> Full | None:
        """The first of them under which there is no room."""
        for limit in limits:
            if (live := self._under[limit.key]) >= limit.at_once:
                return Full(limit, live)
        return None

    def rank(self, waiting: Waiting) -> tuple[int, int, int, str]:
        """The lowest goes first."""
        one = waiting.one
        return self._people[one.person], self._repositories[one.repository], waiting.since, one.run


def told(place: Place, links: Sequence[str]) -> str:
    """What it waits for, as a sentence; `links`: to those of the live runs that whoever reads it may see."""
    if place.full is None:
        return "There is room for it; what live runs hold of a monthly cap may have to come back first."
    shown = list(links[:MOST_LINKS])
    if others := len(place.live) - len(shown):
        shown.append(f"{others} more" if shown else f"{others} elsewhere")
    return f"{place.full}: {', '.join(shown)}."


def limits(
    concurrency: Concurrency,
    person: tuple[int, str],
    repository: tuple[int, str],
    line: tuple[str, Line] | None = None,
) -> tuple[Limit, ...]:
    """Every limit that a launch has to find room under; `person`, `repository` as (GitHub's number, name).

    On a `line` its own number takes the place of the person's, as its month does.
    """
    found = []
    if line is None:
        found.append(Limit(Scope.PERSON, str(person[0]), person[1], concurrency.person))
    elif line[1].concurrency is not None:
        found.append(Limit(Scope.LINE, line[0], f"the line {line[0]}", line[1].concurrency))
    found.append(Limit(Scope.REPOSITORY, str(repository[0]), repository[1], concurrency.repository))
    return tuple(found)


def admissible(waiting: Sequence[Waiting], live: Iterable[Live]) -> tuple[Waiting, ...]:
    """Those that there is room for now, in the order in which they are let in."""
    crowd, left, found = Crowd(live), list(waiting), []
    while fitting := [one for one in left if crowd.full(one.limits) is None]:
        chosen = min(fitting, key=crowd.rank)
        left.remove(chosen)
        crowd.enter(chosen.one)
        found.append(chosen)
    return tuple(found)


def places(waiting: Sequence[Waiting], live: Sequence[Live]) -> dict[str, Place]:
    """Where each of them stands, by its run: among those that wait under what it waits for."""
    crowd = Crowd(live)
    found: dict[str, Place] = {}
    behind: set[Key] = set()
    for one in waiting:
        full = crowd.full(one.limits)
        if full is None:
            found[one.one.run] = Place(1)
        else:
            behind.add(full.limit.key)
    for key in behind:
        there = tuple(one.run for one in live if key in one.under)
        rivals = [one for one in waiting if key in {limit.key for limit in one.limits}]
        for position, rival in enumerate(_ranked(rivals, live), 1):
            full = crowd.full(rival.limits)
            if full is not None and full.limit.key == key:
                found[rival.one.run] = Place(position, full, there)
    return found


def _ranked(waiting: Sequence[Waiting], live: Iterable[Live]) -> Iterable[Waiting]:
    """In the order in which they would be let in, were there room for one after the other."""
    crowd, left = Crowd(live), list(waiting)
    while left:
        chosen = min(left, key=crowd.rank)
        left.remove(chosen)
        crowd.enter(chosen.one)
        yield chosen
