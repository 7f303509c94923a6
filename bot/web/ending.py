"""This web process is told to end: `/readyz` says so, streams have their time, then they are cut."""

from __future__ import annotations

import threading
import time

CUT_BEFORE = 10.0  # seconds before the end, or a third of the time if that is less: for what is drained
SPARE = 1.0  # seconds before gunicorn kills


class Ending:
    """How far it is. Begun once; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: float | None = None
        self.cut = False  # whether those who still wait are sent away

    @property
    def begun(self) -> bool:
        return self._until is not None

    def begin(self, seconds: float) -> bool:
        """It is to be over in so many seconds; False where that was known already."""
        with self._lock:
            if self._until is not None:
                return False
            self._until = time.monotonic() + seconds
            return True

    def cut_in(self) -> float:
        """Seconds until those who still wait are sent away."""
        left = self.left(0.0)
        return max(0.0, left - min(CUT_BEFORE, left / 3))

    def left(self, otherwise: float) -> float:
        """Seconds that it may still take; `otherwise` where nobody has told it to end."""
        until = self._until
        return otherwise if until is None else max(0.0, until - SPARE - time.monotonic())


ENDING = Ending()
"""Of this process: gunicorn tells it, the doors ask it."""
