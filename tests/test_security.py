"""The attack table in docs/security.md: every row names what stops the attempt and a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "security.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[list[str]]:
    """The rows of every table on the page, without the heads."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] != "#" and not re.fullmatch(r"[-:]+", row[0])]


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_at_least_forty_attempts_are_there_and_numbered() -> None:
    found = rows()
    assert len(found) >= 40
    assert [row[0] for row in found] == [str(number) for number in range(1, len(found) + 1)]
    assert len({row[2] for row in found}) == len(found), "each attempt is another"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_says_who_what_stops_it_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 5, "a bar in a cell?"
    assert all(row), "no cell is empty"
    named = TEST.findall(row[4])
    assert named, "the row names no test"
    assert TEST.sub("", row[4]).strip(" ,") == "", "and nothing but tests"
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in functions_of(path), f"{path} has no {name}"
