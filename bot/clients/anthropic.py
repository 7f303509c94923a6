"""The upstream: HTTP/1.1 on sockets that we poll, so that a deadline cuts and a leaving client is seen.

A client library would wait inside `recv` for the next byte of the model, up to minutes, and learn neither.
The framing is h11's; connections are kept alive. Nothing that may have arrived is ever sent twice: only where
the kernel knows that the other side has not acknowledged all of a request is it sent again, or given up free
of charge.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import h11

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 15.0  # a kept connection older than this is not used again
SEND_SECONDS = 60.0
CHUNK = 65_536
PIECE = 1 << 20
LARGE = 1 << 20
MAX_ANSWER = 64 << 20  # of JSON in one piece; the longest there is are a few megabytes
_GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)

_TARGET = "/?#[]@!$&'()*+,;=:%-._~|\\^`{}\"<>"  # passed as they are; what is not ASCII is quoted

Headers = Sequence[tuple[str, str]]
Pieces = Sequence[bytes | memoryview]


class Unreachable(Exception):
    """The request did not arrive, or not all of it: nothing can have been charged."""


class Broken(Exception):
    """The connection broke after the request had left: what it cost is unknown."""


class TimedOut(Exception):
    """The deadline came before the next byte."""


class ClientGone(Exception):
    """The client's own connection is closed; nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the upstream: the name of its variable is booked with each turn, its value never is."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an answer, names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1024 * 1024)
        self.used_at = time.monotonic()
        self.acknowledged = _acknowledged(sock)  # before this request
        self.size = 0  # of this request, in bytes
        self.whole = True  # all of it was handed to the kernel
        self.closed = False  # the other side has sent its FIN

    def post(self, request: h11.Request, body: Pieces, size: int, deadline: float) -> None:
        """Send a whole request, as far as the other side takes it; `arrived` knows how far that was."""
        self.acknowledged = _acknowledged(self.sock)
        head = self.http.send(request) or b""
        self.size, self.whole = len(head) + size, False
        pieces = [b"".join((head, *body))] if size < CHUNK else [head, *_slices(body)]
        try:
            for piece in pieces:
                left = min(SEND_SECONDS, deadline - time.monotonic())
                self.sock.settimeout(max(0.001, left))
                self.sock.sendall(piece)
            self.whole = True
        except OSError:
            return  # an answer may have come before the end of the request: a refusal, most likely
        for piece in body:
            # Counts it, and copies nothing: any bytes-like object will do (h11's docs, "sendfile").
            self.http.send_with_data_passthrough(h11.Data(piece))  # type: ignore[arg-type]
        self.http.send(h11.EndOfMessage())

    def arrived(self) -> bool:
        """Whether the other side may have the whole request."""
        if not self.whole:
            return False
        if not self.closed:
            return True  # a reset says nothing of what had arrived before it, a FIN acknowledges all of it
        before, now = self.acknowledged, _acknowledged(self.sock)
        # A kernel that counts at all has counted the connection's own first packet.
        return not before or now is None or now - before >= self.size

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


