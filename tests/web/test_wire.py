"""Which of a client's headers go up, which of the upstream's come down, and how much a run may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.clients.keys import Keys
from tests.web.gates import Gate
from tests.web.test_gateway import post
from tests.web.upstreams import ASKED, MESSAGE, Upstream, whole


@pytest.fixture
def above(above: Upstream) -> Upstream:
    above.play = whole()
    return above


def sent_up(gate: Gate, above: Upstream, **headers: str) -> dict[str, str]:
    """The headers of a request as they arrive upstream, in lower case; none of them twice."""
    _, token = gate.run()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, content = post(gate, ASKED, {"x-api-key": token, **named})
    assert status == 200, content
    top = above.taken[-1].partition(b"\r\n\r\n")[0].decode("latin-1")
    pairs = [line.split(": ", 1) for line in top.split("\r\n")[1:]]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


PASSED = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-claude-code-session-id": "a session",
    "x-stainless-retry-count": "0",
    "x-app": "cli",
    "user-agent": "a client",
    "idempotency-key": "one",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def test_what_a_client_says_of_its_request_goes_up_as_it_is(gate: Gate, above: Upstream) -> None:
    assert PASSED.items() <= sent_up(gate, above, **PASSED).items()


STEERING = [
    {"x-http-method-override": "DELETE"},
    {"x-method-override": "DELETE"},
    {"x-original-url": "/v1/files"},
    {"x-rewrite-url": "/v1/files"},
    {"x-forwarded-host": "elsewhere.example", "x-forwarded-for": "127.0.0.1", "forwarded": "host=elsewhere"},
    {"x-envoy-original-path": "/v1/files"},
    {"x-real-ip": "127.0.0.1"},
    {"via": "1.1 nobody"},
    {"cookie": "a=b"},
    {"proxy-authorization": "Basic eDp5"},
    {"connection": "close, x-dropped", "x-dropped": "of this hop"},
]


@pytest.mark.parametrize("headers", STEERING, ids=lambda headers: next(iter(headers)))
def test_no_header_of_a_client_makes_the_upstream_take_it_for_another_request(
    gate: Gate, above: Upstream, headers: dict[str, str]
) -> None:
    assert not headers.keys() & sent_up(gate, above, **headers).keys()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-encoding": "gzip"},
        {"content-type": "application/json; charset=utf-7"},
        {"content-type": "application/x-www-form-urlencoded"},
        {},
    ],
    ids=str,
)
def test_the_upstream_is_told_to_read_the_body_as_it_was_read_here(
    gate: Gate, above: Upstream, headers: dict[str, str]
) -> None:
    arrived = sent_up(gate, above, **headers)
    assert arrived["content-type"] == "application/json"
    assert "content-encoding" not in arrived


def test_what_the_upstream_says_of_its_own_host_or_in_our_name_is_not_relayed(
    gate: Gate, above: Upstream
) -> None:
    theirs = {
        "set-cookie": "__cf_bm=1",
        "alt-svc": 'h3=":443"',
        "strict-transport-security": "max-age=1",
        "clear-site-data": '"*"',
        "tollgate-remaining-usd": "1000000",
        "tollgate-clamped-max-tokens": "1",
    }
    kept = {"request-id": "req_1", "anthropic-ratelimit-requests-remaining": "9", "retry-after": "3"}
    above.play = whole(MESSAGE, *(f"{name}: {value}" for name, value in (theirs | kept).items()))
    _, token = gate.run()
    status, headers, _ = post(gate, ASKED, {"x-api-key": token})
    assert status == 200
    assert kept.items() <= headers.items()
    assert headers["tollgate-remaining-usd"] == "9.99915"
    assert not theirs.keys() & headers.keys() - {"tollgate-remaining-usd"}


@pytest.mark.parametrize("behind", ["\nand a second line", "\x00", "\u20ac"], ids=repr)
def test_a_key_that_cannot_be_sent_is_in_no_answer(gate: Gate, tmp_path: Path, behind: str) -> None:
    file = tmp_path / "key"
    file.write_text(f"sk-ant-a-canary{behind}", encoding="utf-8")
    gate.gateway.key = Keys({"ANTHROPIC_API_KEY": str(file)}).get
    run, token = gate.run()
    status, headers, content = post(gate, ASKED, {"x-api-key": token})
    assert status >= 500
    assert "canary" not in f"{headers}{content!r}"
    assert gate.account(run).spent.nanos == gate.account(run).held.nanos == 0


def test_a_run_has_so_many_requests_under_way_and_no_more(gate: Gate) -> None:
    _, token = gate.run()
    _, other = gate.run()
    account = gate.gateway.spend.account(token)
    seats = [gate.gateway.seats.take(account.run, 0) for _ in range(128)]
    status, headers, content = post(gate, ASKED, {"x-api-key": token})
    assert (status, headers["retry-after"]) == (429, "5")
    assert b"this run has 128 requests under way" in content
    assert post(gate, ASKED, {"x-api-key": other})[0] == 200
    seats[0].give()
    seats[0].give()  # counts once
    assert post(gate, ASKED, {"x-api-key": token})[0] == 200
    assert post(gate, ASKED, {"x-api-key": token})[0] == 200, "each gives its seat back"
