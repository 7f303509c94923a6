"""The sandbox's Claude speaks HTTP/1.1 with whoever sends it bytes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from sandbox.processes import Started, start

ASK = {"model": "claude-opus-4-7", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
BODY = json.dumps(ASK).encode()
KEY = b"host: sandbox\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
HEAD = b"POST /v1/messages?beta=true HTTP/1.1\r\n" + KEY
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def claude() -> Iterator[Started]:
    with start("claude", character="echo") as started:
        yield started


def connect(claude: Started) -> socket.socket:
    host, port = claude.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def answer(wire: socket.socket, before: bytes = b"") -> tuple[int, dict[str, str], bytes, bytes]:
    """(status, headers, body, what came after it) of one answer that has a length."""
    got = before
    while b"\r\n\r\n" not in got:
        more = wire.recv(65536)
        assert more, f"the connection ended after {got!r}"
        got += more
    head, _, rest = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = int(headers.get("content-length", 0))
    while len(rest) < length:
        more = wire.recv(65536)
        assert more, f"the connection ended after {rest!r}"
        rest += more
    return int(first.split()[1]), headers, rest[:length], rest[length:]


def sized(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    wire = b"".join(b"%X;name=value\r\n%b\r\n" % (len(part), part) for part in parts)
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + wire + b"0\r\nx-trailer: 1\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize("wire", [sized(BODY), chunked(BODY, 1), chunked(BODY, 10), chunked(BODY, 1000)])
def test_a_request_may_come_in_any_pieces(claude: Started, wire: bytes, step: int) -> None:
    with closing(connect(claude)) as client:
        for at in range(0, len(wire), step):
            client.sendall(wire[at : at + step])
        assert answer(client)[0] == 200
        client.sendall(wire)
        assert answer(client)[0] == 200  # and the connection lives on


def test_requests_sent_ahead_are_answered_in_order(claude: Started) -> None:
    asked = [
        json.dumps({**ASK, "messages": [{"role": "user", "content": "x" * 32 * n}]}).encode()
        for n in (1, 2, 3)
    ]
    with closing(connect(claude)) as client:
        client.sendall(sized(asked[0]) + chunked(asked[1], 5) + sized(asked[2]))
        rest, tokens = b"", []
        for _ in asked:
            status, _, body, rest = answer(client, rest)
            tokens.append((status, json.loads(body)["usage"]["input_tokens"]))
    assert tokens == [(200, 13), (200, 23), (200, 33)]


def test_a_stream_and_then_a_message_on_one_connection(claude: Started) -> None:
    with closing(connect(claude)) as client:
        client.sendall(sized(json.dumps({**ASK, "stream": True}).encode()) + sized(BODY))
        got = b""
        while b"0\r\n\r\n" not in got:
            got += client.recv(65536)
        stream, _, rest = got.partition(b"0\r\n\r\n")
        assert b"transfer-encoding: chunked" in stream
        assert b"event: message_stop" in stream
        assert answer(client, rest)[0] == 200


def test_it_asks_for_the_body_when_the_client_waits_to_be_asked(claude: Started) -> None:
    with closing(connect(claude)) as client:
        client.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert answer(client)[0] == 200


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_more_than_32_megabytes_are_refused_and_the_refusal_arrives(claude: Started, framing: str) -> None:
    with closing(connect(claude)) as client:
        chunk = b"%x\r\n%b\r\n" % (MEGABYTE, b"x" * MEGABYTE)
        size = (
            b"content-length: %d" % (33 * MEGABYTE) if framing == "length" else b"transfer-encoding: chunked"
        )
        client.sendall(HEAD + size + b"\r\n\r\n")
        for _ in range(33):
            client.sendall(chunk if framing == "chunks" else b"x" * MEGABYTE)
        status, headers, body, _ = answer(client)
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["error"]["type"] == "request_too_large"


def test_nearly_32_megabytes_are_read(claude: Started) -> None:
    block = {"role": "user", "content": "x" * (3 * MEGABYTE)}
    body = json.dumps({**ASK, "messages": [block] * 10}).encode()
    with closing(connect(claude)) as client:
        client.sendall(chunked(body, 3_000_001))
        status, _, said, _ = answer(client)
    assert (status, json.loads(said)["error"]["message"][:18]) == (400, "prompt is too long")


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"hello\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", id="another version"),
        pytest.param(HEAD + b"content-length: x\r\n\r\n", id="a length in words"),
        pytest.param(HEAD + b"content-length: +5\r\n\r\n", id="a signed length"),
        pytest.param(HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n", id="two lengths"),
        pytest.param(
            HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", id="a length and chunks"
        ),
        pytest.param(HEAD + b"transfer-encoding: gzip\r\n\r\n", id="another coding"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", id="a chunk of no size"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n", id="a chunk of less than nothing"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nabc", id="a chunk longer than it says"),
        pytest.param(HEAD + b"no colon\r\n\r\n", id="a header without a colon"),
        pytest.param(HEAD + b" folded: x\r\n\r\n", id="a folded header"),
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_ends(claude: Started, wire: bytes) -> None:
    with closing(connect(claude)) as client:
        client.sendall(wire)
        status, headers, body, _ = answer(client)
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body)["type"] == "error"
        assert client.recv(1) == b""


def test_a_head_without_end_is_refused(claude: Started) -> None:
    with closing(connect(claude)) as client:
        client.sendall(HEAD + b"x-long: " + b"x" * 70_000)
        assert answer(client)[0] == 431


def test_head_has_no_body_and_old_clients_are_let_go(claude: Started) -> None:
    with closing(connect(claude)) as client:
        client.sendall(b"HEAD /v1/models HTTP/1.1\r\n" + KEY + b"\r\nGET /healthz HTTP/1.0\r\n\r\n")
        got = b""
        while more := client.recv(65536):
            got += more
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert got.count(b'"claude-opus-4-7"') == 0
    assert got.endswith(b"}")


def test_thirty_two_clients_at_once_each_get_their_own_answer(claude: Started) -> None:
    gate, tokens = threading.Barrier(32), {}

    def ask(number: int) -> None:
        body = json.dumps({**ASK, "messages": [{"role": "user", "content": "x" * 32 * number}]}).encode()
        with closing(connect(claude)) as client:
            gate.wait()
            for _ in range(5):
                client.sendall(sized(body))
                tokens[number] = json.loads(answer(client)[2])["usage"]["input_tokens"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 33)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == {number: 10 * number + 3 for number in range(1, 33)}
