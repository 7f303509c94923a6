"""What the ledger has of a run, turn by turn."""

from __future__ import annotations

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.tables import turns


def booked(database: Database, run: str) -> tuple[dict[str, int], list[int]]:
    """Nano-dollars of each exact turn by the upstream's id of its request, and of each estimate."""
    with database.read() as tx:
        rows = tx.execute(sa.select(turns).where(turns.c.run == run).order_by(turns.c.id)).mappings().all()
    corrections = [row for row in rows if row["state"] == "corrected"]
    exact: dict[str, int] = {}
    estimated: list[int] = []
    for row in rows:
        mended = [other for other in corrections if other["corrects"] == row["id"]]
        nanos = row["nanos"] + sum(other["nanos"] for other in mended)
        if row["state"] == "settled" or (row["state"] == "estimated" and mended):
            id = str((mended[-1] if mended else row)["request_id"] or f"turn {row['id']}")
            assert id not in exact
            exact[id] = nanos
        elif row["state"] == "estimated":
            estimated.append(nanos)
    return exact, estimated
