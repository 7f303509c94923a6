"""The agents' door: three paths of the Messages API, with a run token for a key (INTERFACE section 5).

Plain WSGI and not Flask: this is the path of every request of every agent. Bytes pass unchanged, the answer
as it comes; what may differ is `max_tokens`, and then a header says so.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from bot import logs
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
from bot.logs import Log
from bot.stores.account import Account
from bot.stores.away import AGAIN_SECONDS, away
from bot.stories.spend import Admission, Crowded, Halted, KeptBack, NoRun, Spend
from bot.web.bodies import BODY_SECONDS, Bodies, Body, Unread
from bot.web.drain import DRAIN_SECONDS, Drain
from bot.web.ending import ENDING
from bot.web.seats import Full, Seat, Seats
from bot.web.streams import RESTARTS, Stream, Whole
from bot.web.watchdog import Watchdog
from bot.web.wire import (
    Environ,
    Said,
    StartResponse,
    clamp,
    client_of,
    forwarded,
    gone,
    left_of,
    relayed,
    remaining,
    status_line,
    target,
    token,
)

MAX_ERROR = 1024 * 1024
SHOWN = 300  # bytes of an upstream's error that are logged
COUNT_SECONDS = 10.0  # for the upstream's estimate of a request
ALONE = 1 << 18  # bytes
_one_at_a_time = threading.Lock()  # what a body says may take many times its bytes while it is read
log = Log("gateway")


class Gateway:
    """A WSGI application. `key(name)` is sent upstream; `on_halt(account)` is told of a run seen halted."""

    def __init__(
        self,
        spend: Spend,
        upstream: Upstream,
        key: Callable[[str], Key | None],
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
        self.seats = Seats()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._answer(environ, start_response)
        except Said as said:
            return said.to(start_response)
        except Exception as error:
            if why := away(error):
                log.error("database_away", f"{why}: a request was answered 503")
                words = f"the ledger cannot be written, for {why}: nothing that was not held before was sent"
                return Said(503, "api_error", words, [("retry-after", str(AGAIN_SECONDS))]).to(start_response)
            log.exception("request_failed", "a request could not be handled")
            failed = "the gateway failed; what was in flight is charged its hold at the most"
            return Said(500, "api_error", failed).to(start_response)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        route = (environ["REQUEST_METHOD"], environ.get("PATH_INFO", "").rstrip("/"))
        known = {
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/messages/count_tokens"): self._pass,
            ("GET", "/v1/models"): self._pass,
        }
        if route not in known:
            raise Said(
                404, "not_found_error", f"this gateway serves {', '.join(p for _, p in known)} and no more"
            )
        try:
            account = self.spend.account(token(environ))
        except NoRun as error:
            raise Said(401, "authentication_error", str(error)) from error
        except Halted as halted:
            raise self._refusal(halted.account) from halted
        logs.add(run=account.run)
        try:
            seat = self.seats.take(account.run, account.held_steps)
        except Full as full:
            headers = [*remaining(account), ("connection", "close"), ("retry-after", "5")]
            raise Said(429, "rate_limit_error", f"{full}. Nothing was spent.", headers) from full
        try:
            body = self._body(environ, account)
            try:
                return known[route](environ, start_response, account, body, seat)
            finally:
                body.drop()
        finally:
            seat.give()

    def _body(self, environ: Environ, account: Account) -> Body:
        # (What is not read of a body both servers read and drop, or they close the connection.)
        seconds = min(BODY_SECONDS, (account.deadline_at - account.now) / 1000)
        try:
            return self.bodies.read(environ, client_of(environ), seconds)
        except Unread as error:
            retry = [("retry-after", "5")] if error.status == 429 else []
            raise Said(error.status, error.kind, str(error), [("connection", "close"), *retry]) from error

    # -- one turn of an agent --

    def _messages(
        self, environ: Environ, start_response: StartResponse, account: Account, body: Body, seat: Seat
    ) -> Iterable[bytes]:
        key = self._key(account)
        admission = self._admit(environ, account, body, key)
        seat.give()
        return self._forward(environ, start_response, admission, body, key)

    def _admit(self, environ: Environ, account: Account, body: Body, key: Key) -> Admission:
        client = client_of(environ)
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
            raise Said(
                400, "invalid_request_error", f"{error}. Nothing was spent.", remaining(account)
            ) from error
        except Halted as halted:
            raise self._refusal(halted.account) from halted
        except KeptBack as kept:
            extra = {"reason": WRAP_UP, "ceiling": kept.ceiling.value, "left": kept.left}
            headers = [*remaining(kept.account), ("x-should-retry", "false")]
            raise Said(402, "billing_error", f"{kept}.", headers, extra) from kept
        except NoRun as error:
            raise Said(401, "authentication_error", str(error)) from error
        except Crowded as error:
            headers = [*remaining(error.account), ("retry-after", "5")]
            raise Said(429, "rate_limit_error", str(error), headers) from error
        except ClientGone as error:
            raise gone() from error

    def _forward(
        self,
        environ: Environ,
        start_response: StartResponse,
        admission: Admission,
        body: Body,
        key: Key,
    ) -> Iterable[bytes]:
        client = client_of(environ)
        exchange = None
        try:
            headers = forwarded(environ, key)
            exchange = self.upstream.send(
                "POST", target(environ), headers, _pieces(body, admission), admission.deadline
            )
            # Of no use any more, and they may be large.
            body.drop()
            admission = replace(admission, request=replace(admission.request, messages=()))
            head = exchange.head(admission.deadline, client)
            if not 200 <= head.status < 300:
                return self._failed(start_response, admission, exchange, head)
            if (head.get("content-type") or "").startswith("text/event-stream"):
                return Stream(self, admission, exchange, head, client).start(start_response)
            return self._whole(start_response, admission, exchange, head, client)
        except Unreachable as error:
            self.spend.release(admission, 502, "unreachable")
            log.warning("upstream_unreachable", f"{error}")
            raise Said(502, "api_error", f"{error}. Nothing was spent.", left_of(admission)) from error
        except Broken as error:
            _close(exchange)
            after = self.spend.settle(admission, Answer(), "reset")
            log.warning("upstream_reset", f"{error}: {_held(admission)} is charged")
            message = f"{error}. Its cost is not known; the whole hold of {_held(admission)} was charged."
            headers = [*remaining(after), ("x-should-retry", "false")]
            raise Said(502, "api_error", message, headers) from error
        except TimedOut as error:
            raise self._deadline(admission, exchange) from error
        except ClientGone:
            self.leave(admission, exchange, None)
            if ENDING.cut:
                raise Said(503, "api_error", RESTARTS, [("connection", "close")]) from None
            raise gone() from None
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
        headers = [*relayed(head), *remaining(after), *clamp(admission)]
        start_response(status_line(head.status), [*headers, ("content-length", str(len(content)))])
        return Whole(content, self.watchdog, client, admission.deadline)

    def _failed(
        self, start_response: StartResponse, admission: Admission, exchange: Exchange, head: Head
    ) -> Iterable[bytes]:
        """An error before the first event: relayed as it is, the hold released, nothing charged (G5)."""
        try:
            until = min(admission.deadline, time.monotonic() + 30)
            content = bytes(exchange.read_all(until, most=MAX_ERROR))
        except (Broken, TimedOut):
            content = b""
        exchange.close()
        self.spend.release(admission, head.status, "error")
        said = f"the upstream answered {head.status}: {content[:SHOWN]!r}"
        log.warning("upstream_error", said, status=head.status)
        headers = [*relayed(head), *left_of(admission)]
        if _limit_reached(head.status, content):
            account = self.spend.halt(admission.hold.account, Reason.UPSTREAM_LIMIT)
            self.on_halt(account)
            log.warning("upstream_limit", account.message, reason=Reason.UPSTREAM_LIMIT.value)
            headers = [*(h for h in headers if h[0] != "x-should-retry"), ("x-should-retry", "false")]
        start_response(status_line(head.status), [*headers, ("content-length", str(len(content)))])
        return (content,)

    def settle(
        self, admission: Admission, answer: Answer, ending: str, request_id: str | None = None
    ) -> Account:
        """Book an answer, and tell if that halted the run."""
        after = self.spend.settle(admission, answer, ending, request_id)
        if after.state == "halted":
            self.on_halt(after)
        return after

    def _deadline(self, admission: Admission, exchange: Exchange | None) -> Said:
        account = self.spend.halt(admission.hold.account, Reason.WALL_CLOCK)
        self.leave(admission, exchange, None)
        return self._refusal(account)

    def late(self, admission: Admission) -> Account:
        """The wall clock: the client is cut, and its upstream drained for its true usage (G7)."""
        account = self.spend.halt(admission.hold.account, Reason.WALL_CLOCK)
        self.on_halt(account)
        return account

    def leave(self, admission: Admission, exchange: Exchange | None, reader: Reader | None) -> None:
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
        self, environ: Environ, start_response: StartResponse, account: Account, body: Body, seat: Seat
    ) -> Iterable[bytes]:
        try:
            head, content = self._fetch(environ, account, (body.data,), target(environ), 60.0)
        except (Unreachable, Broken, TimedOut) as error:
            message = f"{error or 'the upstream did not answer in time'}. Nothing was spent."
            raise Said(502, "api_error", message, remaining(account)) from error
        headers = [*relayed(head), *remaining(account), ("content-length", str(len(content)))]
        start_response(status_line(head.status), headers)
        return (content,)

    def _count(self, environ: Environ, account: Account, body: Body) -> int | None:
        """The upstream's own estimate of a request's input, in tokens; None if it does not tell."""
        path, query = "/v1/messages/count_tokens", environ.get("QUERY_STRING", "")
        where = f"{path}?{query}" if query else path
        try:
            head, content = self._fetch(environ, account, meter.countable(body.data), where, COUNT_SECONDS)
        except (Unreachable, Broken, TimedOut):
            return None
        told = read_count(content) if head.status == 200 else None
        log.info("counted", f"the upstream estimates {told} tokens of input")
        return told

    def _fetch(
        self, environ: Environ, account: Account, body: Pieces, where: str, seconds: float
    ) -> tuple[Head, bytes]:
        """A whole answer that costs nothing. Raises Unreachable, Broken, TimedOut."""
        deadline = time.monotonic() + min(seconds, (account.deadline_at - account.now) / 1000)
        exchange = None
        try:
            headers = forwarded(environ, self._key(account))
            exchange = self.upstream.send(environ["REQUEST_METHOD"], where, headers, body, deadline)
            return exchange.head(deadline, None), bytes(exchange.read_all(deadline, most=16 * MAX_ERROR))
        finally:
            _close(exchange)

    def _key(self, account: Account) -> Key:
        key = self.key(account.key_name)
        if key is None:
            why = f"the gateway has no key {account.key_name}, or none that can be sent"
            why += ": who runs the service has to set it"
            raise Said(503, "api_error", f"{why}. Nothing was spent.", remaining(account))
        return key

    def _refusal(self, account: Account) -> Said:
        self.on_halt(account)
        extra = {"reason": account.reason.value} if account.reason else {}
        log.info("refused", account.message, **extra)
        headers = [*remaining(account), ("x-should-retry", "false")]
        return Said(402, "billing_error", account.message, headers, extra)


def _limit_reached(status: int, content: bytes) -> bool:
    """G11 (docs: api/rate-limits): 400 for a limit that one set, 429 for a tier's, 402 for no credit."""
    return (
        status == 402
        or (status == 400 and b"You have reached your specified API usage limits" in content)
        or (status == 429 and b"enforced_spend_limit_reached" in content)
    )


def _pieces(body: Body, admission: Admission) -> Pieces:
    if admission.clamped is None:
        return (body.data,)
    return meter.splice(body.data, admission.request, admission.clamped)


def _close(exchange: Exchange | None) -> None:
    if exchange is not None:
        exchange.close()


def _held(admission: Admission) -> Usd:
    return Usd(admission.hold.ask.nanos)
