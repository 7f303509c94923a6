"""Databases with a made-up year in them, kept from one run of a benchmark to the next.

In .benchmarks/scale/, until the schema or the seeding changes, or the year in them is a week old.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from benchmarks import peers
from benchmarks import seed as seeding
from benchmarks.seed import analyse, counted, forget, seed
from bot.stores.database import Database
from bot.stores.signals import SignalStore
from bot.stores.tables import metadata
from tests import servers

HOME = peers.HOME / "scale"
WEEK = 7 * 86_400
Say = Callable[[str], None]


def sizes(command: Callable[..., None]) -> Callable[..., None]:
    """The options `postgresql` and `sqlite` of a benchmark."""
    for name, runs in (("--sqlite", 20_000), ("--postgresql", 200_000)):
        option = click.option(name, default=runs, show_default=True, help="Runs there; 0 leaves it out.")
        command = option(command)
    return command


def each(postgresql_runs: int, sqlite_runs: int) -> Iterator[tuple[str, dict[int, str]]]:
    """Each database, with the URLs of a tenth of its runs and of all of them."""
    for name, of, size in (("sqlite", sqlite, sqlite_runs), ("postgresql", postgresql, postgresql_runs)):
        if size:
            with of((size // 10, size), lambda said: click.echo(said, err=True)) as urls:
                yield name, urls


@contextmanager
def sqlite(sizes: tuple[int, ...], say: Say) -> Iterator[dict[int, str]]:
    """The URL of a file for each of these many runs."""
    folder = _folder("sqlite")
    urls = {}
    for size in sizes:
        file = folder / f"{size}.db"
        urls[size] = f"sqlite:///{file}"
        if not (folder / f"{size}.seeded").exists():
            for left in folder.glob(f"{size}.db*"):
                left.unlink()
            _seeded(urls[size], 0, size, say)
            (folder / f"{size}.seeded").touch()
    yield urls


@contextmanager
def postgresql(sizes: tuple[int, ...], say: Say) -> Iterator[dict[int, str]]:
    """The URL of a database for each of these many runs, ascending, in one server."""
    folder = _folder("postgresql")
    with servers.postgresql(folder) as server:
        base = sa.make_url(server).set(drivername="postgresql+psycopg")
        admin = sa.create_engine(base, isolation_level="AUTOCOMMIT")
        urls, before = {}, 0
        for size in sizes:
            url = base.set(database=f"runs_{size}").render_as_string(hide_password=False)
            if not (folder / f"{size}.seeded").exists():
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS runs_{size}")
                    template = f" TEMPLATE runs_{before}" if before else ""
                    connection.exec_driver_sql(f"CREATE DATABASE runs_{size}{template}")
                _seeded(url, before, size - before, say)
                (folder / f"{size}.seeded").touch()
            urls[size], before = url, size
        admin.dispose()
        yield urls


def _folder(kind: str) -> Path:
    """Where databases of this kind and schema are; what is of another, or old, is gone."""
    made = [str(CreateTable(table)) for table in metadata.sorted_tables]
    made += [str(CreateIndex(index)) for table in metadata.sorted_tables for index in table.indexes]
    source = Path(seeding.__file__).read_text()
    folder = HOME / f"{kind}-{hashlib.sha256((''.join(sorted(made)) + source).encode()).hexdigest()[:8]}"
    for other in HOME.glob(f"{kind}-*"):
        if other != folder or time.time() - (other / "began").stat().st_mtime > WEEK:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "began").exists():
        (folder / "began").touch()
    return folder


def _seeded(url: str, first: int, count: int, say: Say) -> None:
    database = Database(url)
    try:
        database.migrate()
        began = time.monotonic()
        seed(database, first, count, database.now_ms(), say)
        forget(database)
        made = time.monotonic()
        SignalStore(database).roll("UTC")
        analyse(database)
        say(
            f"{first + count:,} runs, {counted(database):,} turns, made up in {made - began:.0f} s, "
            f"summed up in {time.monotonic() - made:.0f} s"
        )
    finally:
        database.close()
