"""A task in pieces: the check list that a planning run answers with.

One line for each piece, `- [ ] (bugfix) Leap years are counted twice`; written back with a price behind the
class. It is read strictly, from the agent's words as from our own comment: any other line is no piece.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.money import total
from bot.core.sizes import Size
from bot.core.untrusted import line

CLASSES = ("bugfix", "feature", "refactor", "default")
MOST = 30  # pieces of one list; a task that needs more is several tasks
LONGEST = 200  # characters of a piece's words
_HINT = rf"\(({'|'.join(CLASSES)})(?:, [^()]{{1,60}})?\) (\S.*)"
_ITEM = re.compile(rf" {{0,3}}[-*+] \[ \] {_HINT}")
_FROM = {
    "repository": "runs of this class in this repository",
    "installation": "runs of this class in all repositories of this installation",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One run's worth of work. `title` is on one line and without effect in a comment."""

    task_class: str
    title: str


def read(text: str) -> tuple[Piece, ...]:
    """The unchecked pieces in a text, in order, each once; at most MOST."""
    found = []
    for row in text.splitlines():
        if (item := _ITEM.fullmatch(row.rstrip())) and (title := line(item[2], LONGEST)):
            found.append(Piece(item[1], title))
    return tuple(dict.fromkeys(found))[:MOST]


def hinted(words: str) -> tuple[str, str]:
    """The class in front of a piece's words, and the words without it; "" and all of them where none is."""
    found = re.fullmatch(_HINT, words)
    return (found[1], found[2]) if found else ("", words)


def listed(pieces: Sequence[Piece], sizes: Sequence[Size]) -> str:
    """As a check list that `read` reads, and where its prices come from."""
    by_class = {size.task_class: size for size in sizes}
    rows = [f"- [ ] ({piece.task_class}{_price(by_class, piece)}) {piece.title}" for piece in pieces]
    known = [by_class[piece.task_class] for piece in pieces if piece.task_class in by_class]
    return "\n".join(rows) + (f"\n\n{_prices(pieces, known)}" if known else "")


def _price(sizes: dict[str, Size], piece: Piece) -> str:
    size = sizes.get(piece.task_class)
    if size is None:
        return ""
    return f", at most {size.median}" if size.scope == "ceiling" else f", about {size.median}"


def _prices(pieces: Sequence[Piece], known: Sequence[Size]) -> str:
    rows = ["| class | pieces | median | nine in ten | from |", "|---|--:|--:|--:|---|"]
    for size in dict.fromkeys(known):
        count = sum(piece.task_class == size.task_class for piece in pieces)
        if size.scope == "ceiling":
            rows.append(
                f"| {size.task_class} | {count} | | | too few past runs: its ceiling, {size.median} |"
            )
        else:
            source = f"{size.runs:,} {_FROM[size.scope]}"
            rows.append(f"| {size.task_class} | {count} | {size.median} | {size.p90} | {source} |")
    guessed = [size.scope == "ceiling" for size in known]
    sum_ = f"Together {'at most' if all(guessed) else 'about'} **{total(size.median for size in known)}**"
    mixed = any(guessed) and not all(guessed)
    note = ", where a class without past runs counts with its ceiling" if mixed else ""
    return "\n".join(rows) + f"\n\n{sum_}{note}."
