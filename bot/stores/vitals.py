"""What of a database says whether it can be worked with."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa

from bot.stores.database import VERSIONS, Database

# Revisions are numbered in the order in which they come: the last file's is this version's.
WANTED = max(path.name for path in VERSIONS.glob("[0-9]*.py")).partition("_")[0]


def schema(database: Database) -> str | None:
    """The revision that it is at; None for one without tables. Raises SQLAlchemyError where it does not
    answer."""
    with database.read() as tx:
        if not sa.inspect(tx).has_table("alembic_version"):
            return None
        return tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def free(database: Database) -> int | None:
    """Bytes left on the disk of an SQLite file for who is not root; None where it is not ours to see."""
    if not database.file:
        return None
    try:
        disk = os.statvfs(Path(database.file).parent)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
