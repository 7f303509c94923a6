"""The hot path on PostgreSQL, by psycopg itself; imported only where the database is one."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from psycopg import Connection, OperationalError
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import ConnectionPool

from bot.stores.database import BUSY_SECONDS, Database, steady_session
from bot.stores.drivers import Send


class Postgresql:
    """Two pools smaller than the threads; of neither is a connection held while an answer streams.

    In the second a commit does not wait for the disk (https://www.postgresql.org/docs/18/wal-async-commit.html).
    """

    away = (OperationalError,)

    def __init__(self, database: Database, most: int) -> None:
        self._durable = _pool(database, most - most // 3, _plain)
        self._soon = _pool(database, most // 3, _soon)

    def read(self, sql: str, values: Sequence[Any]) -> list[Any]:
        return self.once(sql, values, durable=False)

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Send]:
        pool = self._durable if durable else self._soon
        with pool.connection() as connection, connection.transaction():

            def send(sql: str, values: Sequence[Any]) -> list[Any]:
                cursor = connection.execute(_query(sql), values)
                return cursor.fetchall() if cursor.description else []

            yield send

    def once(self, sql: str, values: Sequence[Any], durable: bool = True) -> list[Any]:
        with (self._durable if durable else self._soon).connection() as connection:
            return list(connection.execute(_query(sql), values).fetchall())

    def close(self) -> None:
        self._durable.close()
        self._soon.close()


@lru_cache(maxsize=256)
def _query(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _pool(database: Database, most: int, configure: Callable[[Any], None]) -> ConnectionPool[Any]:
    url = sa.make_url(database.url).set(drivername="postgresql")
    return ConnectionPool(
        url.render_as_string(hide_password=False),
        min_size=1,
        max_size=most,
        open=True,
        kwargs={"autocommit": True, "prepare_threshold": 2},
        configure=configure,
        check=_still_there,
        timeout=BUSY_SECONDS,
    )


def _plain(connection: Connection[Any]) -> None:
    # By default a number's type is the smallest that holds it: one statement would be prepared many times.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.execute(steady_session())


def _still_there(connection: Connection[Any]) -> None:
    """Raises OperationalError for one that the server has closed since it was last used.

    To ask it each time would be one more way to the server and back. One that is idle has nothing to read,
    unless it is a farewell.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        ConnectionPool.check_connection(connection)


def _soon(connection: Connection[Any]) -> None:
    _plain(connection)
    connection.execute("SET synchronous_commit = off")
