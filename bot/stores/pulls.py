"""Merged pull requests, and which runs' spend belongs to each (R17)."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from bot.stores.database import Database
from bot.stores.tables import attributions, pulls, runs


class Pulls:
    def __init__(self, database: Database) -> None:
        self.database = database

    def merged(
        self,
        *,
        repository_id: int,
        repository: str,
        number: int,
        title: str,
        author: str,
        merge_sha: str,
        merged_at: int,
    ) -> None:
        """Remember that it merged; the first word stands."""
        values = {"repository_id": repository_id, "repository": repository, "number": number}
        about = {"title": title, "author": author, "merge_sha": merge_sha, "merged_at": merged_at}
        with self.database.begin() as tx:
            tx.execute(self._insert(pulls).values({**values, **about}).on_conflict_do_nothing())

    def attribute(self, repository_id: int, number: int, closes: Sequence[tuple[str, int]]) -> int:
        """Give it every run on it, on the issues it `closes` and on attempts before it; how many are new.

        A run belongs to one pull request at most: the one that merged first.
        """
        made = 0
        for because, which in self._belonging(repository_id, number, closes):
            query = sa.select(
                runs.c.id,
                sa.literal(repository_id, sa.BigInteger),
                sa.literal(number, sa.BigInteger),
                sa.literal(because),
            ).where(which)
            columns = ["run", "repository_id", "number", "because"]
            insert = self._insert(attributions).from_select(columns, query)
            with self.database.begin() as tx:
                added = insert.on_conflict_do_nothing().returning(attributions.c.run)
                made += len(tx.execute(added).all())
        return made

    @staticmethod
    def _belonging(
        repository_id: int, number: int, closes: Sequence[tuple[str, int]]
    ) -> list[tuple[str, sa.ColumnElement[bool]]]:
        here = runs.c.repository_id == repository_id
        issue = sa.or_(
            sa.false(),
            *(
                sa.and_(sa.func.lower(runs.c.repository) == name.lower(), runs.c.thread == closed)
                for name, closed in closes
            ),
        )
        attempt = runs.alias("attempt")
        tried = (
            sa.select(sa.literal(1))
            .select_from(attempt)
            .where(
                attempt.c.published_pull == runs.c.thread,
                attempt.c.repository_id == runs.c.repository_id,
                sa.or_(
                    sa.false(),
                    *(
                        sa.and_(
                            sa.func.lower(attempt.c.repository) == name.lower(), attempt.c.thread == closed
                        )
                        for name, closed in closes
                    ),
                ),
            )
            .exists()
        )
        return [
            ("on the pull request", sa.and_(here, runs.c.thread == number)),
            ("made the pull request", sa.and_(here, runs.c.published_pull == number)),
            ("on the issue it closes", issue),
            ("on an earlier attempt", tried),
        ]

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self.database.kind == "sqlite" else postgresql.insert(table)
