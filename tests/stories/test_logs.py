"""A run from its comment to its report, in the log: every line of every process, found again by its ids."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.logs import LEVELS
from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow

ALWAYS = {"time", "level", "process", "pid", "event", "message"}
ABOUT = {"request", "delivery", "key", "story", "run", "installation", "repository"}
MORE = {"status", "seconds", "count", "reason", "error"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, f"sqlite:///{tmp_path / 'tollgate.db'}", agents.done()) as made:
        made.worker()
        yield made


def lines(service: Service, name: str) -> list[dict[str, Any]]:
    """Of web or worker; each is JSON, but for the one by which a worker tells whoever started it its name."""
    told = [json.loads(line) for line in (service.folder / f"{name}.log").read_text().splitlines()]
    return [line for line in told if set(line) != {"worker"}]


def test_a_run_is_found_in_every_process_by_its_delivery_and_its_id(service: Service) -> None:
    service.github.comment("dana", 2, "/agent fix cost=$2\nplease")
    service.until("SELECT count(*) = 1 FROM runs WHERE finished_at IS NOT NULL")
    service.until("SELECT count(*) = 0 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING')")
    [(run,)] = service.rows("SELECT id FROM runs")
    [(delivery,)] = service.rows("SELECT id FROM deliveries WHERE story = 'launch.on_comment'")
    [worker] = service.workers
    worker.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    web, told = lines(service, "web"), lines(service, "worker")
    for line in (*web, *told):
        assert set(line) >= ALWAYS
        assert set(line) <= ALWAYS | ABOUT | MORE, line
        assert line["level"] in LEVELS
        assert line["level"] in ("info", "warning"), line
    [came] = [line for line in web if line.get("delivery") == delivery]
    assert (came["event"], came["status"], came["story"]) == ("web.answered", 202, "launch.on_comment")
    assert came["repository"] == "acme/calendar"
    assert came["installation"] == service.rows("SELECT installation FROM runs")[0][0]
    [launched] = [line for line in told if line.get("delivery") == delivery and line["event"] == "story.told"]
    assert (launched["run"], launched["story"]) == (run, "launch.on_comment")
    of_run = {line["message"].split()[1] for line in web if line.get("run") == run}
    assert {"/api/runs/claim", f"/api/runs/{run}/result"} <= of_run
    [finished] = [line for line in told if line.get("story") == "finish.finish"]
    assert (finished["run"], finished["event"]) == (run, "story.told")
    assert finished["installation"] == launched["installation"]
    assert told[-1]["event"] == "worker.ends"
    secrets = (
        service.env["GITHUB_WEBHOOK_SECRET"],
        service.env["GITHUB_CLIENT_SECRET"],
        "sk-ant-test",
        "run_",
    )
    assert not [secret for secret in secrets if secret in json.dumps([web, told])]


def test_a_worker_that_ends_by_itself_is_known_to_be_gone_at_once(service: Service) -> None:
    service.until("SELECT count(*) = 1 FROM processes WHERE kind = 'worker'")
    assert service.database.kind == "sqlite"
    [worker] = service.workers
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    now = service.database.now_ms()
    [(seen,)] = service.rows("SELECT seen_at FROM processes WHERE kind = 'worker'")
    assert now - seen > 30_000, "whoever is alive takes its stories over without waiting for its silence"
