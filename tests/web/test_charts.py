"""Charts: what is drawn is in its frame, whatever the figures; every figure can be read; names are text."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.caps import Cap, Scope, Standing
from bot.core.money import ZERO, Usd
from bot.web.dashboard import charts
from bot.web.dashboard.marked import coded
from bot.web.dashboard.tables import Cell, Column, Table, whole

NUMBER = re.compile(r"-?[0-9.]+")
AMOUNTS = st.integers(0, 10**13).map(Usd)


def drawn(svg: str) -> list[float]:
    """Every coordinate and length of a chart."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - ours
    found = []
    for one in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "points"):
            found += [float(number) for number in NUMBER.findall(one.get(name, ""))]
    return found


@given(AMOUNTS, AMOUNTS, st.integers(1, 10**13).map(Usd), st.integers(0, 9))
def test_a_caps_bar_stays_in_its_frame_and_says_what_it_shows(
    spent: Usd, held: Usd, usd: Usd, more: int
) -> None:
    standing = Standing(Cap(Scope.PERSON, "7", "dana", usd), "2026-11", spent, held, more)
    svg = charts.cap_bar(standing)
    assert all(-1 <= number <= charts.WIDE + 1 for number in drawn(svg))
    assert f"{spent} spent and {held} held of {standing.most}" in svg


@given(
    st.dictionaries(st.integers(1, 28), AMOUNTS, max_size=28),
    st.floats(0, 1),
    st.none() | AMOUNTS,
    st.none() | AMOUNTS,
)
def test_a_month_is_drawn_to_its_sum_and_no_further(
    by_day: dict[int, Usd], elapsed: float, cap: Usd | None, projected: Usd | None
) -> None:
    chart = charts.month("2026-02", by_day, elapsed, cap, projected)
    assert all(-1 <= number <= charts.WIDE + 1 for number in drawn(chart.svg))
    whole = sum((usd.nanos for usd in by_day.values()), 0)
    assert f"{Usd(whole)} by day" in chart.svg


@given(st.lists(st.tuples(st.text(max_size=20), AMOUNTS), max_size=20))
def test_a_name_is_text_whatever_it_is(people: list[tuple[str, Usd]]) -> None:
    chart = charts.spread(people, [("median", ZERO)])
    clean = chart.svg.translate(dict.fromkeys(range(32)))
    assert clean.count("<title>") == len(people) + 2
    assert "<script" not in chart.svg


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write `/agent ack`", "write <code>/agent ack</code>"),
        ("`<b>` & <i>", "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"),
        ("no code", "no code"),
        ("one ` alone", "one ` alone"),
    ],
)
def test_what_is_code_is_set_as_code_and_everything_is_escaped(text: str, shown: str) -> None:
    assert coded(text) == shown


@given(st.text(max_size=30) | st.from_regex(r"\s?[=+@-].*"))
@example("=HYPERLINK(A1)")
@example(" \n=1+1")
@example("\uff1d1+1")
def test_a_spreadsheet_finds_no_formula_in_what_others_wrote(text: str) -> None:
    for cell in (Cell(text), Cell("why", text), Cell("why", f"{text}1")):
        table = Table("t", "T", (Column("a"),), [(cell,)], "")
        [[told]] = list(csv.reader(io.StringIO(table.csv(), newline="")))[1:]
        formula = unicodedata.normalize("NFKC", told).lstrip().startswith(("=", "+", "-", "@"))
        assert not formula or re.fullmatch(r"-[0-9.]+", told)
        assert told[:1] not in ("\t", "\r", "\n")


def test_a_spreadsheet_adds_up_what_was_taken_back() -> None:
    table = whole("t", "T", [{"usd": "-0.371", "text": "-cmd"}, {"usd": None, "text": "fine"}])
    assert list(csv.reader(io.StringIO(table.csv()))) == [["usd", "text"], ["-0.371", "'-cmd"], ["", "fine"]]


@pytest.mark.parametrize(
    ("href", "to"),
    [
        ("https://github.com/a", "https://github.com/a"),
        ("/me", "/me"),
        ("javascript:x", ""),
        ("data:x", ""),
        ("", ""),
    ],
)
def test_a_cell_leads_to_a_page_or_nowhere(href: str, to: str) -> None:
    assert Cell("x", href=href).to == to
