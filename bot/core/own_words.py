"""Which lines of a comment or an issue people see as its own words: outside code blocks and hidden HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Behind the marker of a list item too, whose text the fence then belongs to.
_FENCE = re.compile(r"((?:[ \t]*+(?:[-*+]|[0-9]{1,9}[.)])[ \t]++)*+)([ ]*+)(`{3,}+|~{3,}+)")
# HTML that is not shown, and HTML that shows text as code or as a quote.
_OPENING = re.compile(r"<!--|<\?|<!\[cdata\[|^ {0,3}<(pre|blockquote|script|style|textarea)(?=[\s>]|\Z)")
_CLOSING = {"<!--": "-->", "<?": "?>", "<![cdata[": "]]>"}


def own_lines(lines: Sequence[str]) -> Iterator[int]:
    """The numbers of the lines that are neither in a fenced block nor begin inside hidden HTML.

    Linear in the length of the text.
    """
    reader = Reader()
    return (index for index, line in enumerate(lines) if reader.sees(line))


@dataclass(slots=True)
class Reader:
    """What is open above the line that comes next."""

    fence: str = ""
    edge: int = 0  # how far the fence's list item is indented: the fence ends with it
    until: str = ""  # what ends the HTML that hides the line

    def covers(self, indent: int) -> bool:
        """Whether a line that is indented so far is inside what is open."""
        return bool(self.until) or (bool(self.fence) and indent >= self.edge)

    def sees(self, line: str, column: int = 0) -> bool:
        """Whether this line is seen; `column` is where the text of its list item begins."""
        if self.until:
            self.until = _hidden_until(line, self.until)
            return False
        if self.fence and line.strip() and not self.covers(len(line) - len(line.lstrip())):
            self.fence = ""  # the list item is over, and with it what was open in it
        mark = _FENCE.match(line)
        if self.fence:
            if mark and _closes(mark, line, self.fence, self.edge):
                self.fence = ""
            return False
        # Backticks behind backticks are code within a line; four spaces before them are code already.
        near = mark is not None and len(mark[2]) < column + 4
        if mark and near and not (mark[3][0] == "`" and "`" in line[mark.end() :]):
            self.fence, self.edge = mark[3], len(mark[1]) or column
            return False
        self.until = _hidden_until(line, "")
        return True


def _closes(mark: re.Match[str], line: str, fence: str, edge: int) -> bool:
    """A fence closes with at least as many of its own marks, nothing behind them, and hardly indented."""
    alike = mark[3][0] == fence[0] and len(mark[3]) >= len(fence)
    return alike and not mark[1] and len(mark[2]) < edge + 4 and not line[mark.end() :].strip()


def _hidden_until(line: str, until: str) -> str:
    """What has to come before text can be seen again; "" if it can be seen at the end of this line."""
    low, at = line.lower(), 0
    while True:
        if until:
            at = low.find(until, at)
            if at < 0:
                return until
        found = _OPENING.search(low, at)
        if found is None:
            return ""
        until = f"</{found[1]}" if found[1] else _CLOSING[found[0]]
        at = found.start() + 2  # `<!-->` is a whole comment
