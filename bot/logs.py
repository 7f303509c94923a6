"""One form for every line that a process of the service logs: a JSON object, on standard error.

What a line is about (a request, a delivery, a story, a run, an installation, a repository) is said once where
it becomes known, and is then on every line of that thread. Secrets are taken out of whatever is logged, by
their values and by how they look. The fields and events: docs/operations.md.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
OURS = "tollgate"
LONGEST = 8_000  # characters of a text; of a traceback the last ones, which say what it was
LEFT_OUT = "[left out]"
SHORTEST = 8  # characters of a value that is looked for: a shorter one is in every other word

_LOOKS = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)"
    r"|\b(?:run|user)_[A-Za-z0-9_-]{43}"
    r"|\bsk-ant-[A-Za-z0-9_-]{8,}"
    r"|\b(?:gh[pousr]_[A-Za-z0-9._-]{16,}|github_pat_[A-Za-z0-9_]{16,})"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JWT: the App's, a job's
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"  # who and password of a database's URL
    r"|(?<=[?&])(?:code|state|key|token|access_token)=[^\s&\"']+"
    r"|(?i:\b(?:bearer|basic) )[A-Za-z0-9._~+/=-]{8,}",
    re.DOTALL,
)

_about: ContextVar[Mapping[str, object]] = ContextVar("about")
_NOTHING: Mapping[str, object] = {}


def here() -> Mapping[str, object]:
    """What this thread's lines are about."""
    return _about.get(_NOTHING)


def begin(**about: object) -> None:
    """From here on this thread's lines are about this and nothing else."""
    _about.set(about)


def add(**about: object) -> None:
    """And about this."""
    _about.set(_with(about))


@contextmanager
def about(**about: object) -> Iterator[None]:
    """About this too, for as long as it takes."""
    before = _about.set(_with(about))
    try:
        yield
    finally:
        _about.reset(before)


def _with(more: Mapping[str, object]) -> Mapping[str, object]:
    return {**here(), **{name: value for name, value in more.items() if value}}


class Log:
    """Lines of one area: `Log("gateway").warning("cut", …)` is the event `gateway.cut`."""

    def __init__(self, area: str) -> None:
        self._area = area
        self._logger = logging.getLogger(f"{OURS}.{area}")

    def info(self, event: str, message: str, **about: object) -> None:
        self._tell(logging.INFO, event, message, about)

    def warning(self, event: str, message: str, **about: object) -> None:
        self._tell(logging.WARNING, event, message, about)

    def error(self, event: str, message: str, **about: object) -> None:
        self._tell(logging.ERROR, event, message, about)

    def exception(self, event: str, message: str, **about: object) -> None:
        """An error, with the exception that is being handled."""
        self._tell(logging.ERROR, event, message, about, failed=True)

    def _tell(
        self, level: int, event: str, message: str, about: Mapping[str, object], failed: bool = False
    ) -> None:
        extra = {"event": f"{self._area}.{event}", "about": about}
        self._logger.log(level, "%s", message, exc_info=failed, extra=extra)


class Lines(logging.Formatter):
    """A record as one line. `process`: web or worker; `secrets`: values that no line has."""

    def __init__(self, process: str, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._process = process
        # The longest first: one may be a part of another.
        values = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, values))) if values else None

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "event": getattr(record, "event", record.name),
            "message": self.clean(record.getMessage())[:LONGEST],
        }
        for name, value in {**here(), **getattr(record, "about", _NOTHING)}.items():
            told[name] = value if isinstance(value, int | float) else self.clean(str(value))[:LONGEST]
        if record.exc_info:
            told["error"] = self.clean(self.formatException(record.exc_info))[-LONGEST:]
        # ASCII alone: nothing in a line breaks it, or moves the cursor of who reads it.
        return json.dumps(told)

    def clean(self, text: str) -> str:
        """The text without secrets."""
        if self._values is not None:
            text = self._values.sub(LEFT_OUT, text)
        return _LOOKS.sub(LEFT_OUT, text)


def to_stderr(process: str, level: str, secrets: Iterable[str] = ()) -> None:
    """Have everything that this process logs said so: ours from `level` on, others' from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(process, secrets))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    for name in ("gunicorn.error", "dbos"):  # they bring handlers of their own
        other = logging.getLogger(name)
        other.handlers.clear()
        other.propagate = True
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger(OURS).error(
        "the process ends: nothing expected this", exc_info=(kind, error, trace), extra={"event": "uncaught"}
    )


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread else "?"
    logging.getLogger(OURS).error(
        f"the thread {name} ends: nothing expected this",
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        extra={"event": "uncaught"},
    )
