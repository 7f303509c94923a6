"""A web process that is told to end: what it says, what finishes, what is cut; and nothing stays held."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.money import Usd
from bot.web.health import ENDS
from sandbox.processes import Started, start
from tests.chaos.load import ask, body, dial, head, wide
from tests.gateways import World, gateways

pytestmark = pytest.mark.slow

SECONDS = 9  # that the process has; those who still wait are cut after six


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="auto", invoice=tmp_path / "invoice", event_ms=60) as started:
        yield started


@pytest.fixture
def world(
    tmp_path: Path, claude: Started, private_key: str, request: pytest.FixtureRequest
) -> Iterator[World]:
    database, more = f"sqlite:///{tmp_path / 'tollgate.db'}", getattr(request, "param", {})
    with gateways(tmp_path, database, claude.url, private_key, shutdown_seconds=str(SECONDS), **more) as made:
        yield made


def begun(world: World, token: str, character: str, stream: bool = True) -> socket.socket:
    """A client whose answer is under way."""
    asked = body(character, stream)
    client = dial(world)
    client.sendall(head(token, len(asked), "connection: close") + asked)
    if stream:
        assert b" 200 " in client.recv(4096)[:20]
    return client


def rest(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def ready(world: World) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{world.gateways[0].port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def open_to_all(world: World) -> bool:
    try:
        dial(world).close()
    except OSError:
        return False
    return True


def told(world: World) -> None:
    process = world.gateways[0].process
    assert process is not None
    process.send_signal(signal.SIGTERM)


def ended(world: World) -> list[dict[str, Any]]:
    """Once it has ended by itself: what it logged, each line of it JSON."""
    process = world.gateways[0].process
    assert process is not None
    assert process.wait(60) == 0
    lines = [json.loads(line) for line in world.gateways[0].log.read_text().splitlines()]
    assert not [line for line in lines if "SIGKILL" in line["message"]], "nobody had to kill it"
    return lines


def test_a_stream_under_way_finishes_in_its_time_and_nothing_new_is_taken(
    world: World, claude: Started
) -> None:
    run, token = world.run(wide())
    client = begun(world, token, "slow")
    told(world)
    while open_to_all(world):  # until the process knows
        time.sleep(0.05)
    assert b"message_stop" in rest(client)
    ended(world)
    account = world.ledger.account_of(run)
    assert (account.held_steps, account.spent.nanos) == (0, claude.invoice()["total_nanos"])
    assert world.runs.report(run).estimated == Usd(0)


def test_what_does_not_finish_is_cut_with_a_sentence_and_nothing_stays_held(world: World) -> None:
    (run, token), (other, its) = world.run(wide()), world.run(wide())
    stream, whole = begun(world, token, "pings"), begun(world, its, "silent", stream=False)
    while not world.ledger.account_of(other).held_steps:
        time.sleep(0.05)
    answers: dict[str, bytes] = {}
    readers = [
        threading.Thread(target=lambda name=name, one=one: answers.update({name: rest(one)}))
        for name, one in (("stream", stream), ("whole", whole))
    ]
    for reader in readers:
        reader.start()
    told(world)
    lines = ended(world)
    for reader in readers:
        reader.join()
    assert b"event: error" in answers["stream"]
    assert b"overloaded_error" in answers["stream"]
    assert b" 503 " in answers["whole"][:20]
    assert all(b"the service restarts" in answer for answer in answers.values())
    [cut] = [line for line in lines if line["event"] == "web.cut"]
    assert cut["count"] == 2
    for one in (run, other):
        account = world.ledger.account_of(one)
        assert (account.state, account.held, account.held_steps) == ("running", Usd(0), 0)
        assert account.spent == world.runs.report(one).estimated > Usd(0), "at the most that it can have cost"


@pytest.mark.parametrize("world", [{"shutdown_notice_seconds": "60"}], indirect=True)
def test_while_a_balancer_is_told_requests_are_still_taken_and_a_second_sigterm_waits_no_longer(
    world: World,
) -> None:
    assert ready(world)[0] == 200
    told(world)
    while ready(world)[0] == 200:
        time.sleep(0.05)
    assert ready(world) == (503, {"ok": False, "why": ENDS})
    _, token = world.run(wide())
    assert ask(world, token, body("echo"))[0] == 200
    [worker] = world.gateways[0].workers()
    os.kill(worker, signal.SIGTERM)
    ended(world)
