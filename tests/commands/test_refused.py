"""What cannot be read ends with a sentence and a code, whatever command it was typed for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bot import settings
from bot.cli import main


@pytest.mark.parametrize(
    ("typed", "database", "code", "said"),
    [
        pytest.param("migrate", "sqlite:///{f}/none/x.db", 1, "cannot be used", id="no folder"),
        pytest.param("migrate", "sqlite://", 1, "must name a file", id="a database of no file"),
        pytest.param("migrate", "mysql://x/y", 1, "sqlite:///… or postgresql://…", id="MySQL"),
        pytest.param("migrate", "no address", 1, "DATABASE_URL is no database's", id="no address"),
        pytest.param("metrics", "mysql://x/y", 1, "DATABASE_URL is no database's", id="no ledger to read"),
        pytest.param("metrics", "", 1, "no tables yet: run `python -m bot mig", id="a ledger to be made"),
        pytest.param("metrics", "sqlite:///{f}/bytes", 1, "damaged, or no SQLite", id="a ledger of bytes"),
        pytest.param("metrics --month 9999-12", "", 2, "no ledger of 9999-12", id="the last month of all"),
        pytest.param("metrics --month 0001-01", "", 2, "no ledger of 0001-01", id="the first one"),
        pytest.param("whatif --since 0001-01-01", "", 2, "no ledger of 0001-01-01", id="the first day"),
        pytest.param("reconcile --to 9999-12-31", "", 2, "no ledger of 9999-12-31", id="the last day"),
        pytest.param("explain --comment x --policy {f}/bytes", "", 0, "not UTF-8", id="a policy of bytes"),
        pytest.param("exec --model-prices {f}/bytes -- true", "", 4, "not JSON", id="prices of bytes"),
        pytest.param("exec --model-prices {f}/deep -- true", "", 4, "not JSON", id="prices without a bottom"),
        pytest.param("exec --local -- {f}", "", 4, "cannot be started", id="a folder for a program"),
        pytest.param("cost --state {f}/state", "", 1, "damaged, or no SQLite database", id="a spoilt ledger"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_ends_with_a_sentence_and_a_code(
    tmp_path: Path, typed: str, database: str, code: int, said: str
) -> None:
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.db").write_bytes(b"this is no ledger at all" * 100)
    words = [word.replace("{f}", str(tmp_path)) for word in typed.split()]
    clean: dict[str, str | None] = dict.fromkeys(settings.environment())
    told = {"HOME": str(tmp_path), "ANTHROPIC_API_KEY": "sk-ant-test", "PATH": "/usr/bin:/bin"}
    told["DATABASE_URL"] = database.replace("{f}", str(tmp_path)) or f"sqlite:///{tmp_path}/x.db"
    done = CliRunner().invoke(main, words, env=clean | told)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    assert said in done.output
