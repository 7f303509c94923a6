"""gunicorn's threads, staying with a connection for a moment after each answer.

Between two requests of a connection gunicorn hands it to its main thread and takes another thread for the
next one: two waits for the interpreter a request, a third of all the time that the gateway has it.
"""

from __future__ import annotations

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # it has none

LINGER_MS = 20  # an agent that is in a hurry is back by then; one that runs a tool is not


class Worker(ThreadWorker):  # type: ignore[misc]
    """`worker_class` of gunicorn.conf.py."""

    def handle(self, conn: Any) -> Any:
        """Serve what comes on a connection until it is quiet. As the parent: whether to keep it."""
        kept = super().handle(conn)
        while kept is True and self._may_wait(conn) and _readable(conn):
            kept = super().handle(conn)
        return kept

    def _may_wait(self, conn: Any) -> bool:
        # Not while stopping, nor where threads may run short, nor with bytes left in the parser's own buffer.
        return bool(
            self.alive
            and self.nr_conns < self.cfg.threads // 2
            and not conn.is_http2
            and not conn.parser.unreader.buf.getvalue()
        )


def _readable(conn: Any) -> bool:
    poller = select.poll()
    poller.register(conn.sock, select.POLLIN)
    return bool(poller.poll(LINGER_MS))
