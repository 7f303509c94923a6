"""What others wrote, for a spreadsheet: text, and nowhere a formula.

An apostrophe stands before what one may take for the beginning of a formula (OWASP, "CSV Injection"): at the
beginning of a text, behind white space too, and behind whatever a spreadsheet of another language takes for
the end of a cell. It does so before any other apostrophes that are there, so that it can be taken out again.
"""

from __future__ import annotations

import re

# With those that NFKC makes one of these.
SIGNS = r"=+\-@" + "⁺⁼₊₌⩵⩶﬩﹢﹣﹦﹫\uff0b\uff0d\uff1d\uff20"
# Cells end there where the semicolon or the tab parts them; lines do everywhere.
_BEGINS = r"(?:^|[;\t\r\n])(?:(?![;\t\r\n])['\s\ufeff])*"
_RISKY = re.compile(rf"({_BEGINS})(?=[{SIGNS}])")
_HIDDEN = re.compile(r"(?='*[\t\r\n])")  # some drop such a character, and what follows begins the cell


def harmless(text: str) -> str:
    """The text, in which no spreadsheet finds a formula."""
    told = _RISKY.sub(r"\1'", text)
    return f"'{told}" if _HIDDEN.match(text) else told
