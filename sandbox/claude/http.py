"""HTTP/1.1 for one address, small and fast: as the upstream in benchmarks it must not be what is measured."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

MAX_HEAD = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
LINGER = 5.0  # seconds in which a client may finish sending what was refused, before the connection goes

LAST_CHUNK = b"0\r\n\r\n"

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Request:
    """One request, read to its end. Header names are lower case; of a repeated one the values are joined."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_query: str = ""  # where a name may stand several times


@dataclass(slots=True)
class Response:
    """One answer, known to its last byte."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: str = "application/json"
    close: bool = False
    chunks: tuple[bytes, ...] = ()  # in place of `body`: sent with chunked framing


@dataclass(slots=True)
class Played:
    """An answer that takes its time: `play` writes it through a Writer."""

    play: Callable[[Writer], Awaitable[None]]


Handler = Callable[[Request], Response | Played]
Refusal = Callable[
    [int, str], Response
]  # (status, sentence): how this address words what HTTP itself refuses


class Writer:
    """The pen of a Played answer. Writing after the client left is silent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.chunked = False

    @property
    def left(self) -> bool:
        """The client is gone."""
        return self._connection.gone.is_set()

    def respond(self, response: Response) -> None:
        self._connection.put(response)

    def start(
        self, status: int, headers: Headers, content_type: str = "text/event-stream; charset=utf-8"
    ) -> None:
        """Begin a chunked answer."""
        self.chunked = True
        self._connection.write(_head(status, content_type, headers) + b"transfer-encoding: chunked\r\n\r\n")

    def send(self, *parts: bytes) -> None:
        """Each part as a chunk of its own, all in one write."""
        self._connection.write(_framed(parts))

    def raw(self, data: bytes) -> None:
        """Bytes as they are: for answers that break the rules on purpose."""
        self._connection.write(data)

    def end(self) -> None:
        self._connection.write(LAST_CHUNK)

    async def sleep(self, seconds: float) -> bool:
        """Wait, but no longer than the client does. True: it is gone."""
        if seconds > 0 and not self.left:
            try:
                async with asyncio.timeout(seconds):
                    await self._connection.gone.wait()
            except TimeoutError:
                pass
        return self.left

    async def drain(self) -> None:
        await self._connection.drain()

    def cut(self) -> None:
        """Close in the middle, as a proxy that dies would: FIN."""
        self._connection.close()

    def reset(self) -> None:
        """Tear the connection down: RST."""
        self._connection.reset()


@dataclass(slots=True)
class _Reading:
    """A request whose head is read and whose body is not yet."""

    request: Request
    left: int  # bytes of a body of known length still to come; -1: chunked
    keep: bool
    body: bytearray = field(default_factory=bytearray)
    chunk: int = 0  # bytes of the current chunk still to come
    after: bool = False  # the line end that closes a chunk is still to come
    trailers: bool = False


class _Bad(Exception):
    """HTTP that cannot be followed: (status, sentence). The connection ends after the answer."""


