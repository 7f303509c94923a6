"""The way from a door to the worker: a story is enqueued in the transaction that made it necessary.

The tables are DBOS's own, in our database: the same SQLite file, or a schema beside ours on PostgreSQL.

Stories of one line are told one after the other, in the order of their numbers. A story that has to wait
longer than a moment is put aside: it stays PENDING, so that nothing of its line overtakes it, but belongs to
no worker and holds no slot, until it is woken and goes on behind its last recorded step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bot.core.times import DAY_MS
from bot.stores.database import Database

if TYPE_CHECKING:
    from dbos import DBOSClient

APPLICATION = "tollgate"
STORIES = "stories"  # the one queue
# Constant: a deploy must not strand the stories of the version before. Keep the order of steps compatible.
VERSION = "1"
TRIES = 9
FAILED = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
OVER = ("SUCCESS", "CANCELLED", *FAILED)
CHUNK = 500  # stories at once
ASIDE = "aside"  # stands for the worker of a story that is put aside


FIRST_TURN = 1_577_836_800_000  # 2020: turns are seconds since then
LAST_TURN = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many stories wait for their turn, are being told, are put aside, have failed; `oldest`: how long
    (ms) the one that has waited longest or is still being told is there."""

    queued: int = 0
    told: int = 0
    aside: int = 0
    failed: int = 0
    oldest: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """When a story is told: after those of its line with a lower number, 1 to 2**31 - 1, that are there."""

    line: str
    number: int


