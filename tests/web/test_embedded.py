"""Who is refused by the embedded server before its body was read gets an answer, and its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.ceilings import Reason
from bot.stores.database import Database
from tests.web.gates import Gate, gated
from tests.web.test_gateway import connect
from tests.web.test_http import BODY

LARGE = BODY[:-1] + b" " * 3_000_000 + b"}"
REFUSED = [
    pytest.param("halted", "/v1/messages", 402, id="the run is halted"),
    pytest.param("done", "/v1/messages", 401, id="the run has ended"),
    pytest.param("running", "/v1/complete", 404, id="there is no such path"),
]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    database.migrate()
    with gated(database, "http://127.0.0.1:9") as made:
        yield made
    database.close()


def head(gate: Gate, state: str, path: str) -> bytes:
    """Of a request with a large body, of a run in that state."""
    run, token = gate.run()
    if state == "halted":
        gate.ledger.halt(run, 1, Reason.STOPPED, "halted at step 0: stopped")
    elif state != "running":
        assert gate.runs.end(run, state)
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\ncontent-length: {len(LARGE)}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(("state", "path", "status"), REFUSED)
def test_who_has_sent_all_reads_the_answer_to_its_end(gate: Gate, state: str, path: str, status: int) -> None:
    with connect(gate) as client:
        client.sendall(head(gate, state, path) + LARGE)
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    top, _, body = answer.partition(b"\r\n\r\n")
    assert int(top.split()[1]) == status
    assert json.loads(body)["type"] == "error"


@pytest.mark.parametrize(("state", "path", "status"), REFUSED)
def test_who_is_still_sending_is_not_cut_off(gate: Gate, state: str, path: str, status: int) -> None:
    with connect(gate) as client:
        client.sendall(head(gate, state, path) + LARGE[:100_000])
        answer = client.recv(1 << 16)  # it is there before the rest of the request
        client.sendall(LARGE[100_000:])
        while part := client.recv(1 << 16):
            answer += part
    assert int(answer.split()[1]) == status
    assert answer.endswith(b"}}")
