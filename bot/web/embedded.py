"""The gateway inside this process, on loopback, for `exec` and a local `run` (idea 1 of the house).

The machine then holds the key: bounded is every program that keeps to the base URL and the token given.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from types import TracebackType

from werkzeug.serving import WSGIRequestHandler, make_server

from bot.web.gateway import Gateway

PATIENCE = 10.0  # seconds; where nobody waits (the service) it is G5's 120
LINGER = 3.0  # seconds for a client that is refused to send the rest of its request and read the answer


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._request = self.rfile
        self._refused = False

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(code, message)
        self._refused = code >= 400  # perhaps before its body was read

    def end_headers(self) -> None:
        """The answer is known. What the request still brings werkzeug would wait for, up to 10 MB of it."""
        super().end_headers()
        self.rfile = io.BytesIO()

    def finish(self) -> None:
        if self._refused:
            _linger(self.connection)
        self._request.close()
        super().finish()

    def log(self, type: str, message: str, *args: object) -> None:
        """Silent: the terminal belongs to the command that runs under us."""


def _linger(connection: socket.socket) -> None:
    """End the answer, and drop what comes until the client has closed its side too.

    To close at once could take the answer from a client that is still sending (RFC 9112, 9.6).
    """
    until = time.monotonic() + LINGER
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (seconds := until - time.monotonic()) > 0:
            connection.settimeout(seconds)
            if not connection.recv(1 << 16):
                return


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
