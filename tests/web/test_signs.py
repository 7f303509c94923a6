"""What the runbook says is seen in the log when something is wrong: caused, and read there."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from bot.clients.anthropic import Key
from bot.core.ceilings import Reason
from bot.core.health import Health
from bot.core.money import Usd
from bot.stores.database import Database
from bot.stores.drivers import NotOnDisk
from bot.stories import worker
from bot.web import health
from bot.web.health import Probe
from tests.gateways import ROOT
from tests.web.gates import Gate, gated
from tests.web.test_gateway import post
from tests.web.upstreams import upstream, whole

ASKED = {"model": "claude-opus-4-7", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
REVOKED = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
SPENT = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
    },
}


@contextmanager
def before(database: Database, status: int, said: object) -> Iterator[Gate]:
    """A gateway below a model that answers each request so; 0: hangs up, below that: is not there."""
    with upstream() as above:
        above.play = whole(said, status=f"{status} As it is") if status else lambda client, number: False
        with gated(database, above.url if status >= 0 else "http://127.0.0.1:9") as gate:
            yield gate


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Event and level of each line of ours."""
    return [
        (one.event, one.levelname.lower())  # type: ignore[attr-defined]
        for one in caplog.records
        if one.name.startswith("tollgate")
    ]


@pytest.mark.parametrize(
    ("status", "said", "seen", "event"),
    [
        pytest.param(401, REVOKED, 401, ["gateway.upstream_error"], id="its key was revoked"),
        pytest.param(
            400, SPENT, 400, ["gateway.upstream_error", "gateway.upstream_limit"], id="its key has a limit"
        ),
        pytest.param(503, {}, 503, ["gateway.upstream_error"], id="it is down"),
        pytest.param(-1, None, 502, ["gateway.upstream_unreachable"], id="nobody is there"),
        pytest.param(0, None, 502, ["gateway.upstream_reset"], id="it hangs up"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_model_is_in_the_log(
    database: Database,
    caplog: pytest.LogCaptureFixture,
    status: int,
    said: object,
    seen: int,
    event: list[str],
) -> None:
    with before(database, status, said) as gate, caplog.at_level(logging.INFO, "tollgate"):
        run, token = gate.run()
        answered, _, _ = post(gate, ASKED, {"x-api-key": token})
        report = gate.report(run)
    assert answered == seen
    assert events(caplog) == [(one, "warning") for one in event]
    assert (report.spent.usd > Usd(0)) == (status == 0), "only what may have been billed is charged"
    assert (report.reason == Reason.UPSTREAM_LIMIT) == (len(event) == 2)
    told = [one.about for one in caplog.records if getattr(one, "event", "") == "gateway.upstream_error"]  # type: ignore[attr-defined]
    assert all(about["status"] == status for about in told)


def test_a_fault_of_ours_in_the_gateway_is_in_the_log_with_its_trace(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with gated(database, "http://127.0.0.1:9", key=fails) as gate:
        _, token = gate.run()
        status, _, _ = post(gate, ASKED, {"x-api-key": token})
    assert status == 500
    assert events(caplog) == [("gateway.request_failed", "error")]
    assert "nobody expected this" in caplog.text


def fails(_name: str) -> Key | None:
    raise RuntimeError("nobody expected this")


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (RuntimeError("nobody expected this"), "worker.task_failed"),
        (sa.exc.DBAPIError("UPDATE", {}, NotOnDisk("sync")), "worker.database_away"),
    ],
)
def test_a_periodic_task_that_fails_is_in_the_log_and_has_its_next_turn(
    caplog: pytest.LogCaptureFixture, error: Exception, event: str
) -> None:
    stop, turns = threading.Event(), [0]

    def task() -> None:
        turns[0] += 1
        if turns[0] == 2:
            stop.set()
        raise error

    worker._repeat(stop, 0.01, task)
    assert events(caplog) == [(event, "error")] * 2


def test_a_service_that_is_not_ready_any_more_says_so_once_and_when_it_is_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = [Health(workers=1), Health("why not"), Health("why not"), Health(workers=1)]
    probe = Probe(lambda at: found.pop(0), seconds=30)
    with caplog.at_level(logging.INFO, "tollgate"):
        while found:
            probe.ask()
            probe._last_at -= health.FRESH_SECONDS
    assert events(caplog) == [("web.ready", "info"), ("web.not_ready", "warning"), ("web.ready", "info")]
    assert "why not" in caplog.text


@pytest.mark.parametrize("where", ["process", "thread"])
def test_what_nothing_expected_is_one_line_with_its_trace(where: str) -> None:
    ends = "threading.Thread(target=f).start()" if where == "thread" else "f()"
    program = (
        "import threading\nfrom bot import logs\n"
        "logs.to_stderr('worker', 'info', ['a secret that is told'])\n"
        f"def f():\n    raise RuntimeError('with a secret that is told')\n{ends}\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    [line] = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["process"]) == ("uncaught", "error", "worker")
    assert "RuntimeError: with [left out]" in told["error"]
    assert where in told["message"]
    assert done.returncode == (where == "process")
