"""Our own sentences as HTML: what a report says in Markdown, a page says in the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from bot.core.untrusted import ZWSP

# A mark taken back; code; bold; a link. Everything else is text.
_MARKS = re.compile(
    r"\\(?P<plain>[\\\[*`|])"
    r"|`(?P<code>[^`]*)`"
    r"|\*\*(?P<bold>[^*]+)\*\*"
    r"|\[(?P<label>(?:[^\[\]\\`]|\\.|`[^`]*`)+)\]\((?P<to>https?://[^()\s]+)\)"
)


def coded(text: str) -> Markup:
    """A sentence of ours in which `this` is code; everything in it is escaped."""
    pieces = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )


def marked(text: str, homes: Sequence[str]) -> Markup:
    """Paragraphs and lists of ours, with code, bold and links to pages of `homes`, GitHub's address and the
    service's; whatever else is in them is text."""
    ours = tuple(f"{home}/" for home in homes)
    return Markup("").join(_block(block, ours) for block in text.split("\n\n") if block.strip())


def _block(block: str, ours: tuple[str, ...]) -> Markup:
    rows = block.strip("\n").split("\n")
    if all(row.startswith("- ") for row in rows):
        items = Markup("").join(Markup("<li>{}</li>").format(_inline(row[2:], ours)) for row in rows)
        return Markup("<ul>{}</ul>").format(items)
    return Markup("<p>{}</p>").format(_inline(" ".join(rows), ours))


def _inline(text: str, ours: tuple[str, ...]) -> Markup:
    found, at = Markup(""), 0
    for mark in _MARKS.finditer(text):
        found += _plain(text[at : mark.start()]) + _mark(mark, ours)
        at = mark.end()
    return found + _plain(text[at:])


def _mark(mark: re.Match[str], ours: tuple[str, ...]) -> Markup:
    if mark["plain"] is not None:
        return escape(mark["plain"])
    if mark["code"] is not None:
        return Markup("<code>{}</code>").format(_plain(mark["code"]))
    if mark["bold"] is not None:
        return Markup("<b>{}</b>").format(_inline(mark["bold"], ours))
    if not mark["to"].startswith(ours):
        return _plain(mark[0])
    return Markup('<a href="{}">{}</a>').format(mark["to"], _inline(mark["label"], ours))


def _plain(piece: str) -> Markup:
    """Escaped. What took the effect from others' words is dropped here, where no mark is read any more."""
    return escape(piece.replace(ZWSP, ""))
