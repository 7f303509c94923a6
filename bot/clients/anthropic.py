"""The upstream: HTTP/1.1 on sockets that we poll, so that a deadline cuts and a leaving client is seen.

A client library would wait inside `recv` for the next byte of the model, up to minutes, and learn neither.
The framing is h11's; connections are kept alive; nothing is ever sent twice.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 15.0  # a kept connection older than this is not used again
CHUNK = 65_536
_GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)

Headers = Sequence[tuple[str, str]]


class Unreachable(Exception):
    """No connection was made: the request did not leave, nothing can have been charged."""


class Broken(Exception):
    """The connection broke after the request had left: what it cost is unknown."""


class TimedOut(Exception):
    """The deadline came before the next byte."""


class ClientGone(Exception):
    """The client's own connection is closed; nobody waits for the answer any more."""


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

    def send(self, method: str, target: str, headers: Headers, body: bytes) -> Exchange:
        """Send a whole request. Raises Unreachable (nothing left) or Broken (it may have)."""
        connection = self._take() or self._connect()
        request = h11.Request(
            method=method,
            target=self._path + target,
            headers=[("host", self._authority), *headers, ("content-length", str(len(body)))],
        )
        try:
            head = connection.http.send(request) or b""
            if len(body) < CHUNK:
                connection.sock.sendall(head + (connection.http.send(h11.Data(body)) or b"" if body else b""))
            else:
                connection.sock.sendall(head)
                connection.sock.sendall(connection.http.send(h11.Data(body)) or b"")
            connection.http.send(h11.EndOfMessage())
        except (OSError, h11.ProtocolError) as error:
            connection.close()
            raise Broken(f"the upstream closed the connection while the request was sent: {error}") from error
        return Exchange(self, connection)

    def _take(self) -> _Connection | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                fresh = time.monotonic() - connection.used_at < IDLE_SECONDS
                if fresh and not select.select([connection.sock], [], [], 0)[0]:
                    return connection
                connection.close()
        return None

    def _connect(self) -> _Connection:
        try:
            sock = socket.create_connection((self._host, self._port), timeout=CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
        except OSError as error:
            raise Unreachable(f"{self._host}:{self._port} cannot be reached: {error}") from error
        sock.settimeout(60)  # for sending; reading is polled
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
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class Exchange:
    """One answer being read. `close()` always; a connection that was not read to the end is not reused."""

    def __init__(self, upstream: Upstream, connection: _Connection) -> None:
        self._upstream = upstream
        self._connection: _Connection | None = connection

    def fileno(self) -> int:
        return self._open().sock.fileno()

    def _open(self) -> _Connection:
        if self._connection is None:
            raise Broken("the exchange is closed")
        return self._connection

    def head(self, deadline: float, client: socket.socket | None = None) -> Head:
        """Wait for status and headers until `deadline` (monotonic). Raises Broken, TimedOut, ClientGone."""
        while True:
            event = self._next(deadline, client)
            if isinstance(event, h11.Response):
                pairs = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers)
                return Head(event.status_code, pairs)
            if not isinstance(event, h11.InformationalResponse):
                raise Broken("the upstream closed the connection before it answered")

    def read(self, deadline: float, client: socket.socket | None = None) -> bytes:
        """The next bytes of the body, b"" at its end. Raises Broken, TimedOut, ClientGone."""
        event = self._next(deadline, client)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return b""
        raise Broken("the upstream closed the connection in the middle of its answer")

    def read_all(self, deadline: float, client: socket.socket | None = None, most: int = 1 << 28) -> bytes:
        parts, size = [], 0
        while part := self.read(deadline, client):
            size += len(part)
            if size > most:
                raise Broken("the upstream's answer is larger than any answer may be")
            parts.append(part)
        return b"".join(parts)

    def _next(self, deadline: float, client: socket.socket | None) -> h11.Event | type:
        connection = self._open()
        try:
            while True:
                event = connection.http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._wait(connection, deadline, client)
                connection.http.receive_data(connection.sock.recv(CHUNK))
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
        if connection.http.our_state is h11.DONE and connection.http.their_state is h11.DONE:
            connection.http.start_next_cycle()
            self._upstream.keep(connection)
        else:
            connection.close()


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
