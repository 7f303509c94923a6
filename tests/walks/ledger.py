"""The ledger of a walk's world, read beside whatever still writes to it."""

from __future__ import annotations

import sqlite3
from typing import Any

from sandbox.world_up import World


def rows(up: World, query: str) -> list[Any]:
    ledger = sqlite3.connect(up.folder / "tollgate.db")
    try:
        return ledger.execute(query).fetchall()
    finally:
        ledger.close()
