"""Solved is what tests say of a tree that the agent did not prepare."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bot import settings
from bot.exam import paper
from bot.exam.judge import judged, unfit
from bot.exam.paper import Exercise

ENV = settings.environment()
TASK = {each.name: each for each in paper.read()}["last-page"]
PAGES = "archive/pages.py"
PASSING = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test(self):\n        pass\n"
SHADOW = "import sys\n\nsys.stderr.write('Ran 9 tests in 0.001s\\n\\nOK\\n')\nsys.exit(0)\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A checkout in which nothing was changed."""
    TASK.hand_out(tmp_path / "work")
    return tmp_path / "work"


def solved(work: Path) -> None:
    shutil.copytree(TASK.folder / "after", work, dirs_exist_ok=True)


def written(path: str, text: str) -> Callable[[Path], object]:
    def write(work: Path) -> None:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text)

    return write


def linked(work: Path) -> None:
    (work / PAGES).unlink()
    (work / PAGES).symlink_to(TASK.folder / "after" / PAGES)


@pytest.mark.parametrize(
    ("acts", "why"),
    [
        pytest.param([], "it changed nothing", id="nothing"),
        pytest.param(
            [written("notes.md", "hm")], "it changed nothing", id="only a file that nobody asked for"
        ),
        pytest.param(
            [solved, written("test_archive.py", PASSING)],
            "it changed test_archive.py, which has to stay as it is",
            id="the right change, and the test",
        ),
        pytest.param(
            [solved, lambda work: (work / "test_archive.py").unlink()],
            "it changed test_archive.py, which has to stay as it is",
            id="the test is deleted",
        ),
        pytest.param(
            [written(PAGES, "import os\n\nos._exit(0)\n")],
            "its test still fails",
            id="an end before any test",
        ),
        pytest.param(
            [written(PAGES, "\n"), written("unittest.py", SHADOW)],
            "its test still fails",
            id="a module of the name of the test framework",
        ),
        pytest.param(
            [written(PAGES, "\n"), written("hidden_archive.py", PASSING)],
            "its test still fails",
            id="a test of the name of the hidden one",
        ),
        pytest.param([linked], "its test still fails", id="a link is not a file"),
        pytest.param(
            [lambda work: (work / PAGES).unlink()], "its test still fails", id="the code is deleted"
        ),
    ],
)
def test_not_solved(work: Path, acts: list[Callable[[Path], object]], why: str) -> None:
    for act in acts:
        act(work)
    judgement = judged(TASK, work, ENV)
    assert (judgement.solved, judgement.why) == (False, why), judgement.output


@pytest.mark.parametrize(
    "also",
    [
        written("archive/more.py", "SIZE = 10\n"),
        written("notes.md", "What I found."),
        written("archive/__pycache__/pages.cpython-311.pyc", "left behind"),
        written("hidden_archive.py", "raise SystemExit"),
    ],
)
def test_what_lies_beside_the_right_change_does_not_matter(
    work: Path, also: Callable[[Path], object]
) -> None:
    solved(work)
    also(work)
    assert judged(TASK, work, ENV).solved


@pytest.mark.parametrize(
    ("path", "may"),
    [(PAGES, True), ("archive/new.py", True), ("archive/deep/x.py", False), ("test_archive.py", False)],
)
def test_a_pattern_holds_for_one_folder(path: str, may: bool) -> None:
    assert TASK.may_change(path) is may


def test_a_machine_without_the_language_is_told(tmp_path: Path) -> None:
    node = {each.language: each for each in paper.read()}["javascript"]
    assert unfit(node, {"PATH": str(tmp_path)}) == "node: not on this machine"


def test_a_task_that_is_solved_already_is_no_task(tmp_path: Path) -> None:
    folder = tmp_path / "solved"
    shutil.copytree(TASK.folder, folder)
    shutil.copytree(folder / "after", folder / "before", dirs_exist_ok=True)
    assert "passes here before" in unfit(_at(folder), ENV)


def test_tests_that_do_not_run_are_no_task(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(TASK.folder, folder)
    toml = (folder / "task.toml").read_text().replace("unittest test_archive", "no_such_framework")
    (folder / "task.toml").write_text(toml)
    assert "do not run on this machine" in unfit(_at(folder), ENV)
    assert "no_such_framework" in unfit(_at(folder), ENV)


def _at(folder: Path) -> Exercise:
    return next(each for each in paper.read(folder.parent) if each.name == folder.name)
