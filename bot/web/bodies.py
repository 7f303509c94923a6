"""Requests' bodies, each in memory once, and large ones only as far as there is room for them.

A client may send 32 MB a request (api/errors: request_too_large), and as many requests as there are threads.
"""

from __future__ import annotations

import mmap
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from bot.clients.anthropic import left
from bot.core.body import Bytes
from bot.core.meter import MAX_BODY
from bot.web.anteroom import BROKEN_OFF
from bot.web.watchdog import Watchdog, over

Environ = dict[str, Any]

BODY_SECONDS = 120.0  # for a body to come in; as long for those before it to leave
DROP_SECONDS = 3.0  # for one that is refused for its size
LARGE = 1 << 20
_PIECE = 1 << 18  # of a large one that is read at once
_LOOK_EVERY = 0.25  # seconds between looks whether a client still waits


class Unread(Exception):
    """Why there is no body: status, error type and sentence of the answer."""

    def __init__(self, status: int, kind: str, why: str) -> None:
        super().__init__(f"{why}. Nothing was spent.")
        self.status = status
        self.kind = kind


class Body:
    """One request's; `drop()` as soon as it has left, or when it will not."""

    def __init__(self, data: Bytes, dropped: Callable[[], None] = lambda: None) -> None:
        self.data = data
        self._dropped = dropped

    def drop(self) -> None:
        self.data = b""
        dropped, self._dropped = self._dropped, lambda: None
        dropped()


class Bodies:
    """Reads them; of large ones no more than `room` bytes at a time, first come, first served."""

    def __init__(self, watchdog: Watchdog, room: int = MAX_BODY) -> None:
        self._watchdog = watchdog
        self._room = room
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    def read(self, environ: Environ, client: socket.socket | None, seconds: float) -> Body:
        """The whole body, within so many seconds at the most. Raises Unread."""
        chunked = environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        length = environ.get("CONTENT_LENGTH") or ""
        if not chunked and not length and not environ.get("wsgi.input_terminated"):
            return Body(b"")
        if chunked or not length:
            return self._unmeasured(environ, client, seconds)
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY:
            with self._watched(client, min(DROP_SECONDS, seconds)):
                _let_in(environ["wsgi.input"], length)
            raise _too_large()
        size = int(length)
        if size > LARGE:
            return self._large(environ, client, seconds, size, b"")
        with self._watched(client, seconds):
            data = environ["wsgi.input"].read(size)
        if len(data) != size:
            raise _cut_short()
        return Body(data)

    def _unmeasured(self, environ: Environ, client: socket.socket | None, seconds: float) -> Body:
        with self._watched(client, seconds):
            first = environ["wsgi.input"].read(LARGE + 1)
        if len(first) <= LARGE:
            return Body(first)
        return self._large(environ, client, seconds, None, first)

    def _large(
        self,
        environ: Environ,
        client: socket.socket | None,
        seconds: float,
        size: int | None,
        first: bytes,
    ) -> Body:
        most = MAX_BODY if size is None else size
        self._take(most, client, seconds)
        try:
            # Given back to the system when it is dropped; until it is filled it takes nothing.
            buffer = memoryview(mmap.mmap(-1, most, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            buffer[: len(first)] = first
            with self._watched(client, seconds):
                end = _fill(environ["wsgi.input"], buffer, len(first))
                if size is None and end == most and environ["wsgi.input"].read(1):
                    raise _too_large()
            if size is not None and end < size:
                raise _cut_short()
        except BaseException:
            self._give(most)
            raise
        return Body(buffer[:end], lambda: self._give(most))

    def _watched(self, client: socket.socket | None, seconds: float) -> _Watched:
        return _Watched(self._watchdog, client, seconds)

    def _take(self, size: int, client: socket.socket | None, seconds: float) -> None:
        ticket, until = object(), time.monotonic() + seconds
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._room < size:
                    if time.monotonic() >= until or left(client):
                        raise Unread(429, "rate_limit_error", "others' large requests take all the room")
                    self._changed.wait(_LOOK_EVERY)
                self._room -= size
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _give(self, size: int) -> None:
        with self._changed:
            self._room += size
            self._changed.notify_all()


class _Watched:
    """A client's time to send; what it breaks off with is Unread."""

    def __init__(self, watchdog: Watchdog, client: socket.socket | None, seconds: float) -> None:
        self._guard = watchdog.guard(client, time.monotonic() + seconds, socket.SHUT_RD)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        over(self._guard)
        if isinstance(error, BROKEN_OFF):
            raise Unread(400, "invalid_request_error", "the body did not come") from error


def _fill(stream: Any, buffer: memoryview, at: int) -> int:
    """Read into the buffer from `at` on; where it ended."""
    while at < len(buffer) and (part := stream.read(min(_PIECE, len(buffer) - at))):
        buffer[at : at + len(part)] = part
        at += len(part)
    return at


def _let_in(stream: Any, length: str) -> None:
    # Many clients read no answer before they have sent all: a body that is only somewhat too large is let in.
    if length.isascii() and length.isdigit() and int(length) <= 2 * MAX_BODY:
        left = int(length)
        while left > 0 and (part := stream.read(min(left, 65_536))):
            left -= len(part)


def _too_large() -> Unread:
    return Unread(413, "request_too_large", "a request may have 32 MB at most")


def _cut_short() -> Unread:
    return Unread(400, "invalid_request_error", "the body ended too early")
