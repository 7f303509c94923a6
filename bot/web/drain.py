"""Answers that nobody waits for any more, read to their end for their true usage (G5, G7).

One thread for all of them: the workers' threads are free for those who do wait.
"""

from __future__ import annotations

import math
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot import logs
from bot.clients.anthropic import Broken, Exchange, TimedOut, Unreachable
from bot.core.usage import Answer, Reader, read_message
from bot.logs import Log

DRAIN_SECONDS = 120.0  # G5
AT_ONCE = 64  # parts of one answer that are read before others have their turn

log = Log("gateway")


@dataclass(eq=False, slots=True)
class _Orphan:
    exchange: Exchange
    reader: Reader
    until: float
    settle: Callable[[Answer | None, str], None]
    about: Mapping[str, object]  # of its lines in the log: its request's


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
        self._end_at = math.inf

    def take(
        self,
        exchange: Exchange,
        reader: Reader,
        settle: Callable[[Answer | None, str], None],
    ) -> None:
        """`reader` has read the answer so far, if it is a stream."""
        exchange.once()
        orphan = _Orphan(exchange, reader, time.monotonic() + self.seconds, settle, logs.here())
        with self._lock:
            self._new.append(orphan)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
                self._thread.start()

    def finish(self, seconds: float) -> None:
        """Drain on for so long at most; what has not ended by then is settled as an estimate."""
        with self._lock:
            self._end_at = time.monotonic() + seconds
            self._idle.wait_for(lambda: self._thread is None)

    def _run(self) -> None:
        waiting: list[_Orphan] = []  # for bytes
        busy: list[_Orphan] = []  # with bytes in our own buffers, where no selector sees them
        while True:
            with self._lock:
                # Bytes that came before the client left may be in our buffers too.
                ready, self._new = [*busy, *self._new], []
                if not waiting and not ready:
                    self._thread = None
                    self._idle.notify_all()
                    return
                end_at = self._end_at
            for orphan in (*waiting, *ready):
                orphan.until = min(orphan.until, end_at)
            ready += self._readable(waiting, 0 if ready else 0.2)
            now = time.monotonic()
            ready += [orphan for orphan in waiting if now >= orphan.until and orphan not in ready]
            after = {orphan: self._read(orphan) for orphan in dict.fromkeys(ready)}
            waiting = [o for o in waiting if o not in after] + [
                o for o, is_ in after.items() if is_ == "waiting"
            ]
            busy = [orphan for orphan, is_ in after.items() if is_ == "busy"]

    @staticmethod
    def _readable(waiting: list[_Orphan], seconds: float) -> list[_Orphan]:
        if not waiting:
            return []
        try:
            with selectors.DefaultSelector() as selector:
                for orphan in waiting:
                    selector.register(orphan.exchange, selectors.EVENT_READ, orphan)
                return [key.data for key, _ in selector.select(seconds)]
        except (OSError, ValueError):  # no descriptor is left for it: look at each, and never end for that
            time.sleep(0.05)
            return list(waiting)

    def _read(self, orphan: _Orphan) -> str:
        """Read what is there: over, waiting, or busy."""
        try:
            for _ in range(AT_ONCE):
                if self._step(orphan):
                    return "over"
            if time.monotonic() < orphan.until:
                return "busy"
            self._end(orphan, orphan.reader.answer, "left, not drained in time")
        except TimedOut:
            if time.monotonic() < orphan.until:
                return "waiting"
            self._end(orphan, orphan.reader.answer, "left, not drained in time")
        except Unreachable:
            self._end(orphan, None, "left, not sent")
        except Broken:
            self._end(orphan, orphan.reader.answer, "left, then reset")
        except Exception:  # one answer's fault; the others are drained on
            said = "an answer that its client had left could not be read"
            log.exception("unread_answer", said, **orphan.about)
            self._end(orphan, orphan.reader.answer, "left, then failed")
        return "over"

    def _step(self, orphan: _Orphan) -> bool:
        # Enough for bytes that are there, never a wait for those that are not.
        until = min(orphan.until, time.monotonic() + 0.002)
        head = orphan.exchange.head(until)
        if not 200 <= head.status < 300:
            return self._end(orphan, None, f"left, then {head.status}")
        if not (head.get("content-type") or "").startswith("text/event-stream"):
            content = orphan.exchange.read_all(until)
            return self._end(
                orphan, read_message(content, long_cache=orphan.reader.long_cache), "left, drained"
            )
        chunk = orphan.exchange.read(until)
        orphan.reader.feed(chunk)
        if chunk and not orphan.reader.answer.finished:
            return False
        return self._end(orphan, orphan.reader.answer, "left, drained")

    @staticmethod
    def _end(orphan: _Orphan, answer: Answer | None, ending: str) -> bool:
        orphan.exchange.close()
        try:
            orphan.settle(answer, ending)
        except Exception:  # the database is away: the hold's lease runs out, and it is charged whole
            said = "an answer that its client had left could not be booked: its hold is charged"
            log.exception("unbooked_answer", said, **orphan.about)
        return True
