"""Databases at this version's schema: migrated once a test process, and copied for each test.

That migrations do what they should is for `tests/stores/test_migrations.py` and `test_upgrade.py`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot.stores.database import Database
from bot.stores.queue import migrate
from tests import servers


class Copies:
    """`queue`: with the durable engine's tables, as `python -m bot migrate` makes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._moulds: set[str] = set()  # on the one server

    def sqlite(self, to: Path, queue: bool = False) -> str:
        """Its URL."""
        mould = self._folder / f"{_name(queue)}.db"
        if not mould.exists():
            _migrated(f"sqlite:///{mould}", queue)
            with closing(sqlite3.connect(mould)) as connection:  # the whole of it in one file
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        shutil.copyfile(mould, to)
        return f"sqlite:///{to}"

    @contextmanager
    def postgresql(self, server: str, queue: bool = False) -> Iterator[str]:
        """Its URL, for as long as it takes."""
        mould = _name(queue)
        if mould not in self._moulds:
            _migrated(servers.create(server, mould), queue)
            servers.disconnect(server, mould)
            self._moulds.add(mould)
        with servers.database(server, like=mould) as url:
            yield url


def _name(queue: bool) -> str:
    return "whole" if queue else "ours"


def _migrated(url: str, queue: bool) -> None:
    made = Database(url)
    made.migrate()
    if queue:
        migrate(made)
    made.close()
