"""The way from a door to the worker: a story is enqueued in the transaction that made it necessary.

The tables are DBOS's own, in our database: the same SQLite file, or a schema beside ours on PostgreSQL.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bot.stores.database import Database

if TYPE_CHECKING:
    from dbos import DBOSClient

APPLICATION = "tollgate"
STORIES = "stories"  # the one queue
# Constant: a deploy must not strand the stories of the version before. Keep the order of steps compatible.
VERSION = "1"
TRIES = 9
FAILED = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


class Queue:
    """Enqueues; runs nothing. Safe from many threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @cached_property
    def _client(self) -> DBOSClient:
        # Here and not above: a web process that only forwards has no use for the engine's twenty megabytes.
        from dbos import DBOSClient

        return DBOSClient(
            system_database_url=system_url(self.database), application_name=APPLICATION, lazy=True
        )

    def enqueue(self, tx: sa.Connection, story: str, key: str, *arguments: Any) -> None:
        """Have the worker tell `story` once for `key`, if `tx` commits; again with the same key: nothing."""
        self._client.enqueue_in_transaction(
            tx, {"workflow_name": story, "queue_name": STORIES, "workflow_id": key}, *arguments
        )

    def put(self, story: str, key: str, *arguments: Any) -> None:
        with self.database.begin() as tx:
            self.enqueue(tx, story, key, *arguments)

    def again(self, story: str, key: str, *arguments: Any) -> None:
        """Have it told anew, from its start, if it failed; at most TRIES times."""
        for tried in range(1, TRIES + 1):
            again = key if tried == 1 else f"{key}.{tried}"
            status = self.status(again)
            if status is None:
                self.put(story, again, *arguments)
            if status not in FAILED:
                return

    def status(self, key: str) -> str | None:
        """`ENQUEUED`, `PENDING`, `SUCCESS`, `ERROR` …; None if there is no such story."""
        found = self._client.list_workflows(workflow_ids=[key], load_input=False, load_output=False)
        return found[0].status if found else None

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.destroy()


def migrate(database: Database) -> None:
    """Bring the engine's own tables to its version."""
    from dbos import DBOS

    DBOS.migrate(system_url(database))


def system_url(database: Database) -> str:
    return database.url.replace("postgresql+psycopg://", "postgresql://", 1)
