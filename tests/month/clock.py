"""A clock that several processes agree on and a test moves: one row beside the product's tables.

Only the entry points of this folder hand its SQL to the product; no setting leads there.
"""

from __future__ import annotations

import time
from datetime import datetime

import sqlalchemy as sa

from bot.stores.database import NOW, Database

# The real time that has gone by since it was set counts one part in `slow`.
SQL = {kind: f"(SELECT at_ms + ({now} - since_ms) / slow FROM moved_clock)" for kind, now in NOW.items()}


def sql(url: str) -> str:
    return SQL[sa.make_url(url).get_backend_name()]


class Clock:
    """Makes the row, and the product's tables first: a file with other tables alone is not begun with.

    `now`: what time it is at first.
    """

    def __init__(self, url: str, now: datetime) -> None:
        self.database = Database(url)
        self.database.migrate()
        with self.database.begin() as tx:
            tx.exec_driver_sql("CREATE TABLE moved_clock (at_ms BIGINT, since_ms BIGINT, slow BIGINT)")
            tx.exec_driver_sql("INSERT INTO moved_clock VALUES (0, 0, 1)")
        self.set(now)

    def set(self, now: datetime, slow: int = 1) -> None:
        """It is `now`, and a second takes `slow` of them."""
        at, since = round(now.timestamp() * 1000), NOW[self.database.kind]
        with self.database.begin() as tx:
            tx.exec_driver_sql(f"UPDATE moved_clock SET at_ms = {at}, since_ms = {since}, slow = {slow}")
        self.shift = now.timestamp() - time.time()  # seconds, for clocks that tick as the real one does

    def close(self) -> None:
        self.database.close()
