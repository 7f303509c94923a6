"""Text that an agent, a repository or a stranger wrote, made fit to stand in what the App writes.

The App's words reach people: they notify whom they name, close what they say they close, and show what they
embed. Nobody else's words may do that through it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ZWSP = "\u200b"  # zero width: people see the same text, GitHub no longer sees a mention or a tag

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|[@-Z\\^_])")
# Controls, and what turns the direction of the text around it. The hidden letters of the tag block too.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
# After each match a zero-width space goes in. Mentions and addresses of mail; references, which close issues
# behind a keyword, as #1, owner/repo#1, GH-1 and URL; tags and comments; images and alerts; links, written
# out or bare; commands of other Apps, which read the text and not what is shown of it; entities, which are
# decoded before all of these.
_ACTIVE = re.compile(
    r"@(?=[\w.-])"
    r"|#(?=\w)"
    r"|GH-(?=\d)"
    r"|/(?:issues|pulls?|discussions)/(?=\d)"
    r"|<(?=[A-Za-z/!?])"
    r"|!(?=\[)"
    r"|\[(?=!)"
    r"|\](?=[(\[:])"
    r"|(?:https?|ftp)(?=://)"
    r"|www(?=\.)"
    r"|^[ \t]*/(?=[A-Za-z])"
    r"|&(?=#?\w+;)",
    re.IGNORECASE | re.MULTILINE,
)
# Drawn, or offered as a change to accept, instead of shown. Possessive, so that a wall of ticks is read once.
_DRAWN = re.compile(
    r"((?:(?<!`)`{3,}+|(?<!~)~{3,}+)[ \t]*+)(mermaid|geojson|topojson|stl|math|suggestion)", re.IGNORECASE
)

_WALL = re.compile("`{200}")


def neutral(text: str) -> str:
    """The same words without effect: no mention, no reference, no tag, comment, image, link or escape.

    Line breaks and tabs stay. Doing it twice changes nothing more.
    """
    return _ACTIVE.sub(lambda found: found[0] + ZWSP, _DRAWN.sub(r"\1text ", printable(text)))


def storable(text: str) -> str:
    """Without what PostgreSQL takes in no text: halves of characters, and NUL."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def printable(text: str) -> str:
    """Without controls: what a terminal shows as it stands. Line breaks and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def line(text: str, most: int = 300) -> str:
    """On one line, in at most so many characters."""
    return cut(" ".join(neutral(text).split()), most)


def several(texts: Sequence[str], most: int) -> str:
    """In one: as many as `line` shows whole in so many characters, and how many more there are.

    The first is there even if it alone is too long: `line` cuts it then.
    """
    whole = told = "; ".join(texts)
    for shown in range(1, len(texts)):
        longer = "; ".join((*texts[:shown], f"{len(texts) - shown:,} more"))
        if shown > 1 and len(neutral(longer)) > most:
            break
        told = longer
    return whole if len(neutral(whole)) <= most else told


def cell(text: str, most: int = 120) -> str:
    """In a table's cell."""
    return line(text, most).replace("\\", "\\\\").replace("|", "\\|")


def code(text: str, most: int = 200) -> str:
    """In a code span; a bar in it would still end a table's cell."""
    return "`" + (line(text, most).replace("`", "'").replace("|", "¦") or " ") + "`"


def fenced(text: str) -> str:
    """In a code block whose fence is longer than any inside."""
    return _block(neutral(text), "text")


def listing(text: str, language: str) -> str:
    """Word for word but for controls, in a code block that nothing in it can end: there nothing acts."""
    return _block(printable(text), language)


def _block(plain: str, language: str) -> str:
    """Source: CommonMark 0.31 section 4.5, a fence ends only with as many of its own marks.

    GitHub's parser (cmark-gfm) counts no further than 255: a wall of as many ticks would end any fence.
    """
    plain = _WALL.sub(lambda found: found[0] + ZWSP, plain.strip("\n"))
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{plain}\n{fence}"


def folded(title: str, inside: str) -> str:
    """Shown when somebody opens it; `title` is text of ours, `inside` is made safe already."""
    return f"<details><summary>{title}</summary>\n\n{inside}\n\n</details>"


def quoted(text: str) -> str:
    """As a block quote: whatever is left open inside ends with it."""
    return "\n".join(f"> {row}".rstrip() for row in neutral(text).strip().split("\n"))


def cut(text: str, most: int) -> str:
    """Its beginning, and a sign that there is more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def tail(text: str, most: int) -> str:
    """Its end, from a whole line if that costs little, and a sign that there is more."""
    if len(text) <= most:
        return text
    end = text[-(most - 2) :]
    return "…\n" + (end[end.index("\n") + 1 :] if "\n" in end[:200] else end)


def plain(text: str, most: int = 300) -> str:
    """On one line and without Markdown of its own, for the middle of our sentences."""
    return line(text, most).replace("\\", "\\\\").replace("[", "\\[").replace("*", "\\*").replace("`", "'")
