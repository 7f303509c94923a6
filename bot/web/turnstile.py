"""What strangers may have GitHub asked for: so often and no more, for each asking keeps a thread waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Lets so many through in a minute, whoever they are; the others are told to come again."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._passed: deque[float] = deque()

    def passes(self) -> bool:
        with self._lock:
            now = self._clock()
            if self._full(now):
                return False
            self._passed.append(now)
            return True

    def back(self) -> None:
        """One that passed is not counted after all; of all that did the newest, which nobody can tell."""
        with self._lock:
            if self._passed:
                self._passed.pop()

    @property
    def closed(self) -> bool:
        """Whether nobody would be let through now."""
        with self._lock:
            return self._full(self._clock())

    def _full(self, now: float) -> bool:
        while self._passed and self._passed[0] <= now - 60:
            self._passed.popleft()
        return len(self._passed) >= self._most
