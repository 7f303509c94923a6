"""A task in pieces: read strictly, priced by past runs, written so that it is read again and does nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import reports
from bot.core.money import Usd
from bot.core.pieces import CLASSES, LONGEST, MOST, Piece, listed, read
from bot.core.sizes import ENOUGH, Size, Spread, size
from tests.core.test_reports import DONE, effects, words

SIZES = (
    Size("bugfix", "repository", 14, Usd.parse("0.42"), Usd.parse("1.10")),
    Size("feature", "installation", 1_400, Usd.parse("2"), Usd.parse("6.5")),
    Size("refactor", "ceiling", 0, Usd.parse("20"), Usd.parse("20")),
)
PIECES = (
    Piece("bugfix", "Leap years count 365 days in `years.py`"),
    Piece("bugfix", "The week of January 1st"),
    Piece("refactor", "One table of months"),
)
SPLIT = replace(DONE, task_class="split", check=None, published=None, pieces=PIECES, sizes=SIZES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- [ ] (bugfix) It fails", [Piece("bugfix", "It fails")]),
        (
            "Here:\n\n* [ ] (feature) A\n  + [ ] (refactor) B\n",
            [Piece("feature", "A"), Piece("refactor", "B")],
        ),
        ("- [ ] (bugfix, about $1,200.42) It fails", [Piece("bugfix", "It fails")]),
        ("- [ ] (default) (really) do it", [Piece("default", "(really) do it")]),
        ("- [ ] (bugfix) twice\n- [ ] (bugfix) twice", [Piece("bugfix", "twice")]),
        ("- [x] (bugfix) done already", []),
        ("- [ ] (sweep) of no class that one types", []),
        ("- [ ] bugfix: without parentheses", []),
        ("- [ ] (bugfix)", []),
        ("- [ ] (bugfix) \x1b[0m\u202e", []),
        ("> - [ ] (bugfix) quoted", []),
        ("    - [ ] (bugfix) code", []),
        ("I would fix the importer first.", []),
        ("", []),
    ],
)
def test_a_line_is_a_piece_or_it_is_none(text: str, found: list[Piece]) -> None:
    assert list(read(text)) == found


def test_a_list_without_end_is_cut() -> None:
    text = "\n".join(f"- [ ] (bugfix) {number} {'x' * 1_000}" for number in range(1_000))
    assert len(read(text)) == MOST
    assert all(len(piece.title) <= LONGEST for piece in read(text))
    assert len(reports.comment(replace(SPLIT, pieces=read(text), summary=text)).encode()) < 60_000


@given(st.lists(st.tuples(st.sampled_from(CLASSES), words), max_size=5), st.booleans())
def test_what_is_written_is_read_again_and_does_nothing(found: list[tuple[str, str]], priced: bool) -> None:
    pieces = read("\n".join(f"- [ ] ({kind}) {' '.join(title.split())}" for kind, title in found))
    text = listed(pieces, SIZES if priced else ())
    assert read(text) == pieces
    assert effects(text) == []
    assert not re.search(r"^/agent", text, re.M)


def test_each_piece_has_a_class_and_a_price_and_the_source_of_it_is_said() -> None:
    text = reports.final(SPLIT)
    assert "**Done: split into 3 pieces** ·" in text
    assert "- [ ] (bugfix, about $0.42) Leap years count 365 days in `years.py`" in text
    assert "- [ ] (refactor, at most $20.00) One table of months" in text
    assert "| bugfix | 2 | $0.42 | $1.10 | 14 runs of this class in this repository |" in text
    assert "| refactor | 1 | | | too few past runs: its ceiling, $20.00 |" in text
    assert "Together about **$20.84**, where a class without past runs counts with its ceiling." in text
    other = reports.final(replace(SPLIT, pieces=(Piece("feature", "Weeks"),)))
    assert "1,400 runs of this class in all repositories of this installation" in other


def test_an_answer_without_a_list_is_shown_and_says_what_was_missing() -> None:
    text = reports.final(replace(SPLIT, pieces=(), sizes=(), summary="I'd ask @ada."))
    assert "**Done: no list of pieces** ·" in text
    assert "No check list could be read" in text
    assert "`/agent split …`" in text
    assert "> I'd ask @\u200bada." in text


def test_what_a_planning_run_changed_is_dropped_and_said() -> None:
    dropped = reports.Published("dropped", "", "", "", "what it had changed in 2 files was dropped")
    text = reports.final(replace(SPLIT, published=dropped))
    assert "A planning run changes nothing: what it had changed in 2 files was dropped." in text


SOME = Spread(ENOUGH, Usd(3), Usd(9))
FEW = Spread(ENOUGH - 1, Usd(1), Usd(2))


@pytest.mark.parametrize(
    ("here", "around", "scope", "median"),
    [
        (SOME, None, "repository", 3),
        (SOME, replace(SOME, median=Usd(4)), "repository", 3),
        (FEW, replace(SOME, median=Usd(4)), "installation", 4),
        (None, SOME, "installation", 3),
        (FEW, FEW, "ceiling", 50),
        (None, None, "ceiling", 50),
    ],
)
def test_a_price_comes_from_here_else_from_around_else_it_is_the_ceiling(
    here: Spread | None, around: Spread | None, scope: str, median: int
) -> None:
    found = size("bugfix", here, around, Usd(50))
    assert (found.scope, found.median) == (scope, Usd(median))
    assert Size.of_json(found.to_json()) == found
