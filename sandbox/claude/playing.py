"""How an answer is sent, and that it is billed once, however it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox.characters.answers import STAMP, Delivery
from sandbox.claude.http import Headers, Response, Writer
from sandbox.claude.invoice import Invoice
from sandbox.claude.prices import Model, Usage
from sandbox.claude.rendering import PING, Event, event

SSE = "text/event-stream; charset=utf-8"


@dataclass(slots=True)
class Booking:
    """One answer that will be billed, once, however it ends."""

    request_id: str
    key: str
    model: Model
    geo: str
    usage: Usage  # of the whole answer
    stream: bool
    user: str = ""
    asked_at: int = 0  # ms since the epoch
    full: bool = True  # an answer that its reader did not get to the end is billed to the end
    open: bool = True


class Till:
    """Bills answers; `generates_on`: one whose reader left is generated, and billed, to its end."""

    def __init__(self, invoice: Invoice, generates_on: Callable[[], bool]) -> None:
        self._invoice = invoice
        self._generates_on = generates_on
        self._open: dict[str, Booking] = {}
        self._billed: set[str] = set()
        self.peak = 0  # so many were open at once

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def begin(self, booking: Booking) -> None:
        self._open[booking.request_id] = booking
        self.peak = max(self.peak, len(self._open))

    def stopped(self) -> None:
        """The process ends: what was being answered is billed as it stands."""
        for booking in list(self._open.values()):
            self.bill(booking, "stopped")

    def unread(self, booking: Booking, generated: int, ended: str = "client_left") -> None:
        if not (self._generates_on() and booking.full):
            booking.usage = replace(booking.usage, output=max(1, generated))
        self.bill(booking, ended)

    def drop(self, booking: Booking) -> None:
        """No message was begun: as an error with a status of its own, it costs nothing."""
        booking.open = False
        self._open.pop(booking.request_id, None)

    def bill(self, booking: Booking, ended: str) -> None:
        if not booking.open:
            return
        booking.open = False
        self._open.pop(booking.request_id, None)
        if booking.request_id in self._billed:
            return
        self._billed.add(booking.request_id)
        self._invoice.bill(
            now_ms(),
            booking.request_id,
            booking.key,
            booking.model,
            booking.geo,
            booking.usage,
            ended,
            booking.stream,
            booking.user,
            booking.asked_at,
        )


class Playing:
    """One answer that takes its time, or does not end well. `begun`: called when its first event is due."""

    def __init__(
        self,
        till: Till,
        booking: Booking,
        how: Delivery,
        headers: Headers,
        events: list[Event],
        text: bytes,
        begun: Callable[[], None],
    ) -> None:
        self._till, self._booking, self._how = till, booking, how
        self._headers, self._events, self._text, self._begun = headers, events, text, begun

    async def play(self, pen: Writer, think_ms: int) -> None:
        how, till, booking, text = self._how, self._till, self._booking, self._text
        try:
            if await pen.sleep(think_ms / 1000):
                till.unread(booking, 0)
                return
            self._begun()
            if how.ends == "silent":
                await pen.sleep(86_400)
                till.unread(booking, 0)
            elif how.ends == "reset" and not how.after_events:
                till.unread(booking, 0, "reset")
                pen.reset()
            elif self._events:
                await self._stream(pen)
            elif how.ends in ("complete", "error", "pings"):
                if await pen.sleep(how.event_ms / 1000):
                    till.unread(booking, 0)
                    return
                till.bill(booking, "refused" if how.refused else "complete")
                pen.respond(Response(200, text, self._headers))
            else:
                till.unread(booking, booking.usage.output, how.ends)
                pen.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                pen.raw("".join(f"{name}: {value}\r\n" for name, value in self._headers).encode())
                pen.raw(b"content-length: %d\r\n\r\n" % len(text) + text[: len(text) // 2])
                pen.reset() if how.ends == "reset" else pen.cut()
        finally:
            till.bill(booking, "stopped")  # nothing is generated for nothing; a no-op once it is billed

    async def _stream(self, pen: Writer) -> None:
        how, till, booking = self._how, self._till, self._booking
        pen.start(200, self._headers, SSE)
        generated = 0
        for number, (sent, upto) in enumerate(self._events):
            if how.ends != "complete" and number == how.after_events:
                await self._break_off(pen, generated, number)
                return
            if await pen.sleep(how.event_ms / 1000):
                till.unread(booking, generated)
                return
            generated = upto
            if number == len(self._events) - 2:
                till.bill(booking, "refused" if how.refused else "complete")
            pen.send(sent.replace(STAMP.encode(), b"%020d" % time.monotonic_ns()) if how.stamped else sent)
            await pen.drain()
        pen.end()

    async def _break_off(self, pen: Writer, generated: int, number: int) -> None:
        how, till, booking = self._how, self._till, self._booking
        if how.ends == "pings":
            while not await pen.sleep(how.event_ms / 1000):
                pen.send(PING)
                await pen.drain()
            till.unread(booking, generated)
        elif how.ends in ("error", "error-reset"):
            # The answer broke off where it was generated, not on the way: nothing more was made of it.
            booking.full = False
            if number:
                till.unread(booking, generated, "error")
            else:
                till.drop(booking)
            error = {"type": "overloaded_error", "message": "Overloaded"}
            pen.send(event("error", error=error, request_id=booking.request_id))
            if how.ends == "error":
                pen.end()
            else:
                await pen.sleep(0.05)
                pen.reset()
        else:
            till.unread(booking, generated, how.ends)
            if how.ends == "reset":
                # Let what was sent arrive first: a reset overtakes it.
                await pen.sleep(0.05)
                pen.reset()
            elif how.ends == "cut":
                pen.cut()
            else:
                pen.end()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
