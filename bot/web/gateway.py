"""The agents' door: three paths of the Messages API, with a run token for a key (INTERFACE section 5).

Plain WSGI and not Flask: this is the path of every request of every agent. Bytes pass unchanged, the answer
as it comes; what may differ is `max_tokens`, and then a header says so.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from bot.clients.anthropic import (
    Broken,
    ClientGone,
    Exchange,
    Head,
    Key,
    Pieces,
    TimedOut,
    Unreachable,
    Upstream,
    left,
)
from bot.core import meter
from bot.core.ceilings import WRAP_UP, Reason
from bot.core.money import Usd
from bot.core.usage import Answer, Reader, read_count, read_message
from bot.stores.ledger import Account
from bot.stories.spend import Admission, Crowded, Halted, KeptBack, NoRun, Spend
from bot.web.bodies import BODY_SECONDS, Bodies, Body, Unread
from bot.web.drain import DRAIN_SECONDS, Drain
from bot.web.watchdog import Guard, Watchdog, over

StartResponse = Callable[..., Any]
Environ = dict[str, Any]

MAX_ERROR = 1024 * 1024
COUNT_SECONDS = 10.0  # for the upstream's estimate of a request
GRACE = 0.4  # seconds after the deadline for a client to take its last bytes
ALONE = 1 << 18  # bytes
_one_at_a_time = threading.Lock()  # what a body says may take many times its bytes while it is read
log = logging.getLogger("tollgate.gateway")
# Of the connection between two parties, or ours to say anew (RFC 9110, 7.6.1).
_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length",
}  # fmt: skip
# The key is ours to set; compressed answers could not be read in passing; 100-continue is the server's.
_NOT_SENT = _HOP | {"x-api-key", "authorization", "accept-encoding", "expect", "cookie", "forwarded"}


class Gateway:
    """A WSGI application. `key()` is sent upstream; `on_halt(account)` is told of a run seen halted."""

    def __init__(
        self,
        spend: Spend,
        upstream: Upstream,
        key: Callable[[], Key],
        on_halt: Callable[[Account], None] = lambda account: None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self.spend = spend
        self.upstream = upstream
        self.key = key
        self.on_halt = on_halt
        self.drain = Drain(drain_seconds)
        self.watchdog = Watchdog()
        self.bodies = Bodies(self.watchdog)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._answer(environ, start_response)
        except _Said as said:
            return said.to(start_response)
        except Exception:
            log.exception("a request could not be handled")
            failed = "the gateway failed; what was in flight is charged its hold at the most"
            return _Said(500, "api_error", failed).to(start_response)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        route = (environ["REQUEST_METHOD"], environ.get("PATH_INFO", "").rstrip("/"))
        known = {
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/messages/count_tokens"): self._pass,
            ("GET", "/v1/models"): self._pass,
        }
        if route not in known:
            raise _Said(
                404, "not_found_error", f"this gateway serves {', '.join(p for _, p in known)} and no more"
            )
        try:
            account = self.spend.account(_token(environ))
        except NoRun as error:
            raise _Said(401, "authentication_error", str(error)) from error
        except Halted as halted:
            raise self._refusal(halted.account) from halted
        # (What is not read of a body both servers read and drop, or they close the connection.)
        seconds = min(BODY_SECONDS, (account.deadline_at - account.now) / 1000)
        try:
            body = self.bodies.read(environ, _client(environ), seconds)
        except Unread as error:
            retry = [("retry-after", "5")] if error.status == 429 else []
            raise _Said(error.status, error.kind, str(error), [("connection", "close"), *retry]) from error
        try:
            return known[route](environ, start_response, account, body)
        finally:
            body.drop()

    # -- one turn of an agent --

    def _messages(
        self, environ: Environ, start_response: StartResponse, account: Account, body: Body
    ) -> Iterable[bytes]:
        key = self.key()
        return self._forward(environ, start_response, self._admit(environ, account, body, key), body, key)

    def _admit(self, environ: Environ, account: Account, body: Body, key: Key) -> Admission:
        client = _client(environ)
        try:
            with _one_at_a_time if len(body.data) > ALONE else contextlib.nullcontext():
                request = meter.read(body.data)
            return self.spend.admit(
                account,
                request,
                key.name,
                lambda: left(client),
                lambda: self._count(environ, account, body),
            )
        except meter.Refused as error:
            raise _Said(
                400, "invalid_request_error", f"{error}. Nothing was spent.", _remaining(account)
            ) from error
        except Halted as halted:
            raise self._refusal(halted.account) from halted
        except KeptBack as kept:
            extra = {"reason": WRAP_UP, "ceiling": kept.ceiling.value, "left": kept.left}
            headers = [*_remaining(kept.account), ("x-should-retry", "false")]
            raise _Said(402, "billing_error", f"{kept}.", headers, extra) from kept
        except NoRun as error:
            raise _Said(401, "authentication_error", str(error)) from error
        except Crowded as error:
            headers = [*_remaining(error.account), ("retry-after", "5")]
            raise _Said(429, "rate_limit_error", str(error), headers) from error
        except ClientGone as error:
            raise _gone() from error

    def _forward(
        self,
        environ: Environ,
        start_response: StartResponse,
        admission: Admission,
        body: Body,
        key: Key,
    ) -> Iterable[bytes]:
        client = _client(environ)
        exchange = None
        try:
            headers = _headers(environ, key)
            exchange = self.upstream.send(
                "POST", _target(environ), headers, _pieces(body, admission), admission.deadline
            )
            # Of no use any more, and they may be large.
            body.drop()
            admission = replace(admission, request=replace(admission.request, messages=()))
            head = exchange.head(admission.deadline, client)
            if not 200 <= head.status < 300:
                return self._failed(start_response, admission, exchange, head)
            if (head.get("content-type") or "").startswith("text/event-stream"):
                return _Stream(self, admission, exchange, head, client).start(start_response)
            return self._whole(start_response, admission, exchange, head, client)
        except Unreachable as error:
            self.spend.release(admission, 502, "unreachable")
            raise _Said(502, "api_error", f"{error}. Nothing was spent.", _left(admission)) from error
        except Broken as error:
            _close(exchange)
            after = self.spend.settle(admission, Answer(), "reset")
            message = f"{error}. Its cost is not known; the whole hold of {_held(admission)} was charged."
            headers = [*_remaining(after), ("x-should-retry", "false")]
            raise _Said(502, "api_error", message, headers) from error
        except TimedOut as error:
            raise self._deadline(admission, exchange) from error
        except ClientGone:
            self._leave(admission, exchange, None)
            raise _gone() from None
        except BaseException:
            _close(exchange)
            self.spend.settle(admission, Answer(), "failed")
            raise

    def _whole(
        self,
        start_response: StartResponse,
        admission: Admission,
        exchange: Exchange,
        head: Head,
        client: socket.socket | None,
    ) -> Iterable[bytes]:
        content = exchange.read_all(admission.deadline, client)
        exchange.close()
        answer = read_message(content, long_cache=admission.request.long_cache)
        after = self.settle(admission, answer, "json", head.get("request-id"))
        headers = [*_relayed(head), *_remaining(after), *_clamp(admission)]
        start_response(_line(head.status), [*headers, ("content-length", str(len(content)))])
        return self._watched(content, client, admission.deadline)

    def _watched(self, content: bytes, client: socket.socket | None, deadline: float) -> Iterable[bytes]:
        return _Whole(content, self.watchdog.guard(client, deadline + GRACE))

    def _failed(
        self, start_response: StartResponse, admission: Admission, exchange: Exchange, head: Head
    ) -> Iterable[bytes]:
        """An error before the first event: relayed as it is, the hold released, nothing charged (G5)."""
        try:
            content = exchange.read_all(min(admission.deadline, time.monotonic() + 30), most=MAX_ERROR)
        except (Broken, TimedOut):
            content = b""
        exchange.close()
        self.spend.release(admission, head.status, "error")
        headers = [*_relayed(head), *_left(admission)]
        if _limit_reached(head.status, content):
            account = self.spend.halt(admission.hold.account, Reason.UPSTREAM_LIMIT)
            self.on_halt(account)
            headers = [*(h for h in headers if h[0] != "x-should-retry"), ("x-should-retry", "false")]
        start_response(_line(head.status), [*headers, ("content-length", str(len(content)))])
        return (content,)

    def settle(
        self, admission: Admission, answer: Answer, ending: str, request_id: str | None = None
    ) -> Account:
        """Book an answer, and tell if that halted the run."""
        after = self.spend.settle(admission, answer, ending, request_id)
        if after.state == "halted":
            self.on_halt(after)
        return after

    def _deadline(self, admission: Admission, exchange: Exchange | None) -> _Said:
        """The wall clock: the client is cut, the upstream drained for its true usage (G7)."""
        account = self.spend.halt(admission.hold.account, Reason.WALL_CLOCK)
        self._leave(admission, exchange, None)
        return self._refusal(account)

    def _leave(self, admission: Admission, exchange: Exchange | None, reader: Reader | None) -> None:
        """Nobody waits for this answer any more: read it to its end elsewhere, or settle at the hold."""

        def settle(answer: Answer | None, ending: str) -> None:
            if answer is None:  # an error came after the client had left: nothing was charged
                self.spend.release(admission, 0, ending)
                return
            self.settle(admission, answer, ending, exchange.request_id if exchange else None)

        if exchange is None:
            settle(Answer(), "client gone")
            return
        long_cache = admission.request.long_cache
        self.drain.take(exchange, reader or Reader(long_cache=long_cache), settle)

    # -- the two free paths --

    def _pass(
        self, environ: Environ, start_response: StartResponse, account: Account, body: Body
    ) -> Iterable[bytes]:
        try:
            head, content = self._fetch(environ, account, (body.data,), _target(environ), 60.0)
        except (Unreachable, Broken, TimedOut) as error:
            message = f"{error or 'the upstream did not answer in time'}. Nothing was spent."
            raise _Said(502, "api_error", message, _remaining(account)) from error
        headers = [*_relayed(head), *_remaining(account), ("content-length", str(len(content)))]
        start_response(_line(head.status), headers)
        return (content,)

    def _count(self, environ: Environ, account: Account, body: Body) -> int | None:
        """The upstream's own estimate of a request's input, in tokens; None if it does not tell."""
        path, query = "/v1/messages/count_tokens", environ.get("QUERY_STRING", "")
        target = f"{path}?{query}" if query else path
        try:
            head, content = self._fetch(environ, account, meter.countable(body.data), target, COUNT_SECONDS)
        except (Unreachable, Broken, TimedOut):
            return None
        told = read_count(content) if head.status == 200 else None
        log.info("run %s: the upstream estimates %s tokens of input", account.run, told)
        return told

    def _fetch(
        self, environ: Environ, account: Account, body: Pieces, target: str, seconds: float
    ) -> tuple[Head, bytes]:
        """A whole answer that costs nothing. Raises Unreachable, Broken, TimedOut."""
        deadline = time.monotonic() + min(seconds, (account.deadline_at - account.now) / 1000)
        exchange = None
        try:
            headers = _headers(environ, self.key())
            exchange = self.upstream.send(environ["REQUEST_METHOD"], target, headers, body, deadline)
            return exchange.head(deadline, None), exchange.read_all(deadline, most=16 * MAX_ERROR)
        finally:
            _close(exchange)

    def _refusal(self, account: Account) -> _Said:
        self.on_halt(account)
        extra = {"reason": account.reason.value} if account.reason else {}
        headers = [*_remaining(account), ("x-should-retry", "false")]
        return _Said(402, "billing_error", account.message, headers, extra)


class _Stream:
    """An SSE answer on its way to the agent. The server calls `close()` even if reading never began."""

    def __init__(
        self,
        gateway: Gateway,
        admission: Admission,
        exchange: Exchange,
        head: Head,
        client: socket.socket | None,
    ) -> None:
        self.gateway = gateway
        self.admission = admission
        self.exchange = exchange
        self.head = head
        self.client = client
        self.reader = Reader(long_cache=admission.request.long_cache)
        self.over = False
        self.guard: Guard | None = None

    def start(self, start_response: StartResponse) -> _Stream:
        headers = [*_relayed(self.head), *_left(self.admission), *_clamp(self.admission)]
        start_response(_line(self.head.status), headers)
        # The deadline cuts where we wait for the upstream; this one where the client does not read.
        self.guard = self.gateway.watchdog.guard(self.client, self.admission.deadline + GRACE)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.over:
            raise StopIteration
        try:
            chunk = self.exchange.read(self.admission.deadline, self.client)
        except TimedOut:
            return self._cut()
        except ClientGone:
            self.close()
            raise StopIteration from None
        except Broken as error:
            if self.reader.answer.finished:  # it was whole: an error would have the agent pay for it twice
                self.close()
                raise StopIteration from None
            return self._broken(error)
        if chunk:
            self.reader.feed(chunk)
            if self.reader.answer.finished:
                # Booked before the last bytes leave: the agent's next request finds the ledger up to date.
                self._settle("stream")
            return chunk
        self._settle("stream")
        self.over = True
        self.exchange.close()
        raise StopIteration

    _settled = False

    def _settle(self, ending: str) -> None:
        if self._settled:
            return
        self._settled = True
        answer = self.reader.answer
        if answer.error is not None:
            ending = "error event"
        elif not answer.finished:
            ending = "cut"
        self.gateway.settle(self.admission, answer, ending, self.head.get("request-id"))

    def _cut(self) -> bytes:
        """The deadline in mid-stream: a proper error event, and the rest is drained."""
        self.over = True
        gateway, admission = self.gateway, self.admission
        account = gateway.spend.halt(admission.hold.account, Reason.WALL_CLOCK)
        if not self._settled:
            self._settled = True
            gateway._leave(admission, self.exchange, self.reader)
        gateway.on_halt(account)
        extra = {"reason": account.reason.value} if account.reason else {}
        return _event("billing_error", account.message, extra)

    def _broken(self, error: Broken) -> bytes:
        self.over = True
        self._settle("reset")
        self.exchange.close()
        unstarted = self.reader.answer.unstarted
        charged = "Nothing was spent" if unstarted else "What it had used until then was charged"
        return _event("api_error", f"{error}. {charged}.")

    def close(self) -> None:
        """The end, or the client has left: what is still coming is read elsewhere."""
        over(self.guard)
        if self.over:
            return
        self.over = True
        if self._settled:
            self.exchange.close()
        else:
            self._settled = True
            self.gateway._leave(self.admission, self.exchange, self.reader)


class _Whole:
    """An answer in one piece, to a client that may be slow to take it."""

    def __init__(self, content: bytes, guard: Guard | None) -> None:
        self.content = content
        self.guard = guard

    def __iter__(self) -> Iterator[bytes]:
        yield self.content

    def close(self) -> None:
        over(self.guard)


# -- words on the wire --


class _Said(Exception):
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
        start_response(_line(self.status), [*own, *self.headers])
        return (self.body,)


def _gone() -> _Said:
    # Read by nobody, unless only the sending side of the client's connection is closed.
    return _Said(400, "invalid_request_error", "the client closed its side before the answer; keep it open")


def _error(kind: str, message: str, extra: dict[str, Any] | None = None) -> bytes:
    error = {"type": kind, "message": message, **(extra or {})}
    return json.dumps({"type": "error", "error": error}, ensure_ascii=False).encode()


def _event(kind: str, message: str, extra: dict[str, Any] | None = None) -> bytes:
    return b"event: error\ndata: " + _error(kind, message, extra) + b"\n\n"


def _line(status: int) -> str:
    phrases = http.client.responses  # knows all but Anthropic's own 529
    return f"{status} {phrases.get(status, 'Overloaded' if status == 529 else 'Status')}"


def _remaining(account: Account) -> list[tuple[str, str]]:
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


def _left(admission: Admission) -> list[tuple[str, str]]:
    """The same while this request is in flight: its own hold does not count against it (G9)."""
    account, ask = admission.hold.account, admission.hold.ask
    return _remaining(
        replace(
            account,
            held=account.held - Usd(ask.nanos),
            held_tokens=account.held_tokens - ask.tokens,
            held_steps=account.held_steps - 1,
        )
    )


def _clamp(admission: Admission) -> list[tuple[str, str]]:
    return [] if admission.clamped is None else [("tollgate-clamped-max-tokens", str(admission.clamped))]


def _held(admission: Admission) -> Usd:
    return Usd(admission.hold.ask.nanos)


def _relayed(head: Head) -> list[tuple[str, str]]:
    return [(name, value) for name, value in head.headers if name not in _HOP]


def _limit_reached(status: int, content: bytes) -> bool:
    """G11 (docs: api/rate-limits): 400 for a limit that one set, 429 for a tier's, 402 for no credit."""
    return (
        status == 402
        or (status == 400 and b"You have reached your specified API usage limits" in content)
        or (status == 429 and b"enforced_spend_limit_reached" in content)
    )


def _headers(environ: Environ, key: Key) -> list[tuple[str, str]]:
    """What the client sent, with our key for its own."""
    sent = [("x-api-key", key.value), ("accept-encoding", "identity")]
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            header = name[5:].replace("_", "-").lower()
            if header not in _NOT_SENT:
                sent.append((header, value))
    if environ.get("CONTENT_TYPE"):
        sent.append(("content-type", environ["CONTENT_TYPE"]))
    return sent


def _token(environ: Environ) -> str:
    key = environ.get("HTTP_X_API_KEY", "")
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return key or (bearer.strip() if scheme.lower() == "bearer" else "")


def _target(environ: Environ) -> str:
    query = environ.get("QUERY_STRING", "")
    return str(environ["PATH_INFO"]).rstrip("/") + (f"?{query}" if query else "")


def _client(environ: Environ) -> socket.socket | None:
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    return sock if isinstance(sock, socket.socket) else None


def _pieces(body: Body, admission: Admission) -> Pieces:
    if admission.clamped is None:
        return (body.data,)
    return meter.splice(body.data, admission.request, admission.clamped)


def _close(exchange: Exchange | None) -> None:
    if exchange is not None:
        exchange.close()
