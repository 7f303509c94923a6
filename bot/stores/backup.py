"""A copy of the database while it is served; and an older copy becomes the service's (docs/durability.md).

A copy knows nothing of what came after it: neither what was spent, nor what was told to GitHub. So nothing of
what was under way in it goes on, nothing is told a second time, and nothing starts before a person says so.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from bot.stores import opening
from bot.stores.database import COPY, Database
from bot.stores.looks import DELIVERIES
from bot.stores.queue import Queue
from bot.stores.switch import halted, record
from bot.stores.tables import LIVE, looks, processes, runs, sweeps, switches

PAGES = 1_000  # copied at once: others write in between
WHY = (
    "the database was restored from an older copy: what was spent since then is in nobody's month. "
    "`python -m bot reconcile` shows it, `python -m bot unpause` ends this"
)


class CannotCopy(Exception):
    """Why there is no copy; a sentence."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What does not go on: live runs, stories under way. `at`: the last sign of life in it, ms."""

    runs: int
    stories: int
    at: int | None


def copy(database: Database, to: Path) -> int:
    """An SQLite file as it is at one moment, looked through whole, which `restored` must be told of before
    anything is served from it; its size. Raises CannotCopy, opening.Unusable."""
    if database.kind != "sqlite":
        raise CannotCopy(
            "PostgreSQL has tools of its own for this: pg_dump --format=custom --file=FILE DATABASE_URL"
        )
    if to.exists():
        raise CannotCopy(f"{to} is there already, and is not overwritten")
    partial = to.with_name(f"{to.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with (
            closing(opening.untouched(database)) as source,
            closing(sqlite3.connect(partial)) as made,
        ):
            source.backup(made, pages=PAGES)
            made.execute(f"PRAGMA user_version={COPY}")
        copied = Database(f"sqlite:///{partial}")
        try:
            opening.whole(copied)
        finally:
            copied.close()
        _on_disk(partial)
        partial.rename(to)
        _on_disk(to.parent)
    except (OSError, sqlite3.Error) as error:
        raise CannotCopy(f"{to} could not be made: {error}") from error
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{partial}{end}").unlink(missing_ok=True)
    return to.stat().st_size


def _on_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def restored(database: Database, queue: Queue, by: str) -> Restored:
    """An older copy becomes the service's: everything is paused, what was live in it is over, and what GitHub
    was told or told us since then is not told again. To be called before any process serves from it."""
    now = database.now
    over = {"finishing_at": now, "finished_at": now}
    with database.begin() as tx:
        at = tx.execute(sa.select(sa.func.max(processes.c.seen_at))).scalar_one()
        paused = {"repository": "", "by": by, "reason": WHY, "paused_at": now}
        # Not `Switch.pause`, which keeps the reason of an earlier one: this one must be told.
        tx.execute(sa.delete(switches).where(switches.c.repository == ""))
        tx.execute(sa.insert(switches).values(paused))
        record(tx, database, by, "paused", "", {"reason": WHY})
        live = sa.update(runs).where(runs.c.state.in_(LIVE))  # also laptops', which no pause halts
        stopped = tx.execute(live.values(halted(database, WHY) | over)).rowcount
        # Their reports stand on GitHub, or will never: what is known here is older than they are.
        tx.execute(sa.update(runs).where(runs.c.finished_at.is_(None)).values(**over))
        tx.execute(
            sa.update(sweeps)
            .where(sweeps.c.finished_at.is_(None))
            .values(live=False, ended_at=now, finished_at=now)
        )
        # Nobody was away: GitHub's log and its threads are looked at from now on.
        tx.execute(sa.delete(looks).where(looks.c.name == DELIVERIES))
        tx.execute(sa.update(looks).values(lease_until_at=None))
        tx.execute(sa.update(processes).values(seen_at=now, stopped=True))
        stories = queue.forget(tx)
        if database.kind == "sqlite":
            tx.exec_driver_sql("PRAGMA user_version=0")
    return Restored(stopped, stories, at)
