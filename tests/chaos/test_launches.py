"""Two hundred launches by one person at once, with a dollar left of their month (R20, P4)."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bot.core.money import Usd
from sandbox.world_up import free_port
from tests.stories import agents
from tests.stories.service import ROOT, Service, ready, serving

pytestmark = pytest.mark.slow

LAUNCHES = 200
POLICY = "caps: {people: {dana: $12}}\n"


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, database_url, agents.UNTIL_STOPPED, service_policy=POLICY) as made:
        yield made


@pytest.fixture
def doors(service: Service, database_url: str, tmp_path: Path) -> Iterator[list[str]]:
    """Two web processes; on PostgreSQL also a second worker, on another host as it were."""
    second = f"http://127.0.0.1:{free_port()}"
    for _ in range(2 if database_url.startswith("postgresql") else 1):
        service.worker()
    with (tmp_path / "second.log").open("wb") as log:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", second.removeprefix("http://"), "app:app"],
            env=service.env, cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        ready(web, second, tmp_path / "second.log")
        yield [service.url, second]
    finally:
        web.kill()
        web.wait()


def test_two_hundred_launches_at_once_with_a_dollar_left_never_hold_more(
    service: Service, doors: list[str]
) -> None:
    spent = _spend_eleven_dollars(service)
    told = (json.loads(one["raw"]) for one in service.github.deliveries("issue_comment"))
    seen = next(payload for payload in told if payload["sender"]["login"] == "dana")
    numbers = [service.github.issue("dana", f"Task {number}") for number in range(LAUNCHES)]

    def launch(place: int) -> int:
        payload: dict[str, Any] = json.loads(json.dumps(seen))
        payload["issue"]["number"] = numbers[place]
        payload["comment"] |= {"id": 10_000_000 + place, "body": "/agent fix cost=$0.75"}
        return _deliver(service, doors[place % 2], payload, str(uuid.UUID(int=place + 1)))

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(launch, range(LAUNCHES))) == {202}
    done = (
        "SELECT (SELECT count(*) FROM refusals WHERE reason = 'cap_reached') + "
        f"(SELECT count(*) FROM runs WHERE thread <> {spent}) = {LAUNCHES}"
    )
    service.until(done, seconds=300)
    opened = service.rows(f"SELECT ceiling_nanos FROM runs WHERE thread <> {spent}")
    # A whole one; what was left over is less than any launch may get.
    assert [row[0] for row in opened] == [750_000_000]
    live = "state IN ('open', 'running')"
    [(held,)] = service.rows(f"SELECT sum(ceiling_nanos - spent_nanos) FROM runs WHERE {live}")
    [(used,)] = service.rows("SELECT sum(spent_nanos) FROM runs")
    assert used + held <= Usd.parse("12").nanos


def _spend_eleven_dollars(service: Service) -> int:
    """A run of dana's that has ended, as if the model had answered for $11."""
    number = service.github.issue("dana", "The first")
    service.github.comment("dana", number, "/agent fix cost=$12")
    service.until("SELECT count(*) = 1 FROM runs WHERE state = 'running'", seconds=120)
    service.github.comment("dana", number, "/agent stop")
    service.until("SELECT count(*) = 1 FROM runs WHERE finished_at IS NOT NULL", seconds=120)
    service.write(f"UPDATE runs SET spent_nanos = {Usd.parse('11').nanos}")
    return number


def _deliver(service: Service, door: str, payload: dict[str, Any], id: str) -> int:
    body = json.dumps(payload).encode()
    secret = service.env["GITHUB_WEBHOOK_SECRET"].encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issue_comment",
        "X-GitHub-Delivery": id,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    asked = urllib.request.Request(f"{door}/webhooks/github", body, headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310 - as above
        return int(answer.status)
