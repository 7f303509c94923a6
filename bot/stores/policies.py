"""What the policy files said when they were read last: for who asks what holds, and what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.switch import record
from bot.stores.tables import policies

SERVICE = 0  # the number of the service's own; GitHub gives it to no repository


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """`content`: None where there is no such file. `sha`: a commit at which it says this; times in ms."""

    repository: str
    branch: str
    sha: str
    content: bytes | None
    changed_at: int
    read_at: int


class Policies:
    def __init__(self, database: Database) -> None:
        self.database = database

    def of(self, repository_id: int) -> KeptPolicy | None:
        """None: it was never read."""
        columns = (policies.c[name] for name in KeptPolicy.__slots__)
        query = sa.select(*columns).where(policies.c.repository_id == repository_id)
        with self.database.read() as tx:
            row = tx.execute(query).first()
        return None if row is None else KeptPolicy(*row)

    def read(self, repository_id: int) -> None:
        """It was read, and says what it said."""
        same = sa.update(policies).where(policies.c.repository_id == repository_id)
        with self.database.begin() as tx:
            tx.execute(same.values(read_at=self.database.now))

    def keep(
        self,
        repository_id: int,
        repository: str,
        branch: str,
        sha: str,
        content: bytes | None,
        changes: Sequence[str] | None,
    ) -> None:
        """It says something else than what is kept; `changes` go to the audit log, None: the first look."""
        now = self.database.now
        told = {
            "repository": repository,
            "branch": branch,
            "sha": sha,
            "content": content,
            "changed_at": now,
            "read_at": now,
        }
        made = self.database.insert(policies).values(repository_id=repository_id, **told)
        with self.database.begin() as tx:
            tx.execute(made.on_conflict_do_update(index_elements=["repository_id"], set_=told))
            if changes is not None:
                about = {"sha": sha, "changes": list(changes)}
                record(tx, self.database, "", "policy changed", repository, about)
