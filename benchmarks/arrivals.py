"""Requests at their times, whatever the answers do: who comes late has waited, and that counts.

`python -m benchmarks.arrivals`, a process of its own: a job as JSON on stdin, the figures as JSON on stdout.
A closed loop, which asks again when it was answered, slows down with the server and hides the queue.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from benchmarks.load import apart, percentile

PATIENCE = 60.0  # seconds after the last arrival; what is unanswered then stays so
MOST = 900  # connections; a gunicorn worker has 1,000 at the most. What is due beyond that waits here
TOO_LATE = 10.0  # seconds: GitHub has given up


@dataclass(frozen=True)
class Arrival:
    """The number of a request among those of the job, and headers of its own."""

    request: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Job:
    """`requests`: pairs of headers and body. `rate` arrivals a second, at random times by `seed`."""

    url: str
    requests: Sequence[tuple[dict[str, str], str]]
    arrivals: Sequence[Arrival]
    rate: float
    seed: int = 1


@dataclass(frozen=True)
class Figures:
    """Milliseconds from the time at which a request was due to the end of its answer. `behind`: how late the
    client itself was in sending, at the 99th percentile."""

    p50: float
    p99: float
    most: float
    too_late: int
    unanswered: int
    behind: float
    connections: int
    seconds: float  # from the first arrival to the last
    statuses: dict[str, int]


def run(job: Job) -> Figures:
    """Do it in another process."""
    return Figures(**apart("benchmarks.arrivals", asdict(job)))


class _Connection:
    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.waits = False  # for an answer
        self.answer = bytearray()

    def receive(self) -> int:
        """The status of the answer once it is whole; 0 before. Raises ConnectionError."""
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionError
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(bytes(head)):
            return 0
        return int(head[9:12])


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class _Client:
    """Kept connections; another one whenever all of them wait for an answer."""

    def __init__(self, job: Job) -> None:
        parts = urlsplit(job.url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.heads = [
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            + f"content-length: {len(body.encode())}\r\n"
            for headers, body in job.requests
        ]
        self.bodies = [body.encode() for _, body in job.requests]
        self.selector = selectors.DefaultSelector()
        self.idle: list[_Connection] = []
        self.busy = self.made = 0
        self.took: list[float] = []
        self.behind: list[float] = []
        self.statuses: Counter[str] = Counter()

    def send(self, arrival: Arrival, due: float) -> None:
        more = "".join(f"{name}: {value}\r\n" for name, value in arrival.headers.items())
        head = f"{self.heads[arrival.request]}{more}\r\n".encode()
        connection = self.idle.pop() if self.idle else self._open()
        connection.due, connection.waits = due, True
        connection.answer.clear()
        self.behind.append(time.perf_counter() - due)
        connection.sock.sendall(head + self.bodies[arrival.request])
        self.busy += 1

    def _open(self) -> _Connection:
        made = _Connection(self.address)
        self.selector.register(made.sock, selectors.EVENT_READ, made)
        self.made += 1
        return made

    def listen(self, seconds: float) -> None:
        for key, _ in self.selector.select(max(0.0, seconds)):
            connection: _Connection = key.data
            try:
                status = connection.receive()
            except OSError:
                self._closed(connection)
                continue
            if status:
                connection.waits = False
                self.took.append(time.perf_counter() - connection.due)
                self.statuses[str(status)] += 1
                self.busy -= 1
                self.idle.append(connection)

    def _closed(self, connection: _Connection) -> None:
        self.selector.unregister(connection.sock)
        connection.sock.close()
        if connection.waits:
            self.busy -= 1
            self.statuses["closed"] += 1
        else:
            self.idle.remove(connection)


def measure(job: Job) -> Figures:
    client, chance = _Client(job), random.Random(job.seed)
    begin = due = time.perf_counter() + 0.1
    for arrival in job.arrivals:
        due += chance.expovariate(job.rate)
        while (left := due - time.perf_counter()) > 0:
            client.listen(left)
        client.listen(0)
        while not client.idle and client.made >= MOST and time.perf_counter() < due + PATIENCE:
            client.listen(0.1)
        client.send(arrival, due)
    end = time.perf_counter()
    while client.busy and time.perf_counter() < end + PATIENCE:
        client.listen(0.2)
    return Figures(
        percentile(client.took, 50),
        percentile(client.took, 99),
        percentile(client.took, 100),
        sum(took > TOO_LATE for took in client.took),
        client.busy,
        percentile(client.behind, 99),
        client.made,
        end - begin,
        dict(client.statuses),
    )


if __name__ == "__main__":
    told = json.load(sys.stdin)
    arrivals = [Arrival(**one) for one in told.pop("arrivals")]
    sys.stdout.write(json.dumps(asdict(measure(Job(arrivals=arrivals, **told)))))
