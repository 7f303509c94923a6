"""The invoice: a line for each billed answer, kept where the product cannot write."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.claude.prices import Model, Usage


@dataclass(frozen=True, slots=True)
class Row:
    """One billed answer. Times in milliseconds since the epoch, money in nano-dollars."""

    sequence: int
    at: int
    request_id: str
    key: str  # the first 12 hex digits of the key's sha256
    model: str
    inference_geo: str
    input: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    output: int
    nanos: int
    ended: str
    stream: bool
    user: str = ""  # the request's own metadata.user_id
    service_tier: str = "standard"
    asked_at: int = 0  # when its request came

    def json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Invoice:
    """Rows in memory and in FILE, a line of JSON each, on disk before the answer's last byte is sent.

    An existing FILE is continued: what was billed stays billed over a restart.
    """

    def __init__(self, file: Path | None) -> None:
        self.rows: list[Row] = []
        self.nanos = 0
        self._file = -1
        if file is None:
            return
        if file.exists():
            for line in file.read_text().splitlines():
                self._keep(Row(**json.loads(line)))
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def bill(
        self,
        at: int,
        request_id: str,
        key: str,
        model: Model,
        geo: str,
        usage: Usage,
        ended: str,
        stream: bool,
        user: str = "",
        asked_at: int = 0,
    ) -> None:
        """Add one row. A refusal before any output is listed at a price of nothing, as it is billed."""
        self._add(
            Row(
                len(self.rows) + 1,
                at,
                request_id,
                key,
                model.id,
                geo,
                usage.input,
                usage.cache_write_5m,
                usage.cache_write_1h,
                usage.cache_read,
                usage.output,
                0 if ended == "refused" else model.nanos(usage, geo),
                ended,
                stream,
                user,
                asked_at=asked_at or at,
            )
        )

    def _add(self, row: Row) -> None:
        self._keep(row)
        if self._file >= 0:
            os.write(self._file, json.dumps(row.json()).encode() + b"\n")

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        self.nanos += row.nanos

    def json(self, after: int = 0, limit: int | None = None) -> dict[str, Any]:
        """`after`: only rows of a higher sequence; `limit`: at most so many. The totals are always of all."""
        shown = self.rows[after : None if limit is None else after + limit]
        return {
            "total_nanos": self.nanos,
            "total_usd": f"{self.nanos // 10**9}.{self.nanos % 10**9:09d}",
            "count": len(self.rows),
            "rows": [row.json() for row in shown],
        }

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
