"""Every request, answer and webhook, one JSON object a line, to be checked against GitHub's schemas."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from sandbox.github.state import Json


class Traffic:
    """Appends to `path`; None keeps nothing.

    A line is {"kind": "api", "caller", "method", "path", "query", "request", "status", "response"} or
    {"kind": "webhook", "event", "action", "guid", "headers", "payload", "status"}; bodies are JSON or null.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def write(self, line: Json) -> None:
        if self._file is not None:
            text = json.dumps(line, separators=(",", ":"))
            with self._lock:
                self._file.write(text + "\n")
                self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
