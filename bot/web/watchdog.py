"""Wakes threads that a client holds: one that never sends the rest of its body, or never reads its answer.

A blocked `recv` or `send` is woken by `shutdown()` of the socket and by nothing else; `close()` leaves it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

LOOK_EVERY = 0.2  # seconds; how late a thread may be woken


class Guard:
    """One socket's time. `over()` before the socket is used for anything else."""

    __slots__ = ("_at", "_how", "_sock", "_watchdog")

    def __init__(self, watchdog: Watchdog, sock: socket.socket, at: float, how: int) -> None:
        self._watchdog = watchdog
        self._sock = sock
        self._at = at
        self._how = how

    def over(self) -> None:
        self._watchdog.forget(self)

    def bite(self, now: float) -> bool:
        """Shut the socket down if its time has come; whether it had."""
        if now < self._at:
            return False
        with contextlib.suppress(OSError):
            self._sock.shutdown(self._how)
        return True


class Watchdog:
    """One thread for all sockets of a process; there only while there is something to watch."""

    def __init__(self) -> None:
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._awake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def guard(self, sock: socket.socket | None, at: float, how: int = socket.SHUT_RDWR) -> Guard | None:
        """Shut `sock` down at `at` (monotonic), unless that is `over()` before."""
        if sock is None:
            return None
        guard = Guard(self, sock, at, how)
        with self._lock:
            self._guards.add(guard)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif len(self._guards) == 1:
                self._awake.notify_all()
        return guard

    def forget(self, guard: Guard) -> None:
        with self._lock:
            self._guards.discard(guard)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            # Under the lock: once it is forgotten, a socket belongs to the next request of its connection.
            with self._lock:
                now = time.monotonic()
                self._guards = {guard for guard in self._guards if not guard.bite(now)}
                while not self._guards:
                    self._awake.wait()


def over(guard: Guard | None) -> None:
    if guard is not None:
        guard.over()
