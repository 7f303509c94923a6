"""An upgrade from the first schema loses nothing; and these tests would see it if it did."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import settings
from bot.stores.database import VERSIONS, Database
from bot.stores.opening import check
from tests.gateways import ROOT
from tests.stores import first_schema
from tests.stores.first_schema import FIRST, described, fill, lost, read

BEGINNING = (
    'import sqlalchemy as sa\nfrom alembic import op\n\nrevision = "0002"\ndown_revision = "0001"\n\n\n'
)
ADDS = """def upgrade() -> None:
    with op.batch_alter_table("switches") as table:
        table.add_column(sa.Column("colour", sa.String(8), nullable=False, server_default="red"))
    op.create_table("kites", sa.Column("id", sa.Integer(), primary_key=True))
"""
DROPS_A_COLUMN = """def upgrade() -> None:
    op.execute("ALTER TABLE turns DROP COLUMN stop_reason")
"""
LOSES_A_ROW = """def upgrade() -> None:
    op.execute("DELETE FROM blobs WHERE run = (SELECT min(run) FROM blobs)")
"""
CUTS_MONEY = """def upgrade() -> None:
    op.execute("UPDATE runs SET spent_nanos = spent_nanos / 1000")
"""
FAILS = ADDS + '    op.execute("UPDATE runs SET spent_nanos = 0")\n    op.execute("SELECT 1 FROM nowhere")\n'


@pytest.fixture
def first(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A database at the first schema, with rows in every table."""
    made = Database(database_url)
    made.migrate(scripts(tmp_path / "first"))
    yield made
    made.close()


def scripts(folder: Path, second: str = "") -> Path:
    """The migrations up to the first, and a made-up one after it."""
    shutil.copytree(VERSIONS.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (folder / "versions").glob("[0-9]*.py"):
        if not file.name.startswith(FIRST):
            file.unlink()
    if second:
        (folder / "versions" / "0002_made_up.py").write_text(BEGINNING + second)
    return folder


def test_the_first_schema_is_as_it_was_released(first: Database) -> None:
    assert described(first) == first_schema.FILE.read_text(encoding="utf-8"), (
        "the first schema is another one than it was. Before the first release: "
        "`python -m tests.stores.first_schema`, and look at the difference. After it: a migration of its own"
    )


def test_an_upgrade_from_the_first_schema_keeps_every_row_of_every_table(first: Database) -> None:
    before = fill(first)
    assert all(len(rows) == first_schema.ROWS for rows in before.values())
    first.migrate()
    assert lost(before, read(first)) == []
    first.migrate()  # again: nothing
    assert lost(before, read(first)) == []


@pytest.mark.parametrize(
    ("second", "said"),
    [
        pytest.param(ADDS, [], id="adds: nothing is lost"),
        pytest.param(DROPS_A_COLUMN, ["turns.stop_reason is gone"], id="drops a column"),
        pytest.param(LOSES_A_ROW, ["blobs had 3 rows and has 2"], id="loses a row"),
        pytest.param(CUTS_MONEY, ["runs.spent_nanos says something else"], id="changes money"),
    ],
)
def test_what_an_upgrade_loses_is_seen(first: Database, tmp_path: Path, second: str, said: list[str]) -> None:
    before = fill(first)
    first.migrate(scripts(tmp_path / "second", second))
    assert lost(before, read(first)) == said


def test_an_upgrade_that_fails_in_its_middle_leaves_the_schema_and_the_rows_of_before(
    first: Database, tmp_path: Path
) -> None:
    before, schema = fill(first), described(first)
    with pytest.raises(Exception, match="nowhere"):
        first.migrate(scripts(tmp_path / "second", FAILS))
    assert described(first) == schema
    assert lost(before, read(first)) == []
    first.migrate()


@pytest.mark.slow
def test_hosts_that_migrate_at_once_make_one_schema(database_url: str) -> None:
    env = settings.environment() | {"DATABASE_URL": database_url}
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "bot", "migrate"], env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    told = [(host.communicate()[1], host.returncode) for host in hosts]
    assert [code for _, code in told] == [0] * 3, told
    made = Database(database_url)
    check(made)
    made.close()
