"""`/readyz` tells the truth, and in time, whatever the database does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from flask import Flask

from bot import settings
from bot.commands.health import SILENT
from bot.core.health import LITTLE, LONG_MS, NO_TABLES, Health, Seen, judge, unmigrated
from bot.services import Services
from bot.stores import vitals
from bot.stores.away import READ_ONLY
from bot.stores.processes import Process
from bot.stores.tables import processes
from bot.stories import health as asked
from bot.web import health
from bot.web.ending import Ending
from bot.web.health import Probe
from tests import samples
from tests.gateways import ROOT

WELL = Seen(workers=1)


def doors(service: Services, ending: Ending | None = None) -> Callable[[str], tuple[int, dict[str, object]]]:
    roof = Flask(__name__)
    roof.register_blueprint(health.door(service, ending or Ending()))
    client = roof.test_client()

    def get(path: str) -> tuple[int, dict[str, object]]:
        answer = client.get(path)
        return answer.status_code, answer.get_json()

    return get


@pytest.mark.parametrize(
    ("seen", "warned"),
    [
        pytest.param(WELL, "", id="well"),
        pytest.param(Seen(), "no worker is alive", id="without a worker nothing is lost"),
        pytest.param(Seen(1, LONG_MS + 1), "waited for 15 minutes", id="a stuck queue"),
        pytest.param(Seen(1, LONG_MS), "", id="a slow one"),
        pytest.param(Seen(1, 0, LITTLE - 1), "1023 MB left", id="a disk nearly full"),
        pytest.param(Seen(1, 0, LITTLE), "", id="a disk with room"),
        pytest.param(Seen(1, 0, None, True), "does not know the App", id="the App's key"),
    ],
)  # fmt: skip
def test_what_costs_no_request_is_a_warning(seen: Seen, warned: str) -> None:
    found = judge(seen)
    assert found.ready
    assert len(found.warnings) == bool(warned)
    assert warned in " ".join(found.warnings)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        pytest.param(None, NO_TABLES, id="without tables"),
        pytest.param(
            "0001", "schema 0001, and this version needs 0002: run `python -m bot mig", id="an older"
        ),
        pytest.param("0002", "", id="this one"),
        pytest.param("0003", "", id="a newer one serves the version before it"),
    ],
)
def test_a_database_of_an_older_schema_is_not_begun_with(schema: str | None, why: str) -> None:
    found = unmigrated(schema, "0002")
    assert why in found
    assert bool(found) == bool(why)


def test_a_service_whose_database_is_well_is_ready_and_says_how_many_workers_there_are(
    service: Services,
) -> None:
    get = doors(service)
    status, told = get("/readyz")
    assert (status, told["ok"], told["workers"]) == (200, True, 0)
    assert "no worker is alive" in str(told["warnings"])
    service.processes.start(Process.this("worker"))
    assert get("/readyz")[1]["workers"] == 0  # as seen a moment ago
    time.sleep(health.FRESH_SECONDS)
    assert get("/readyz")[1]["workers"] == 1


def test_a_look_writes_a_sign_of_life_once_and_forgets_web_processes_that_are_long_gone(
    service: Services,
) -> None:
    gone = Process("web-1-gone", "web", "elsewhere", 1)
    service.processes.beat(gone)
    with service.database.begin() as tx:
        tx.execute(sa.update(processes).values(seen_at=1))
    for _ in range(2):
        assert asked.look(service).ready
    with service.database.read() as tx:
        assert tx.execute(sa.select(processes.c.id)).scalars().all() == [service.process.id]


def test_a_database_without_tables_is_named(service: Services) -> None:
    with service.database.begin() as tx:
        tx.execute(sa.text("DROP TABLE alembic_version"))
    assert vitals.schema(service.database) is None
    status, told = doors(service)("/readyz")
    assert (status, told) == (503, {"ok": False, "why": NO_TABLES})


def test_a_database_that_takes_no_writes_is_not_ready(service: Services) -> None:
    """As a standby, or a disk that is mounted read-only, answers."""
    if service.database.kind == "sqlite":

        @sa.event.listens_for(service.database.engine, "begin")
        def _(connection: sa.Connection) -> None:
            connection.exec_driver_sql("PRAGMA query_only=ON")

    else:
        with service.database.engine.connect() as connection:
            name = sa.make_url(service.database.url).database
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            connection.commit()
        service.database.engine.dispose()
    status, told = doors(service)("/readyz")
    assert (status, told) == (503, {"ok": False, "why": READ_ONLY})
    assert doors(service)("/healthz") == (200, {"ok": True})


def test_a_process_that_ends_says_so_and_asks_nothing_of_the_database(service: Services) -> None:
    ending = Ending()
    get = doors(service, ending)
    assert ending.begin(30)
    service.database.close()
    assert get("/readyz") == (503, {"ok": False, "why": health.ENDS})
    assert get("/healthz") == (200, {"ok": True})


def test_a_database_that_hangs_is_told_within_the_time_and_what_comes_back_is_seen() -> None:
    hang, stages = threading.Event(), list[str]()

    def look(at: Callable[[str], None]) -> Health:
        at("reading")
        stages.append("asked")
        hang.wait(60)
        return Health(workers=1)

    probe = Probe(look, seconds=0.05)
    for _ in range(5):
        assert probe.ask() == Health(health.SILENT)
    assert stages == ["asked"], "the others wait for the one look that hangs"
    hang.set()
    while not (found := probe.ask()).ready:
        time.sleep(0.01)
    assert found.workers == 1


def test_others_that_write_for_long_are_no_outage_until_a_minute_is_over() -> None:
    hang = threading.Event()
    hang.set()

    def look(at: Callable[[str], None]) -> Health:
        at("writing")
        hang.wait(60)
        return Health(workers=2)

    probe = Probe(look, seconds=5)
    assert probe.ask() == Health(workers=2)
    hang.clear()
    time.sleep(health.FRESH_SECONDS)
    probe._seconds = 0.05
    found = probe.ask()
    assert (found.ready, found.workers, found.warnings) == (True, 2, ("others are writing to the database",))
    probe._well_at -= health.BUSY_SECONDS
    assert probe.ask() == Health(health.STUCK)
    hang.set()


def test_a_look_that_fails_in_a_new_way_is_no_answer_of_readiness() -> None:
    def look(at: Callable[[str], None]) -> Health:
        raise RuntimeError("nobody expected this")

    assert not Probe(look, seconds=5).ask().ready


def test_the_command_says_the_same_and_whether_a_worker_is_beside_it(
    service: Services, private_key: str
) -> None:
    env = settings.environment() | {
        "DATABASE_URL": service.settings.database_url,
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": private_key,
        "GITHUB_WEBHOOK_SECRET": samples.SECRET,
        "ANTHROPIC_API_KEY": "sk-ant-test",
    }

    def told(*words: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "bot", "health", *words]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    assert told() == (0, {"ok": True, "workers": 0, "warnings": list(judge(Seen()).warnings)})
    assert told("--worker") == (1, {"ok": False, "why": SILENT})
    service.processes.start(Process.this("worker"))
    assert told("--worker") == (0, {"ok": True, "workers": 1, "warnings": []})
    with service.database.read() as tx:
        assert tx.execute(sa.select(processes.c.kind)).scalars().all() == ["worker"]
