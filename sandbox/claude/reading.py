"""HTTP/1.1 requests out of bytes, however they come in pieces; nothing is read from anywhere or sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

MAX_HEAD = 64 * 1024
MAX_BODY = 32 * 1024 * 1024


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
class _Reading:
    """A request whose head is read and whose body is not yet."""

    request: Request
    left: int  # bytes of a body of known length still to come; -1: chunked
    keep: bool
    body: bytearray = field(default_factory=bytearray)
    chunk: int = 0  # bytes of the current chunk still to come
    after: bool = False  # the line end that closes a chunk is still to come
    trailers: bool = False


class Bad(Exception):
    """HTTP that cannot be followed: (status, sentence). The connection ends after the answer."""


class Requests:
    """Those of one connection, one after the other, out of what is fed to it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._reading: _Reading | None = None
        self._invite = False

    @property
    def ahead(self) -> int:
        """Bytes that were fed and belong to no request yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def forget(self) -> None:
        self._buffer.clear()

    def invited(self) -> bool:
        """Whether the client waits to be told to go on with its body; said once."""
        invite, self._invite = self._invite, False
        return invite

    def next(self) -> tuple[Request, bool] | None:
        """The next whole request, and whether the connection is kept after it. Raises Bad."""
        if self._reading is None and not self._head():
            return None
        reading = self._reading
        assert reading is not None  # noqa: S101  _head() has just set it
        if not (self._chunks(reading) if reading.left < 0 else self._length(reading)):
            return None
        self._reading = None
        return reading.request, reading.keep

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Bad(431, "The request's headers are too large")
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
            raise Bad(400, "This is not an HTTP/1.1 request")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise Bad(400, "A header of the request is malformed")
            name, value = name.lower(), value.strip()
            if name == "content-length" and headers.get(name, value) != value:
                raise Bad(400, "The request has two different lengths")
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
            raise Bad(413, "Request exceeds the maximum size")
        if headers.get("expect", "").lower() == "100-continue" and self._reading.left and not self._buffer:
            self._invite = True
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
                    raise Bad(400, "A chunk of the request is malformed")
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
                raise Bad(413, "Request exceeds the maximum size")

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Bad(400, "A chunk of the request is malformed")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _length_of(headers: dict[str, str]) -> int:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise Bad(400, "The length of the request is ambiguous")
        return -1
    if length is None:
        return 0
    if not length.isascii() or not length.isdigit():
        raise Bad(400, "The length of the request is not a number")
    return int(length)


def _size_of(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or any(digit not in b"0123456789abcdefABCDEF" for digit in digits) or len(digits) > 16:
        raise Bad(400, "A chunk of the request is malformed")
    return int(digits, 16)
