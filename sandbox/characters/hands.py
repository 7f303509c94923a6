"""What a character can do with its tools: run a command, look at a file, replace a piece of one."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

from sandbox.characters.answers import Answer, Call, Say
from sandbox.characters.talk import Step, Talk

# Work on a task, told as one function: it yields a turn and is sent what came of its calls. For every request
# it is told again from the start along the conversation's own results, so that nothing has to be remembered.
Work = Generator[Answer, list[Step], str]
_NUMBERED = re.compile(r"^\s*(\d+)(?:\t|→|[:|] ?)(.*)$")
_REPLACE = """python3 - <<'TOLLGATE_EDIT'
import json, pathlib
path, old, new = json.loads({given!r})
file = pathlib.Path(path)
text = file.read_text()
assert text.count(old) == 1, f"{{text.count(old)}} places match"
file.write_text(text.replace(old, new))
print("edited", path)
TOLLGATE_EDIT"""


class Hands:
    """The tools of one conversation, whatever they are called in it."""

    def __init__(self, tools: list[dict[str, Any]]) -> None:
        self._bash = self._editor = self._read = self._edit = ""
        for tool in tools:
            name, kind = tool["name"], tool.get("type") or ""
            if kind.startswith("bash_") or name in ("bash", "Bash", "shell"):
                self._bash = name
            elif kind.startswith("text_editor_") or name.startswith("str_replace_"):
                self._editor = name
            elif name == "Read":
                self._read = name
            elif name == "Edit":
                self._edit = name
        self.root = ""  # where absolute paths begin, once it is known

    @property
    def can_run(self) -> bool:
        return bool(self._bash)

    @property
    def can_edit(self) -> bool:
        return bool(self._editor or self._edit or self._bash)

    def run(self, command: str) -> Call:
        return Call(self._bash, {"command": command})

    def view(self, path: str) -> Call:
        if self._editor:
            return Call(self._editor, {"command": "view", "path": path})
        if self._read:
            return Call(self._read, {"file_path": self._absolute(path)})
        return self.run(f"cat -n {path}")

    def edit(self, path: str, old: str, new: str) -> Call:
        if self._editor:
            given = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
            return Call(self._editor, given)
        if self._edit:
            given = {"file_path": self._absolute(path), "old_string": old, "new_string": new}
            return Call(self._edit, given)
        return self.run(_REPLACE.format(given=json.dumps([path, old, new])))

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") or not self.root else f"{self.root}/{path}"


def seen(result: str) -> str:
    """The text of a file from a numbered view of it; empty when this is not one."""
    lines: list[str] = []
    for line in result.split("\n"):
        found = _NUMBERED.match(line)
        if found and int(found[1]) == len(lines) + 1:
            lines.append(found[2])
    return "\n".join(lines) + "\n" if lines else ""


def turn(words: str, *calls: Call, thought: str = "") -> Answer:
    return Answer((Say(words), *calls), thought=thought or words[:240])


def ended(words: str) -> Answer:
    return Answer((Say(words),), thought="I have what I need; let me write down what I found.")


def follow(work: Work, talk: Talk, upto: int | None = None) -> tuple[Answer, bool]:
    """Tell `work` along the conversation: its next turn, and whether that is its last.

    `upto`: only along so many of the assistant's turns.
    """
    turns: dict[int, list[Step]] = {}
    for step in talk.steps:
        turns.setdefault(step.turn, []).append(step)
    told = [turns[number] for number in sorted(turns) if upto is None or number < upto]
    try:
        answer = next(work)
        for steps in told:
            if any(step.result.lower().startswith("not executed") for step in steps):
                continue  # the run had halted before it was done: do it now
            answer = work.send(steps)
    except StopIteration as end:
        return ended(str(end.value)), True
    return answer, False
