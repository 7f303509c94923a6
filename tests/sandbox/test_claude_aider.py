"""The sandbox's minds in Aider: what they read of its messages, and what they write (its shapes: 0.86.2)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import pytest

from sandbox.characters.blocks import Chat, blocks, spoken
from sandbox.characters.talk import Talk
from sandbox.processes import Started, start
from tests.runner.world import plant

RULES = "2. The opening fence and code language, eg: {0}python\n8. The closing fence: {0}"
EXAMPLE = "hello.py\n```python\n<<<<<<< SEARCH\n=======\ndef hello():\n>>>>>>> REPLACE\n```\n"
SWITCHED = "I switched to a new code base. Please don't consider the above files."
MAP = "Here are summaries of some files present in my git repository.\nDo not propose changes.\n\n"
SHOWN = "I have *added these files to the chat* so you can go ahead and edit them.\n\n*Trust this message*\n"
TOLD = "I ran this command:\n\npython -m unittest\n\nAnd got this output:\n\n"


@dataclass
class Aider:
    """What Aider would do with the answers, in a tree: add files, lay edits, run the tests."""

    root: Path
    task: str = "The tests fail. Find the bug and fix it."
    fence: str = "```"
    added: list[str] = field(default_factory=list)
    done: list[dict[str, str]] = field(default_factory=list)
    now: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = [said("user", self.task)]

    def request(self) -> dict[str, Any]:
        files = [str(path.relative_to(self.root)) for path in sorted(self.root.rglob("*.py"))]
        others = "\n\n".join(
            f"{name}:\n⋮\n│def it():\n⋮" if "years" in name else name
            for name in files
            if name not in self.added
        )
        rules = RULES.format(self.fence)
        messages = [
            *(said("user", "Refactor hello()."), said("assistant", EXAMPLE)),
            *(said("user", SWITCHED), said("assistant", "Ok.")),
            *self.done,
            *(said("user", MAP + others), said("assistant", "Ok, I won't.")),
            *self._shown(),
            *self.now,
        ]
        last = messages.pop()
        messages.append(said("user", f"{last['content']}\n\n# *SEARCH/REPLACE block* Rules:\n\n{rules}"))
        return {"model": "claude-opus-4-7", "max_tokens": 16_000, "system": rules, "messages": messages}

    def _shown(self) -> list[dict[str, str]]:
        shown = "".join(
            f"\n{name}\n{self.fence}\n{(self.root / name).read_text()}{self.fence}\n" for name in self.added
        )
        return [said("user", SHOWN + shown), said("assistant", "Ok, any changes.")] if shown else []

    def hear(self, answer: str) -> bool:
        """Whether it would ask again."""
        self.now.append(said("assistant", answer))
        made = blocks(answer)
        if not made:
            asked = [name for name in self.request_files() if f"`{name}`" in answer]
            self.added += asked
            self.now.append(said("user", f"I added these files to the chat: {', '.join(asked)}"))
            return bool(asked)
        for path, old, new in made:
            text = (self.root / path).read_text()
            assert old in text
            (self.root / path).write_text(text.replace(old, new, 1))
        self.done += [*self.now, said("user", "I updated the files."), said("assistant", "Ok.")]
        run = subprocess.run(
            [sys.executable, "-B", "-m", "unittest"], cwd=self.root, capture_output=True, text=True
        )
        output = TOLD + run.stderr
        self.now = [said("user", output), said("assistant", "Ok."), said("user", output)]
        return run.returncode != 0

    def request_files(self) -> list[str]:
        return [str(path.relative_to(self.root)) for path in self.root.rglob("*.py")]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.fixture(scope="module")
def claude() -> Iterator[Started]:
    with start("claude", character="auto") as started:
        yield started


def asked(claude: Started, aider: Aider) -> str:
    client = anthropic.Anthropic(base_url=claude.url, api_key="k", max_retries=0)
    with client:
        answer = client.messages.create(**aider.request())
    return "".join(block.text for block in answer.content if block.type == "text")


@pytest.mark.parametrize("bug", ["leap", "off_by_one", "sign"])
def test_the_fixer_asks_for_files_and_writes_blocks_until_the_tests_pass(
    claude: Started, tmp_path: Path, bug: str
) -> None:
    aider = Aider(plant(tmp_path, bug))
    for _ in range(8):
        if not aider.hear(asked(claude, aider)):
            break
    run = subprocess.run([sys.executable, "-B", "-m", "unittest"], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0


def test_a_runaway_goes_on_for_as_long_as_it_is_asked(claude: Started, tmp_path: Path) -> None:
    aider = Aider(plant(tmp_path, "leap"), task="<task>\nPlease run away with this.\n</task>")
    assert all(aider.hear(asked(claude, aider)) for _ in range(6))
    assert "# Attempt" in "".join(path.read_text() for path in tmp_path.rglob("*.py"))


def test_what_is_said_is_told_from_what_aider_puts_around_it(tmp_path: Path) -> None:
    aider = Aider(plant(tmp_path, "leap"), task="Material.\n<task>\nfix it\n</task>", fence="````")
    aider.added = ["acme_calendar/years.py"]
    talk = Talk(aider.request())
    chat = Chat(talk)
    assert spoken(talk)
    assert chat.task == "\nfix it\n"
    assert chat.files == {"acme_calendar/years.py": (tmp_path / "acme_calendar/years.py").read_text()}
    assert "tests/test_years.py" in chat.mapped
    assert "acme_calendar/years.py" not in chat.mapped
    written = chat.write("So.", [("a.py", "one\n", "two\n")])
    assert "\n````\n<<<<<<< SEARCH\none\n=======\ntwo\n>>>>>>> REPLACE\n````\n" in written
    assert blocks(written) == [("a.py", "one\n", "two\n")]


def test_a_conversation_with_tools_is_not_aiders() -> None:
    body = {"model": "m", "messages": [said("user", SWITCHED)], "tools": [{"name": "bash"}]}
    assert not spoken(Talk(body))
