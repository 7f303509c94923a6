"""Runs as GitHub's threads see them: by comment, by pull request or issue."""

from __future__ import annotations

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.run_rows import LAPTOP, STEP, Run, from_row
from bot.stores.tables import LIVE, runs


class Threads:
    def __init__(self, database: Database) -> None:
        self.database = database

    def of_comment(self, repository_id: int, comment_kind: str, comment_id: int) -> Run | None:
        """The run that this comment opened (L2)."""
        return self._first(
            runs.c.repository_id == repository_id,
            runs.c.comment_kind == comment_kind,
            runs.c.comment_id == comment_id,
        )

    def live(self, repository_id: int, thread: int) -> Run | None:
        """The thread's one live run (L3); the items of a sweep are not counted."""
        return self._first(
            runs.c.repository_id == repository_id,
            runs.c.thread == thread,
            runs.c.sweep == "",
            runs.c.state.in_(LIVE),
        )

    def all(self, repository_id: int, thread: int) -> tuple[Run, ...]:
        """Every run on it, oldest first."""
        here = sa.and_(runs.c.repository_id == repository_id, runs.c.thread == thread)
        with self.database.read() as tx:
            rows = tx.execute(sa.select(runs).where(here).order_by(runs.c.opened_at, runs.c.id))
            return tuple(from_row(row) for row in rows.mappings().all())

    def of_job(self, repository_id: int, job: str) -> int:
        """How many runs the steps of a job have had."""
        mine = sa.and_(runs.c.repository_id == repository_id, runs.c.origin == STEP, runs.c.opened_by == job)
        with self.database.read() as tx:
            return int(tx.execute(sa.select(sa.func.count()).where(mine)).scalar_one())

    def of_laptop(self, opener: str, number: int) -> Run | None:
        """The run that a laptop was given for the number that it chose."""
        return self._first(runs.c.origin == LAPTOP, runs.c.opened_by == opener, runs.c.comment_id == number)

    def _first(self, *where: sa.ColumnElement[bool]) -> Run | None:
        with self.database.read() as tx:
            row = tx.execute(sa.select(runs).where(*where)).mappings().first()
        return from_row(row) if row else None
