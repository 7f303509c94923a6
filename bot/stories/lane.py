"""The queue before one run's holds, in this process: first come, first served (G1)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from bot.clients.anthropic import ClientGone

LOOK_EVERY = 0.25  # seconds between looks at holds of other processes, and whether the client still waits

Gone = Callable[[], bool]  # whether the client has left


class Lane:
    def __init__(self) -> None:
        self.users = 0
        self.released = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    def enter(self, until: float, gone: Gone) -> bool:
        """Wait to be the first; False if that took too long. Raises ClientGone."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            while self._queue[0] is not ticket:
                left = until - time.monotonic()
                if left <= 0 or gone():
                    self._queue.remove(ticket)
                    self._changed.notify_all()
                    if left <= 0:
                        return False
                    raise ClientGone
                self._changed.wait(min(left, LOOK_EVERY * 4))
            return True

    def leave(self) -> None:
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()

    def wait(self, seen: int, seconds: float) -> None:
        """Until something was released since `seen`, or for so long."""
        with self._changed:
            if self.released == seen:
                self._changed.wait(seconds)

    def wake(self) -> None:
        with self._changed:
            self.released += 1
            self._changed.notify_all()
