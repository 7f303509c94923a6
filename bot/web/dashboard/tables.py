"""Tables of a page, from which come the rows that people see and the CSV that their spreadsheets take."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload
from zoneinfo import ZoneInfo

from bot.core.caps import Standing
from bot.core.money import Usd
from bot.core.spreadsheet import harmless
from bot.web.dashboard.charts import cap_bar

PAGES = ("https://", "http://", "/")
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a row: `text` for people, `value` for a spreadsheet (the text, if that will do)."""

    text: str
    value: str | None = None
    href: str = ""
    note: str = ""  # smaller, under it
    bar: str = ""  # SVG under it, made by `charts`
    tone: str = ""  # a word of ours for how it is meant: the state of a run

    @property
    def to(self) -> str:
        """Where it leads, if that is a page: an address from elsewhere could be anything."""
        return self.href if self.href.startswith(PAGES) else ""

    @property
    def plain(self) -> str:
        """For CSV: what a person wrote is never a formula."""
        if self.value is not None and NUMBER.fullmatch(self.value):
            return self.value
        return harmless(self.text if self.value is None else self.value)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    number: bool = False


Row = tuple[Cell, ...]
T = TypeVar("T")


class Made(Sequence[Row], Generic[T]):
    """Rows that are made when they are looked at: a page has the first few of thousands."""

    def __init__(self, of: Sequence[T], make: Callable[[T], Row]) -> None:
        self.of, self.make = of, make

    def __len__(self) -> int:
        return len(self.of)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        return [self.make(one) for one in self.of[at]] if isinstance(at, slice) else self.make(self.of[at])


@dataclass(frozen=True, slots=True)
class Table:
    """`id`: its name in the address; `empty`: what stands there without rows, a sentence with what to do;
    `most`: rows that the page has, CSV has all."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    empty: str
    about: str = ""
    most: int | None = None

    @property
    def more(self) -> int:
        """How many rows are left to CSV."""
        return 0 if self.most is None else max(0, len(self.rows) - self.most)

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


def whole(id: str, title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """What the API tells, as a table of its own for a spreadsheet; all rows have the names of the first."""
    columns = tuple(Column(name) for name in rows[0]) if rows else ()
    told = [["" if value is None else str(value) for value in row.values()] for row in rows]
    return Table(id, title, columns, [tuple(Cell(text, text) for text in row) for row in told], "")


def when(at: int, zone: str) -> Cell:
    """A moment (ms since the epoch): short for people in `zone`, whole for a spreadsheet."""
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
    return Cell(f"{local:%-d %b, %H:%M}", local.isoformat(timespec="seconds"))


def standing(one: Standing | None) -> Cell:
    """How much of a cap is used up, with its marks."""
    if one is None:
        return Cell("no cap", "")
    words = f"{one.percent} % of {one.most}"
    words += f", {one.held} held" if one.held else ""
    words += ", reached" if one.reached else ""
    return Cell(words, str(one.percent), bar=cap_bar(one))
