"""A lean HTTP/1.1 load client in a process of its own: N kept connections, one request in flight on each.

Used the same way straight to the upstream and through every gateway, so that what it costs itself cancels out
in the difference. `python -m benchmarks.load` takes a job as JSON on stdin and prints the figures as JSON.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0  # seconds without a byte: the job has failed


@dataclass(frozen=True)
class Job:
    """`keys`: connection i sends keys[i % len]. Answers of the first `warm` seconds are not counted."""

    url: str  # of the Messages path
    keys: Sequence[str]
    body: str
    connections: int
    seconds: float
    warm: float = 1.0


@dataclass(frozen=True)
class Measured:
    """Latencies in milliseconds, from the first byte sent to the last byte received."""

    answers: int
    failures: int
    seconds: float
    p50: float
    p99: float
    first_p50: float  # to the first byte of the answer
    failed_with: str = ""

    @property
    def rate(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0


def run(job: Job) -> Measured:
    """Do it in another process."""
    return Measured(**apart("benchmarks.load", asdict(job)))


def apart(module: str, job: dict[str, Any]) -> Any:
    """What a module prints as JSON that is run in a process of its own and told its job as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(job).encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return json.loads(done.stdout)


class _Client:
    """One connection and the answer that is coming in on it."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.request = request
        self.sock = socket.create_connection(address, timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = bytearray()
        self.needed = 0  # bytes of a whole answer; -1: chunked; 0: head not read yet
        self.sent_at = self.first_at = 0.0

    def send(self) -> None:
        self.answer.clear()
        self.needed = 0
        self.first_at = 0.0
        self.sent_at = time.perf_counter()
        self.sock.sendall(self.request)

    def receive(self) -> bool:
        """Take what is there; True when the answer is whole."""
        data = self.sock.recv(262_144)
        if not data:
            raise ConnectionError("the server closed the connection")
        if not self.first_at:
            self.first_at = time.perf_counter()
        self.answer += data
        if not self.needed:
            end = self.answer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self.answer[:end]).lower()
            _, found, rest = head.partition(b"content-length:")
            self.needed = end + 4 + int(rest.partition(b"\r\n")[0]) if found else -1
        if self.needed > 0:
            return len(self.answer) >= self.needed
        return self.answer.endswith(b"\r\n0\r\n\r\n")

    def fault(self) -> str:
        """Why this is not an answer of the Messages API; empty if it is one."""
        if not self.answer.startswith(b"HTTP/1.1 200") or b"output_tokens" not in self.answer:
            return bytes(self.answer[:300]).decode("latin-1")
        return ""


def measure(job: Job) -> Measured:
    parts = urlsplit(job.url)
    address = (parts.hostname or "", parts.port or 80)
    body = job.body.encode()
    selector = selectors.EpollSelector()
    for number in range(job.connections):
        head = (
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
            f"anthropic-version: 2023-06-01\r\nx-api-key: {job.keys[number % len(job.keys)]}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        client = _Client(address, head.encode() + body)
        selector.register(client.sock, selectors.EVENT_READ, client)
        client.send()
    begin = time.perf_counter() + job.warm
    end = begin + job.seconds
    whole: list[float] = []
    first: list[float] = []
    faults: Counter[str] = Counter()
    open_clients = job.connections
    while open_clients:
        events = selector.select(PATIENCE)
        if not events:
            raise TimeoutError(f"no answer for {PATIENCE:.0f} s")
        for key, _ in events:
            client = key.data
            if not client.receive():
                continue
            now = time.perf_counter()
            fault = client.fault()
            if fault:
                faults[fault] += 1
            elif begin <= now <= end:
                whole.append(now - client.sent_at)
                first.append(client.first_at - client.sent_at)
            if now < end and faults.total() < 100:
                client.send()
            else:
                selector.unregister(client.sock)
                client.sock.close()
                open_clients -= 1
    selector.close()
    why = next(iter(faults), "")
    return Measured(
        len(whole),
        faults.total(),
        job.seconds,
        percentile(whole, 50),
        percentile(whole, 99),
        percentile(first, 50),
        why,
    )


def percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds; NaN of nothing."""
    if not seconds:
        return float("nan")
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(Job(**json.load(sys.stdin))))))
