"""No client of ours goes where an answer leads it: what it sends is for the host that was configured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx2
import pytest

from bot.clients.anthropic import Upstream
from bot.clients.cursor import CursorApi, CursorError
from bot.clients.github import GitHub, GitHubError
from bot.clients.github.oauth import begin_device, exchange
from bot.clients.identity import OidcError, OidcUnavailable
from bot.clients.oidc import Verifier
from bot.clients.usage_api import UsageApi, UsageError
from bot.exports import otel
from bot.runner.runner import client
from tests.web.conftest import private_key

__all__ = ["private_key"]

ANSWER = b'{"id": 1, "login": "dana"}'


@dataclass
class Place:
    url: str
    asked: list[str] = field(default_factory=list)
    leads_to: str = ""
    status: int = 200


@contextmanager
def place() -> Iterator[Place]:
    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            made.asked.append(f"{self.command} {self.path} {self.headers}")
            self.send_response(made.status)
            if made.leads_to:
                self.send_header("Location", f"{made.leads_to}{self.path}")
                self.send_header("Link", f'<{made.leads_to}{self.path}?page=2>; rel="next"')
            self.send_header("Content-Length", str(len(ANSWER)))
            self.end_headers()
            self.wfile.write(ANSWER)

        do_GET = do_POST = do_PUT = do

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Place(f"http://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def cursor(url: str, key: str) -> None:
    CursorApi(url, "key-canary", wait=lambda seconds: None).events(0, 86_400_000)


def usage(url: str, key: str) -> None:
    list(UsageApi(url, "key-canary", wait=lambda seconds: None).names())


def signing_in(url: str, key: str) -> None:
    exchange(url, "an id", "secret-canary", "a code", "https://tollgate.example/", "v" * 43)


def device(url: str, key: str) -> None:
    begin_device(url, "an id")


def as_person(url: str, key: str) -> None:
    GitHub(1, key, url).user("token-canary")


def identities(url: str, key: str) -> None:
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AA"
    Verifier(url, "https://tollgate.example").verify(token, time.time())


def upstream(url: str, key: str) -> None:
    until = time.monotonic() + 10
    exchange = Upstream(url).send("POST", "/v1/messages", [("x-api-key", "key-canary")], (b"{}",), until)
    exchange.head(until)
    exchange.close()


def collector(url: str, key: str) -> None:
    otel.Session().post(f"{url}/v1/traces", b"", headers={"api-key": "key-canary"}, timeout=10)


def runner(url: str, key: str) -> None:
    with client() as http:
        http.post(f"{url}/api/runs/claim", headers={"Authorization": "Bearer token-canary"}, json={})


CLIENTS = [cursor, usage, signing_in, device, as_person, identities, upstream, collector, runner]
REFUSALS = (CursorError, UsageError, GitHubError, OidcError, OidcUnavailable, httpx2.HTTPError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__)
def test_no_client_follows_an_answer_to_another_host(
    ask: Callable[[str, str], None], status: int, private_key: str
) -> None:
    with place() as theirs, place() as elsewhere:
        theirs.leads_to, theirs.status = elsewhere.url, status
        with suppress(*REFUSALS):
            ask(theirs.url, private_key)
        assert theirs.asked, "it has asked where it was told to"
        assert elsewhere.asked == []