class Connection(asyncio.Protocol):
    """One client, one request at a time; what it sends ahead waits its turn."""

    def __init__(self, handler: Handler, refusal: Refusal, everyone: set[Connection]) -> None:
        self._handler = handler
        self._refusal = refusal
        self._everyone = everyone
        self._buffer = bytearray()
        self._reading: _Reading | None = None
        self._task: asyncio.Task[None] | None = None
        self._method = ""
        self._keep = True
        self._deaf = False
        self._room = asyncio.Event()
        self._room.set()
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()

    # From the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  the loop gives TCP servers nothing else
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._everyone.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.gone.set()
        self._room.set()
        self._everyone.discard(self)

    def eof_received(self) -> bool:
        self.gone.set()
        return False

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._buffer += data
        if self._task is None:
            self._advance()
        elif len(self._buffer) > MAX_BODY and self._transport is not None:
            self._transport.pause_reading()

    # Reading

    def _advance(self) -> None:
        try:
            while self._task is None and not self._deaf and (request := self._next()) is not None:
                self._answer(request)
        except _Bad as bad:
            status, sentence = bad.args
            self._keep = False
            self.put(self._refusal(status, sentence))

    def _next(self) -> Request | None:
        if self._reading is None and not self._head():
            return None
        reading = self._reading
        assert reading is not None  # noqa: S101  _head() has just set it
        if not (self._chunks(reading) if reading.left < 0 else self._length(reading)):
            return None
        self._reading = None
        self._method, self._keep = reading.request.method, reading.keep
        return reading.request

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise _Bad(431, "The request's headers are too large")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        while lines and not lines[0]:  # an empty line before a request is to be ignored (RFC 9112, 2.2)
            lines.pop(0)
        if not lines:
            return self._head()
        method, _, rest = lines[0].partition(" ")
        target, _, version = rest.rpartition(" ")
        if not target.startswith("/") or version not in ("HTTP/1.1", "HTTP/1.0"):
            raise _Bad(400, "This is not an HTTP/1.1 request")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise _Bad(400, "A header of the request is malformed")
            name, value = name.lower(), value.strip()
            if name == "content-length" and headers.get(name, value) != value:
                raise _Bad(400, "The request has two different lengths")
            headers[name] = (
                f"{headers[name]}, {value}" if name in headers and name != "content-length" else value
            )
        path, _, query = target.partition("?")
        request = Request(
            method, path, dict(parse_qsl(query, keep_blank_values=True)) if query else {}, headers, b"", query
        )
        connection = headers.get("connection", "").lower()
        keep = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        self._reading = _Reading(request, _length_of(headers), keep)
        if self._reading.left > MAX_BODY:
            raise _Bad(413, "Request exceeds the maximum size")
        if headers.get("expect", "").lower() == "100-continue" and self._reading.left and not self._buffer:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _length(self, reading: _Reading) -> bool:
        if len(self._buffer) < reading.left:
            return False
        reading.request.body = bytes(self._buffer[: reading.left])
        del self._buffer[: reading.left]
        return True

    def _chunks(self, reading: _Reading) -> bool:
        buffer = self._buffer
        while True:
            if reading.chunk:
                taken = min(reading.chunk, len(buffer))
                reading.body += buffer[:taken]
                del buffer[:taken]
                reading.chunk -= taken
                if reading.chunk or len(buffer) < 2:
                    reading.after = not reading.chunk
                    return False
                reading.after = True
            if reading.after:
                if len(buffer) < 2:
                    return False
                if buffer[:2] != b"\r\n":
                    raise _Bad(400, "A chunk of the request is malformed")
                del buffer[:2]
                reading.after = False
            line = self._line()
            if line is None:
                return False
            if reading.trailers:
                if not line:
                    reading.request.body = bytes(reading.body)
                    return True
                continue
            reading.chunk = _size_of(line)
            reading.trailers = reading.chunk == 0
            if len(reading.body) + reading.chunk > MAX_BODY:
                raise _Bad(413, "Request exceeds the maximum size")

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise _Bad(400, "A chunk of the request is malformed")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    # Answering

    def _answer(self, request: Request) -> None:
        answer = self._handler(request)
        if isinstance(answer, Response):
            self.put(answer)
            return
        self._task = asyncio.get_running_loop().create_task(self._play(answer))

    async def _play(self, answer: Played) -> None:
        try:
            await answer.play(Writer(self))
        except BaseException:
            self.reset()
            raise
        finally:
            self._task = None
            if self._transport is not None:
                if not self._keep:
                    self.close()
                else:
                    self._transport.resume_reading()
                    self._advance()

    def put(self, response: Response) -> None:
        """Write a whole answer; where the connection is to end, end it so that the answer is still read."""
        keep = self._keep and not response.close
        head = _head(response.status, response.content_type, response.headers)
        last = b"\r\n" if keep else b"connection: close\r\n\r\n"
        if response.chunks:
            self.write(
                b"".join(
                    [head, b"transfer-encoding: chunked\r\n", last, _framed(response.chunks), LAST_CHUNK]
                )
            )
        else:
            body = b"" if self._method == "HEAD" else response.body
            self.write(b"%bcontent-length: %d\r\n%b%b" % (head, len(response.body), last, body))
        if not keep:
            self._deaf = True
            self._buffer.clear()
            if self._task is None:
                self.close()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """FIN, and listen on for a while: closing with unread input would reset what was just written."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._deaf, self._keep = True, False
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, transport.close)

    def reset(self) -> None:
        if self._transport is not None:
            raw: socket.socket = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            self.gone.set()

    async def drain(self) -> None:
        await self._room.wait()


def _length_of(headers: dict[str, str]) -> int:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise _Bad(400, "The length of the request is ambiguous")
        return -1
    if length is None:
        return 0
    if not length.isascii() or not length.isdigit():
        raise _Bad(400, "The length of the request is not a number")
    return int(length)


def _size_of(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or any(digit not in b"0123456789abcdefABCDEF" for digit in digits) or len(digits) > 16:
        raise _Bad(400, "A chunk of the request is malformed")
    return int(digits, 16)


_STATUS = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_TYPES: dict[str, bytes] = {}


def _head(status: int, content_type: str, headers: Headers) -> bytes:
    first = _STATUS.get(status) or b"HTTP/1.1 %d Status\r\n" % status
    kind = _TYPES.get(content_type) or _TYPES.setdefault(
        content_type, b"content-type: %b\r\n" % content_type.encode()
    )
    return first + kind + b"".join([f"{name}: {value}\r\n".encode("latin-1") for name, value in headers])


def _framed(parts: tuple[bytes, ...]) -> bytes:
    return b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts])


class Address:
    """A listening socket and everyone who is connected to it."""

    def __init__(self, handler: Handler, refusal: Refusal) -> None:
        self._handler = handler
        self._refusal = refusal
        self._everyone: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> str:
        """Listen; the URL. Port 0 takes a free one. Raises OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._handler, self._refusal, self._everyone), host, port, backlog=1024
        )
        bound = self._server.sockets[0].getsockname()
        return f"http://{bound[0]}:{bound[1]}"

    def close(self) -> None:
        """Stop listening and drop everyone, at once."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._everyone):
            if connection._transport is not None:
                connection._transport.abort()