def turn_at(repository_id: int, thread: int, at_ms: int) -> Turn:
    """Of what is asked for on a thread, in the order in which it was, to the second."""
    return Turn(f"{repository_id}/{thread}", min(max((at_ms - FIRST_TURN) // 1000, 1), LAST_TURN))


class Queue:
    """Enqueues; runs nothing. Safe from many threads."""

    def __init__(self, database: Database) -> None:
        self.database = database
        columns = ("workflow_uuid", "status", "executor_id", "owner_xid", "queue_partition_key", "priority")
        times = ("created_at", "started_at_epoch_ms", "delay_until_epoch_ms", "recovery_attempts")
        self._stories = sa.table(
            "workflow_status",
            *(
                sa.column(name, sa.String if name in columns[:-1] else sa.BigInteger)
                for name in columns + times
            ),
            schema=None if database.kind == "sqlite" else "dbos",
        )

    @cached_property
    def _client(self) -> DBOSClient:
        # Here and not above: a web process that only forwards has no use for the engine's twenty megabytes.
        from dbos import DBOSClient

        return DBOSClient(
            system_database_url=system_url(self.database), application_name=APPLICATION, lazy=True
        )

    def enqueue(
        self, tx: sa.Connection, story: str, key: str, *arguments: Any, turn: Turn | None = None
    ) -> None:
        """Have the worker tell `story` once for `key`, if `tx` commits; again with the same key: nothing.

        Without a turn it waits for no other.
        """
        line, number = (turn.line, turn.number) if turn else (key, 1)
        self._client.enqueue_in_transaction(
            tx,
            {
                "workflow_name": story,
                "queue_name": STORIES,
                "workflow_id": key,
                "queue_partition_key": line,
                "priority": number,
            },
            *arguments,
        )
        if turn:
            # Of two with one number the first is told first; on SQLite the engine knows whole seconds only.
            mine = sa.update(self._stories).where(self._stories.c.workflow_uuid == key)
            tx.execute(mine.values(created_at=self.database.now))

    def put(self, story: str, key: str, *arguments: Any, turn: Turn | None = None) -> None:
        with self.database.begin() as tx:
            self.enqueue(tx, story, key, *arguments, turn=turn)

    def again(self, story: str, key: str, *arguments: Any, turn: Turn | None = None) -> None:
        """Have it told: anew, from its start, if it failed (at most TRIES times), and also if it is gone."""
        if self.status(key) is None:
            self.put(story, key, *arguments, turn=turn)
        else:
            self.retry(story, key, *arguments, turn=turn)

    def retry(self, story: str, key: str, *arguments: Any, turn: Turn | None = None) -> None:
        """Have it told anew, from its start, if it failed; at most TRIES times. One that is gone stays so."""
        for tried in range(1, TRIES + 1):
            again = key if tried == 1 else f"{key}.{tried}"
            status = self.status(again)
            if status is None and tried > 1:
                self.put(story, again, *arguments, turn=turn)
            if status not in FAILED:
                return

    def put_aside(self, key: str, process: str, seconds: float) -> None:
        """Take a story that this process is telling off its hands for so long."""
        known = self._stories
        until = self.database.now + round(seconds * 1000)
        aside = sa.update(known).where(
            known.c.workflow_uuid == key, known.c.status == "PENDING", known.c.executor_id == process
        )
        with self.database.begin() as tx:
            # To wait is not to crash: the engine's count of recoveries begins anew.
            tx.execute(
                aside.values(
                    executor_id=ASIDE, owner_xid=None, delay_until_epoch_ms=until, recovery_attempts=0
                )
            )

    def wake(self) -> int:
        """Put every story whose time has come back into the queue; how many. Workers may do so at once."""
        known = self._stories
        due = sa.update(known).where(
            known.c.status == "PENDING",
            known.c.executor_id == ASIDE,
            known.c.delay_until_epoch_ms <= self.database.now,
        )
        with self.database.begin() as tx:
            back = due.values(status="ENQUEUED", started_at_epoch_ms=None, delay_until_epoch_ms=None)
            return tx.execute(back).rowcount

    def forget(self, tx: sa.Connection) -> int:
        """Tell no story any more that waits or was being told; how many."""
        waits = self._stories.c.status.in_(("ENQUEUED", "PENDING", "DELAYED"))
        return int(tx.execute(sa.update(self._stories).where(waits).values(status="CANCELLED")).rowcount)

    def age(self, key: str) -> float:
        """Seconds since a story was enqueued; 0 for one that is not known."""
        known = self._stories
        query = sa.select(self.database.now - known.c.created_at).where(known.c.workflow_uuid == key)
        with self.database.read() as tx:
            return float(tx.execute(query).scalar_one_or_none() or 0) / 1000

    def overtakes(self, key: str) -> bool:
        """Whether a story with a lower number of the same line came after this one was begun."""
        known, other = self._stories, self._stories.alias("other")
        query = sa.select(sa.func.count()).where(
            known.c.workflow_uuid == key,
            other.c.queue_partition_key == known.c.queue_partition_key,
            other.c.status == "ENQUEUED",
            other.c.priority < known.c.priority,
        )
        with self.database.read() as tx:
            return bool(tx.execute(query).scalar_one())

    def waiting(self) -> Waiting:
        """How the queue stands."""
        known = self._stories
        aside = sa.and_(known.c.status == "PENDING", known.c.executor_id == ASIDE)
        state = sa.case(
            (aside, "aside"),
            (known.c.status == "PENDING", "told"),
            (known.c.status == "ENQUEUED", "queued"),
            else_="failed",
        ).label("state")
        query = (
            sa.select(state, sa.func.count(), self.database.now - sa.func.min(known.c.created_at))
            .where(known.c.status.in_(("ENQUEUED", "PENDING", *FAILED)))
            .group_by("state")
        )
        with self.database.read() as tx:
            rows = {row[0]: (int(row[1]), int(row[2])) for row in tx.execute(query)}
        oldest = max((age for name, (_, age) in rows.items() if name in ("queued", "told")), default=0)
        return Waiting(oldest=max(0, oldest), **{name: count for name, (count, _) in rows.items()})

    def status(self, key: str) -> str | None:
        """`ENQUEUED`, `PENDING`, `SUCCESS`, `ERROR` …; None if there is no such story."""
        found = self._client.list_workflows(workflow_ids=[key], load_input=False, load_output=False)
        return found[0].status if found else None

    def drop_old(self, days: int) -> int:
        """Delete the stories, with all that they were told and did, that were over so many days ago."""
        known = self._stories
        old = sa.select(known.c.workflow_uuid).where(
            known.c.status.in_(OVER), known.c.created_at < self.database.now - days * DAY_MS
        )
        with self.database.read() as tx:
            return self.drop(tx.execute(old).scalars().all())

    def mentioning(self, words: re.Pattern[str]) -> tuple[str, ...]:
        """The stories that are over and were told something with such words."""
        found: list[str] = []
        for start in count(0, CHUNK):
            some = self._client.list_workflows(
                status=list(OVER), load_input=True, load_output=False, limit=CHUNK, offset=start
            )
            found += (one.workflow_id for one in some if words.search(repr(one.input)))
            if len(some) < CHUNK:
                return tuple(found)
        raise AssertionError("the pages come to an end")

    def drop(self, keys: Sequence[str]) -> int:
        """Delete these; how many that were."""
        for start in range(0, len(keys), CHUNK):
            self._client.delete_workflows(list(keys[start : start + CHUNK]))
        return len(keys)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.destroy()


def migrate(database: Database) -> None:
    """Bring the engine's own tables to its version."""
    from dbos import DBOS

    DBOS.migrate(system_url(database))


def system_url(database: Database) -> str:
    return database.url.replace("postgresql+psycopg://", "postgresql://", 1)
