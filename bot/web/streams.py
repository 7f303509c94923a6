"""Answers on their way to the agent: as events come, or in one piece to a client that may be slow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Protocol

from bot.clients.anthropic import Broken, ClientGone, Exchange, Head, TimedOut
from bot.core.usage import Answer, Reader
from bot.stores.account import Account
from bot.stories.spend import Admission
from bot.web.ending import ENDING
from bot.web.watchdog import Guard, Watchdog, over
from bot.web.wire import StartResponse, clamp, event, left_of, relayed, status_line

PIECE = 1 << 18  # bytes of an answer that are handed to the server at once
RESTARTS = "the service restarts, and this answer was cut: what it costs is charged. Ask again"
GRACE = 0.4  # seconds after the deadline for a client to take its last bytes


class Books(Protocol):
    """Where an answer on its way is booked: the gateway."""

    watchdog: Watchdog

    def settle(
        self, admission: Admission, answer: Answer, ending: str, request_id: str | None = None
    ) -> Account:
        """Book an answer, and tell if that halted the run."""

    def late(self, admission: Admission) -> Account:
        """The deadline has come: the run as it is halted."""

    def leave(self, admission: Admission, exchange: Exchange | None, reader: Reader | None) -> None:
        """Nobody waits for this answer any more."""


class Stream:
    """An SSE answer on its way to the agent. The server calls `close()` even if reading never began."""

    def __init__(
        self,
        books: Books,
        admission: Admission,
        exchange: Exchange,
        head: Head,
        client: socket.socket | None,
    ) -> None:
        self.books = books
        self.admission = admission
        self.exchange = exchange
        self.head = head
        self.client = client
        self.reader = Reader(long_cache=admission.request.long_cache)
        self.over = False
        self.guard: Guard | None = None

    def start(self, start_response: StartResponse) -> Stream:
        headers = [*relayed(self.head), *left_of(self.admission), *clamp(self.admission)]
        start_response(status_line(self.head.status), headers)
        # The deadline cuts where we wait for the upstream; this one where the client does not read.
        self.guard = self.books.watchdog.guard(self.client, self.admission.deadline + GRACE)
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
            if ENDING.cut:
                return event("overloaded_error", RESTARTS)
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
        self.books.settle(self.admission, answer, ending, self.head.get("request-id"))

    def _cut(self) -> bytes:
        """The deadline in mid-stream: a proper error event, and the rest is drained."""
        self.over = True
        account = self.books.late(self.admission)
        if not self._settled:
            self._settled = True
            self.books.leave(self.admission, self.exchange, self.reader)
        extra = {"reason": account.reason.value} if account.reason else {}
        return event("billing_error", account.message, extra)

    def _broken(self, error: Broken) -> bytes:
        self.over = True
        self._settle("reset")
        self.exchange.close()
        unstarted = self.reader.answer.unstarted
        charged = "Nothing was spent" if unstarted else "What it had used until then was charged"
        return event("api_error", f"{error}. {charged}.")

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
            self.books.leave(self.admission, self.exchange, self.reader)


class Whole:
    """An answer in one piece, to a client that may be slow to take it."""

    def __init__(
        self, content: bytearray, watchdog: Watchdog, client: socket.socket | None, deadline: float
    ) -> None:
        self.content = memoryview(content)
        self.guard = watchdog.guard(client, deadline + GRACE)

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self.content), PIECE):
            yield bytes(self.content[at : at + PIECE])

    def close(self) -> None:
        over(self.guard)
