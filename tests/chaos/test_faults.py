"""The database cannot be written while the service is up: a full disk, a server that turned read-only.

Nothing is begun meanwhile and no dollar spent; every door says so; afterwards everything is told.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot import services
from bot.settings import SettingsError
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from sandbox.processes import start
from tests import servers
from tests.month.agents import http
from tests.stories import agents
from tests.stories.service import Service, serving
from tests.test_services import told
from tests.web.gates import AMPLE

pytestmark = pytest.mark.slow

MEGABYTES = 16
Fault = Callable[[bool], None]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, which can be filled."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tollgate-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"a small disk takes root: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full_disk(folder: Path) -> Iterator[tuple[str, Fault]]:
    with small_disk(folder / "disk") as disk:
        file, ballast = disk / "tollgate.db", disk / "ballast"

        def fault(there: bool) -> None:
            if not there:
                ballast.unlink()
                return
            with closing(sqlite3.connect(file, timeout=30)) as connection:  # the log's own room goes too
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            with ballast.open("wb", buffering=0) as filling:
                for size in (1 << 16, 1 << 9, 1):
                    try:
                        while True:
                            filling.write(b"\0" * size)
                    except OSError:
                        continue

        yield f"sqlite:///{file}", fault


@contextmanager
def read_only(server: str) -> Iterator[tuple[str, Fault]]:
    """As after a fail-over, when the address leads to the standby."""
    with servers.database(server) as url:
        name = sa.make_url(url).database
        admin = sa.create_engine(
            sa.make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )

        def fault(there: bool) -> None:
            with admin.connect() as connection:
                connection.exec_driver_sql(
                    f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if there else 'off'}"
                )
                connection.exec_driver_sql(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                )

        yield url, fault
        admin.dispose()


def asked(service: Service, token: str) -> tuple[int, Any]:
    """One request of an agent: its status, and when to come again."""
    body = {"model": "claude-opus-4-7", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
    try:
        http("POST", f"{service.url}/anthropic/v1/messages", token, body)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["retry-after"]
    return 200, None


def ready(service: Service) -> int:
    """What `/readyz` answers."""
    try:
        with urllib.request.urlopen(f"{service.url}/readyz", timeout=30) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def events(log: Path) -> set[str]:
    lines = log.read_text().splitlines()
    return {json.loads(line).get("event", "") for line in lines if line.startswith("{")}


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("fault", ["a full disk", "a server that turned read-only"])
def test_while_nothing_can_be_written_nothing_is_begun_or_spent_and_afterwards_all_is_told(
    tmp_path: Path, request: pytest.FixtureRequest, fault: str
) -> None:
    faulty = full_disk(tmp_path) if "disk" in fault else read_only(request.getfixturevalue("postgresql"))
    with (
        faulty as (url, fails),
        start("claude", character="echo", invoice=tmp_path / "invoice") as claude,
        serving(tmp_path, url, agents.ASKS, upstream=claude.url) as service,
    ):
        github, run, token = service.github, new_id(), new_token()
        store = Runs(service.database)
        assert store.open(NewRun(run, "github", AMPLE, "default", "opus", "claude-opus-4-7", "test"))
        assert store.claim(run, 1, token_hash(token), 1)
        service.worker()
        service.until("SELECT count(*) = 1 FROM looks WHERE looked_at IS NOT NULL")
        assert asked(service, token) == (200, None)
        assert ready(service) == 200
        under_way = github.issue("dana", "When it begins")
        github.comment("dana", under_way, "/agent fix cost=$1")
        service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {under_way}")

        fails(True)
        until(lambda: asked(service, token) == (503, "5"))
        before = len(claude.invoice()["rows"])
        for _ in range(5):
            assert asked(service, token) == (503, "5")
        thread = github.issue("dana", "While nothing can be written")
        github.comment("dana", thread, "/agent fix cost=$1")
        github.wait(lambda c: c.deliveries("issue_comment")[-1]["status"] != "pending")
        assert github.deliveries("issue_comment")[-1]["status_code"] == 503
        time.sleep(3)  # the worker's loops have their turn at it
        assert ready(service) == 503
        assert len(claude.invoice()["rows"]) == before, "spent while the ledger could not be written"

        fails(False)
        until(lambda: asked(service, token) == (200, None))
        # A command that comes has the log looked at before it is told, and what was missed goes first.
        github.comment("dana", thread, "/agent status")
        service.until(
            f"SELECT count(*) = 1 FROM runs WHERE thread = {thread} AND finished_at IS NOT NULL", 90
        )
        billed = sum(row["nanos"] for row in claude.invoice()["rows"])
        [(spent, estimated)] = service.rows("SELECT sum(spent_nanos), sum(estimated_nanos) FROM runs")
        assert (spent, estimated) == (billed, 0)
        for log in ("web.log", "worker.log"):
            said = (tmp_path / log).read_text()
            assert "Traceback" not in said, said[-3000:]
        seen = {event for log in ("web.log", "worker.log") for event in events(tmp_path / log)}
        assert {"web.database_away", "gateway.database_away", "web.not_ready"} <= seen


def test_a_disk_that_can_only_be_read_is_named_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        known = told(disk)
        services.migrate(known)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(SettingsError, match="must be able to read and write it"):
            services.build(known, "web")
        with pytest.raises(SettingsError, match="must be able to read and write it"):
            services.migrate(known)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        services.build(known, "web").close()
