"""HTTP/1.1 for one address, small and fast: as the upstream in benchmarks it must not be what is measured."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import click

from sandbox.claude.reading import MAX_BODY, Bad, Request, Requests

LINGER = 5.0  # seconds in which a client may finish sending what was refused, before the connection goes

LAST_CHUNK = b"0\r\n\r\n"

Headers = tuple[tuple[str, str], ...]


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


class Connection(asyncio.Protocol):
    """One client, one request at a time; what it sends ahead waits its turn."""

    def __init__(self, handler: Handler, refusal: Refusal, everyone: set[Connection]) -> None:
        self._handler = handler
        self._refusal = refusal
        self._everyone = everyone
        self._requests = Requests()
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
        self._requests.feed(data)
        if self._task is None:
            self._advance()
        elif self._requests.ahead > MAX_BODY and self._transport is not None:
            self._transport.pause_reading()

    # Reading

    def _advance(self) -> None:
        try:
            while self._task is None and not self._deaf and (found := self._requests.next()) is not None:
                request, self._keep = found
                self._method = request.method
                self._answer(request)
            if self._requests.invited():
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except Bad as bad:
            status, sentence = bad.args
            self._keep = False
            self.put(self._refusal(status, sentence))

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
            self._requests.forget()
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

    async def until_stopped(self, host: str, port: int, stopping: Callable[[], None] = lambda: None) -> None:
        """Listen, print the URL as JSON, and at SIGTERM or SIGINT close, after `stopping`.

        Raises ClickException when the port is taken.
        """
        try:
            url = await self.open(host, port)
        except OSError as taken:
            raise click.ClickException(f"cannot listen on {host}:{port}: {taken.strerror}") from None
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        click.echo(json.dumps({"url": url}))
        await stop.wait()
        stopping()
        self.close()

    def close(self) -> None:
        """Stop listening and drop everyone, at once."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._everyone):
            if connection._transport is not None:
                connection._transport.abort()
