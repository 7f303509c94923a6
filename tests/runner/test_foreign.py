"""A program of others that floods, lies, is killed while it is installed, or does not end after its work."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.transcript import Transcript
from bot.runner.engines import Ending, Event, Ground, Task
from bot.runner.engines.aider import Work as AiderWork
from bot.runner.engines.claude_code import MAX_SESSION
from bot.runner.engines.claude_code import Work as ClaudeWork
from bot.runner.engines.foreign import MAX_WORDS, Foreign, Session, Start, dollars
from bot.runner.engines.installed import Install
from tests.runner.test_ci import processes

ID = "0f0f0f0f-1111-2222-3333-444444444444"


@dataclass
class Thing:
    """A program that is a few lines of shell; "over" on a line is its last word."""

    script: str = "true"
    install: Install = field(default_factory=lambda: Install({}, Path(), lambda where: []))
    over: bool = False
    name: str = "thing"
    version: str = "1.2"
    settings: tuple[str, ...] = ()

    @property
    def start(self) -> Start:
        return Start(["/bin/sh", "-c", self.script], {})

    def session(self, task: Task, ground: Ground, where: Path, ran: Callable[[str, bool], None]) -> Session:
        return self

    def hear(self, line: str) -> Iterable[Event]:
        self.over = self.over or line == "over\n"
        return ()

    def ended(self, code: int, errors: str) -> Ending:
        return Ending("done" if code == 0 else "failed", message=f"exit code {code}")


class Nowhere:
    def call(self, name: str, given: Any, stop: threading.Event) -> Any:
        raise AssertionError(name)

    def ran(self, command: str, failed: bool) -> None:
        pass


@pytest.fixture
def task(tmp_path: Path) -> Task:
    for name in ("work", "home", "aside", "lock"):
        (tmp_path / name).mkdir()
    ground = Ground(
        tmp_path / "work",
        tmp_path / "home",
        tmp_path / "aside",
        tmp_path / "engines",
        {"PATH": os.defpath},
    )
    ceilings = Ceilings(Usd.parse("1"), 1_000, 10, 60)
    return Task("", "x", "claude-opus-4-7", "high", "http://127.0.0.1:9", "run_x", ceilings, ground=ground)


def worked(task: Task, thing: Thing, stop: threading.Event | None = None, patience: float = 60.0) -> Ending:
    return Foreign(thing, patience).work(task, Nowhere(), lambda event: None, stop or threading.Event())


@pytest.mark.parametrize("closes", ["", "exec >&- 2>&-;"], ids=["open", "closed"])
def test_one_that_hangs_after_its_last_word_is_ended_and_has_not_failed(task: Task, closes: str) -> None:
    ending = worked(task, Thing(f"echo over; {closes} sleep 61.5"), patience=0.5)
    assert ending.outcome == "done", ending
    assert "sleep 61.5" not in processes()


def test_one_that_says_more_than_is_heard_waits_and_costs_no_memory_of_ours(task: Task) -> None:
    class Slow(Thing):
        def hear(self, line: str) -> Iterable[Event]:
            threading.Event().wait(0.02)
            return ()

    script = f"{sys.executable} -c \"for _ in range(100): print('x' * 4_000_000)\""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert worked(task, Slow(script)).outcome == "done"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB, of 400 MB"


def test_a_halt_ends_what_is_just_being_installed(task: Task, tmp_path: Path) -> None:
    stop = threading.Event()

    def commands(where: Path) -> Sequence[Sequence[str]]:
        threading.Timer(0.5, stop.set).start()
        return [["/bin/sh", "-c", "sleep 62.5 & sleep 62.5"]]

    ending = worked(task, Thing(install=Install({}, tmp_path / "lock", commands)), stop)
    assert (ending.outcome, ending.message) == ("halted", "stopped")
    assert "sleep 62.5" not in processes()


def test_where_the_registry_does_not_answer_the_sentence_says_so_and_that_nothing_was_spent(
    task: Task, tmp_path: Path
) -> None:
    npm = "npm error code ECONNREFUSED\nnpm error\nnpm error A complete log of this run can be found in: /x"
    command = ["/bin/sh", "-c", 'echo "$1" >&2; exit 1', "npm", npm]
    ending = worked(task, Thing(install=Install({}, tmp_path / "lock", lambda where: [command])))
    assert ending.outcome == "failed"
    assert ending.message is not None
    assert "nothing was spent" in ending.message
    assert "ECONNREFUSED" in ending.message
    assert "complete log" not in ending.message


WORKS: Sequence[Callable[[Task], Session]] = (
    lambda task: ClaudeWork(task, task.ground, Path("/bin/true"), lambda *_: None),  # type: ignore[arg-type]
    lambda task: AiderWork(task, task.ground, Path("/bin/true"), lambda *_: None),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("work", WORKS, ids=["claude-code", "aider"])
@pytest.mark.parametrize(
    "line",
    ["[" * 200_000, "\ufffd\x1b[31m", "null", "[]", '"result"', '{"type": "result"', '{"type": ["result"]}'],
    ids=["deep", "bytes", "null", "list", "text", "cut", "other"],
)
def test_a_line_that_cannot_be_read_says_nothing(
    task: Task, work: Callable[[Task], Session], line: str
) -> None:
    session = work(task)
    assert list(session.hear(line)) == []
    assert not session.over


@pytest.mark.parametrize("said", [10**400, -1, float("nan"), float("inf"), 1e300, "1", None, [1]])
def test_a_cost_that_is_no_amount_was_not_said(said: object) -> None:
    assert dollars(said) is None


def test_words_without_end_are_cut_before_they_are_handed_on(task: Task) -> None:
    claude, aider = (work(task) for work in WORKS)
    block = {"type": "text", "text": "x" * 4_000_000}
    said = {"type": "assistant", "message": {"id": "msg_1", "content": [block]}}
    [event] = claude.hear(json.dumps(said))
    [turn] = aider.hear(json.dumps({"said": "x" * 4_000_000, "cost": 0.1}))
    list(claude.hear(json.dumps({"type": "result", "result": "y" * 4_000_000})))
    for words in (event.text, turn.text, claude.ended(0, "").summary):
        assert len(words) == MAX_WORDS


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("I fix it.\n\na.py\n```python\n<<<<<<< SEARCH\n```\n\nDone.", "I fix it.\n\n\nDone."),
        ("a.py\n````\n```\n````\nDone.", "Done."),
        ("a.py\n<source>\nx\n</source>\nDone.", "Done."),
        ("Not closed:\n```\nx", "Not closed:\n```\nx"),
        ("No block.", "No block."),
    ],
)
def test_prose_of_aider_is_what_stands_outside_of_its_blocks(task: Task, answer: str, left: str) -> None:
    [event] = WORKS[1](task).hear(json.dumps({"said": answer, "cost": 0}))
    assert event.text == left


def test_fences_without_end_are_read_in_one_pass(task: Task) -> None:
    """As an expression this took time by the square, in which nothing else of the runner ran."""
    [event] = WORKS[1](task).hear(json.dumps({"said": "```a\n" * 1_000_000, "cost": 0}))
    assert event.kind == "turn"


@pytest.mark.parametrize("what", ["/dev/zero", "pipe", "large", "none"])
def test_a_session_that_is_no_file_of_a_size_that_can_be_kept_is_not_read(
    task: Task, tmp_path: Path, what: str
) -> None:
    session = ClaudeWork(task, task.ground, Path("/bin/true"), lambda *_: None)  # type: ignore[arg-type]
    list(session.hear(json.dumps({"type": "system", "subtype": "init", "session_id": ID})))
    file = session._file(ID)
    file.parent.mkdir(parents=True)
    match what:
        case "/dev/zero":
            file.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(file)
        case "large":
            with file.open("wb") as made:
                made.truncate(MAX_SESSION + 1)
        case _:
            pass
    assert session.so_far() is None
    file.unlink(missing_ok=True)
    file.write_text("{}\n")
    assert session.so_far() == Transcript("claude-code", (), session="{}\n")


def test_a_kept_session_with_a_line_that_cannot_be_read_is_gone_on_from(task: Task) -> None:
    kept = "[" * 200_000 + "\n7\n" + json.dumps({"sessionId": ID}) + "\n"
    earlier = Transcript("claude-code", (), session=kept)
    ClaudeWork(replace(task, earlier=earlier), task.ground, Path("/bin/true"), lambda *_: None)  # type: ignore[arg-type]
    [file] = (task.ground.home / ".claude").rglob("*.jsonl")  # type: ignore[union-attr]
    assert file.read_text() == kept
