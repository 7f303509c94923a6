"""Many streams at once, and how old each event is when it arrives: the sandbox's `clock` says when it left.

`python -m benchmarks.listening`, a process of its own: a job as JSON on stdin, the figures as JSON on stdout.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from benchmarks.load import apart, percentile

PATIENCE = 120.0  # seconds without a byte on any of them
STAMPED = re.compile(rb'"text":\s*"([0-9]{20})"')


@dataclass(frozen=True)
class Job:
    """A stream for each of `keys`, with the name of its run for whoever makes the invoice; `within`: seconds
    over which they begin."""

    url: str  # of the Messages path
    keys: Sequence[tuple[str, str]]
    max_tokens: int
    within: float = 1.03  # in no step with the events, which would all come at once


@dataclass(frozen=True)
class Heard:
    """Milliseconds from the upstream's sending of an event to its arrival here; how the streams ended."""

    events: int
    p50: float
    p99: float
    most: float
    seconds: float
    ended: dict[str, int]


def run(job: Job) -> Heard:
    """Do it in another process."""
    return Heard(**apart("benchmarks.listening", asdict(job)))


class _Stream:
    def __init__(self, job: Job, key: str, run: str) -> None:
        parts = urlsplit(job.url)
        asked = {
            "model": "claude-opus-4-7",
            "max_tokens": job.max_tokens,
            "stream": True,
            "metadata": {"user_id": run},
            "messages": [{"role": "user", "content": "What time is it?"}],
        }
        body = json.dumps(asked)
        self.sock = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE)
        self.sock.sendall(
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
            f"anthropic-version: 2023-06-01\r\nx-api-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
            f"{body}".encode()
        )
        self.rest = b""
        self.ended = ""

    def receive(self, ages: list[float]) -> None:
        """Take what is there, and the age of every event in it in seconds; `ended` once it is over."""
        data = self.sock.recv(262_144)
        now = time.monotonic_ns()
        text = self.rest + data
        at = 0
        for found in STAMPED.finditer(text):
            ages.append((now - int(found[1])) / 1e9)
            at = found.end()
        self.rest = text[max(at, len(text) - 4096) :]
        if b"event: error" in text:
            self.ended = "halted" if b'"billing_error"' in text else "failed"
        elif b"message_stop" in text:
            self.ended = "whole"
        elif text.startswith(b"HTTP/1.1 ") and text[9:12] != b"200":
            self.ended = text[9:12].decode()
        elif not data:
            self.ended = "closed"


def listen(job: Job) -> Heard:
    ages: list[float] = []
    ended: Counter[str] = Counter()
    begun = time.monotonic()
    waiting = list(job.keys)
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            due = begun + job.within * (len(job.keys) - len(waiting)) / len(job.keys)
            if waiting and time.monotonic() >= due:
                stream = _Stream(job, *waiting.pop(0))
                selector.register(stream.sock, selectors.EVENT_READ, stream)
            ready = selector.select(max(0.0, due - time.monotonic()) if waiting else PATIENCE)
            if not ready and not waiting:
                ended["silent"] += len(selector.get_map())
                break
            for key, _ in ready:
                key.data.receive(ages)
                if key.data.ended:
                    ended[key.data.ended] += 1
                    selector.unregister(key.data.sock)
                    key.data.sock.close()
    whole = time.monotonic() - begun
    return Heard(
        len(ages), percentile(ages, 50), percentile(ages, 99), percentile(ages, 100), whole, dict(ended)
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(listen(Job(**json.load(sys.stdin))))))
