"""A database that is damaged, another's, or of another version is named before anything begins with it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from bot import services, settings
from bot.settings import SettingsError
from bot.stores.database import VERSIONS, Database
from bot.stores.opening import Unusable, check, check_to_migrate
from bot.stores.vitals import WANTED
from tests.gateways import ROOT
from tests.test_services import told

PAGE = 4096


def overwrite(at: int, content: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with file.open("r+b") as open_file:
            open_file.seek(at)
            open_file.write(content)

    return damage


def cut(file: Path) -> None:
    with file.open("r+b") as open_file:
        open_file.truncate(file.stat().st_size // 2 // PAGE * PAGE)


def execute(*statements: str, anew: bool = False) -> Callable[[Path], None]:
    def do(file: Path) -> None:
        if anew:
            file.unlink()
        connection = sqlite3.connect(file)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return do


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("its head", overwrite(0, b"\0" * 100), "damaged, or no SQLite database"),
    ("pages in its middle", overwrite(20 * PAGE, b"\xff" * 10 * PAGE), "damaged"),
    ("cut to half", cut, "damaged"),
    ("no database at all", lambda file: void(file.write_text("# notes\n" * 99)), "no SQLite database"),
    ("empty", lambda file: void(file.write_bytes(b"")), "no tables yet"),
    ("gone", lambda file: file.unlink(), "no tables yet"),
    ("a folder", folder, "cannot be used"),
    ("another program's", execute("CREATE TABLE albums (id)", anew=True), "another program"),
    ("newer", execute("UPDATE alembic_version SET version_num = '0999'"), "a newer Tollgate has migrated it"),
    ("older", execute("UPDATE alembic_version SET version_num = '0000'"), "run `python -m bot migrate`"),
]


def void(_written: int) -> None:
    """What nobody looks at."""


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file as `migrate` leaves it."""
    folder = tmp_path_factory.mktemp("migrated")
    services.migrate(told(folder))
    return (folder / "tollgate.db").read_bytes()


@pytest.mark.parametrize(("damage", "said"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_a_file_that_is_damaged_or_not_ours_is_named_and_not_touched(
    tmp_path: Path, migrated: bytes, damage: Callable[[Path], None], said: str
) -> None:
    known, file = told(tmp_path), tmp_path / "tollgate.db"
    file.write_bytes(migrated)
    damage(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(SettingsError, match=said):
        services.build(known, "web")
    if "migrate" not in said and "no tables" not in said:
        with pytest.raises(SettingsError, match=said):
            services.migrate(known)
    assert (file.read_bytes() if file.is_file() else None) == before


def test_every_process_says_it_in_a_sentence_and_starts_nothing(tmp_path: Path, migrated: bytes) -> None:
    file = tmp_path / "tollgate.db"
    file.write_bytes(migrated)
    env = settings.environment() | {
        "DATABASE_URL": f"sqlite:///{file}",
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----",
        "GITHUB_WEBHOOK_SECRET": "s",
        "ANTHROPIC_API_KEY": "k",
    }
    overwrite(20 * PAGE, b"\xff" * 10 * PAGE)(file)
    for command in (
        ["-m", "bot", "worker"],
        ["-m", "bot", "migrate"],
        ["-m", "gunicorn", "--bind", "127.0.0.1:0", "app:app"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode not in (0, -9), command
        assert "is damaged" in done.stderr, command
        assert "Restore a backup" in done.stderr, command
        assert "Traceback" not in done.stderr, command


def test_a_file_of_exec_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to look like one" * 9)
    state = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "bot", "exec", "--state", state, "--", "true"],
        env=settings.environment() | {"ANTHROPIC_API_KEY": "k"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "damaged, or no SQLite database" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_schema_of_another_version_is_named(database: Database) -> None:
    check(database)
    for found, said in (("0999", "a newer Tollgate has migrated it"), ("0000", "python -m bot migrate")):
        with database.begin() as tx:
            tx.execute(sa.text("UPDATE alembic_version SET version_num = :found"), {"found": found})
        with pytest.raises(Unusable, match=said):
            check(database)
    with database.begin() as tx:
        tx.execute(sa.text("DELETE FROM alembic_version"))
    with pytest.raises(Unusable, match="no tables yet"):
        check(database)


def test_a_server_that_can_only_be_read_or_is_not_there_is_named(postgresql: str, tmp_path: Path) -> None:
    from tests import servers

    with servers.database(postgresql) as url:
        first = Database(url)
        first.migrate()
        name = sa.make_url(url).database
        with first.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
            admin.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        first.close()
        standby = Database(url)
        with pytest.raises(Unusable, match="can be read only"):
            check(standby)
        standby.close()
    gone = Database(f"postgresql://nobody@127.0.0.1:9/{name}")
    with pytest.raises(Unusable, match="cannot be used"):
        check(gone)
    with pytest.raises(Unusable, match="cannot be used"):
        check_to_migrate(gone)
    gone.close()


def test_the_version_that_is_asked_for_is_the_one_that_migrations_lead_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    assert ScriptDirectory.from_config(config).get_current_head() == WANTED
