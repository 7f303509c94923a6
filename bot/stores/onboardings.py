"""What became of each repository that the App was installed on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from bot.core.places import Repo
from bot.stores.database import Database
from bot.stores.switch import record
from bot.stores.tables import onboardings


@dataclass(frozen=True, slots=True)
class Onboarding:
    """`state`: ready | proposed | declined | skipped | refused | left; `url`: of its pull request."""

    repository: str
    state: str
    message: str
    url: str


class Onboardings:
    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, repo: Repo, state: str, message: str = "", url: str = "") -> None:
        """The last word about a repository stands."""
        told = {
            "installation": repo.installation,
            "repository": repo.full_name,
            "state": state,
            "message": message,
            "url": url,
            "at": self.database.now,
        }
        made = self.database.insert(onboardings).values(repository_id=repo.id, **told)
        known = sa.select(onboardings.c.state).where(onboardings.c.repository_id == repo.id)
        with self.database.begin() as tx:
            before = tx.execute(known).scalar()
            tx.execute(made.on_conflict_do_update(index_elements=["repository_id"], set_=told))
            if before != state:
                record(tx, self.database, "", "onboarded", repo.full_name, {"state": state, "why": message})

    def leave(self, installation: int, repositories: Collection[int] | None, why: str) -> None:
        """The App sees these repositories of the installation no more; None: none of it."""
        here = onboardings.c.installation == installation
        if repositories is not None:
            here = sa.and_(here, onboardings.c.repository_id.in_(repositories))
        gone = sa.update(onboardings).where(here).values(state="left", message=why, at=self.database.now)
        with self.database.begin() as tx:
            for name in tx.execute(gone.returning(onboardings.c.repository)).scalars().all():
                record(tx, self.database, "", "onboarded", name, {"state": "left", "why": why})

    def of(self, repository_id: int) -> Onboarding | None:
        found = self._found(onboardings.c.repository_id == repository_id)
        return found[0] if found else None

    def all(self) -> tuple[Onboarding, ...]:
        """By name."""
        return self._found(sa.true())

    def _found(self, where: sa.ColumnElement[bool]) -> tuple[Onboarding, ...]:
        columns = onboardings.c.repository, onboardings.c.state, onboardings.c.message, onboardings.c.url
        query = sa.select(*columns).where(where).order_by(onboardings.c.repository)
        with self.database.read() as tx:
            return tuple(Onboarding(*row) for row in tx.execute(query).all())
