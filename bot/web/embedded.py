"""The gateway inside this process, on loopback, for `exec` and a local `run` (idea 1 of the house).

The machine then holds the key: bounded is every program that keeps to the base URL and the token given.
"""

from __future__ import annotations

import threading
from types import TracebackType

from werkzeug.serving import WSGIRequestHandler, make_server

from bot.web.gateway import Gateway

PATIENCE = 10.0  # seconds; where nobody waits (the service) it is G5's 120


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: object) -> None:
        """Silent: the terminal belongs to the command that runs under us."""


class Embedded:
    """`with Embedded(gateway) as served: served.url` — a loopback address, a thread for each connection."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._server = make_server("127.0.0.1", 0, gateway, threaded=True, request_handler=_Handler)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.patience = PATIENCE

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Embedded:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        # What was still streaming is read for its true usage, as long as the person before us would wait.
        self.gateway.drain.finish(self.patience)
        self._server.server_close()
        self.gateway.upstream.close()
