"""The migrations lead to the tables that the stores read and write, on both databases."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.tables import metadata

# What a database says of its own tables, constraints and indexes.
SAYS = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": """
        SELECT table_name, column_name, concat_ws(' ', data_type, character_maximum_length, is_nullable,
            column_default) FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
        UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    """,
}


def said(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as tx:
        rows = [
            (str(table), str(name), " ".join(str(sql).split()))
            for table, name, sql in tx.execute(sa.text(SAYS[database.kind]))
        ]
    return sorted(row for row in rows if row[0] in metadata.tables)


def test_the_migrations_make_the_tables_of_the_page(database: Database, tmp_path: Path) -> None:
    migrated = said(database)
    with database.begin() as tx:
        metadata.drop_all(tx)
        metadata.create_all(tx)
    assert migrated == said(database)
