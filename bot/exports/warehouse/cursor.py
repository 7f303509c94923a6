"""How far a warehouse has been told: what makes each row come once, also when an export is killed.

The file is put in its place and then what is remembered of it. A crash in between leaves `STATE.next`, which
names the file's digest: the next export finds that it is complete, puts it in its place if it is not there
yet, and goes on from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.stores.exported import BOOKED, CHANGING, Exported, Row

CHARACTERS = 16  # of a digest: of a million rows, two that are one by accident are less than one in 10^7


class Unreadable(Exception):
    """The state file is not one; a sentence."""


class NotNow(Exception):
    """Why an export with a state does not begin; a phrase."""


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


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Nobody else exports with this state meanwhile. Raises NotNow."""
    with state.with_name(f"{state.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotNow(f"another export with {state} is at work") from error
        yield


def load(state: Path) -> Cursor:
    """What was told, also by an export that was killed at its end. Raises Unreadable."""
    left = _next(state)
    try:
        known = _read(state) if state.exists() else Cursor()
        if not left.exists():
            return known
        told = json.loads(left.read_text("utf-8"))
        if _put(Path(told["file"]), str(told["digest"])):
            left.replace(state)
            return _read(state)
        return _again(known, _read(left))
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
    left, scratch = _next(state), state.with_name(f"{state.name}.scratch")
    scratch.write_text(json.dumps(remembered), "utf-8")
    for file in (written, scratch):
        _on_disk(file)
    scratch.replace(left)
    _on_disk(state.parent)
    written.replace(to)
    _on_disk(to.parent)
    left.replace(state)


def beside(to: Path) -> Path:
    """Where a file is written before it is put in its place."""
    return to.with_name(f"{to.name}.part")


def _put(file: Path, digest: str) -> bool:
    """Whether the file that was told last is in its place, put there now if it was only written."""
    part = beside(file)
    if not file.exists() and part.exists() and digest_of(part) == digest:
        part.replace(file)
        return True
    return file.exists() and digest_of(file) == digest


def _again(known: Cursor, told: Cursor) -> Cursor:
    """Of a file that is gone nobody knows whether it was loaded: all of it comes again, what changes in a
    higher version than it may have had there."""
    versions = {
        table: {
            id_: last if last == known.versions.get(table, {}).get(id_) else (last[0], "")
            for id_, last in of.items()
        }
        for table, of in told.versions.items()
    }
    return Cursor(known.through, versions)


def _read(state: Path) -> Cursor:
    told = json.loads(state.read_text("utf-8"))
    versions = {
        str(table): {str(id_): (int(n), str(digest)) for id_, (n, digest) in known.items()}
        for table, known in told["versions"].items()
    }
    return Cursor(int(told["through"]), versions)


def _on_disk(path: Path) -> None:
    """A file, or the names in a directory: there also after the machine fails."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digest(values: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()[:CHARACTERS]


def _next(state: Path) -> Path:
    return state.with_name(f"{state.name}.next")
