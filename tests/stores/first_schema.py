"""The first schema as it was released, in words, and rows for every table of it.

`python -m tests.stores.first_schema` writes first_schema.txt anew: as long as no version is released. From
then on that file and migration 0001 stay as they are, and what changes is a migration of its own.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bot.stores.database import Database

FIRST = "0001"
FILE = Path(__file__).with_name("first_schema.txt")
ROWS = 3  # in every table


def described(database: Database) -> str:
    """Every table and column, as the database itself tells them; without indexes, which hold no data."""
    lines = []
    for table in _tables(database).sorted_tables:
        for column in table.columns:
            null = "" if column.nullable else " not null"
            key = " key" if column.primary_key else ""
            lines.append(f"{table.name}.{column.name} {_kind(column)}{null}{key}")
    return "\n".join(sorted(lines)) + "\n"


def fill(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Rows for every table, by what the database says of its columns; as they are read back."""
    tables = _tables(database)
    with database.begin() as tx:
        for table in tables.sorted_tables:
            tx.execute(sa.insert(table), [_row(table, number) for number in range(ROWS)])
    return read(database)


def read(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table but alembic's own, in the order of their keys."""
    found = {}
    with database.read() as tx:
        for table in _tables(database).sorted_tables:
            rows = tx.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
            found[table.name] = [dict(row) for row in rows]
    return found


def lost(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What an upgrade did away with: tables, rows, columns, values; a sentence each."""
    found = []
    for table, rows in before.items():
        if table not in after:
            found.append(f"table {table} is gone")
            continue
        if len(after[table]) != len(rows):
            found.append(f"{table} had {len(rows)} rows and has {len(after[table])}")
            continue
        for column in rows[0]:
            if column not in after[table][0]:
                found.append(f"{table}.{column} is gone")
            elif [row[column] for row in rows] != [row[column] for row in after[table]]:
                found.append(f"{table}.{column} says something else")
    return found


def _tables(database: Database) -> sa.MetaData:
    """Ours: without alembic's own, and without the durable engine's."""
    found = sa.MetaData()
    with database.read() as tx:
        names = [name for name in sa.inspect(tx).get_table_names() if name != "alembic_version"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sa.exc.SAWarning)  # an index of expressions holds no data
            found.reflect(tx, only=names)
    return found


def _kind(column: sa.Column[Any]) -> str:
    """Of both databases the same word: a number, a text of some length, a truth, bytes."""
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return "truth"
    if isinstance(kind, (sa.Integer, sa.Numeric)):
        return "number"
    if isinstance(kind, sa.LargeBinary):
        return "bytes"
    length = getattr(kind, "length", None)
    return f"text {length}" if length else "text"


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.foreign_keys:  # to a table that was filled before
            [key] = column.foreign_keys
            row[column.name] = _value(key.column, number)
        elif number or not column.nullable:  # one row without what may be missing
            row[column.name] = _value(column, number)
        else:
            row[column.name] = None
    return row


def _value(column: sa.Column[Any], number: int) -> Any:
    kind, _, length = _kind(column).partition(" ")
    if kind == "truth":
        return bool(number % 2)
    if kind == "number":
        large = isinstance(column.type, sa.BigInteger)  # as money and times are: more than 32 bits hold
        return (3_000_000_000_000 if large else 0) + number
    if kind == "bytes":
        return bytes([0, 255, number])
    return f"{number}é{column.name}"[: int(length) if length else None]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        made = Database(f"sqlite:///{folder}/first.db")
        made.migrate()
        FILE.write_text(described(made), encoding="utf-8")
        made.close()
