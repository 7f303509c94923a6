"""Where something happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository and the installation through which we may reach it."""

    installation: int
    id: int
    full_name: str

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        return self.full_name.partition("/")[2]

    @property
    def path(self) -> str:
        """Where the API keeps it: `/repos/OWNER/NAME`."""
        return f"/repos/{self.full_name}"
