"""Our own sentences as HTML: what a report says in Markdown, a page says in the same words."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from bot.core.untrusted import ZWSP

# A mark taken back; code; bold; a link. Everything else is text.
_MARKS = re.compile(
    r"\\(?P<plain>[\\\[*`|])"
    r"|`(?P<code>[^`]*)`"
    r"|\*\*(?P<bold>[^*]+)\*\*"
    r"|\[(?P<label>(?:[^\]\\`]|\\.|`[^`]*`)+)\]\((?P<to>https?://[^()\s]+)\)"
)


def coded(text: str) -> Markup:
    """A sentence of ours in which `this` is code; everything in it is escaped."""
    pieces = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )


def marked(text: str) -> Markup:
    """Paragraphs and lists of ours, with code, bold and links; whatever else is in them is text."""
    return Markup("").join(_block(block) for block in text.replace(ZWSP, "").split("\n\n") if block.strip())


def _block(block: str) -> Markup:
    rows = block.strip("\n").split("\n")
    if all(row.startswith("- ") for row in rows):
        items = Markup("").join(Markup("<li>{}</li>").format(_inline(row[2:])) for row in rows)
        return Markup("<ul>{}</ul>").format(items)
    return Markup("<p>{}</p>").format(_inline(" ".join(rows)))


def _inline(text: str) -> Markup:
    found, at = Markup(""), 0
    for mark in _MARKS.finditer(text):
        found += escape(text[at : mark.start()]) + _mark(mark)
        at = mark.end()
    return found + escape(text[at:])


def _mark(mark: re.Match[str]) -> Markup:
    if mark["plain"] is not None:
        return escape(mark["plain"])
    if mark["code"] is not None:
        return Markup("<code>{}</code>").format(mark["code"])
    if mark["bold"] is not None:
        return Markup("<b>{}</b>").format(_inline(mark["bold"]))
    return Markup('<a href="{}">{}</a>').format(mark["to"], _inline(mark["label"]))
