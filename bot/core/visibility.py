"""Who may see what: GitHub's word on repositories, the service policy's on other people's figures.

Somebody in whose hands GitHub has put none of the App's repositories sees nothing. Anybody else sees
themselves, and the sums of the repositories that they may read. The figures of others are seen in the
repositories where a viewer has the role that `viewers` names, and everywhere by the people that it names.
Who looked and who changed what is seen by its `admins`, while GitHub has them administer a repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from bot.core.places import Repo
from bot.core.roles import Role

HIDDEN = "a repository that you may not read"


@dataclass(frozen=True, slots=True)
class Viewers:
    """The service policy's `viewers`; as it stands here nobody is one. `people`, `admins` in lower case."""

    role: Role | None = None
    people: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Access:
    """A repository of the App's in which a person has a role; that anyone may read it is none."""

    repo: Repo
    role: Role


def packed(seen: Iterable[Access]) -> str:
    """As a database keeps it."""
    return json.dumps(
        [[one.repo.installation, one.repo.id, one.repo.full_name, int(one.role)] for one in seen]
    )


def unpacked(text: str) -> tuple[Access, ...]:
    return tuple(Access(Repo(*repo), Role(role)) for *repo, role in json.loads(text))


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person may see; repositories by GitHub's numbers.

    `everyone`: every person's figures, wherever they were spent; `people_in`: every person's figures in these
    repositories; `readable`: repositories whose sums and names may be seen; `admin`: who looked and who
    changed what, and how the variables of keys are called in the settings.
    """

    person: int
    everyone: bool = False
    people_in: frozenset[int] = frozenset()
    readable: frozenset[int] = frozenset()
    admin: bool = False

    @property
    def others(self) -> bool:
        """Whether anybody else's figures may be seen at all."""
        return self.everyone or bool(self.people_in)

    def figures_of(self, person: int | None) -> frozenset[int] | None:
        """Where this person's figures may be seen (none: nowhere); None: wherever they were spent.

        With `person` None the same of everybody.
        """
        return None if self.everyone or person == self.person else self.people_in

    def sums(self, *, by_person: bool, named: bool) -> frozenset[int] | None:
        """Where sums may be seen (none: nowhere); None: wherever they were spent.

        `by_person`: told apart by who spent them; `named`: of a repository that is asked for by its name.
        """
        where = self.figures_of(None) if by_person else None if self.everyone else self.readable
        return self.readable if named and where is None else where

    def run(self, repository: int | None, person: int | None) -> bool:
        """Whether one run of this person's in that repository may be seen with its figures."""
        where = self.figures_of(person)
        return where is None or repository in where

    def months_of(self, person: int) -> bool:
        """Whether how this person's caps stand may be seen: that tells of every repository at once."""
        return self.everyone or person == self.person

    def line(self, member: bool) -> bool:
        """Whether how a budget line stands may be seen, and who its members are: they spend it together."""
        return self.everyone or member

    def name(self, repository: int | None, person: int | None = None) -> bool:
        """Whether a repository, and what is in it, may be called by its name: in one's own runs it may."""
        return repository is None or repository in self.readable or person == self.person


def sight(person: int, login: str, access: Iterable[Access], viewers: Viewers) -> Sight | None:
    """What somebody sees to whom GitHub gives this access; None: nothing, for they are no member."""
    roles = {one.repo.id: one.role for one in access if one.role >= Role.READ}
    if not roles:
        return None
    enough = frozenset(id for id, role in roles.items() if viewers.role is not None and role >= viewers.role)
    admin = login.lower() in viewers.admins and Role.ADMIN in roles.values()
    return Sight(person, login.lower() in viewers.people, enough, frozenset(roles), admin)


def themselves(person: int) -> Sight:
    """What somebody sees whom nobody was asked about: themselves."""
    return Sight(person)
