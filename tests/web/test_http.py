"""HTTP as clients speak it, strange ones too: what is billed is booked, once."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from tests.web.gates import Gate
from tests.web.test_gateway import connect, request, settled
from tests.web.upstreams import ASKED, COST, STOP, Upstream, ask, begun, ended, stream, whole


def bare(gate: Gate, raw: bytes, half_close: bool = False) -> bytes:
    with connect(gate) as client:
        client.sendall(raw)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionResetError):
            while part := client.recv(1 << 16):
                answer += part
    return answer


def lines(token: str, *more: str, version: str = "1.1") -> bytes:
    first = [f"POST /v1/messages HTTP/{version}", "host: x", f"x-api-key: {token}"]
    return "\r\n".join([*first, "content-type: application/json", *more, "", ""]).encode("latin-1")


BODY = json.dumps(ASKED).encode()
LENGTH = f"content-length: {len(BODY)}"
CLIENTS: list[Any] = [
    pytest.param((LENGTH, "connection: close"), BODY, 200, id="ordinary"),
    pytest.param(
        ("transfer-encoding: chunked", "connection: close"),
        b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n",
        200,
        id="chunked",
    ),
    pytest.param(
        ("Transfer-Encoding: Chunked", "connection: close"),
        b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        200,
        id="Chunked",
    ),
    pytest.param((LENGTH, "X-Title: café ñ", "connection: close"), BODY, 200, id="a header beyond ASCII"),
    pytest.param(
        (f"content-length: {len(BODY) - 3}", "connection: close"), BODY, 400, id="a length too short"
    ),
    pytest.param(("connection: close",), b"", 400, id="no body"),
    pytest.param(
        (LENGTH, "content-encoding: gzip", "connection: close"), b"\x1f\x8b" + BODY[2:], 400, id="gzip"
    ),
]


@pytest.mark.parametrize(("more", "body", "status"), CLIENTS)
def test_a_strange_client(
    gate: Gate, above: Upstream, more: tuple[str, ...], body: bytes, status: int
) -> None:
    above.play = whole()
    run, token = gate.run()
    assert bare(gate, lines(token, *more) + body).split()[1] == str(status).encode()
    settled(gate, run)
    assert gate.account(run).steps == (1 if status == 200 else 0)


def test_http_1_0_is_answered(gate: Gate, above: Upstream) -> None:
    above.play = stream(begun(), ended(), STOP)
    _, token = gate.run()
    answer = bare(gate, lines(token, LENGTH, version="1.0") + BODY)
    assert b"message_stop" in answer
    assert answer.split()[1] == b"200"


@pytest.mark.parametrize("target", ["/v1/messages?beta=true&x=%C3%A9", "/v1/messages?x=[1]|{2}"])
def test_a_query_reaches_the_upstream_as_it_came(gate: Gate, above: Upstream, target: str) -> None:
    above.play = whole()
    _, token = gate.run()
    raw = lines(token, LENGTH, "connection: close").replace(b"/v1/messages", target.encode())
    assert bare(gate, raw + BODY).split()[1] == b"200"
    assert above.taken[0].startswith(f"POST {target} ".encode())


def test_a_client_that_closes_its_sending_side_has_left_and_is_told_so(gate: Gate, above: Upstream) -> None:
    def play(client: socket.socket, number: int) -> bool:
        time.sleep(0.2)
        client.sendall(whole())
        return True

    above.play = play
    run, token = gate.run()
    asked = json.dumps({**ASKED, "inference_geo": "global"}).encode()
    sent_ = lines(token, f"content-length: {len(asked)}") + asked
    answer = bare(gate, sent_, half_close=True)
    assert answer.split()[1] == b"400"
    assert b"keep it open" in answer
    settled(gate, run)
    report = gate.report(run)
    assert report.spent.steps == len(above.taken)  # it may have been seen before the request left
    assert report.spent.usd == Usd(COST * len(above.taken))  # read to its end all the same
    assert report.estimated == Usd(0)


def test_a_body_that_never_ends_is_given_up_at_the_deadline(gate: Gate, above: Upstream) -> None:
    run, token = gate.run(Ceilings(Usd.parse("5"), 10**7, 100, 1))
    with connect(gate) as client:
        client.sendall(lines(token, "content-length: 1000") + b"{")
        assert client.recv(1 << 16).split()[1] == b"400"
    assert gate.account(run).steps == 0
    assert above.taken == []


@pytest.mark.parametrize("number", [10**12, 10**30, "9" * 5_000], ids=["10^12", "10^30", "5,000 digits"])
def test_a_number_that_no_counter_holds_is_refused(gate: Gate, number: int | str) -> None:
    run, token = gate.run()
    body = BODY.replace(b"500", str(number).encode())
    assert (
        bare(gate, lines(token, f"content-length: {len(body)}", "connection: close") + body).split()[1]
        == b"400"
    )
    assert gate.account(run).held == Usd(0)


def test_a_client_that_left_while_it_waited_its_turn_is_not_asked_for(gate: Gate, above: Upstream) -> None:
    go = threading.Event()

    def play(client: socket.socket, number: int) -> bool:
        go.wait(20)
        client.sendall(whole())
        return True

    above.play = play
    run, token = gate.run(Ceilings(Usd.parse("5"), 10**7, 1, 60))
    first = threading.Thread(target=ask, args=(gate, token))
    first.start()
    until = time.monotonic() + 10
    while not above.taken and time.monotonic() < until:
        time.sleep(0.01)
    with connect(gate) as client:
        client.sendall(request(gate, "POST", "/v1/messages", ASKED, {"x-api-key": token}))
        time.sleep(0.2)
    time.sleep(1)
    assert gate.gateway.spend._lanes == {}  # nobody waits there any more
    go.set()
    first.join()
    assert len(above.taken) == 1
    assert gate.account(run).steps == 1
