"""A changeset as a patch that `git apply` takes: for work that has no branch to go to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from bot.core.changeset import Changeset, File
from bot.core.untrusted import code, printable

MOST = 40_000  # characters: what a comment has room for
MOST_LINES = 10_000  # of a file, before and after: comparing takes longer than in proportion
CONTEXT = 3
NO_NEWLINE = "\n\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class Patch:
    """`text` applies as it stands where `lacks` is empty; else `lacks` says what of the work is not in it."""

    text: str
    lacks: tuple[str, ...]


def patch(changes: Changeset, before: Mapping[str, File], most: int = MOST) -> Patch:
    """The changes against the files as they were, each whole or not at all, in at most so many characters."""
    parts: list[str] = []
    lacks: list[str] = []
    room = most
    for file in sorted(changes.files, key=lambda file: file.path):
        old = before.get(file.path)
        part, why = _file(old, file)
        if part and len(part) > room:
            part, why = "", "it would make this comment too long"
        elif part != printable(part):
            part, why = "", "it has characters that nobody would see here"
        if why:
            lacks.append(f"{code(file.path)}: {why}")
        parts.append(part)
        room -= len(part)
    return Patch("".join(parts), tuple(lacks))


def _file(old: File | None, new: File) -> tuple[str, str]:
    """The patch of one file, "" for one that is as it was; or why there is none."""
    gone = new.content is None
    if gone and old is None:
        return "", ""
    was, now = old.text if old else "", "" if gone else new.text
    if was is None or now is None:
        return "", "it is binary"
    mode = old.mode if gone and old else new.mode
    header = [f"diff --git {_name('a/', new.path)} {_name('b/', new.path)}"]
    if old is None:
        header.append(f"new file mode {mode}")
    elif gone:
        header.append(f"deleted file mode {mode}")
    elif old.mode != mode:
        header += [f"old mode {old.mode}", f"new mode {mode}"]
    elif was == now:
        return "", ""
    hunks = _hunks(_lines(was), _lines(now))
    if hunks is None:
        return "", f"it has more than {MOST_LINES:,} lines"
    if hunks:
        header.append(f"--- {'/dev/null' if old is None else _marked('a/', new.path)}")
        header.append(f"+++ {'/dev/null' if gone else _marked('b/', new.path)}")
    return "\n".join(header) + "\n" + hunks, ""


def _lines(text: str) -> list[str]:
    # Not splitlines(): to git nothing but a line feed ends a line.
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()
    return lines if last == "\n" else [*lines, last.removesuffix("\n")]


def _hunks(was: list[str], now: list[str]) -> str | None:
    if max(len(was), len(now)) > MOST_LINES:
        return None
    found = []
    for group in SequenceMatcher(None, was, now).get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        found.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n")
        for kind, from_was, to_was, from_now, to_now in group:
            if kind == "equal":
                found += _marks(" ", was[from_was:to_was])
                continue
            found += _marks("-", was[from_was:to_was])
            found += _marks("+", now[from_now:to_now])
    return "".join(found)


def _marks(mark: str, lines: Iterable[str]) -> list[str]:
    return [f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}{NO_NEWLINE}" for line in lines]


def _range(start: int, end: int) -> str:
    """As diff counts: from 1, and an empty one from the line before it."""
    length = end - start
    first = start + 1 if length else start
    return str(first) if length == 1 else f"{first},{length}"


def _name(side: str, path: str) -> str:
    escaped = path.replace('"', '\\"')
    return f'"{side}{escaped}"' if '"' in path else side + path


def _marked(side: str, path: str) -> str:
    """In a `---` line, where a tab ends a name with a space in it (git does the same)."""
    return _name(side, path) + ("\t" if " " in path and '"' not in path else "")
