"""Commits of outsiders that an insider lets run: kept for good, each for its own pull request (P4)."""

from __future__ import annotations

import sqlalchemy as sa

from bot.stores import switch
from bot.stores.database import Database
from bot.stores.tables import approvals


class Approvals:
    def __init__(self, database: Database) -> None:
        self.database = database

    def record(
        self,
        *,
        repository_id: int,
        repository: str,
        number: int,
        sha: str,
        author: str,
        approved_by: str,
        role: str,
        comment_id: int,
    ) -> None:
        """That this very commit may run on this pull request; the first who said so stands."""
        made = self.database.insert(approvals).values(
            repository_id=repository_id,
            repository=repository,
            number=number,
            sha=sha,
            author=author,
            approved_by=approved_by,
            role=role,
            comment_id=comment_id,
            approved_at=self.database.now,
        )
        with self.database.begin() as tx:
            if tx.execute(made.on_conflict_do_nothing().returning(approvals.c.sha)).first() is not None:
                about = {"number": number, "sha": sha, "author": author, "role": role}
                switch.record(tx, self.database, approved_by, "approved", repository, about)

    def of(self, repository_id: int, number: int, sha: str) -> str | None:
        """Who approved it; None: nobody has."""
        query = sa.select(approvals.c.approved_by).where(
            approvals.c.repository_id == repository_id,
            approvals.c.number == number,
            approvals.c.sha == sha,
        )
        with self.database.read() as tx:
            return tx.execute(query).scalar_one_or_none()
