"""A real Prometheus scrapes a real service and answers every query that is shipped (Debian's package)."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.core.caps import month_of
from bot.exports.prometheus import FRESH_SECONDS, Exposition, Kept
from bot.services import Services
from bot.stores.signals import SignalStore
from sandbox.world_up import free_port
from tests.exports.lively import lively
from tests.exports.queries import ALERTS, alerts, asked, filled
from tests.stories.service import serving

TOKEN = "scrape-" + "t" * 32
POLICY = "caps: {installation: $5000}\nlines: {evals: {monthly: $900, members: [dana]}}\n"
there = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="no Prometheus on this machine: apt-get install prometheus",
)


def test_what_many_ask_for_at_once_is_read_once_and_is_never_old() -> None:
    clock, read = [0.0], [0]

    def count() -> Any:
        read[0] += 1
        return {}

    kept = Kept(count, FRESH_SECONDS, lambda: clock[0])
    for _ in range(50):
        kept()
    assert read == [1]
    clock[0] += FRESH_SECONDS
    kept()
    assert read == [2]


@there
@pytest.mark.peer
def test_promtool_finds_nothing_to_say_about_the_text(service: Services) -> None:
    lively(service.database, "2026-11")
    text, _ = Exposition(service).text()
    told = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


@there
@pytest.mark.peer
def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    for path in (ALERTS, Path(__file__).parent / "alerts.test.yml"):
        shutil.copy(path, tmp_path)
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        told = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, check=False)
        assert told.returncode == 0, (told.stdout + told.stderr).decode()


@there
@pytest.mark.slow
@pytest.mark.peer
def test_a_prometheus_that_scrapes_the_service_answers_every_query_with_data(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("CURSOR_ADMIN_KEY", "key")
    monkeypatch.setenv("CURSOR_API_URL", "http://127.0.0.1:9")
    with serving(tmp_path, database_url, service_policy=POLICY) as made:
        lively(made.database, month_of(made.database.now_ms(), "UTC"))
        with prometheus(tmp_path, made.url) as ask:
            # Three samples, so that every rate has something to go by.
            until(ask, "count_over_time(tollgate_workers[5m]) >= 3")
            empty = [where for where, query in asked() if not ask(filled(query))]
            assert not empty
            for rule in alerts():
                ask(rule["expr"])  # raises if it cannot be evaluated
            firing = {each["metric"]["alertname"] for each in ask("ALERTS")}
            assert {"TollgateUpstreamLimit", "TollgateBoundExceeded", "TollgateNoWorker"} <= firing
            summed = "sum(tollgate_cost_usd_total) + sum(tollgate_cost_corrections_usd)"
            whole = ask(f"{summed} + sum(tollgate_cost_pool_corrections_usd)")[0]["value"][1]
            spent = SignalStore(made.database).read().spent
            assert float(whole) == pytest.approx(float(spent.decimal), rel=1e-12)


Ask = Any


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Ask]:
    """A server of our own that scrapes the service every second and knows the alert rules."""
    port, config = free_port(), folder / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(ALERTS)],
                "scrape_configs": [
                    {
                        "job_name": "tollgate",
                        "authorization": {"credentials": TOKEN},
                        "static_configs": [{"targets": [urllib.parse.urlsplit(target).netloc]}],
                    }
                ],
            }
        )
    )
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(query: str) -> list[Any]:
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        result = found["data"]["result"]
        assert isinstance(result, list)
        return result

    try:
        yield ask
    finally:
        server.kill()
        server.wait()


def until(ask: Ask, query: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ask(query):
                return
        except OSError:  # it is not up yet
            pass
        time.sleep(0.2)
    raise TimeoutError(query)
