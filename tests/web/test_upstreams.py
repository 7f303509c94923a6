"""HTTP as upstreams speak it, strange ones too: what is billed is booked, once."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from typing import Any

import pytest

from bot.clients import anthropic
from bot.core import reports
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from tests.web.gates import Gate
from tests.web.test_gateway import MODEL, settled
from tests.web.upstreams import (
    COST,
    MESSAGE,
    STOP,
    USAGE,
    Upstream,
    ask,
    begun,
    ended,
    event,
    head,
    sent,
    stream,
    unchunked,
    whole,
)

EXACT, WHOLE, PART, NOTHING = "its usage", "the hold", "input and max_tokens", "nothing"
ANSWERS: list[Any] = [
    pytest.param(whole(), 200, EXACT, id="an ordinary one"),
    pytest.param(whole(MESSAGE, "connection: close"), 200, EXACT, id="that closes the connection"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + whole(),
        200,
        EXACT,
        id="after 100 and 103",
    ),
    pytest.param(whole(MESSAGE, "x-large: " + "a" * 60_000), 200, EXACT, id="with a huge header"),
    pytest.param(whole(MESSAGE, *(f"x-{n}: é" for n in range(500))), 200, EXACT, id="with many odd headers"),
    pytest.param(whole().replace(b"content-length", b"CONTENT-LENGTH"), 200, EXACT, id="in capitals"),
    pytest.param(head("connection: close") + json.dumps(MESSAGE).encode(), 200, EXACT, id="ended by closing"),
    pytest.param(whole({**MESSAGE, "stop_reason": "pause_turn"}), 200, EXACT, id="pause_turn"),
    pytest.param(
        whole({**MESSAGE, "stop_reason": "model_context_window_exceeded"}),
        200,
        EXACT,
        id="model_context_window_exceeded",
    ),
    pytest.param(
        whole({**MESSAGE, "stop_reason": "x" * 300, "model": MODEL}, f"request-id: {'r' * 300}"),
        200,
        EXACT,
        id="with long words",
    ),
    pytest.param(
        head("content-length: 9999", "connection: close") + json.dumps(MESSAGE).encode(),
        502,
        WHOLE,
        id="shorter than it says",
    ),
    pytest.param(
        head("content-length: 10") + json.dumps(MESSAGE).encode(), 200, WHOLE, id="longer than it says"
    ),
    pytest.param(head("content-length: 5", "content-length: 7") + b"{}", 502, WHOLE, id="of two lengths"),
    pytest.param(
        head("content-encoding: gzip", "connection: close") + gzip.compress(json.dumps(MESSAGE).encode()),
        200,
        WHOLE,
        id="that is compressed though we said not to",
    ),
    pytest.param(whole({**MESSAGE, "usage": {}}), 200, WHOLE, id="with an empty usage"),
    pytest.param(whole({**MESSAGE, "usage": {"output_tokens": 3}}), 200, WHOLE, id="with half a usage"),
    pytest.param(
        whole({**MESSAGE, "usage": {"input_tokens": "20", "output_tokens": 30}}),
        200,
        WHOLE,
        id="with a usage of words",
    ),
    pytest.param(whole({**MESSAGE, "model": "claude-next"}), 200, WHOLE, id="of a model without a price"),
    pytest.param(
        whole({**MESSAGE, "usage": {**USAGE, "speed": "fast"}}), 200, WHOLE, id="at a speed without a price"
    ),
    pytest.param(
        head("content-length: 30", kind="text/html") + b"<html>It is not here.</html>  ",
        200,
        WHOLE,
        id="that is a page",
    ),
    pytest.param(
        head("content-length: 200000", "connection: close") + b"[" * 200_000,
        200,
        WHOLE,
        id="nested too deeply",
    ),
    pytest.param(b"HTTP/0.9 hello\r\n\r\n", 502, WHOLE, id="that is not HTTP"),
    pytest.param(
        whole({"type": "error"}, "retry-after: 7", status="529 Site is overloaded"), 529, NOTHING, id="529"
    ),
    pytest.param(whole({"x": 1}, "location: /", status="307 Go"), 307, NOTHING, id="a redirect"),
]


@pytest.mark.parametrize(("answer", "status", "charged"), ANSWERS)
def test_an_answer_in_one_piece(
    gate: Gate, above: Upstream, answer: bytes, status: int, charged: str
) -> None:
    above.play = answer
    run, token = gate.run()
    seen, headers, body = ask(gate, token, inference_geo="global")
    assert seen == status
    if status == 502:
        assert headers["x-should-retry"] == "false"
        assert b"the whole hold of $" in body
    else:
        assert body
        assert body in answer
    _charged(gate, run, charged)
    assert len(above.taken) == 1


STREAMS: list[Any] = [
    pytest.param(stream(begun(), ended(), STOP), EXACT, id="an ordinary one"),
    pytest.param(stream(begun(), ended("pause_turn"), STOP), EXACT, id="pause_turn"),
    pytest.param(
        stream(begun(), ended("model_context_window_exceeded"), STOP),
        EXACT,
        id="model_context_window_exceeded",
    ),
    pytest.param(
        stream(begun(input_tokens=20, output_tokens=1, speed="fast"), ended(), STOP),
        WHOLE,
        id="at a speed without a price",
    ),
    pytest.param(
        head("content-encoding: gzip", "connection: close", kind="text/event-stream")
        + gzip.compress(unchunked(begun() + ended() + STOP)),
        WHOLE,
        id="that is compressed though we said not to",
    ),
    pytest.param(stream(begun(), STOP), PART, id="that never tells its output"),
    pytest.param(stream(begun(), ended()), PART, id="without message_stop"),
    pytest.param(
        stream(event("message_start", message={"model": MODEL}), ended(), STOP),
        WHOLE,
        id="that never tells its input",
    ),
    pytest.param(
        stream(begun(output_tokens=1), ended(input_tokens=20, output_tokens=30), STOP),
        EXACT,
        id="that tells it at the end",
    ),
    pytest.param(
        stream(begun(), ended(output_tokens=10), ended(output_tokens=30), STOP), EXACT, id="cumulative"
    ),
    pytest.param(
        stream(begun(), ended(), STOP, end=b"nonsense\r\n"), EXACT, id="with nonsense behind its end"
    ),
    pytest.param(stream(begun(), end=b"zzz\r\n"), PART, id="with nonsense in its midst"),
    pytest.param(stream(), WHOLE, id="of nothing"),
    pytest.param(
        stream(begun(), event("error", error={"type": "api_error", "message": "é"})), PART, id="an error"
    ),
    pytest.param(
        stream(begun(), event("content_block_delta", delta={"text": "x" * (9 << 20)}), ended(), STOP),
        EXACT,
        id="with an event of nine megabytes",
    ),
]


@pytest.mark.parametrize(("answer", "charged"), STREAMS)
def test_an_answer_in_events(gate: Gate, above: Upstream, answer: bytes, charged: str) -> None:
    above.play = answer
    run, token = gate.run()
    status, _, body = ask(gate, token, stream=True, inference_geo="global")
    assert status == 200
    _, _, sent = answer.partition(b"\r\n\r\n")
    passed = unchunked(sent) if b"chunked" in answer[:200] else sent
    seen = unchunked(body)
    assert seen.startswith(passed)
    added = seen[len(passed) :]  # where it breaks off we end it with a word of our own
    assert added.startswith(b"event: error\n" if sent.endswith(b"zzz\r\n") else b"")
    assert bool(added) is sent.endswith(b"zzz\r\n")
    _charged(gate, run, charged)


def _charged(gate: Gate, run: str, charged: str) -> None:
    settled(gate, run)
    report = gate.report(run)
    expected = {EXACT: COST, PART: 20 * 5_000 + 500 * 25_000, NOTHING: 0}
    if charged == WHOLE:
        assert report.spent.usd.nanos > expected[PART]
    else:
        assert report.spent.usd.nanos == expected[charged]
    assert report.estimated == (report.spent.usd if charged in (WHOLE, PART) else Usd(0))
    assert report.spent.steps == (0 if charged == NOTHING else 1)
    assert report.outcome == "running"


def test_bytes_behind_an_answer_are_not_the_next_requests_answer(gate: Gate, above: Upstream) -> None:
    stolen = whole({**MESSAGE, "content": [{"type": "text", "text": "someone else's"}]})
    above.play = lambda client, number: sent(client, whole() + (stolen if number == 1 else b""))
    _, token = gate.run()
    for _ in range(2):
        assert b"someone" not in ask(gate, token)[2]
    assert above.connections == 2


def test_a_connection_is_kept_for_the_next_request(gate: Gate, above: Upstream) -> None:
    above.play = whole()
    _, token = gate.run()
    for _ in range(3):
        assert ask(gate, token)[0] == 200
    assert above.connections == 1


def test_a_kept_connection_that_the_upstream_closes_meanwhile_costs_and_breaks_nothing(
    gate: Gate, above: Upstream
) -> None:
    def play(client: socket.socket, number: int) -> bool:
        client.sendall(whole())
        return False  # and close

    above.play = play
    run, token = gate.run()
    for number in range(1, 6):
        assert ask(gate, token, inference_geo="global")[0] == 200
        assert gate.account(run).spent == Usd(number * COST)


class Blind(anthropic.Upstream):
    """It does not look whether a kept connection is still alive: as if it was closed just after the look."""

    def _take(self) -> anthropic._Connection | None:
        return self._idle.pop() if self._idle else None


@pytest.mark.parametrize("size", [10, 5_000_000], ids=["small", "large"])
def test_a_request_that_meets_a_closing_connection_is_sent_again_and_arrives_once(
    above: Upstream, size: int
) -> None:
    def play(client: socket.socket, number: int) -> bool:
        client.sendall(whole())
        return False  # and close

    above.play = play
    client, deadline = Blind(above.url), time.monotonic() + 20
    for _ in range(4):
        exchange = client.send("POST", "/v1/messages", [], (b"x" * size,), deadline)
        assert exchange.head(deadline).status == 200
        assert json.loads(exchange.read_all(deadline)) == MESSAGE
        exchange.close()
        time.sleep(0.1)
    client.close()
    assert len(above.taken) == above.connections == 4


def test_an_upstream_that_takes_a_request_and_closes_without_a_word_is_not_asked_again(
    gate: Gate, above: Upstream
) -> None:
    above.play = lambda client, number: number == 1 and sent(client, whole())
    run, token = gate.run()
    assert ask(gate, token)[0] == 200
    status, headers, _ = ask(gate, token)
    assert (status, headers["x-should-retry"]) == (502, "false")
    assert len(above.taken) == 2
    assert gate.report(run).estimated > Usd(0)


def test_a_refusal_that_comes_before_the_whole_body_was_sent_is_relayed_and_free(gate: Gate) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def refuse() -> None:
        client, _ = listening.accept()
        with client:
            client.recv(100)
            client.sendall(whole({"type": "error"}, "connection: close", status="413 Too Large"))
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass

    thread = threading.Thread(target=refuse)
    thread.start()
    gate.gateway.upstream._port = listening.getsockname()[1]
    run, token = gate.run(Ceilings(Usd.parse("1000"), 10**9, 99, 600))
    assert ask(gate, token, metadata={"user_id": "x" * 8_000_000})[0] == 413
    assert gate.account(run).spent == Usd(0)
    thread.join(10)
    listening.close()


def test_an_upstream_that_does_not_take_the_body_is_left_at_the_deadline_and_costs_nothing(
    gate: Gate,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        gate.gateway.upstream._port = listening.getsockname()[1]
        run, token = gate.run(Ceilings(Usd.parse("1000"), 10**9, 99, 2))
        assert ask(gate, token, metadata={"user_id": "x" * 16_000_000})[0] == 502
        assert (gate.account(run).spent, gate.account(run).held) == (Usd(0), Usd(0))
        assert ask(gate, token)[0] == 402


def test_the_true_usage_of_an_answer_that_came_after_the_deadline_is_booked(
    gate: Gate, above: Upstream
) -> None:
    def play(client: socket.socket, number: int) -> bool:
        time.sleep(1.5)
        client.sendall(whole())
        return True

    above.play = play
    run, token = gate.run(Ceilings(Usd.parse("5"), 10**7, 100, 1))
    assert ask(gate, token, inference_geo="global")[0] == 402
    settled(gate, run)
    report = gate.report(run)
    assert (report.spent.usd, report.estimated) == (Usd(COST), Usd(0))
    assert report.reason == Reason.WALL_CLOCK


@pytest.mark.parametrize(
    ("answered", "cost"),
    [("claude-haiku-4-5-20251001", Usd(20 * 1_000 + 30 * 5_000)), ("claude-next", None)],
    ids=["with a price", "without one"],
)
def test_another_model_than_was_asked_for_is_shown_wherever_the_run_is(
    gate: Gate, above: Upstream, answered: str, cost: Usd | None
) -> None:
    above.play = whole({**MESSAGE, "model": answered})
    run, token = gate.run()
    status, _, body = ask(gate, token, inference_geo="global")
    assert (status, json.loads(body)["model"]) == (200, answered)
    assert gate.runs.end(run, "done")
    report = gate.report(run)
    assert report.turns[0].model == answered
    assert report.spent.usd == (cost or report.estimated)
    assert report.spent.usd > Usd(0)
    told: Any = reports.to_json(report)
    for shown in (reports.markdown(report), reports.terminal(report), "\n".join(told["clamps"])):
        assert answered in shown
        assert MODEL in shown


def test_the_same_model_with_its_date_is_no_difference(gate: Gate, above: Upstream) -> None:
    above.play = whole({**MESSAGE, "model": "claude-opus-4-5-20251101"})
    run, token = gate.run()
    assert ask(gate, token, model="claude-opus-4-5")[0] == 200
    assert gate.report(run).clamps == ()


@pytest.mark.parametrize("streamed", [False, True], ids=["JSON", "SSE"])
@pytest.mark.parametrize(
    ("ceilings", "reason"),
    [
        (Ceilings(Usd.parse("0.1"), 10**7, 100, 600), Reason.COST),
        (Ceilings(Usd.parse("9"), 3_000, 100, 600), Reason.TOKENS),
    ],
    ids=["cost", "tokens"],
)
def test_an_answer_that_our_clamp_cut_short_halts_by_the_ceiling_that_lowered_it(
    gate: Gate, above: Upstream, ceilings: Ceilings, reason: Reason, streamed: bool
) -> None:
    cut = whole({**MESSAGE, "stop_reason": "max_tokens"})
    above.play = stream(begun(), ended("max_tokens"), STOP) if streamed else cut
    run, token = gate.run(ceilings)
    status, headers, body = ask(gate, token, max_tokens=64_000, stream=streamed, inference_geo="global")
    assert status == 200
    assert b'"max_tokens"' in body  # the answer comes whole, with its reason
    clamped = int(headers["tollgate-clamped-max-tokens"])
    assert json.loads(above.taken[0].partition(b"\r\n\r\n")[2])["max_tokens"] == clamped < 64_000
    settled(gate, run)
    report = gate.report(run)
    assert (report.outcome, report.reason) == ("halted", reason)
    assert (report.spent.usd, report.estimated, report.spent.steps) == (Usd(COST), Usd(0), 1)
    assert ask(gate, token)[0] == 402


def test_an_answer_that_the_agents_own_limit_cut_short_halts_nothing(gate: Gate, above: Upstream) -> None:
    above.play = whole({**MESSAGE, "stop_reason": "max_tokens"})
    run, token = gate.run()
    assert ask(gate, token)[0] == 200
    assert gate.report(run).outcome == "running"


def test_a_refusal_that_was_not_billed_bounds_nothing(gate: Gate, above: Upstream) -> None:
    long = [{"role": "user", "content": "x" * 30_000}]
    above.play = whole({**MESSAGE, "stop_reason": "refusal", "content": []})
    run, token = gate.run()
    assert ask(gate, token, messages=long)[0] == 200
    assert gate.account(run).spent == Usd(0)
    above.play = whole({**MESSAGE, "usage": {"input_tokens": 29_000, "output_tokens": 1}})
    assert ask(gate, token, messages=long)[0] == 200
    assert gate.report(run).outcome == "running"  # within its bound
