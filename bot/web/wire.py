"""The gateway's words on the wire: its own answers in Anthropic's shape, headers to and fro."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from bot.clients.anthropic import Head, Key
from bot.core.money import Usd
from bot.stores.account import Account
from bot.stories.spend import Admission

StartResponse = Callable[..., Any]
Environ = dict[str, Any]

# Of the connection between two parties, or ours to say anew (RFC 9110, 7.6.1).
_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length",
}  # fmt: skip
# The key is ours to set; compressed answers could not be read in passing; 100-continue is the server's. How
# the body is to be read is not the client's to say: it is JSON, as it was read here.
_NOT_SENT = _HOP | {
    "x-api-key", "authorization", "accept-encoding", "content-encoding", "expect", "cookie", "forwarded",
    "via",
}  # fmt: skip
# What a proxy or a framework before the upstream may take for another address, method or client.
_STEERING = (
    "x-forwarded-", "x-original-", "x-rewrite-", "x-http-method", "x-method-override", "x-real-ip", "x-host",
    "x-envoy-", "proxy-", "cf-", "true-client-ip",
)  # fmt: skip
# Of the upstream's own host, or for us alone to say.
_NOT_RELAYED = _HOP | {"set-cookie", "alt-svc", "strict-transport-security", "clear-site-data", "server"}
_OURS = "tollgate-"


class Said(Exception):
    """An answer of the gateway's own, in Anthropic's shape."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        headers: Iterable[tuple[str, str]] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = list(headers)
        self.body = _error(kind, message, extra)

    def to(self, start_response: StartResponse) -> Iterable[bytes]:
        own = [("content-type", "application/json"), ("content-length", str(len(self.body)))]
        start_response(status_line(self.status), [*own, *self.headers])
        return (self.body,)


def gone() -> Said:
    # Read by nobody, unless only the sending side of the client's connection is closed.
    return Said(400, "invalid_request_error", "the client closed its side before the answer; keep it open")


def _error(kind: str, message: str, extra: dict[str, Any] | None = None) -> bytes:
    error = {"type": kind, "message": message, **(extra or {})}
    return json.dumps({"type": "error", "error": error}, ensure_ascii=False).encode()


def event(kind: str, message: str, extra: dict[str, Any] | None = None) -> bytes:
    return b"event: error\ndata: " + _error(kind, message, extra) + b"\n\n"


def status_line(status: int) -> str:
    phrases = http.client.responses  # knows all but Anthropic's own 529
    return f"{status} {phrases.get(status, 'Overloaded' if status == 529 else 'Status')}"


def remaining(account: Account) -> list[tuple[str, str]]:
    """What is left beside the holds of requests in flight (G9)."""
    ceilings = account.ceilings
    usd = max(Usd(0), ceilings.usd - account.spent - account.held)
    return [
        ("tollgate-run", account.run),
        ("tollgate-remaining-usd", usd.exact),
        (
            "tollgate-remaining-tokens",
            str(max(0, ceilings.tokens - account.spent_tokens - account.held_tokens)),
        ),
        ("tollgate-remaining-steps", str(max(0, ceilings.steps - account.steps - account.held_steps))),
        ("tollgate-remaining-seconds", str(max(0, (account.deadline_at - account.now) // 1000))),
    ]


def left_of(admission: Admission) -> list[tuple[str, str]]:
    """The same while this request is in flight: its own hold does not count against it (G9)."""
    account, ask = admission.hold.account, admission.hold.ask
    return remaining(
        replace(
            account,
            held=account.held - Usd(ask.nanos),
            held_tokens=account.held_tokens - ask.tokens,
            held_steps=account.held_steps - 1,
        )
    )


def clamp(admission: Admission) -> list[tuple[str, str]]:
    return [] if admission.clamped is None else [("tollgate-clamped-max-tokens", str(admission.clamped))]


def relayed(head: Head) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in head.headers
        if name not in _NOT_RELAYED and not name.startswith(_OURS)
    ]


def forwarded(environ: Environ, key: Key) -> list[tuple[str, str]]:
    """What the client sent, with our key for its own."""
    sent = [("x-api-key", key.value), ("accept-encoding", "identity")]
    not_sent = _NOT_SENT | {name.strip().lower() for name in environ.get("HTTP_CONNECTION", "").split(",")}
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            header = name[5:].replace("_", "-").lower()
            if header not in not_sent and not header.startswith(_STEERING):
                sent.append((header, value))
    if environ["REQUEST_METHOD"] == "POST":
        sent.append(("content-type", "application/json"))
    return sent


def token(environ: Environ) -> str:
    key = environ.get("HTTP_X_API_KEY", "")
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return key or (bearer.strip() if scheme.lower() == "bearer" else "")


def target(environ: Environ) -> str:
    query = environ.get("QUERY_STRING", "")
    return str(environ["PATH_INFO"]).rstrip("/") + (f"?{query}" if query else "")


def client_of(environ: Environ) -> socket.socket | None:
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    return sock if isinstance(sock, socket.socket) else None
