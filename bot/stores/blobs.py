"""Larger things of a run: its result as the runner posted it; its conversation and its changes so far."""

from __future__ import annotations

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.tables import blobs


class Blobs:
    def __init__(self, database: Database) -> None:
        self.database = database

    def put(self, tx: sa.Connection, run: str, attempt: int, kind: str, content: bytes) -> bool:
        """Keep it; False if this run's attempt has one of this kind already (which stays)."""
        insert = self.database.insert(blobs)
        values = {"run": run, "attempt": attempt, "kind": kind, "content": content}
        made = insert.values(stored_at=self.database.now, **values).on_conflict_do_nothing()
        return tx.execute(made.returning(blobs.c.run)).first() is not None

    def replace(self, tx: sa.Connection, run: str, attempt: int, kind: str, content: bytes) -> None:
        """Keep it in the place of what this run's attempt has of this kind."""
        insert = self.database.insert(blobs)
        values = {"content": content, "stored_at": self.database.now}
        made = insert.values(run=run, attempt=attempt, kind=kind, **values)
        tx.execute(made.on_conflict_do_update(index_elements=["run", "attempt", "kind"], set_=values))

    def latest(self, run: str, kind: str) -> tuple[int, bytes] | None:
        """The newest attempt that left one of this kind, and what it left."""
        query = sa.select(blobs.c.attempt, blobs.c.content).where(blobs.c.run == run, blobs.c.kind == kind)
        with self.database.read() as tx:
            row = tx.execute(query.order_by(blobs.c.attempt.desc()).limit(1)).first()
        return (row[0], bytes(row[1])) if row else None

    def drop(self, run: str) -> None:
        """Keep nothing of this run."""
        with self.database.begin() as tx:
            tx.execute(sa.delete(blobs).where(blobs.c.run == run))

    def get(self, run: str, attempt: int, kind: str, tx: sa.Connection | None = None) -> bytes | None:
        where = sa.and_(blobs.c.run == run, blobs.c.attempt == attempt, blobs.c.kind == kind)
        query = sa.select(blobs.c.content).where(where)
        if tx is not None:
            row = tx.execute(query).first()
        else:
            with self.database.read() as reading:
                row = reading.execute(query).first()
        return bytes(row[0]) if row else None
