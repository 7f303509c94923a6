"""`make` on a machine that lacks what it needs: a sentence that says what to get, and nothing half made."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OLD = """#!/bin/sh
case "$2" in *version_info*) exit 1;; esac
"""
BARE = """#!/bin/sh
case "$2" in *ensurepip*) exit 1;; esac
"""


def made(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make check` in a folder that has what `make` reads, and no environment."""
    for name in ("Makefile", "requirements.txt", "sandbox/requirements.txt", "tests/requirements.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return subprocess.run(
        ["make", "check", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("python", "says"),
    [
        pytest.param(None, "is not Python 3.11 or newer: install one, or name it", id="there is none"),
        pytest.param(OLD, "is not Python 3.11 or newer: install one, or name it", id="it is too old"),
        pytest.param(BARE, "apt install python3-venv", id="Debian's, without venv"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path, python: str | None, says: str) -> None:
    program = tmp_path / "python"
    if python is not None:
        program.write_text(python)
        program.chmod(0o755)
    done = made(tmp_path, f"PYTHON={program}")
    assert (done.returncode, says in done.stdout) == (2, True), done.stdout + done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_machine_without_git_is_told_so(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    done = made(tmp_path, f"PATH={programs}")
    assert (done.returncode, "git is not installed" in done.stdout) == (2, True), done.stdout + done.stderr


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(line.split()[0] for line in told.splitlines()) == sorted(targets)
