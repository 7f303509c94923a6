"""The native agent on a plain local checkout, in place: what it edits is the user's own tree."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from bot.core.care import care
from bot.core.ceilings import Ceilings
from bot.core.reports import Check
from bot.runner import check, prompts
from bot.runner.beside import beside
from bot.runner.engines import Ending, Event, Ground, Task
from bot.runner.engines.installed import engines_folder
from bot.runner.engines.named import named
from bot.runner.isolation import tool_env
from bot.runner.shell import Shell
from bot.runner.supervise import Stop, judged, watched
from bot.runner.tools import Tools

CHECK_SECONDS = 120.0
# In a folder without git: what tools write for themselves.
_NOT_WORK = {".git", "__pycache__", "node_modules", ".venv", ".tox", ".pytest_cache", ".mypy_cache"}

Tree = dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What came of it. `changed`: paths in the workspace that were added, edited or deleted."""

    ending: Ending
    check: Check | None
    changed: tuple[str, ...]

    @property
    def outcome(self) -> str:
        return self.ending.outcome

    @property
    def summary(self) -> str:
        return self.ending.summary

    @property
    def tool_calls(self) -> int:
        return self.ending.tool_calls


def run_local(
    task: str,
    workspace: Path,
    base_url: str,
    token: str,
    *,
    model: str,
    ceilings: Ceilings,
    env: Mapping[str, str],
    task_class: str = "default",
    effort: str | None = None,
    context: int | None = None,
    engine: str = "opus",
    check_command: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    halted: threading.Event | None = None,
) -> LocalResult:
    """Work on `workspace` until there is an end; the tools run as this user, with a scrubbed environment.

    `env` is ours (settings.environment()). When `halted` is set the tools' processes end; so they do at
    Ctrl-C, and the result says so. Raises UnknownEngine.
    """
    chosen, root = named(engine), workspace.resolve()
    stop, before = Stop(), tree(root)
    with tempfile.TemporaryDirectory(prefix="tollgate-") as scratch, _following(halted, stop):
        own = tool_env(env, Path(env.get("HOME") or scratch))
        shell = Shell(root, own, scratch=Path(scratch))
        tools = Tools(root, shell)
        try:
            opening = prompts.opening(task, root, task_class, check=check_command)
            system = prompts.system(task_class, chosen.native)
            careful, ground = care(task_class, effort, context), _ground(root, Path(scratch), own, env)
            given = Task(
                system,
                opening,
                model,
                careful.effort,
                base_url,
                token,
                ceilings,
                careful.context,
                ground=ground,
                check=check_command,
            )
            ending = watched(chosen, given, tools, on_event, stop, ceilings.seconds)
            shell.end()
            found = None
            if not stop.cancelled:
                found = check.run(shell, tools.test, check_command, None, CHECK_SECONDS)
        finally:
            tools.close()
    return LocalResult(judged(ending, found, tools.failed), found, changes(before, tree(root)))


def _ground(root: Path, scratch: Path, own: Mapping[str, str], env: Mapping[str, str]) -> Ground:
    """A home of its own: this user's settings of a program are not the task's. Nobody's base branch."""
    home, aside = scratch / "home", scratch / "aside"
    for folder in (home, aside):
        folder.mkdir(mode=0o700)
    return Ground(root, home, aside, engines_folder(env), own)


def _following(halted: threading.Event | None, stop: Stop) -> AbstractContextManager[None]:
    """The gateway's halt becomes ours. The engine hears its sentence first; a tool that runs is ended."""

    def follow(over: threading.Event) -> None:
        while halted is not None and not over.is_set():
            if halted.wait(0.1):
                stop.now(None, None)
                return

    return beside(follow)


def tree(root: Path) -> Tree:
    """Every file that is work, with what tells whether it was touched."""
    found: Tree = {}
    for path in _listed(root):
        with suppress(OSError):
            status = (root / path).lstat()
            found[path] = (status.st_mtime_ns, status.st_size, status.st_mode)
    return found


def changes(before: Tree, after: Tree) -> tuple[str, ...]:
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))


def _listed(root: Path) -> Iterator[str]:
    # What git knows or would add; without git, all but what tools keep for themselves.
    listed = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        yield from filter(None, os.fsdecode(listed.stdout).split("\0"))
        return
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_WORK]
        yield from (str((Path(folder) / name).relative_to(root)) for name in files)
