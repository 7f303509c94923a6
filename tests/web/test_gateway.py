"""The agents' door over real HTTP: no ceiling is passed, and every way an answer can end is booked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anthropic
import pytest
import sqlalchemy as sa

from bot.clients.keys import Keys
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.stores.database import Database
from bot.stores.tables import turns
from sandbox.processes import Started, start
from tests.web.gates import AMPLE, Gate, gated

MODEL = "claude-opus-4-7"


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="echo", invoice=tmp_path / "invoice", answer_tokens=50) as started:
        yield started


@pytest.fixture
def gate(database: Database, claude: Started) -> Iterator[Gate]:
    with gated(database, claude.url, drain_seconds=2) as made:
        yield made


def plays(claude: Started, character: str, **manner: object) -> None:
    claude.ask("/_sandbox/character", {"character": character, "manner": manner})


def sdk(gate: Gate, token: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gate.url, api_key=token, max_retries=0, timeout=60)


def ask(
    client: anthropic.Anthropic, stream: bool = False, max_tokens: int = 1_000
) -> anthropic.types.Message:
    talk: Any = [{"role": "user", "content": "hello"}]
    if not stream:
        return client.messages.create(model=MODEL, max_tokens=max_tokens, messages=talk)
    with client.messages.stream(model=MODEL, max_tokens=max_tokens, messages=talk) as streamed:
        return streamed.get_final_message()


def settled(gate: Gate, run: str) -> None:
    """Until nothing of the run is in flight: what a client left behind is drained in its own time."""
    until = time.monotonic() + 30
    while gate.account(run).held_steps and time.monotonic() < until:
        time.sleep(0.02)
    assert gate.account(run).held_steps == 0
    assert gate.account(run).held == Usd(0)


# -- the ordinary way --


def test_the_name_of_the_key_is_booked_with_each_turn_and_its_value_nowhere(
    gate: Gate, database: Database
) -> None:
    run, token = gate.run()
    ask(sdk(gate, token))
    with database.read() as tx:
        row = tx.execute(sa.select(turns).where(turns.c.run == run)).mappings().one()
    assert row["key_name"] == "ANTHROPIC_API_KEY"
    assert "sk-test" not in str(dict(row))


def test_a_run_is_sent_with_its_own_key_as_it_is_now_and_without_one_nothing_leaves(
    gate: Gate, database: Database, tmp_path: Path
) -> None:
    rotated = tmp_path / "key"
    rotated.write_text("sk-first\n")
    gate.gateway.key = Keys({"ANTHROPIC_API_KEY": "sk-a", "ANTHROPIC_API_KEY_EVALS": str(rotated)}).get
    run, token = gate.run()
    gate.runs.set(run, key_name="ANTHROPIC_API_KEY_EVALS")
    client = sdk(gate, token)
    ask(client)
    rotated.write_text("sk-second\n")  # no restart
    ask(client)
    rotated.unlink()
    with pytest.raises(anthropic.APIStatusError) as refused:
        ask(client)
    assert refused.value.status_code == 503
    assert "has no key ANTHROPIC_API_KEY_EVALS" in str(refused.value)
    assert "Nothing was spent" in str(refused.value)
    with database.read() as tx:
        rows = tx.execute(sa.select(turns.c.key_name).where(turns.c.run == run)).scalars().all()
    assert rows == ["ANTHROPIC_API_KEY_EVALS"] * 2


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
def test_the_ledger_equals_the_invoice_to_the_nano_dollar(gate: Gate, claude: Started, stream: bool) -> None:
    run, token = gate.run()
    with sdk(gate, token) as client:
        for _ in range(3):
            answer = ask(client, stream)
    report = gate.report(run)
    assert answer.usage.output_tokens == 50
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"] > 0
    assert report.spent.steps == 3
    assert report.estimated == Usd(0)
    parts = report.cost_by
    assert parts.input + parts.cache_write + parts.cache_read + parts.output == report.spent.usd


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
def test_the_answer_is_the_upstreams_own(gate: Gate, claude: Started, stream: bool) -> None:
    _, token = gate.run()
    with sdk(gate, token) as through, anthropic.Anthropic(base_url=claude.url, api_key="k") as straight:
        ours, theirs = ask(through, stream).to_dict(), ask(straight, stream).to_dict()
    assert {**ours, "id": ""} == {**theirs, "id": ""}


def test_what_remains_stands_in_the_headers_of_every_answer(gate: Gate) -> None:
    run, token = gate.run(Ceilings(Usd.parse("1"), 5_000, 3, 600))
    with sdk(gate, token) as client:
        talk: Any = [{"role": "user", "content": "hello"}]
        raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=100, messages=talk)
    account = gate.account(run)
    assert raw.headers["tollgate-run"] == run
    assert raw.headers["tollgate-remaining-usd"] == (Usd.parse("1") - account.spent).exact
    assert raw.headers["tollgate-remaining-tokens"] == str(5_000 - account.spent_tokens)
    assert raw.headers["tollgate-remaining-steps"] == "2"
    assert 0 < int(raw.headers["tollgate-remaining-seconds"]) <= 600


def test_either_header_carries_the_token(gate: Gate) -> None:
    _, token = gate.run()
    for header in ({"x-api-key": token}, {"authorization": f"Bearer {token}"}):
        assert post(gate, {"model": MODEL, "max_tokens": 9, "messages": TALK}, header)[0] == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/messages/count_tokens"])
def test_the_free_paths_pass_and_cost_nothing(gate: Gate, claude: Started, path: str) -> None:
    run, token = gate.run()
    with sdk(gate, token) as client:
        if path == "/v1/models":
            assert MODEL in [model.id for model in client.models.list()]
        else:
            talk: Any = TALK
            assert client.messages.count_tokens(model=MODEL, messages=talk).input_tokens > 0
    assert gate.account(run).steps == 0
    assert claude.invoice()["total_nanos"] == 0


# -- the ceilings --

CEILINGS = [
    pytest.param(Ceilings(Usd.parse("0.05"), 10**7, 10**4, 600), Reason.COST, id="cost"),
    pytest.param(Ceilings(Usd.parse("9"), 3_000, 10**4, 600), Reason.TOKENS, id="tokens"),
    pytest.param(Ceilings(Usd.parse("9"), 10**7, 5, 600), Reason.STEPS, id="steps"),
]


@pytest.mark.parametrize(("ceilings", "reason"), CEILINGS)
@pytest.mark.parametrize("clients", [1, 8])
def test_each_ceiling_halts_with_its_own_sentence_and_is_never_passed(
    gate: Gate, claude: Started, ceilings: Ceilings, reason: Reason, clients: int
) -> None:
    plays(claude, "echo", answer_tokens=200)
    run, token = gate.run(ceilings)
    said: list[anthropic.APIStatusError] = []

    def work() -> None:
        with sdk(gate, token) as client:
            while True:
                try:
                    ask(client)
                except anthropic.APIStatusError as error:
                    said.append(error)
                    return

    together(work, clients)
    report = gate.report(run)
    assert report.outcome == "halted"
    assert report.reason == reason
    assert {error.status_code for error in said} == {402}
    for error in said:
        assert error.response.headers["x-should-retry"] == "false"
        assert error.response.json()["error"]["message"] == report.message
        assert error.response.json()["error"]["type"] == "billing_error"
        assert error.response.json()["error"]["reason"] == reason.value
    assert report.message.startswith(f"halted at step {report.spent.steps}: ")
    assert report.spent.usd <= ceilings.usd
    assert report.spent.tokens <= ceilings.tokens
    assert report.spent.steps <= ceilings.steps
    if reason == Reason.COST:
        assert report.needed is not None
        assert report.spent.usd + report.needed > ceilings.usd
    if reason == Reason.TOKENS:
        assert report.spent.tokens + (report.needed_tokens or 0) > ceilings.tokens
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]


def test_cached_reads_have_a_ceiling_of_their_own(gate: Gate, claude: Started) -> None:
    run, token = gate.run(Ceilings(Usd.parse("9"), 10**7, 10**4, 600, cached_tokens=60_000))
    marked = {"type": "text", "text": "a word or two " * 1_000, "cache_control": {"type": "ephemeral"}}
    asked = {"model": MODEL, "max_tokens": 50, "system": [marked], "messages": TALK}
    while (answer := post(gate, asked, {"x-api-key": token}))[0] == 200:
        pass
    report = gate.report(run)
    assert json.loads(answer[2])["error"]["reason"] == report.reason == Reason.CACHED_TOKENS
    assert 0 < report.spent.cache_read <= 60_000
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"]


def test_contention_waits_and_does_not_halt(gate: Gate, claude: Started) -> None:
    run, token = gate.run(Ceilings(Usd.parse("5"), 10**7, 100, 600))
    answers: list[int] = []

    def work() -> None:
        with (
            sdk(gate, token) as client,
            client.messages.stream(
                model=MODEL, max_tokens=64_000, messages=[{"role": "user", "content": "a word"}]
            ) as streamed,
        ):
            answers.append(streamed.get_final_message().usage.output_tokens)

    together(work, 8)
    assert answers == [50] * 8
    assert gate.account(run).state == "running"


def test_max_tokens_is_lowered_to_what_fits_and_a_header_says_so(gate: Gate, claude: Started) -> None:
    run, token = gate.run(Ceilings(Usd.parse("0.1"), 10**7, 100, 600))
    raw = post(gate, {"model": MODEL, "max_tokens": 64_000, "messages": TALK}, {"x-api-key": token})
    clamped = int(raw[1]["tollgate-clamped-max-tokens"])
    assert 1_024 <= clamped < 64_000
    assert raw[0] == 200
    assert gate.account(run).state == "running"


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
def test_the_wall_clock_cuts_an_answer_that_never_ends(gate: Gate, claude: Started, stream: bool) -> None:
    plays(claude, "pings" if stream else "silent")
    run, token = gate.run(Ceilings(Usd.parse("5"), 10**7, 100, 1))
    with sdk(gate, token) as client, pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, stream)
    assert "wall-clock ceiling reached" in str(caught.value)
    settled(gate, run)
    report = gate.report(run)
    assert (report.outcome, report.reason) == ("halted", Reason.WALL_CLOCK)
    assert report.spent.usd.nanos >= claude.invoice()["total_nanos"]
    with sdk(gate, token) as client, pytest.raises(anthropic.APIStatusError) as again:
        ask(client)
    assert again.value.status_code == 402


# -- every other way an answer can end: what the client sees, what is charged --

EXACT, AT_LEAST, NOTHING = "the invoice", "at least the invoice, estimated", "nothing"
ENDINGS = [
    ("overloaded", False, 529, NOTHING),
    ("overloaded", True, 529, NOTHING),
    ("rate-limited", False, 429, NOTHING),
    ("broken", False, 500, NOTHING),
    ("refuses", False, 200, NOTHING),
    ("refuses", True, 200, NOTHING),
    ("refuses-midway", False, 200, EXACT),
    ("refuses-midway", True, 200, EXACT),
    ("cuts", True, None, AT_LEAST),
    ("truncated", True, None, AT_LEAST),
    ("truncated", False, 502, AT_LEAST),
    ("reset", False, 502, AT_LEAST),
    ("reset", True, 502, AT_LEAST),
    ("reset-midway", True, None, AT_LEAST),
    ("error-midway", True, None, AT_LEAST),
    ("error-first", True, None, NOTHING),
    ("error-first-reset", True, None, NOTHING),
    ("gibberish", False, 200, AT_LEAST),
]


@pytest.mark.parametrize(("character", "stream", "status", "charged"), ENDINGS)
def test_every_ending_is_shown_and_charged_as_the_table_says(
    gate: Gate, claude: Started, character: str, stream: bool, status: int | None, charged: str
) -> None:
    plays(claude, character)
    run, token = gate.run()
    asked = {"model": MODEL, "max_tokens": 500, "messages": TALK, "stream": stream}
    seen, headers, body = post(gate, asked, {"x-api-key": token})
    settled(gate, run)
    report, invoice = gate.report(run), claude.invoice()["total_nanos"]
    assert seen == (status or 200)
    if status == 529 or status == 429:
        assert headers["retry-after"] == "1"
    if status is None and character != "truncated":  # a stream that ends without a word is passed as it is
        assert b"event: error" in body
    match charged:
        case "nothing":
            assert report.spent.usd == Usd(0)
            assert invoice == 0
            assert report.spent.steps == ("refuses" in character)
        case "the invoice":
            assert report.spent.usd.nanos == invoice > 0
            assert report.estimated == Usd(0)
        case _:
            assert report.spent.usd.nanos >= invoice
            assert report.estimated == report.spent.usd > Usd(0)
    assert report.outcome == "running"
    assert report.spent.usd + gate.account(run).held <= AMPLE.usd


@pytest.mark.parametrize("character", ["upstream-limit", "tier-limit", "no-credit"])
def test_a_limit_of_the_key_upstream_is_its_own_halt(gate: Gate, claude: Started, character: str) -> None:
    plays(claude, character)
    run, token = gate.run()
    status, headers, _ = post(gate, {"model": MODEL, "max_tokens": 5, "messages": TALK}, {"x-api-key": token})
    assert status in (400, 402, 429)
    assert headers["x-should-retry"] == "false"
    assert (gate.report(run).reason, gate.report(run).spent.usd) == (Reason.UPSTREAM_LIMIT, Usd(0))


def test_an_answer_above_its_bound_is_booked_and_halts_the_run(gate: Gate, claude: Started) -> None:
    plays(claude, "bills-above")
    run, token = gate.run()
    asked = {"model": MODEL, "max_tokens": 5, "messages": TALK}
    status, _, body = post(gate, asked, {"x-api-key": token})
    assert (status, json.loads(body)["type"]) == (200, "message")
    assert gate.report(run).spent.usd.nanos == claude.invoice()["total_nanos"]
    assert gate.report(run).reason == Reason.BOUND_EXCEEDED
    assert post(gate, asked, {"x-api-key": token})[0] == 402


def test_an_upstream_that_is_not_there_costs_nothing(database: Database) -> None:
    with gated(database, "http://127.0.0.1:9") as gate:
        run, token = gate.run()
        status, _, body = post(
            gate, {"model": MODEL, "max_tokens": 5, "messages": TALK}, {"x-api-key": token}
        )
        assert status == 502
        assert b"Nothing was spent" in body
        assert (gate.account(run).spent, gate.account(run).steps) == (Usd(0), 0)


@pytest.mark.parametrize("after", ["at once", "in mid-stream"])
@pytest.mark.parametrize("character", ["slow", "echo"])
def test_a_client_that_leaves_is_charged_what_the_upstream_bills(
    gate: Gate, claude: Started, after: str, character: str
) -> None:
    plays(claude, character, event_ms=30)
    run, token = gate.run()
    with connect(gate) as client:
        asked = {"model": MODEL, "max_tokens": 500, "messages": TALK, "stream": True}
        client.sendall(request(gate, "POST", "/v1/messages", asked, {"x-api-key": token}))
        if after == "in mid-stream":
            client.recv(300)
        else:
            until = time.monotonic() + 10
            while not gate.account(run).held_steps + gate.account(run).steps and time.monotonic() < until:
                time.sleep(0.005)
    settled(gate, run)
    report = gate.report(run)
    assert report.spent.usd.nanos >= claude.invoice()["total_nanos"] > 0
    if report.estimated == Usd(0):
        assert report.spent.usd.nanos == claude.invoice()["total_nanos"]


# -- what does not pass --


@pytest.mark.parametrize("key", ["", "run_nobody", "sk-ant-api03-real-looking"])
def test_a_key_that_is_no_runs_token_is_refused_before_anything(
    gate: Gate, claude: Started, key: str
) -> None:
    status, _, body = post(gate, {"model": MODEL, "max_tokens": 5, "messages": TALK}, {"x-api-key": key})
    assert status == 401
    assert json.loads(body)["error"]["type"] == "authentication_error"
    assert claude.ask("/_sandbox/requests") in ([], {"requests": []}) or claude.invoice()["total_nanos"] == 0


@pytest.mark.parametrize("state", ["done", "failed", "lost"])
def test_a_token_dies_with_its_run(gate: Gate, state: str) -> None:
    run, token = gate.run()
    assert gate.runs.end(run, state)
    assert post(gate, {"model": MODEL, "max_tokens": 5, "messages": TALK}, {"x-api-key": token})[0] == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/files"),
        ("GET", "/"),
        ("POST", "/v1/complete"),
    ],
)
def test_three_paths_and_nothing_else(gate: Gate, method: str, path: str) -> None:
    _, token = gate.run()
    assert call(gate, method, path, {}, {"x-api-key": token})[0] == 404


@pytest.mark.parametrize("change", [{"model": "gpt-5"}, {"max_tokens": 0}, {"mcp_servers": [{"a": 1}]}])
def test_what_cannot_be_priced_or_bounded_gets_400_and_halts_nothing(
    gate: Gate, claude: Started, change: dict[str, Any]
) -> None:
    run, token = gate.run()
    asked = {"model": MODEL, "max_tokens": 5, "messages": TALK, **change}
    status, _, body = post(gate, asked, {"x-api-key": token})
    assert status == 400
    assert "Nothing was spent" in json.loads(body)["error"]["message"]
    assert gate.account(run).state == "running"
    assert claude.invoice()["total_nanos"] == 0


def test_a_body_over_32_megabytes_is_413(gate: Gate) -> None:
    _, token = gate.run()
    with connect(gate) as client:
        head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\ncontent-length: {33 << 20}"
        client.sendall(head.encode() + b"\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_the_clients_own_headers_reach_the_upstream_and_our_key_replaces_the_token(
    gate: Gate, claude: Started
) -> None:
    _, token = gate.run()
    sent = {
        "authorization": f"Bearer {token}",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "x-1,y-2",
    }
    post(gate, {"model": MODEL, "max_tokens": 5, "messages": TALK, "unknown_field": [1, None]}, sent)
    shown = json.dumps(claude.ask("/_sandbox/requests"))
    assert token not in shown
    assert "x-1,y-2" in shown
    assert "2026-10-21" in shown


# -- a crash --


def test_an_orphaned_hold_is_charged_whole_and_corrected_when_the_truth_comes(
    gate: Gate, claude: Started, database: Database
) -> None:
    plays(claude, "slow", event_ms=50)
    run, token = gate.run()
    asked = {"model": MODEL, "max_tokens": 500, "messages": TALK, "stream": True}
    with connect(gate) as client:
        client.sendall(request(gate, "POST", "/v1/messages", asked, {"x-api-key": token}))
        client.recv(300)
        assert gate.ledger.expire(run) == 1  # as another process would when the lease had run out
        orphan = gate.report(run)
        assert orphan.estimated == orphan.spent.usd > Usd(0)
        while client.recv(65_536):
            pass
    until = time.monotonic() + 10
    while gate.report(run).estimated and time.monotonic() < until:
        time.sleep(0.02)
    report = gate.report(run)
    assert report.spent.usd.nanos == claude.invoice()["total_nanos"] < orphan.spent.usd.nanos
    assert report.estimated == Usd(0)
    assert [turn.estimated for turn in report.turns] == [True, False]
    assert sum(turn.usd.nanos for turn in report.turns) == report.spent.usd.nanos
    assert report.spent.steps == 1
    assert gate.account(run).held == Usd(0)


# -- plain HTTP --

TALK = [{"role": "user", "content": "hello"}]


def together(work: Callable[[], None], clients: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def connect(gate: Gate) -> socket.socket:
    parts = urlsplit(gate.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def request(gate: Gate, method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(gate.url).netloc}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in {"anthropic-version": "2023-06-01", **headers}.items()]
    lines += ["content-type: application/json", f"content-length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def call(
    gate: Gate, method: str, path: str, body: Any, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, and the body as it came, chunk marks and all."""
    with connect(gate) as client:
        client.sendall(request(gate, method, path, body, headers))
        raw = b""
        while part := client.recv(65_536):
            raw += part
    head, _, content = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in rest)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, content


def post(gate: Gate, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    return call(gate, "POST", "/v1/messages", body, headers)
