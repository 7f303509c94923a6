"""Each request has an id: it is answered in a header, and stands on every line that is logged meanwhile."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from bot import logs
from bot.logs import Log

HEADER = "tollgate-request"
# What a proxy before us has called it, if that is nothing but a name.
GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
# Asked for every few seconds by programs; a line of each would hide the others.
QUIET = ("/healthz", "/readyz", "/metrics", "/static/", "/anthropic/")
LONGEST = 200  # characters of a path

log = Log("web")


class Correlated:
    """A WSGI application around another. Of what is QUIET only failures are logged."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request = given if GIVEN.fullmatch(given) else secrets.token_hex(8)
        logs.begin(request=request)
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        began = time.monotonic()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            code = int(status[:3])
            if code >= 500 or not path.startswith(QUIET):
                tell = log.warning if code >= 500 else log.info
                seconds = round(time.monotonic() - began, 4)
                tell("answered", f"{method[:20]} {path[:LONGEST]} {code}", status=code, seconds=seconds)
            return start_response(status, [*headers, (HEADER, request)], exc_info)

        return self._inner(environ, start)
