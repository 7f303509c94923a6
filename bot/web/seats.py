"""How much of a process a run or a visitor may take: that one asks hundreds of times keeps nobody waiting."""

from __future__ import annotations

import threading
from collections import Counter

MOST = 128  # requests of one run, of a process's 256 threads
A_RUN = "this run has {most} requests under way, and no run may have more at once"


class Full(Exception):
    """They have as much as one may have; a sentence."""


class Seats:
    """Of requests until they leave; those that have left are known by their holds. Safe from many threads."""

    def __init__(self, most: int = MOST, told: str = A_RUN) -> None:
        self._most = most
        self._told = told.format(most=most)
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, of: str, left: int = 0) -> Seat:
        """For one more request, where `left` have left already. Raises Full."""
        with self._lock:
            if self._taken[of] + left >= self._most:
                raise Full(self._told)
            self._taken[of] += 1
        return Seat(self, of)

    def give(self, of: str) -> None:
        with self._lock:
            self._taken[of] -= 1
            if not self._taken[of]:
                del self._taken[of]


class Seat:
    """`give()` it back when the request leaves, or is answered; once more does nothing."""

    def __init__(self, seats: Seats, of: str) -> None:
        self._seats: Seats | None = seats
        self._of = of

    def give(self) -> None:
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.give(self._of)
