"""What conversations of agents are made of: steps, the messages that carry them, and what tools print."""

# ruff: noqa: E501  what tools print is as wide as it is

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Step = tuple[str, Json, str, bool]  # a tool's name, its input, what came of it, whether it is an error
TASK = "Fix the failing test."
BASH, EDITOR = "bash", "str_replace_based_edit_tool"


def sh(command: str, output: str = "(no output)", error: bool = False) -> Step:
    return BASH, {"command": command}, output, error


def view(path: str, text: str) -> Step:
    return EDITOR, {"command": "view", "path": path}, text, False


def swap(path: str, old: str, new: str, error: str = "") -> Step:
    given = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
    return EDITOR, given, error or f"{path} is changed. It now reads:\n     1\t{new}", bool(error)


def write(path: str, text: str) -> Step:
    return EDITOR, {"command": "create", "path": path, "file_text": text}, f"{path} is written.", False


def cc(name: str, result: str = "", error: bool = False, **given: Any) -> Step:
    """A call of Claude Code."""
    return name, given, result, error


def cc_edit(path: str, old: str, new: str) -> Step:
    said = f"The file {path} has been updated successfully."
    return cc("Edit", said, file_path=path, old_string=old, new_string=new)


def todo(*items: str) -> Step:
    said = "Todos have been modified successfully. Ensure that you continue to use the todo list."
    return cc("TodoWrite", said, todos=[{"content": item, "status": "pending"} for item in items])


def talk(*turns: Step | list[Step] | str, said: dict[int, str] | None = None) -> list[Json]:
    """The messages: a step is a turn, a list is one with parallel calls; a text is what a person says then."""
    messages: list[Json] = [{"role": "user", "content": [{"type": "text", "text": TASK}]}]
    for number, turn in enumerate(turns):
        if isinstance(turn, str):
            messages.append({"role": "user", "content": turn})
            continue
        steps = turn if isinstance(turn, list) else [turn]
        calls: list[Json] = [{"type": "text", "text": (said or {}).get(number, "I go on.")}]
        results: list[Json] = []
        for index, (name, given, output, error) in enumerate(steps):
            each = f"toolu_{number}_{index}"
            calls.append({"type": "tool_use", "id": each, "name": name, "input": given})
            result: Json = {"type": "tool_result", "tool_use_id": each, "content": output}
            results.append({**result, "is_error": True} if error else result)
        messages += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return messages


def words(*said: str) -> list[Json]:
    """A conversation without tools: the assistant and the user by turns."""
    roles = ("assistant", "user")
    talked = [{"role": roles[number % 2], "content": text} for number, text in enumerate(said)]
    return [{"role": "user", "content": TASK}, *talked]


# -- what tools print --


def pytest_output(failed: dict[str, str], passed: int, seconds: float = 0.31) -> str:
    """As `pytest -q` prints it."""
    if not failed:
        return f"{'.' * passed} [100%]\n{passed} passed in {seconds}s"
    parts = [f"{'F' * len(failed)}{'.' * passed} [100%]", f"{' FAILURES ':=^70}"]
    for test, said in failed.items():
        path, _, name = test.partition("::")
        parts += [
            f"{f' {name} ':_^70}",
            f"    def {name}():",
            f">       check({name!r})",
            f"E       {said}",
            "",
        ]
        parts += [f"{path}:{11 + int(seconds * 10)}: AssertionError"]
    parts += [f"{' short test summary info ':=^70}"]
    parts += [f"FAILED {test} - {said}" for test, said in failed.items()]
    return "\n".join([*parts, f"{len(failed)} failed, {passed} passed in {seconds}s"])


LEAP = {"tests/test_dates.py::test_leap": "AssertionError: assert 28 == 29"}


def pytest_run(
    failed: dict[str, str], passed: int = 41, seconds: float = 0.31, command: str = "pytest -q"
) -> Step:
    return sh(command, pytest_output(failed, passed, seconds) + ("\n(exit code 1)" if failed else ""))


def unittest_output(said: str, number: int) -> str:
    return (
        "F..\n" + "=" * 70 + "\nFAIL: test_leap (tests.test_dates.Dates.test_leap)\n" + "-" * 70 + "\n"
        f'Traceback (most recent call last):\n  File "/work/tests/test_dates.py", line {9 + number}, in test_leap\n'
        f"    self.assertEqual(days(2000, 2), 29)\nAssertionError: {said}\n\n" + "-" * 70 + "\n"
        f"Ran 3 tests in 0.00{number}s\n\nFAILED (failures=1)\n"
    )


def attempt(number: int, path: str = "dates.py") -> Step:
    """The next try at the same line."""
    return swap(path, f"    return days + {number - 1}", f"    return days + {number}")


def tried(run: Callable[[int], Step], times: int, path: str = "dates.py") -> list[Step]:
    """A run, and after each further edit once more."""
    steps = [run(0)]
    for number in range(1, times):
        steps += [attempt(number, path), run(number)]
    return steps


def diff_of(line: str) -> str:
    return f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 0\n+x = {line}"


def aider_edit(old: str, new: str, path: str = "dates.py") -> str:
    return f"I change it.\n\n{path}\n```python\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n```"
