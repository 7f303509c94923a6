"""Which merged pull request a run's spend belongs to (R17): the rule, over what is known, in any order.

A run belongs to the first pull request to merge, by GitHub's time, of those that it has to do with:
- it ran on it, or its work was proposed as it, whenever that was;
- it ran on an issue that it closes, and had begun by the merge;
- it ran on an earlier attempt, or made one, and had begun by the merge. An attempt is a pull request that was
  closed without a merge and closes one of those issues, or that a run of the same work has made or was on.

An item of a sweep that has made a pull request follows that one alone, and not its issue: the others are not
its work.

A pull request that a run has opened onto the branch of another one delivers nothing by itself: when it is
merged, its runs follow that other one. Across repositories only what one installation covers comes together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

Place = tuple[int, int]  # a repository's id and the number of an issue or pull request there

SECOND = 1000  # GitHub tells times in whole seconds

ON, MADE = "on the pull request", "made the pull request"
ISSUE, ATTEMPT = "on the issue it closes", "on an earlier attempt"

_REVERTS = re.compile(r"Reverts (?:([\w.-]+/[\w.-]+))?#([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Pull:
    """What GitHub said last of a pull request that is closed or was; `merged_at` is ms since the epoch."""

    place: Place
    installation: int
    base: str  # the branch it goes to
    merged_at: int | None = None
    closed: bool = True
    closes: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True)
class Work:
    """A run: the thread that it was on (`branch`: of a pull request), and the pull request that it made."""

    run: str
    installation: int
    thread: Place
    opened_at: int
    made: Place | None = None
    branch: str = ""
    item: bool = False  # one of a sweep


@dataclass(frozen=True, slots=True)
class Attribution:
    place: Place
    because: str


def attribute(pulls: Iterable[Pull], works: Iterable[Work]) -> dict[str, Attribution]:
    """Each run that belongs to a merged pull request. Whole threads and all that hangs on them, or none."""
    known = _Known({pull.place: pull for pull in pulls}, tuple(works))
    best: dict[str, tuple[tuple[int, Place], str]] = {}
    for pull in known.delivered:
        order = (pull.merged_at or 0, pull.place)
        for run, because in known.belonging(pull):
            # Of the reasons for one pull request the first stands: `belonging` tells the closest first.
            if run not in best or order < best[run][0]:
                best[run] = (order, because)
    return {run: Attribution(order[1], because) for run, (order, because) in best.items()}


@dataclass(frozen=True)
class _Known:
    pulls: dict[Place, Pull]
    works: tuple[Work, ...]

    @cached_property
    def hosts(self) -> dict[Place, Place]:
        """Merged pull requests that went into another one's branch, and that other one."""
        found: dict[Place, Place] = {}
        for work in sorted(self.works, key=lambda work: work.run):
            made = self.pulls.get(work.made) if work.made else None
            if made is not None and made.merged_at is not None and made.base == work.branch:
                found.setdefault(made.place, work.thread)
        return found

    def root(self, place: Place) -> Place:
        """Where the work of a pull request ends up; itself, where that would go in circles."""
        seen = [place]
        while (host := self.hosts.get(seen[-1])) is not None:
            if host in seen:
                return min(seen[seen.index(host) :])
            seen.append(host)
        return seen[-1]

    @property
    def delivered(self) -> Iterator[Pull]:
        return (p for p in self.pulls.values() if p.merged_at is not None and self.root(p.place) == p.place)

    @cached_property
    def groups(self) -> dict[Place, set[Place]]:
        """By pull request: itself and all that were merged into it."""
        made: dict[Place, set[Place]] = {}
        for place in self.pulls:
            made.setdefault(self.root(place), set()).add(place)
        return made

    def belonging(self, pull: Pull) -> Iterator[tuple[str, str]]:
        """The runs that have to do with it and why, the closest reason of each first."""
        mine = self.groups[pull.place]
        issues = {issue for place in mine for issue in self.pulls[place].closes}
        near = [work for work in self.works if _together(pull, work)]
        begun = [work for work in near if work.opened_at < (pull.merged_at or 0) + SECOND]
        on_issue = [work for work in begun if not (work.item and work.made)]
        attempts, none = self._attempts(mine, issues, near), set[Place]()
        for works, because, threads, made in (
            (near, ON, mine, none),
            (near, MADE, none, mine),
            (on_issue, ISSUE, issues, none),
            (begun, ATTEMPT, attempts, attempts),
        ):
            for work in works:
                if work.thread in threads or work.made in made:
                    yield work.run, because

    def _attempts(self, mine: set[Place], issues: set[Place], near: list[Work]) -> set[Place]:
        """The superseded pull requests of the same work, and those that were merged into them."""
        found: set[Place] = set()
        reached = mine | issues
        superseded = [pull for pull in self.pulls.values() if pull.closed and pull.merged_at is None]
        while True:
            more = {
                place
                for pull in superseded
                if pull.place not in reached
                for place in self.groups[pull.place]
                if pull.closes & issues or self._joined(self.groups[pull.place], reached, near)
            }
            if not more:
                return found
            found |= more
            reached |= more

    @staticmethod
    def _joined(group: set[Place], reached: set[Place], near: list[Work]) -> bool:
        return any(
            (work.made in group and work.thread in reached) or (work.thread in group and work.made in reached)
            for work in near
        )


def reverts(title: str, body: str, repository: str) -> int | None:
    """The number of the pull request that this one takes back, by the words that GitHub's button writes."""
    first = next((line.strip() for line in body.splitlines() if line.strip()), "")
    found = _REVERTS.fullmatch(first) if title.startswith("Revert ") else None
    if found is None or (found[1] or repository).lower() != repository.lower():
        return None
    return int(found[2])


def reverted(takes_back: Mapping[Place, Place]) -> set[Place]:
    """What is taken back by merged pull requests that are not taken back themselves."""
    gone: set[Place] = set()
    # Whoever takes back something is younger, so its own fate is known first.
    for place in sorted(takes_back, reverse=True):
        if place not in gone and takes_back[place] < place:
            gone.add(takes_back[place])
    return gone


def _together(pull: Pull, work: Work) -> bool:
    """Whether they may be seen together: one repository, or one installation."""
    return work.thread[0] == pull.place[0] or work.installation == pull.installation
