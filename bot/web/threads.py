"""gunicorn's threads: with a connection for a moment after each answer, with no stranger for long; their end.

Between two requests of a connection gunicorn hands it to its main thread and takes another thread for the
next one: two waits for the interpreter a request, a third of all the time that the gateway has it.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # it has none

from bot import settings
from bot.logs import Log
from bot.web.anteroom import ANTEROOM
from bot.web.ending import ENDING

LINGER_MS = 20  # an agent that is in a hurry is back by then; one that runs a tool is not

log = Log("web")


class Worker(ThreadWorker):  # type: ignore[misc]
    """`worker_class` of gunicorn.conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._served: set[Any] = set()

    def handle(self, conn: Any) -> Any:
        """Serve what comes on a connection until it is quiet. As the parent: whether to keep it."""
        self._served.add(conn)
        try:
            kept = self._serve(conn)
            while kept and self._may_wait(conn) and _readable(conn):
                kept = self._serve(conn)
            return kept
        finally:
            self._served.discard(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The head of a request is there."""
        ANTEROOM.leave(conn.guard)
        return super().handle_request(req, conn)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: say so at /readyz for as long as was asked for, then take nothing new; at the second
        one, at once. What is under way has its time, and is cut when most of it is over."""
        if not ENDING.begin(self.cfg.graceful_timeout):
            super().handle_exit(sig, frame)
            return
        notice, _ = settings.ending(settings.environment())
        # Threads, for a signal's handler may hold up nothing.
        _in(ENDING.cut_in(), self._cut)
        if notice:
            _in(notice, lambda: super(Worker, self).handle_exit(sig, frame))
        else:
            super().handle_exit(sig, frame)

    def _cut(self) -> None:
        """Whoever waits for the upstream finds its client gone, and leaves the answer to the drain."""
        ENDING.cut = True
        waiting = tuple(self._served)
        if waiting:
            log.warning("cut", "the process ends: answers under way are cut, and drained", count=len(waiting))
        for conn in waiting:
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)

    def _serve(self, conn: Any) -> bool:
        conn.guard = ANTEROOM.enter(conn.sock)
        try:
            # Who has said nothing at all by now is not waited for elsewhere: there are only so many places.
            return super().handle(conn) is True
        finally:
            ANTEROOM.leave(conn.guard)

    def _may_wait(self, conn: Any) -> bool:
        # Not while stopping, nor where threads may run short, nor with bytes left in the parser's own buffer.
        return bool(
            self.alive
            and self.nr_conns < self.cfg.threads // 2
            and not conn.is_http2
            and not conn.parser.unreader.buf.getvalue()
        )


def _in(seconds: float, do: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


def _readable(conn: Any) -> bool:
    poller = select.poll()
    poller.register(conn.sock, select.POLLIN)
    return bool(poller.poll(LINGER_MS))
