"""Incidents of docs/runbook.md that no other test has: caused, seen by the page's own sign, cured."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot import services
from bot.core.money import Usd
from bot.settings import SettingsError
from bot.stores.queue import Queue
from bot.stories import health
from sandbox.github.client import Client
from sandbox.processes import start
from tests.chaos.load import ask, body, wide
from tests.gateways import ROOT, gateways
from tests.stories import agents
from tests.stories.service import Service, serving
from tests.test_services import told


def until(log: Path, sign: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
    """The first line of a process's log that is the sign."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for line in log.read_text().splitlines():
            if line.startswith("{") and line.endswith("}") and sign(found := json.loads(line)):
                return dict(found)
        time.sleep(0.1)
    raise TimeoutError(log.read_text()[-3000:])


def event(name: str, **about: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda line: line.get("event") == name and about.items() <= line.items()


def answered(service: Service) -> None:
    """`/agent help` is."""

    def there(hub: Client) -> bool:
        return any("/agent sweep" in one["body"] for one in hub.comments(2))

    service.github.wait(there, 60, "the answer")


@pytest.mark.slow
def test_github_is_down_and_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path, f"sqlite:///{tmp_path / 'tollgate.db'}", agents.done()) as service:
        service.github.fault("GET", "/repos/", 503, times=10_000)
        service.github.comment("dana", 2, "/agent help")
        service.worker()
        until(tmp_path / "worker.log", event("story.aside", story="launch.on_comment"))
        service.github.clear_faults()
        until(tmp_path / "worker.log", event("story.told", story="launch.on_comment"), 120)
        answered(service)


@pytest.mark.slow
def test_the_model_is_overloaded_and_nothing_is_spent(tmp_path: Path, private_key: str) -> None:
    database = f"sqlite:///{tmp_path / 'tollgate.db'}"
    with (
        start("claude", character="auto", invoice=tmp_path / "invoice") as claude,
        gateways(tmp_path, database, claude.url, private_key) as world,
    ):
        run, token = world.run(wide())
        assert ask(world, token, body("overloaded"))[0] == 529
        seen = until(world.gateways[0].log, event("gateway.upstream_error", status=529))
        assert seen["run"] == run
        assert ask(world, token, body("echo"))[0] == 200
        assert world.ledger.account_of(run).spent.nanos == claude.invoice()["total_nanos"] > Usd(0).nanos


@pytest.mark.slow
def test_a_wrong_secret_is_set_right_and_what_was_refused_is_received(tmp_path: Path) -> None:
    with serving(tmp_path, f"sqlite:///{tmp_path / 'tollgate.db'}", agents.done()) as service:
        service.worker()
        service.until("SELECT count(*) = 1 FROM looks WHERE looked_at IS NOT NULL")
        right = service.env["GITHUB_WEBHOOK_SECRET"]
        service.kill()
        service.env["GITHUB_WEBHOOK_SECRET"] = "another" * 8
        service.again()
        service.github.comment("dana", 2, "/agent help")
        until(tmp_path / "web.log", event("webhook.refused"))
        service.kill()
        service.env["GITHUB_WEBHOOK_SECRET"] = right
        service.again()
        command = [sys.executable, "-m", "bot", "reconcile", "--deliveries"]
        done = subprocess.run(command, env=service.env, cwd=ROOT, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout.splitlines()[0])["event"] == "issue_comment"
        answered(service)


def warned(service: Service, of: str, yes: bool = True, seconds: float = 60) -> None:
    """Until `/readyz` warns of it, or does no more."""
    end = time.monotonic() + seconds
    while True:
        with urllib.request.urlopen(f"{service.url}/readyz", timeout=30) as answer:  # noqa: S310 - loopback
            told = json.load(answer)
        if any(of in one for one in told["warnings"]) == yes:
            return
        assert time.monotonic() < end, told
        time.sleep(0.5)


@pytest.mark.slow
def test_the_apps_key_is_changed_too_late_and_nothing_is_lost_by_it(tmp_path: Path) -> None:
    """The old one is deleted at GitHub before the service has the new one."""
    worker_log = tmp_path / "worker.log"
    with serving(tmp_path, f"sqlite:///{tmp_path / 'tollgate.db'}", agents.done()) as service:
        github, thread = service.github, service.github.issue("dana", "While the key is changed")
        new = github.new_key()
        github.delete_older_keys()
        old_worker = service.worker()
        seen = until(worker_log, event("github.unrecognized"))
        assert "GitHub does not know App" in seen["message"]
        assert "GitHub answered 401" in seen["message"]
        github.comment("dana", thread, "/agent fix")
        github.merge("dana", 2)
        waits = until(worker_log, event("story.aside", story="merge.on_closed"))
        assert "GitHub does not know App" in waits["reason"]
        warned(service, "does not know the App")

        Path(service.env["GITHUB_APP_PRIVATE_KEY"]).write_text(new, encoding="ascii")
        old_worker.send_signal(signal.SIGTERM)
        assert old_worker.wait(60) == 0
        service.worker()
        service.until("SELECT count(*) = 1 FROM runs WHERE state = 'done' AND finished_at IS NOT NULL")
        until(worker_log, event("story.told", story="merge.on_closed"))
        warned(service, "does not know the App", yes=False)
        assert "Traceback" not in worker_log.read_text()


@pytest.mark.slow
def test_a_worker_is_dead_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, f"sqlite:///{tmp_path / 'tollgate.db'}", agents.done()) as service:
        first = service.worker()
        service.until("SELECT count(*) = 1 FROM processes WHERE kind = 'worker'")
        first.kill()
        first.wait()
        service.github.comment("dana", 2, "/agent help")
        service.until("SELECT count(*) = 1 FROM deliveries WHERE story = 'launch.on_comment'")
        service.write("UPDATE processes SET seen_at = 1 WHERE kind = 'worker'")  # half a minute later
        command = [sys.executable, "-m", "bot", "health", "--worker"]
        seen = subprocess.run(command, env=service.env, cwd=ROOT, capture_output=True, text=True)
        assert (seen.returncode, json.loads(seen.stdout)["ok"]) == (1, False)
        service.worker()
        answered(service)
        Queue(service.database).put("finish.finish", "of a run that nobody knows", "0123456789ab", 1)
        failed = until(tmp_path / "worker.log", event("story.failed", story="finish.finish"))
        assert failed["level"] == "error"
        assert "Traceback" in failed["error"]


def test_a_machine_whose_clock_is_wrong_does_not_start_and_says_by_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = told(tmp_path)
    services.migrate(settings)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    with pytest.raises(SettingsError, match=r"clock is 3[56]\d\d s off the database's: set it first"):
        services.build(settings, "web")
    monkeypatch.undo()
    opened = services.build(settings, "web")
    assert health.look(opened).ready
    opened.close()
