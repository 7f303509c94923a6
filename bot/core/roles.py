"""What GitHub lets a person do in a repository, in order."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """A person's role in a repository; a greater one may whatever a lesser one may."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5

    @staticmethod
    def parse(name: str) -> Role:
        """`"maintain"`, as GitHub and a policy file spell it. Raises ValueError."""
        try:
            return Role[name.strip().upper()]
        except KeyError:
            known = ", ".join(role.name.lower() for role in Role)
            raise ValueError(f"{name!r} is not a role: {known}") from None

    def __str__(self) -> str:
        return self.name.lower()
