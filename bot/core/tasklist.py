"""The task list in an issue's text: which of its items a sweep runs, and how one of them is ticked.

GitHub's flavour: a list item whose text begins with a box, `- [ ]`, `* [x]`, `1. [ ]`, at any depth. What is
in code, in a quote or in hidden HTML is none. A box below another item's box belongs to that item's task;
below an item without one, or one that a person has ticked, it is an item of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bot.core.own_words import Reader
from bot.core.pieces import hinted
from bot.core.untrusted import cut

LONGEST = 8_000  # characters of what stands below an item
_ENDS = re.compile(r"\r\n|\n|\r")
_MARKER = re.compile(r"([-*+]|[0-9]{1,9}[.)])( {1,4})(?=\S)")
# On the line as it was written, around the one character that is changed. Its words end with what is no
# blank, looked for from the line's end: 65,000 blanks in the middle are read once.
_BOX = re.compile(r"([ \t]*+(?:[-*+]|[0-9]{1,9}[.)])[ \t]++\[)([ \txX])(\][ \t]++)(\S(?:.*[^ \t])?)([ \t]*+)")
_LINK = re.compile(r" \(\[#([0-9]+)\]\([^()\s]*\)\)\Z")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# What ends a list without a blank line before it: a heading, a quote, a fence, a rule, a block of HTML.
_BREAKS = re.compile(r"#{1,6} |>|```|~~~|<|(?:\*[ \t]*){3,}\Z|(?:-[ \t]*){3,}\Z|(?:_[ \t]*){3,}\Z")


@dataclass(frozen=True, slots=True)
class Item:
    """An unchecked item. `text` is its line as written, by which it is found again; `task` is what it asks
    for, with what stands below it; `task_class` is the hint of a list that `/agent split` wrote, or ""."""

    text: str
    task: str
    task_class: str = ""

    @property
    def title(self) -> str:
        """The first line of its task."""
        return self.task.partition("\n")[0]


def items(body: str) -> tuple[Item, ...]:
    """What a sweep of this text runs, in its order."""
    lines = _ENDS.split(body)
    found = []
    for box in _boxes(lines):
        if box.checked or box.belongs:
            continue
        task_class, title = hinted(_clean(box.text))
        if title:
            below = [line.expandtabs(4) for line in lines[box.index + 1 : box.end]]
            # A line that goes on without being indented is the item's too.
            rest = "\n".join(line[min(box.column, _indent(line)) :].rstrip() for line in below)
            more = cut(_COMMENT.sub("", rest).strip("\n"), LONGEST)
            found.append(Item(box.text, f"{title}\n\n{more}" if more.strip() else title, task_class))
    return tuple(found)


def tick(body: str, text: str, number: int, url: str) -> str | None:
    """The text with this item's box ticked and a link to its pull request behind it; None if it is gone.

    Nothing else changes. An item that has the link already is left alone; of several with the same words the
    first that is not ticked is taken.
    """
    parts = re.split(f"({_ENDS.pattern})", body)
    lines = parts[::2]
    boxes = list(_boxes(lines))
    if any((link := _LINK.search(box.text)) and int(link[1]) == number for box in boxes):
        return body
    alike = sorted((box for box in boxes if box.text == text), key=lambda box: box.checked)
    if not alike:
        return None
    before, box, between, words, after = alike[0].parts
    box = box if alike[0].checked else "x"
    parts[2 * alike[0].index] = f"{before}{box}{between}{words} ([#{number}]({url})){after}"
    return "".join(parts)


@dataclass(slots=True)
class _Node:
    """A list item: where its text begins, in columns, and the lines that are its own."""

    index: int
    column: int
    parts: Sequence[str] = ()  # of _BOX; none: it has no box
    belongs: bool = False  # to the box of an item above it
    end: int = field(default=0)

    @property
    def checked(self) -> bool:
        return self.parts[1] in ("x", "X")

    @property
    def text(self) -> str:
        return self.parts[3]

    @property
    def claims(self) -> bool:
        """Whether the boxes below are part of its task: not of one that a person ticked, without a run."""
        return bool(self.parts) and (not self.checked or _LINK.search(self.text) is not None)


def _boxes(lines: Sequence[str]) -> Iterator[_Node]:
    """The items with a box, in order, with the lines below each that are its own."""
    found: list[_Node] = []
    above: list[_Node] = []
    reader, after_blank = Reader(), True
    for index, written in enumerate(lines):
        line = written.expandtabs(4)
        indent = _indent(line)
        words = line[indent:]
        marker = _MARKER.match(words)
        if words and not reader.covers(indent):
            breaks = after_blank or marker or _BREAKS.match(words)
            while above and indent < above[-1].column and breaks:
                above.pop().end = index
        after_blank = not words
        column = above[-1].column if above else 0
        # Four columns further in is code.
        if not reader.sees(line, column) or marker is None or indent - column >= 4:
            continue
        node = _Node(index, indent + marker.end())
        if (box := _BOX.fullmatch(written)) is not None:
            node.parts = box.groups()
            node.belongs = any(one.claims for one in above)
            found.append(node)
        above.append(node)
    for node in above:
        node.end = len(lines)
    yield from found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _clean(text: str) -> str:
    return " ".join(_COMMENT.sub("", text).split())
