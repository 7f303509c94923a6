"""One database, two kinds: an SQLite file or a PostgreSQL server; one clock, the database's own (L7).

`begin()` is for everything but the gateway's two hot statements, which go through `bot.stores.ledger`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import Pool

from bot.stores.wal import WriteAheadLog, not_by_itself, pragmas

# Milliseconds since the epoch by the database's clock; clock_timestamp(), so that a wait for a lock counts.
NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
    "postgresql": "CAST(extract(epoch from clock_timestamp()) * 1000 AS BIGINT)",
}
BUSY_SECONDS = 30
# Connections of a process to PostgreSQL beside the ledger's and the durable engine's. A server takes 100 by
# default (max_connections), and two web processes and two workers have to do with that.
AT_ONCE = 8
# A host whose cable is cut says nothing: without these libpq waits for a quarter of an hour, and the server
# for two hours, with the locks that it left (https://www.postgresql.org/docs/18/libpq-connect.html, 2026-11).
SILENT_MS = 15_000
STEADY = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": str(SILENT_MS),
}
# The same at the server's end, for sessions of ours; and one that is stopped in mid-transaction lets go, too.
STEADY_SESSION = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": str(SILENT_MS),
    "idle_in_transaction_session_timeout": "30000",
}
COPY = 727_462  # user_version of an SQLite file that `backup` has made
VERSIONS = Path(__file__).parent / "migrations" / "versions"
LOOKS = 100_000  # SQLite's own instructions between two looks at the time; some milliseconds
_MIGRATING = threading.Lock()  # alembic keeps its context in a module


class Database:
    """`url`: `sqlite:///path/to/file.db` or `postgresql://user:password@host/name`. `clock`: SQL for the
    milliseconds of another clock, for who lives through a month in a minute; no setting leads here."""

    def __init__(self, url: str, clock: str = "") -> None:
        self.url = normal(url)
        self.kind = sa.make_url(self.url).get_backend_name()
        if self.kind not in NOW:
            raise ValueError(f"DATABASE_URL must be sqlite:///… or postgresql://…, not {self.kind}://…")
        if self.kind == "sqlite" and sa.make_url(self.url).database in (None, "", ":memory:"):
            raise ValueError("DATABASE_URL must name a file: sqlite:///path/to/file.db")
        self.engine = engine(self.url)
        self.clock = clock or NOW[self.kind]
        self.now: sa.ColumnElement[int] = sa.literal_column(self.clock, sa.BigInteger)
        self.patience: float | None = None  # seconds
        self._log = WriteAheadLog(self.file) if self.file else None

    @property
    def file(self) -> str:
        """The path of an SQLite file; "" on PostgreSQL."""
        return (sa.make_url(self.url).database or "") if self.kind == "sqlite" else ""

    def within(self, seconds: float) -> Database:
        """The same database, no statement of whose `read` takes longer: OperationalError. It is closed by the
        one it is of."""
        made = copy(self)
        made.patience = seconds
        return made

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction that may write; commits at the end, rolls back on an exception."""
        with self.engine.begin() as tx:
            yield tx
        self.tidy()

    def tidy(self) -> None:
        """After a commit: keep SQLite's write-ahead log short."""
        if self._log is not None:
            self._log.tidy()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view for queries only; never waits for a writer on SQLite."""
        with self.engine.connect().execution_options(reads=True) as connection, connection.begin():
            if self.patience is None:
                yield connection
            else:
                with _hurried(connection, self.patience):
                    yield connection

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that may say what happens where the row is there already (ON CONFLICT)."""
        return sqlite.insert(table) if self.kind == "sqlite" else postgresql.insert(table)

    def now_ms(self) -> int:
        return self._ms(self.clock)

    def utc(self) -> datetime:
        """The same as a time of UTC."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    def own_ms(self) -> int:
        """By the server's own clock, whatever `clock` this is."""
        return self._ms(NOW[self.kind])

    def _ms(self, clock: str) -> int:
        with self.read() as connection:
            return int(connection.execute(sa.select(sa.literal_column(clock, sa.BigInteger))).scalar_one())

    def migrate(self, scripts: Path = VERSIONS.parent) -> None:
        """Bring the schema to the last version of `scripts`. Several processes and threads may call it.

        An SQLite file that is not there yet is made for its owner alone: what people asked is in it.
        """
        # Here and not above: twelve megabytes that a web process never needs.
        from alembic import command
        from alembic.config import Config

        if self.kind == "sqlite":
            with suppress(OSError):  # it is there, or cannot be made: SQLite says which
                os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        config = Config()
        config.set_main_option("script_location", str(scripts))
        with _MIGRATING, self.engine.connect() as connection:
            if self.kind == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_lock(727461)")
                connection.commit()
            try:
                with connection.begin():
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
            finally:
                if self.kind == "postgresql":
                    connection.exec_driver_sql("SELECT pg_advisory_unlock(727461)")
                    connection.commit()

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _hurried(connection: sa.Connection, seconds: float) -> Iterator[None]:
    """No statement takes longer; on SQLite, which knows no such bound, all of them together."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
        yield
        return
    own: Any = connection.connection.driver_connection
    end = time.monotonic() + seconds
    own.set_progress_handler(lambda: time.monotonic() > end, LOOKS)
    try:
        yield
    finally:
        own.set_progress_handler(None, 0)


def normal(url: str) -> str:
    """With the driver that we ship, psycopg 3, and STEADY where it says nothing else. `postgres://` is what
    some hosts write."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    if not url.startswith("postgresql+psycopg://"):
        return url
    made = sa.make_url(url)
    return made.set(query={**STEADY, **made.query}).render_as_string(hide_password=False)


def steady_session() -> str:
    """The statement that has a session be told so."""
    return "SELECT " + ", ".join(
        f"set_config('{name}', '{to}', false)" for name, to in STEADY_SESSION.items()
    )


def engine(url: str) -> sa.Engine:
    """An engine with this house's settings: WAL, synchronous=FULL and immediate transactions on SQLite.

    Its errors, which end in logs, show no value: tasks, hashes and sealed tokens are values.
    """
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(
            url,
            pool_size=4,
            max_overflow=AT_ONCE - 4,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,
        )
    made = sa.create_engine(
        url, connect_args={"timeout": BUSY_SECONDS}, pool_size=10, max_overflow=20, hide_parameters=True
    )
    sa.event.listen(made, "connect", _on_sqlite_connect)
    sa.event.listen(made, "begin", _on_sqlite_begin)
    return made


def _on_sqlite_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins; pysqlite's own guesses are off
    pragmas(connection, BUSY_SECONDS)


def _on_sqlite_begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can fail at the upgrade; taking the lock at once waits.
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@sa.event.listens_for(Pool, "connect")
def _on_any_connect(connection: Any, _record: Any) -> None:
    """What every connection of this process needs, DBOS's included.

    DBOS on Python 3.12+ has `unixepoch('subsec')` in its tables, which SQLite knows from 3.42 on. Debian 12
    ships 3.40: there the function is ours. PostgreSQL is told how long to wait for a host that says nothing.
    """
    if not isinstance(connection, sqlite3.Connection):
        with connection.cursor() as cursor:
            cursor.execute(steady_session())
        connection.commit()
        return
    not_by_itself(connection)
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, _unixepoch)


def _unixepoch(modifier: str) -> float:
    if modifier not in ("subsec", "subsecond"):
        raise ValueError(f"unixepoch({modifier!r}) is not known here")
    return time.time()
