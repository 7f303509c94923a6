"""A web process has 256 threads: nobody alone takes them all."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from tests.chaos.load import body, dial, head
from tests.gateways import World, gateways
from tests.web.upstreams import Upstream, upstream, whole

pytestmark = pytest.mark.slow

MANY = 300  # connections, more than there are threads


@pytest.fixture(scope="module")
def above() -> Iterator[Upstream]:
    with upstream() as made:
        yield made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, above: Upstream, private_key: str) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("threads")
    with gateways(folder, f"sqlite:///{folder / 'tollgate.db'}", above.url, private_key) as made:
        yield made


def answered(world: World) -> bytes:
    """The first line of an answer to somebody who asks in the ordinary way; b"" if a minute brings none."""
    with dial(world) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        try:
            return client.recv(100).partition(b"\r\n")[0]
        except TimeoutError:
            return b""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\nx-a", id="half a head"),
        pytest.param(
            b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
            id="half a delivery",
        ),
        pytest.param(
            b"POST /api/laptop/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
            id="half a chunk",
        ),
    ],
)
def test_strangers_who_send_no_more_keep_nobody_out(world: World, sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(dial(world)).sendall(sent)
        assert answered(world) == b"HTTP/1.1 200 OK"


def test_a_run_that_asks_hundreds_of_times_at_once_keeps_nobody_out(world: World, above: Upstream) -> None:
    """What it has left is held by the first, so that all others wait their turn."""

    def never(client: socket.socket, number: int) -> bool:
        time.sleep(60)
        return False

    above.play = never
    _, token = world.run(Ceilings(Usd.parse("0.02"), 10**9, 10**5, 3))
    asked = body("echo", False, max_tokens=700)
    with ExitStack() as stack:
        clients = [stack.enter_context(dial(world)) for _ in range(MANY)]
        for client in clients:
            client.sendall(head(token, len(asked)) + asked)
        assert answered(world) == b"HTTP/1.1 200 OK"
        assert any(client.recv(100).startswith(b"HTTP/1.1 429") for client in clients[-20:])
    above.play = whole()


def test_a_chunk_that_is_none_is_the_clients_fault(world: World) -> None:
    with dial(world) as client:
        client.sendall(
            b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno;size\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 400")
