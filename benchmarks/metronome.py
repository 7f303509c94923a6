"""A Messages API that asks for the same command again and again, and clocks how long its client takes.

`python -m benchmarks.metronome STEPS COMMAND` in a process of its own; what it does itself is in none of its
figures. A pause is the time from the last byte of an answer to the last byte of the next request: what an
agent needs to read the answer, carry it out and ask again.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

MODEL = "claude-opus-4-7"
WORDS = "I run it once more and look at what comes of it."
USAGE = {"input_tokens": 3, "cache_creation_input_tokens": 120, "cache_read_input_tokens": 4_000}


class Metronome:
    """`steps` answers that call `command`; then one that calls `last`, or without one ends its turn."""

    def __init__(self, steps: int, command: str, last: str | None = None) -> None:
        self.steps, self.command, self.last = steps, command, last
        self.pauses: list[float] = []  # seconds
        self.bodies: list[int] = []  # bytes
        self._answered = 0.0
        self._asked = 0

    def serve(self, connection: socket.socket) -> None:
        """Requests of one connection, until it is closed."""
        with connection, connection.makefile("rb") as stream:
            while (request := _read(stream)) is not None:
                path, body = request
                if path == "/pauses":
                    figures = json.dumps({"pauses": self.pauses, "bodies": self.bodies}).encode()
                    connection.sendall(_head("application/json", len(figures)) + figures)
                    continue
                if self._answered:
                    self.pauses.append(time.perf_counter() - self._answered)
                    self.bodies.append(len(body))
                self._asked += 1
                connection.sendall(self._answer(json.loads(body).get("stream") is True))
                self._answered = time.perf_counter()

    def _answer(self, stream: bool) -> bytes:
        command = self.command if self._asked <= self.steps else self.last
        content: list[dict[str, Any]] = [{"type": "text", "text": WORDS}]
        if command is not None:
            call = {"id": f"toolu_{self._asked:024}", "name": "bash", "input": {"command": command}}
            content.append({"type": "tool_use", **call})
        stop = "end_turn" if command is None else "tool_use"
        message = {
            "id": f"msg_{self._asked:024}", "type": "message", "role": "assistant", "model": MODEL,
            "content": content, "stop_reason": stop, "stop_sequence": None,
            "usage": {**USAGE, "output_tokens": 40},
        }  # fmt: skip
        if not stream:
            text = json.dumps(message).encode()
            return _head("application/json", len(text)) + text
        sent = b"".join(_events(message))
        return _head("text/event-stream", len(sent)) + sent


def _events(message: dict[str, Any]) -> Iterator[bytes]:
    begun = {**message, "content": [], "stop_reason": None}
    yield _event("message_start", message=begun)
    for index, block in enumerate(message["content"]):
        text = block["type"] == "text"
        empty = {**block, "text": ""} if text else {**block, "input": {}}
        whole = block["text"] if text else json.dumps(block["input"])
        kind, name = ("text_delta", "text") if text else ("input_json_delta", "partial_json")
        yield _event("content_block_start", index=index, content_block=empty)
        for at in range(0, len(whole), 12):  # about as much as a token or three
            delta = {"type": kind, name: whole[at : at + 12]}
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage={"output_tokens": 40})
    yield _event("message_stop")


def _event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def _head(kind: str, size: int) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\nrequest-id: req_1\r\n\r\n"
    ).encode()


def _read(stream: Any) -> tuple[str, bytes] | None:
    first = stream.readline().split()
    if len(first) < 2:
        return None
    size = 0
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    return first[1].decode(), stream.read(size)


def main(steps: str, command: str, last: str | None = None) -> None:
    metronome = Metronome(int(steps), command, last)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(json.dumps({"url": f"http://127.0.0.1:{server.getsockname()[1]}"}), flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=metronome.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
