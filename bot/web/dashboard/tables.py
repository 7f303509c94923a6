"""Tables of a page, from which come the rows that people see and the CSV that their spreadsheets take."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.money import Usd

PAGES = ("https://", "http://", "/")
# What a spreadsheet may take for a formula, behind white space too; some take the wide forms as well.
RISKY = ("=", "+", "-", "@")
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a row: `text` for people, `value` for a spreadsheet (the text, if that will do)."""

    text: str
    value: str | None = None
    href: str = ""
    note: str = ""  # smaller, under it
    bar: str = ""  # SVG before it, made by `charts`

    @property
    def to(self) -> str:
        """Where it leads, if that is a page: an address from elsewhere could be anything."""
        return self.href if self.href.startswith(PAGES) else ""

    @property
    def plain(self) -> str:
        """For CSV: what a person wrote is never a formula."""
        if self.value is not None and NUMBER.fullmatch(self.value):
            return self.value
        told = self.text if self.value is None else self.value
        begins = unicodedata.normalize("NFKC", told).lstrip()
        return f"'{told}" if begins.startswith(RISKY) or told[:1] in ("\t", "\r", "\n") else told


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`id`: its name in the address; `empty`: what stands there without rows, a sentence with what to do."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Cell, ...]]
    empty: str
    about: str = ""

    def csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([column.name for column in self.columns])
        writer.writerows([[cell.plain for cell in row] for row in self.rows])
        return text.getvalue()


def money(usd: Usd, **more: str) -> Cell:
    """Rounded up for people, exact for a spreadsheet."""
    return Cell(str(usd), usd.exact, **more)


def count(number: int) -> Cell:
    return Cell(f"{number:,}", str(number))