class Upstream:
    """A pool of connections to one base URL, `https://api.anthropic.com` or another Messages server."""

    def __init__(self, base_url: str, *, idle: int = 64) -> None:
        parts = urlsplit(base_url)
        self.base_url = base_url
        self._https = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._https else 80)
        self._path = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._tls = _tls() if self._https else None
        self._idle: list[_Connection] = []
        self._most = idle
        self._lock = threading.Lock()

    def send(self, method: str, target: str, headers: Headers, body: Pieces, deadline: float) -> Exchange:
        """Send a whole request until `deadline` (monotonic). Raises Unreachable: nothing arrived.

        A body above LARGE is not kept for a second try: it goes out on a new connection.
        """
        size = sum(map(len, body))
        pairs = [("host", self._authority), *headers, ("content-length", str(size))]
        try:
            request = h11.Request(
                method=method,
                target=quote(self._path + target, safe=_TARGET, encoding="latin-1"),
                headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
            )
        except (h11.LocalProtocolError, UnicodeEncodeError):
            # Its own words have the value in them, which may be the key.
            raise Unreachable("the request cannot be forwarded: a header of it is none") from None

        def fresh() -> _Connection:
            made = self._connect(deadline)
            made.post(request, body, size, deadline)
            return made

        kept = self._take() if size <= LARGE else None
        if kept is None:
            return Exchange(self, fresh(), None)
        kept.post(request, body, size, deadline)
        return Exchange(self, kept, fresh)

    def _take(self) -> _Connection | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                fresh = time.monotonic() - connection.used_at < IDLE_SECONDS
                if fresh and not select.select([connection.sock], [], [], 0)[0]:
                    return connection
                connection.close()
        return None

    def _connect(self, deadline: float) -> _Connection:
        try:
            left = max(0.001, min(CONNECT_SECONDS, deadline - time.monotonic()))
            sock = socket.create_connection((self._host, self._port), timeout=left)
        except OSError as error:
            raise Unreachable(f"{self._host}:{self._port} cannot be reached: {error}") from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
        except OSError as error:
            sock.close()
            raise Unreachable(f"{self._host}:{self._port} cannot be reached: {error}") from error
        return _Connection(sock)

    def keep(self, connection: _Connection) -> None:
        """Take a connection back whose exchange has ended cleanly."""
        connection.used_at = time.monotonic()
        with self._lock:
            if len(self._idle) < self._most:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is kept; what still is in use is closed when it comes back."""
        with self._lock:
            self._most = 0
            while self._idle:
                self._idle.pop().close()


class Exchange:
    """One answer being read. `close()` always; a connection that was not read to the end is not reused.

    `again` sends the same request on a new connection: for one that had been kept too long.
    """

    def __init__(
        self, upstream: Upstream, connection: _Connection, again: Callable[[], _Connection] | None
    ) -> None:
        self._upstream = upstream
        self._connection: _Connection | None = connection
        self._again = again
        self._head: Head | None = None
        self._whole = bytearray()
        self._ahead: h11.Event | type | None = None  # the event behind the bytes that were read last

    def once(self) -> None:
        """Do not send it again on another connection: nobody waits for it any more."""
        self._again = None

    def fileno(self) -> int:
        return self._open().sock.fileno()

    def _open(self) -> _Connection:
        if self._connection is None:
            raise Broken("the exchange is closed")
        return self._connection

    @property
    def request_id(self) -> str | None:
        """The upstream's own name for this request, once its head has come."""
        return self._head.get("request-id") if self._head else None

    def head(self, deadline: float, client: socket.socket | None = None) -> Head:
        """Wait for status and headers until `deadline` (monotonic); at once when they are known.

        Raises Unreachable, Broken, TimedOut, ClientGone.
        """
        while self._head is None:
            connection = self._open()
            # Of a request that did not go out whole only an answer that is there already is of interest.
            until = deadline if connection.whole else min(deadline, time.monotonic() + 1)
            try:
                event = self._next(until, client)
                if isinstance(event, h11.Response):
                    pairs = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers)
                    self._head = Head(event.status_code, pairs)
                elif not isinstance(event, h11.InformationalResponse):
                    raise Broken("the upstream closed the connection before it answered")
            except (Broken, TimedOut) as error:
                if isinstance(error, TimedOut) and connection.whole:
                    raise
                if connection.arrived():
                    raise
                connection.close()
                self._connection = None
                if self._again is None:
                    raise Unreachable("the upstream did not take the request") from error
                again, self._again = self._again, None
                self._connection = again()
        self._again = None
        return self._head

    def read(self, deadline: float, client: socket.socket | None = None) -> bytes:
        """The next bytes of the body, b"" at its end. Raises Broken, TimedOut, ClientGone."""
        event = self._next(deadline, client)
        if isinstance(event, h11.Data):
            return bytes(event.data) + self._more()
        if isinstance(event, h11.EndOfMessage):
            return b""
        raise Broken("the upstream closed the connection in the middle of its answer")

    def _more(self) -> bytes:
        """What of the body came together with what was just read: never waits, so that nothing is late."""
        parts = []
        # A fault behind good bytes is found again, by the next `read`.
        with contextlib.suppress(h11.ProtocolError):
            while (event := self._open().http.next_event()) is not h11.NEED_DATA:
                if not isinstance(event, h11.Data):
                    self._ahead = event
                    break
                parts.append(bytes(event.data))
        return b"".join(parts)

    def read_all(
        self, deadline: float, client: socket.socket | None = None, most: int = MAX_ANSWER
    ) -> bytearray:
        """The whole body, once; after a TimedOut or ClientGone it may be called again, and goes on."""
        while part := self.read(deadline, client):
            self._whole += part
            if len(self._whole) > most:
                raise Broken("the upstream's answer is larger than any answer may be")
        whole, self._whole = self._whole, bytearray()
        return whole

    def _next(self, deadline: float, client: socket.socket | None) -> h11.Event | type:
        connection = self._open()
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            return ahead
        try:
            while True:
                event = connection.http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._wait(connection, deadline, client)
                connection.sock.settimeout(0)  # readable does not yet mean a whole TLS record
                with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
                    data = connection.sock.recv(CHUNK)
                    connection.closed = not data
                    connection.http.receive_data(data)
        except (OSError, h11.ProtocolError) as error:
            raise Broken(f"the upstream broke off: {error}") from error

    @staticmethod
    def _wait(connection: _Connection, deadline: float, client: socket.socket | None) -> None:
        sock = connection.sock
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        if client is not None:
            if client.fileno() < 0:
                raise ClientGone
            poller.register(client, _GONE)
        left = deadline - time.monotonic()
        ready = poller.poll(max(0, int(left * 1000) + 1)) if left > 0 else []
        if any(fd == sock.fileno() for fd, _ in ready):
            return
        if ready:
            raise ClientGone
        raise TimedOut

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        http = connection.http
        # Bytes behind the end of an answer would be taken for the next one, which may be another run's.
        if http.our_state is h11.DONE and http.their_state is h11.DONE and not any(http.trailing_data):
            http.start_next_cycle()
            self._upstream.keep(connection)
        else:
            connection.close()


def left(client: socket.socket | None) -> bool:
    """Whether a client has closed its side: nobody waits for an answer any more."""
    if client is None:
        return False
    if client.fileno() < 0:
        return True
    poller = select.poll()
    poller.register(client, _GONE)
    return bool(poller.poll(0))


def _slices(body: Pieces) -> list[bytes | memoryview]:
    return [memoryview(piece)[at : at + PIECE] for piece in body for at in range(0, len(piece), PIECE)]


def _acknowledged(sock: socket.socket) -> int | None:
    """Bytes that the other side has acknowledged so far; None where our kernel does not say (Linux does)."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, 128)
    except OSError:
        return None
    # struct tcp_info of linux/tcp.h: tcpi_bytes_acked, since Linux 4.1
    return int(struct.unpack_from("=Q", info, 120)[0]) if len(info) >= 128 else None


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
