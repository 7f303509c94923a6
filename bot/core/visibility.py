"""Who may see what: GitHub's word on repositories, the service policy's on other people's figures.

Somebody in whose hands GitHub has put none of the App's repositories sees nothing. Anybody else sees
themselves, and the sums of the repositories that they may read. The figures of others are seen in the
repositories where a viewer has the role that `viewers` names, and everywhere by the people that it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.core.places import Repo
from bot.core.roles import Role


@dataclass(frozen=True, slots=True)
class Viewers:
    """The service policy's `viewers`; as it stands here nobody is one. `people` in lower case."""

    role: Role | None = None
    people: frozenset[str] = frozenset()

    @property
    def named(self) -> bool:
        """Whether anybody could be one."""
        return self.role is not None or bool(self.people)


@dataclass(frozen=True, slots=True)
class Access:
    """A repository of the App's in which a person has a role; that anyone may read it is none."""

    repo: Repo
    role: Role


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person may see; repositories by GitHub's numbers.

    `everyone`: every person's figures, wherever they were spent; `people_in`: every person's figures in these
    repositories; `readable`: repositories whose sums and names may be seen.
    """

    person: int
    everyone: bool = False
    people_in: frozenset[int] = frozenset()
    readable: frozenset[int] = frozenset()

    @property
    def others(self) -> bool:
        """Whether anybody else's figures may be seen at all."""
        return self.everyone or bool(self.people_in)

    def figures_of(self, person: int | None) -> frozenset[int] | None:
        """Where this person's figures may be seen (none: nowhere); None: wherever they were spent.

        With `person` None the same of everybody.
        """
        return None if self.everyone or person == self.person else self.people_in

    def months_of(self, person: int) -> bool:
        """Whether how this person's caps stand may be seen: that tells of every repository at once."""
        return self.everyone or person == self.person

    def name(self, repository: int | None, person: int | None = None) -> bool:
        """Whether a repository, and what is in it, may be called by its name: in one's own runs it may."""
        return repository is None or repository in self.readable or person == self.person


def sight(person: int, login: str, access: Iterable[Access], viewers: Viewers) -> Sight | None:
    """What somebody sees to whom GitHub gives this access; None: nothing, for they are no member."""
    roles = {one.repo.id: one.role for one in access if one.role >= Role.READ}
    if not roles:
        return None
    enough = frozenset(id for id, role in roles.items() if viewers.role is not None and role >= viewers.role)
    return Sight(person, login.lower() in viewers.people, enough, frozenset(roles))


def themselves(person: int) -> Sight:
    """What somebody sees whom nobody was asked about: themselves."""
    return Sight(person)
