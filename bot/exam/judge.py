"""Whether a task is solved: tests say so, on a tree that the agent did not prepare. Its word is not asked."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.core.reports import Check
from bot.exam.paper import Exercise, files
from bot.runner import check
from bot.runner.isolation import tool_env
from bot.runner.shell import Shell

SECONDS = 60.0
# unittest and our shell tests say "Ran 3 tests", node's TAP "# tests 3". A program that ends well before any
# test has run proves nothing.
_RAN = re.compile(r"^(?:Ran|# tests) ([0-9]+)\b", re.M)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`why` is a sentence for people; `output` what the tests printed that decided it."""

    solved: bool
    why: str
    changed: tuple[str, ...] = ()
    output: str = ""


def judged(exercise: Exercise, worked: Path, env: Mapping[str, str]) -> Judgement:
    """Is the task solved in the tree `worked`?

    Judged is the tree as it was given, with the agent's versions of the files that it may change; what it put
    elsewhere does not count. Solved: nothing else was changed, the visible test passes, the hidden ones too.
    """
    given = exercise.folder / "before"
    changed = _changed(given, worked)
    if forbidden := [path for path in changed if not exercise.may_change(path) and _is_file(given / path)]:
        return Judgement(False, f"it changed {', '.join(forbidden)}, which has to stay as it is", changed)
    work = [path for path in changed if exercise.may_change(path)]
    if not work:
        return Judgement(False, "it changed nothing", changed)
    with tempfile.TemporaryDirectory(prefix="tollgate-exam-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(given, tree)
        for path in work:
            _lay(worked / path, tree / path)
        visible = run(exercise.check, tree, env)
        if not passes(visible):
            return Judgement(False, "its test still fails", changed, visible.output)
        shutil.copytree(exercise.folder / "hidden", tree, dirs_exist_ok=True)
        hidden = run(exercise.hidden, tree, env)
        if not passes(hidden):
            return Judgement(False, "its test passes, the hidden tests fail", changed, hidden.output)
    return Judgement(True, "", changed, hidden.output)


def unfit(exercise: Exercise, env: Mapping[str, str]) -> str:
    """Why this machine cannot set the task, as a sentence; "" when it can: its test runs, and fails."""
    path = tool_env(env, Path("/"))["PATH"]
    if missing := [name for name in exercise.needs if shutil.which(name, path=path) is None]:
        return f"{', '.join(missing)}: not on this machine"
    with tempfile.TemporaryDirectory(prefix="tollgate-exam-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(exercise.folder / "before", tree)
        found = run(exercise.check, tree, env)
    if ran(found) == 0:
        last = found.output.strip().splitlines()[-1:] or [f"exit code {found.exit_code}"]
        return f"its tests do not run on this machine: {last[0]}"
    return "its test passes here before anybody has worked on it" if passes(found) else ""


def run(command: str, tree: Path, env: Mapping[str, str]) -> Check:
    """A command at the root of a tree, as the agent's own are run, and ended after SECONDS."""
    with tempfile.TemporaryDirectory(prefix="tollgate-exam-") as home:
        shell = Shell(tree, tool_env(env, Path(home)), scratch=Path(home))
        try:
            found = check.run(shell, None, command, seconds=SECONDS)
        finally:
            shell.close()
    return found if found is not None else Check(command, 127)


def passes(found: Check) -> bool:
    return found.exit_code == 0 and ran(found) > 0


def ran(found: Check) -> int:
    """How many tests ran, as they say it."""
    return sum(int(number) for number in _RAN.findall(found.output))


def _changed(given: Path, worked: Path) -> tuple[str, ...]:
    """Files that were added, edited, deleted, or made into something that is no file."""
    paths = sorted({*files(given), *files(worked)})
    return tuple(path for path in paths if _bytes(given / path) != _bytes(worked / path))


def _bytes(path: Path) -> bytes | None:
    """What is in a file; None where there is no plain file that can be read."""
    with suppress(OSError):
        return path.read_bytes() if _is_file(path) else None
    return None


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _lay(new: Path, at: Path) -> None:
    at.unlink(missing_ok=True)
    if (content := _bytes(new)) is not None:
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        shutil.copymode(new, at)
