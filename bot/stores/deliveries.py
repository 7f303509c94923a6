"""Deliveries of webhooks and refusals of commands: each is recorded once.

The delivery id is only a quick check, for it is not under the signature: a comment acts once, whatever
delivery brings it (L2). Most deliveries start nothing, and there may be hundreds a second: those are written
as the ledger writes, and those that come at once in one transaction: of two processes that write to one
SQLite file either may have to wait for a tenth of a second, again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.drivers import Driver
from bot.stores.queue import Queue, Turn
from bot.stores.tables import deliveries, handled, refusals
from bot.stores.together import Together

CHUNK = 500  # ids in one query


class Deliveries:
    def __init__(self, database: Database, queue: Queue, driver: Driver) -> None:
        self.database = database
        self.queue = queue
        self._driver = driver
        self._note = Together(self._noted)

    def note(self, delivery: str, event: str, action: str) -> bool:
        """Record one that starts nothing; False if it had come before."""
        return self._note((delivery, event, action))

    def _noted(self, some: Sequence[tuple[str, str, str]]) -> list[bool]:
        insert = (
            "INSERT INTO deliveries (id, event, action, received_at) "
            f"VALUES (?, ?, ?, {self.database.clock}) ON CONFLICT DO NOTHING RETURNING id"
        )
        new = [False] * len(some)
        with self._driver.write() as send:
            # In one order everywhere: two processes that each wait for what the other has written would stay.
            for place in sorted(range(len(some)), key=some.__getitem__):
                new[place] = bool(send(insert, some[place]))
        return new

    def record(
        self,
        delivery: str,
        event: str,
        action: str,
        story: str,
        *arguments: Any,
        turn: Turn | None = None,
    ) -> bool:
        """Record it and enqueue its story, both or neither; False if it had come before.

        A redelivery whose story failed goes on with it under a key of its own. One whose story is gone starts
        nothing: it was there once, and was told and dropped, for its age or because a person was forgotten.
        """
        values = {"id": delivery, "event": event, "action": action, "story": story}
        insert = self.database.insert(deliveries).values(received_at=self.database.now, **values)
        with self.database.begin() as tx:
            # rowcount is -1 here on PostgreSQL: only a returned row tells.
            new = tx.execute(insert.on_conflict_do_nothing().returning(deliveries.c.id)).first()
            if new:
                self.queue.enqueue(tx, story, delivery, *arguments, turn=turn)
        if not new:
            self.queue.retry(story, delivery, *arguments, turn=turn)
        return new is not None

    def known(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of these deliveries that have come."""
        found: set[str] = set()
        with self.database.read() as tx:
            for start in range(0, len(ids), CHUNK):
                some = deliveries.c.id.in_(ids[start : start + CHUNK])
                found.update(tx.execute(sa.select(deliveries.c.id).where(some)).scalars())
        return frozenset(found)

    def received_at(self, id: str) -> int | None:
        """When it came; None for one that did not."""
        with self.database.read() as tx:
            query = sa.select(deliveries.c.received_at).where(deliveries.c.id == id)
            return tx.execute(query).scalar_one_or_none()

    def taken(self, repository_id: int, comment_kind: str, comment_id: int) -> bool:
        """Whether a story has acted for this comment."""
        about = {"repository_id": repository_id, "comment_kind": comment_kind, "comment_id": comment_id}
        with self.database.read() as tx:
            return tx.execute(sa.select(handled.c.story).filter_by(**about)).first() is not None

    def take(self, repository_id: int, comment_kind: str, comment_id: int, story: str) -> bool:
        """Whether `story` acts for this comment: the first that asks does, as often as it asks."""
        about = {"repository_id": repository_id, "comment_kind": comment_kind, "comment_id": comment_id}
        insert = self.database.insert(handled).values(story=story, handled_at=self.database.now, **about)
        acts = sa.select(handled.c.story).filter_by(**about)
        with self.database.begin() as tx:
            tx.execute(insert.on_conflict_do_nothing())
            return bool(tx.execute(acts).scalar_one() == story)


@dataclass(frozen=True, slots=True)
class RefusedAsk:
    """Who was (GitHub's number, name), and the run that they wanted to go on with, if any."""

    person: tuple[int, str]
    run: str | None


class Refusals:
    """What was asked and started nothing."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(
        self,
        *,
        repository_id: int,
        repository: str,
        thread: int | None,
        comment_kind: str,
        comment_id: int,
        actor: str,
        actor_id: int | None,
        reason: str,
        message: str,
        run: str | None = None,
    ) -> bool:
        """Once for each comment; the first reason stands. Whether it is this person's first here for it."""
        insert = self.database.insert(refusals).values(
            repository_id=repository_id,
            repository=repository,
            thread=thread,
            comment_kind=comment_kind,
            comment_id=comment_id,
            actor=actor,
            actor_id=actor_id,
            reason=reason,
            message=message,
            run=run,
            refused_at=self.database.now,
        )
        first = (
            sa.select(refusals.c.comment_kind, refusals.c.comment_id)
            .where(refusals.c.repository_id == repository_id, refusals.c.thread == thread)
            .where(refusals.c.actor == actor, refusals.c.reason == reason)
            .order_by(refusals.c.id)
            .limit(1)
        )
        with self.database.begin() as tx:
            tx.execute(insert.on_conflict_do_nothing())
            row = tx.execute(first).first()
        return row is not None and tuple(row) == (comment_kind, comment_id)

    def last(self, repository_id: int, thread: int, reason: str) -> RefusedAsk | None:
        """The last on a thread for this reason."""
        where = sa.and_(
            refusals.c.repository_id == repository_id,
            refusals.c.thread == thread,
            refusals.c.reason == reason,
        )
        columns = refusals.c.actor_id, refusals.c.actor, refusals.c.run
        query = sa.select(*columns).where(where).order_by(refusals.c.id.desc())
        with self.database.read() as tx:
            row = tx.execute(query.limit(1)).first()
        return RefusedAsk((int(row[0]), str(row[1])), row[2]) if row and row[0] else None

    def of(self, repository_id: int, comment_kind: str, comment_id: int) -> tuple[str, str] | None:
        """(reason, message) of a comment that was refused."""
        where = sa.and_(
            refusals.c.repository_id == repository_id,
            refusals.c.comment_kind == comment_kind,
            refusals.c.comment_id == comment_id,
        )
        with self.database.read() as tx:
            row = tx.execute(sa.select(refusals.c.reason, refusals.c.message).where(where)).first()
        return (str(row[0]), str(row[1])) if row else None
