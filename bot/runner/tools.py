"""The agent's two tools, a shell and an editor, in one workspace (bash_20250124, text_editor_20250728)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.runner.check import Test, test_in
from bot.runner.editor import EditError, Editor
from bot.runner.isolation import User
from bot.runner.shell import COMMAND_SECONDS, Shell

BASH, EDITOR = "bash", "str_replace_based_edit_tool"
DEFINITIONS: list[dict[str, Any]] = [
    {"type": "bash_20250124", "name": BASH},
    {"type": "text_editor_20250728", "name": EDITOR},
]


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of a call: the text that the model reads."""

    text: str
    error: bool


class Tools:
    """A workspace as the model sees it. `close` ends everything that was started in it."""

    def __init__(
        self, root: Path, shell: Shell, user: User | None = None, seconds: float = COMMAND_SECONDS
    ) -> None:
        self.root, self.shell = root, shell
        self.test: Test | None = None  # the last command of the agent that ran tests
        self.failed: set[str] = set()  # those of them that failed at least once
        self._editor = Editor(root, user)
        self._seconds = seconds

    def call(self, name: str, given: Any, stop: threading.Event) -> Acted:
        """Carry out one call of the model; what goes wrong is a sentence for it."""
        try:
            text, error = self._act(name, given, stop)
        except EditError as problem:
            text, error = f"{problem}.", True
        return Acted(text, error)

    def ran(self, command: str, failed: bool) -> None:
        """Remember what an engine with tools of its own has run, as if it had been by ours."""
        self._saw(test_in(command, self.root), failed)

    def close(self) -> None:
        self.shell.close()

    def _act(self, name: str, given: Any, stop: threading.Event) -> tuple[str, bool]:
        if not isinstance(given, dict):
            return "The input must be an object.", True
        if name == BASH:
            return self._bash(given, stop)
        if name == EDITOR:
            return self._editor.run(given), False
        return f"There is no tool {name}.", True

    def _bash(self, given: dict[str, Any], stop: threading.Event) -> tuple[str, bool]:
        if given.get("restart"):
            self.shell.restart()
            return f"The shell is new, in {self.root}.", False
        command = given.get("command")
        if not isinstance(command, str) or not command.strip():
            return "command is missing.", True
        test = test_in(command, self.shell.cwd)
        ran = self.shell.run(command, stop, self._seconds)
        self._saw(test, bool(ran.exit_code))
        if ran.ended:
            return _noted(ran.output, f"(ended with all that it had started: {ran.ended})"), True
        if ran.exit_code:
            return _noted(ran.output, f"(exit code {ran.exit_code})"), False
        return ran.output or "(no output)", False

    def _saw(self, test: Test | None, failed: bool) -> None:
        if test is not None:
            self.test = test
            if failed:
                self.failed.add(test.command)


class Still:
    """The tools, each call after `wait`: whoever looks at the tree is not to see half of a change."""

    def __init__(self, tools: Tools, wait: Callable[[], None]) -> None:
        self._tools, self._wait = tools, wait

    def call(self, name: str, given: Any, stop: threading.Event) -> Acted:
        self._wait()
        return self._tools.call(name, given, stop)

    def ran(self, command: str, failed: bool) -> None:
        self._tools.ran(command, failed)


def _noted(output: str, note: str) -> str:
    return f"{output.removesuffix(chr(10))}\n{note}" if output else note


def one_line(name: str, given: Any, most: int = 100) -> str:
    """A call as people follow it: `$ command` or `view path`."""
    if not isinstance(given, dict):
        return name
    words = (
        f"$ {given.get('command', 'restart')}"
        if name == BASH
        else f"{given.get('command', name)} {given.get('path', '')}"
    )
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= most else line[: most - 1] + "…"
