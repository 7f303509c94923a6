"""The exam's tasks as they lie in `exam/`, one folder each: what is given, what is asked, what is hidden."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent.parent / "exam"
DIFFICULTIES = ("easy", "medium", "hard")
_WORDS = ("title", "language", "difficulty", "trap", "prompt", "check", "hidden")
# What tools write for themselves, and what is never a part of the work.
_NOT_WORK = {".git", "__pycache__", "node_modules", ".pytest_cache"}
_GIT = ["git", "-c", "user.name=exam", "-c", "user.email=exam@example.org", "-c", "commit.gpgsign=false"]


class PaperError(Exception):
    """A task that cannot be set; a sentence."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One task. `check` and `hidden` are commands at its root; `work` are patterns of what may be changed."""

    folder: Path
    title: str
    language: str
    difficulty: str  # of DIFFICULTIES
    trap: str
    prompt: str
    check: str
    hidden: str
    needs: tuple[str, ...]
    work: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def task(self) -> str:
        """What the agent is asked."""
        return f"{self.prompt}\n\nChange only {', '.join(self.work)}. The tests stay as they are."

    def may_change(self, path: str) -> bool:
        # `*` of fnmatch crosses slashes: a pattern holds for files of one folder.
        return any(
            path.count("/") == pattern.count("/") and fnmatchcase(path, pattern) for pattern in self.work
        )

    def hand_out(self, to: Path) -> None:
        """What the agent gets: a checkout with one commit (without git: the bare files)."""
        shutil.copytree(self.folder / "before", to)
        if shutil.which("git") is None:
            return
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "As it is"]):
            subprocess.run([*_GIT, *words], cwd=to, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def read(folder: Path = FOLDER) -> list[Exercise]:
    """Every task, by name. Raises PaperError."""
    found = [_exercise(file.parent) for file in sorted(folder.glob("*/task.toml"))]
    if not found:
        raise PaperError(f"there are no tasks in {folder}")
    return found


def _exercise(folder: Path) -> Exercise:
    try:
        given: dict[str, Any] = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        words = {name: str(given[name]).strip() for name in _WORDS}
        if words["difficulty"] not in DIFFICULTIES:
            raise PaperError(f"{folder.name}/task.toml: difficulty is one of {', '.join(DIFFICULTIES)}")
        return Exercise(folder, needs=tuple(given["needs"]), work=tuple(given["work"]), **words)
    except KeyError as missing:
        raise PaperError(f"{folder.name}/task.toml does not say its {missing.args[0]}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PaperError(f"{folder.name}/task.toml: {error}") from None


def files(root: Path) -> Iterator[str]:
    """Every file and link beneath `root` that could be work, as paths with slashes."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not _NOT_WORK.intersection(relative.parts) and (path.is_symlink() or not path.is_dir()):
            yield relative.as_posix()
