"""An upstream that plays what it is given, byte for byte, and a gateway below it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.web.gates import Gate
from tests.web.test_gateway import MODEL, TALK, post

ASKED = {"model": MODEL, "max_tokens": 500, "messages": TALK}
USAGE = {"input_tokens": 20, "output_tokens": 30}
COST = 20 * 5_000 + 30 * 25_000
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "ok"}], "usage": USAGE,
}  # fmt: skip


def head(*lines: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", *lines, "", ""]).encode("latin-1")


def whole(message: Any = MESSAGE, *lines: str, status: str = "200 OK") -> bytes:
    body = json.dumps(message).encode()
    return head(f"content-length: {len(body)}", *lines, status=status) + body


def event(kind: str, **more: Any) -> bytes:
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(*events: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return head("transfer-encoding: chunked", kind="text/event-stream") + b"".join(events) + end


def begun(**usage: Any) -> bytes:
    told = usage or {"input_tokens": 20, "output_tokens": 1}
    return event("message_start", message={**MESSAGE, "content": [], "usage": told})


def ended(reason: str = "end_turn", **usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage or {"output_tokens": 30})


STOP = event("message_stop")


def unchunked(raw: bytes) -> bytes:
    """What stands in the chunks, up to the first that is none."""
    whole = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        try:
            length = int(size, 16)
        except ValueError:
            return whole
        if not length:
            return whole
        whole, raw = whole + raw[:length], raw[length + 2 :]


@dataclass
class Upstream:
    """Bytes for bytes: each connection is served by `play`, which gets it and the number of its request."""

    url: str
    play: Callable[[socket.socket, int], bool | None] | bytes
    taken: list[bytes] = field(default_factory=list)  # whole requests
    connections: int = 0


@contextmanager
def upstream() -> Iterator[Upstream]:
    listening = socket.create_server(("127.0.0.1", 0))
    made = Upstream(f"http://127.0.0.1:{listening.getsockname()[1]}", b"")
    open_: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            while (asked := _request(client)) is not None:
                made.taken.append(asked)
                if isinstance(made.play, bytes):
                    client.sendall(made.play)
                    if b"connection: close" in made.play:
                        return
                elif not made.play(client, len(made.taken)):
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                made.connections += 1
                open_.append(client)
                threads.append(threading.Thread(target=serve, args=(client,), daemon=True))
                threads[-1].start()

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    try:
        yield made
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for client in open_:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        for thread in threads:
            thread.join(5)


def sent(client: socket.socket, data: bytes) -> bool:
    client.sendall(data)
    return True


def _request(client: socket.socket) -> bytes | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        if not (part := client.recv(1 << 16)):
            return None
        raw += part
    top, _, body = raw.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in top.split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        if not (part := client.recv(1 << 16)):
            return None
        body += part
    return top + b"\r\n\r\n" + body


def ask(gate: Gate, token: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    return post(gate, {**ASKED, **more}, {"x-api-key": token})
