"""Answers that nobody waits for any more, read to their end for their true usage (G5, G7).

One thread for all of them: the workers' threads are free for those who do wait.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.clients.anthropic import Broken, Exchange, TimedOut
from bot.core.usage import Answer, Reader, read_message

DRAIN_SECONDS = 120.0  # G5


@dataclass(eq=False, slots=True)
class _Orphan:
    exchange: Exchange
    reader: Reader
    stream: bool
    headed: bool
    until: float
    settle: Callable[[Answer | None, str], None]
    body: list[bytes] = field(default_factory=list)


class Drain:
    """Takes exchanges over; calls `settle(answer, ending)` once for each, from its own thread.

    The answer is None where the upstream answered with an error: nothing was charged.
    """

    def __init__(self, seconds: float = DRAIN_SECONDS) -> None:
        self.seconds = seconds
        self._new: list[_Orphan] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition(self._lock)

    def take(
        self,
        exchange: Exchange,
        reader: Reader | None,
        stream: bool,
        long_cache: bool,
        settle: Callable[[Answer | None, str], None],
    ) -> None:
        """`reader` is None if the head of the answer has not come yet."""
        orphan = _Orphan(
            exchange,
            reader or Reader(long_cache=long_cache),
            stream,
            reader is not None,
            time.monotonic() + self.seconds,
            settle,
        )
        with self._lock:
            self._new.append(orphan)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Until nothing is left to drain, or for so long; whether nothing is left."""
        with self._lock:
            return self._idle.wait_for(lambda: self._thread is None, seconds)

    def _run(self) -> None:
        waiting: list[_Orphan] = []
        while True:
            with self._lock:
                # What came before the client left may wait in our buffers, where no selector sees it.
                ready, self._new = self._new, []
                if not waiting and not ready:
                    self._thread = None
                    self._idle.notify_all()
                    return
            if waiting:
                with selectors.DefaultSelector() as selector:
                    for orphan in waiting:
                        selector.register(orphan.exchange, selectors.EVENT_READ, orphan)
                    ready += [key.data for key, _ in selector.select(0.2)]
            now = time.monotonic()
            ready += [orphan for orphan in waiting if now >= orphan.until and orphan not in ready]
            over = [orphan for orphan in ready if self._read(orphan)]
            waiting = [o for o in dict.fromkeys([*waiting, *ready]) if o not in over]

    def _read(self, orphan: _Orphan) -> bool:
        """Read what is there; True when the orphan is settled."""
        try:
            while not self._step(orphan):
                pass
        except TimedOut:
            if time.monotonic() < orphan.until:
                return False
            self._end(orphan, orphan.reader.answer, "left, not drained in time")
        except Broken:
            self._end(orphan, orphan.reader.answer, "left, then reset")
        return True

    def _step(self, orphan: _Orphan) -> bool:
        # Enough for bytes that are there, never a wait for those that are not.
        until = min(orphan.until, time.monotonic() + 0.002)
        if not orphan.headed:
            head = orphan.exchange.head(until)
            orphan.headed = True
            orphan.stream = (head.get("content-type") or "").startswith("text/event-stream")
            if not 200 <= head.status < 300:
                return self._end(orphan, None, f"left, then {head.status}")
        chunk = orphan.exchange.read(until)
        if orphan.stream:
            orphan.reader.feed(chunk)
            if chunk and not orphan.reader.answer.finished:
                return False
            return self._end(orphan, orphan.reader.answer, "left, drained")
        orphan.body.append(chunk)
        if chunk:
            return False
        answer = read_message(b"".join(orphan.body), long_cache=orphan.reader.long_cache)
        return self._end(orphan, answer, "left, drained")

    @staticmethod
    def _end(orphan: _Orphan, answer: Answer | None, ending: str) -> bool:
        orphan.exchange.close()
        orphan.settle(answer, ending)
        return True
