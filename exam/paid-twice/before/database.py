"""An empty database with our tables, and the queries by name."""

import sqlite3
from pathlib import Path

HERE = Path(__file__).parent


def opened():
    database = sqlite3.connect(":memory:")
    database.executescript((HERE / "schema.sql").read_text())
    return database


def ask(database, name, **given):
    return database.execute((HERE / "queries" / f"{name}.sql").read_text(), given).fetchall()
