"""Who has not said yet what they want: a stranger keeps a thread while the rest of their request comes in.

Nobody may do that for long, and only some at once: where one more would be too many, whoever has been at it
the longest goes. A request that comes in as fast as its line carries it is never that one.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from socket import SHUT_RD, socket

from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]  # it has none

from bot.web.watchdog import Guard, Watchdog, over

MOST = 96  # of a process's 256 threads
SECONDS = 20.0  # for a head, or for the body of somebody who has not shown yet who they are
KNOWN_SECONDS = 120.0  # for the body of somebody who has
BROKEN_OFF = (OSError, ParseException)  # what the servers say of a client that does, or that speaks no HTTP


class Anteroom:
    """One for each process. Safe from many threads."""

    def __init__(self, watchdog: Watchdog, most: int = MOST, seconds: float = SECONDS) -> None:
        self._watchdog, self._most, self._seconds = watchdog, most, seconds
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Guard, None] = OrderedDict()  # the longest first

    def enter(self, sock: socket | None, known: bool = False) -> Guard | None:
        """Until `leave`, `sock` is read for so long, or until another has its place: then it is at its end.

        What had arrived by then is still read. `known`: it is somebody's who makes room for nobody.
        """
        seconds = KNOWN_SECONDS if known else self._seconds
        guard = self._watchdog.guard(sock, time.monotonic() + seconds, SHUT_RD)
        if guard is None or known:
            return guard
        with self._lock:
            self._waiting[guard] = None
            if len(self._waiting) > self._most:
                longest, _ = self._waiting.popitem(last=False)
                longest.bite(float("inf"))
        return guard

    def leave(self, guard: Guard | None) -> None:
        """All of it is there: its socket belongs to what comes next."""
        if guard is None:
            return
        with self._lock:
            self._waiting.pop(guard, None)
        over(guard)

    @contextmanager
    def reading(self, sock: socket | None, known: bool = False) -> Iterator[None]:
        """`enter`, and `leave` at the end of the block."""
        guard = self.enter(sock, known)
        try:
            yield
        finally:
            self.leave(guard)


ANTEROOM = Anteroom(Watchdog())
