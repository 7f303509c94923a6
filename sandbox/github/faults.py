"""Answers that go wrong on purpose: so many times, or until the sandbox's clock has come to a time."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from flask import request

from sandbox.github.access import Refused

HANG = 30.0  # seconds; longer than a client waits


@dataclass
class Fault:
    """What goes wrong with a request that matches.

    `kind`: "status" answers with `status`; "reset" hangs up; "hang" says nothing for HANG seconds, then hangs
    up. `when` is before or after the deed. `until` (by the sandbox's clock) counts instead of `times`.
    """

    method: str
    path: re.Pattern[str]
    status: int
    times: int
    when: str = "before"
    retry_after: int | None = None
    seconds: float = 0.0
    kind: str = "status"
    until: float | None = None

    def strikes(self, now: float) -> bool:
        """Whether this request meets the fault; one that counts then counts one down."""
        live = self.times > 0 if self.until is None else now < self.until
        if not live or self.method not in ("*", request.method) or not self.path.search(request.path):
            return False
        self.times -= self.until is None
        return True

    def spoil(self, when: str) -> None:
        """Raises Refused, or breaks the connection, if it is to happen now."""
        if when != self.when:
            return
        if self.kind != "status":
            if self.kind == "hang":
                time.sleep(HANG)
            hang_up()
            raise Refused(500, "nobody hears this")
        if self.status:
            after = ", after the deed" if when == "after" else ""
            raise Refused(self.status, f"Fault asked for by a test{after}")


def hang_up() -> None:
    """The caller sees its connection end without an answer."""
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
