"""How far a warehouse has been told: what makes each row come once, also when an export is killed.

The file is put in its place and then what is remembered of it. A crash in between leaves `STATE.next`, which
names the file's digest: the next export finds that it is complete and goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.stores.exported import BOOKED, CHANGING, Exported, Row

CHARACTERS = 16  # of a digest: of a million rows, two that are one by accident are less than one in 10^7


class Unreadable(Exception):
    """The state file is not one; a sentence."""


@dataclass(slots=True)
class Cursor:
    """`through`: up to when booked rows were told, in ms; `versions`: by table and id of what changes, the
    last version and its digest."""

    through: int = 0
    versions: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)

    def rows(self, ledger: Exported) -> Iterator[Row]:
        """Everything that is new, in the columns of the schema; this is afterwards as far as they go."""
        until = max(self.through, ledger.through())
        for table in BOOKED:
            for row in ledger.booked(table, self.through, until):
                told = {**row, "table": table, "id": str(row["id"]), "version": 1}
                if told.get("corrects") is not None:
                    told["corrects"] = str(told["corrects"])
                yield told
        for table in CHANGING:
            known = self.versions.setdefault(table, {})
            for row in ledger.changing(table):
                id_ = row.get("id") or f"{row['repository_id']}#{row['pull_number']}"
                version, before = known.get(id_, (0, ""))
                digest = _digest(row.values())
                if digest != before:
                    known[id_] = (version + 1, digest)
                    yield {**row, "table": table, "id": id_, "version": version + 1}
        self.through = until


def load(state: Path) -> Cursor:
    """What was told, also by an export that was killed at its end. Raises Unreadable."""
    left = _next(state)
    try:
        if left.exists():
            told = json.loads(left.read_text("utf-8"))
            file = Path(told["file"])
            if file.exists() and digest_of(file) == told["digest"]:
                left.replace(state)
            else:
                left.unlink()
        if not state.exists():
            return Cursor()
        told = json.loads(state.read_text("utf-8"))
        versions = {
            str(table): {str(id_): (int(n), str(digest)) for id_, (n, digest) in known.items()}
            for table, known in told["versions"].items()
        }
        return Cursor(int(told["through"]), versions)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(
            f"{state} is not the state of an export; without it the next one tells everything anew"
        ) from error


def keep(cursor: Cursor, state: Path, written: Path, to: Path) -> None:
    """Put what was written in its place, and remember that it is there."""
    remembered: dict[str, Any] = {
        "file": str(to.resolve()),
        "digest": digest_of(written),
        "through": cursor.through,
        "versions": cursor.versions,
    }
    left = _next(state)
    with left.open("w", encoding="utf-8") as file:
        json.dump(remembered, file)
        file.flush()
        os.fsync(file.fileno())
    written.replace(to)
    left.replace(state)


def digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digest(values: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()[:CHARACTERS]


def _next(state: Path) -> Path:
    return state.with_name(f"{state.name}.next")
