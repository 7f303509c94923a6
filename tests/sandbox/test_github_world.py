"""The demo's repository: green on main, and each bug breaks something on the branch."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path

import pytest

from sandbox import world
from tests.sandbox.github_fixtures import world as github


def failures(folder: Path) -> int:
    """How many tests fail or break under a bare Python."""
    command = ["python3", "-m", "unittest"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.stderr.count("\nFAIL:") + done.stderr.count("\nERROR:")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_main_is_green_and_so_is_the_branch_without_a_bug(tmp_path: Path) -> None:
    assert failures(write(tmp_path / "main", world.FILES)) == 0
    assert failures(write(tmp_path / "branch", world.FILES | world.QUICKER)) == 0


@pytest.mark.parametrize("bug", world.BUGS)
def test_every_bug_is_found_by_a_test(tmp_path: Path, bug: str) -> None:
    assert failures(write(tmp_path, world.FILES | world.branch_files(bug))) > 0


def test_a_patch_of_ones_own_may_be_the_bug(tmp_path: Path) -> None:
    name = "acme_calendar/years.py"
    good = world.QUICKER[name]
    bad = good.replace("366 if is_leap(year) else 365", "365 if is_leap(year) else 366")
    lines = difflib.unified_diff(good.splitlines(True), bad.splitlines(True), f"a/{name}", f"b/{name}")
    patch = tmp_path / "mine.patch"
    patch.write_text("".join(lines), encoding="utf-8")
    with github(tmp_path, bug=str(patch)) as made:
        assert made.client.file(name, world.BRANCH).decode() == bad
