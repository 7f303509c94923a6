"""Does it work now? A test command, run once more outside of the model, on the tree as it was left."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.core.reports import Check
from bot.runner.output import bounded_text
from bot.runner.shell import Shell

CHECK_SECONDS = 300.0
OUTPUT_TAIL = 8_000
# Characters: what is longer is no command that somebody would run again. An expression holds up every other
# thread of ours, the run's clock too, for as long as it reads.
MOST, MOST_PART = 100_000, 2_000

# The beginning of a command that runs tests, whatever stands before it of env, timeout and package runners.
# Possessive: what was read once is not read again in another way.
_BEFORE = (
    r"(?:(?:sudo|env|time|nice|command|exec)\s++|timeout\s++(?:-\S++\s++)*+\S++\s++"
    r"|[A-Za-z_]\w*+=(?:'[^']*+'|\"[^\"]*+\"|[^\s'\"])*+\s++"
    r"|(?:uv|poetry|pipenv|pdm|hatch|rye)\s++run\s++(?:-\S++\s++)*+|bundle\s++exec\s++|npx\s++(?:-\S++\s++)*+)*+"
)
_RUNS_TESTS = (
    r"(?>\S*/)?+(?:py\.?test|tox|nox|ctest|rspec|phpunit|jest|vitest|mocha|ava|bats|pester)(?![\w.-])",
    r"(?>\S*/)?+python[\d.]*\s+(?:-\S+\s+)*?-m\s*(?:pytest|unittest|nose2|tox|nox|doctest)\b",
    r"(?>\S*/)?+python[\d.]*\s+(?:-\S+\s+)*(?>\S*/)?+(?:manage\.py\s+test|setup\.py\s+test|\S*tests?(?:_\w+)?\.py|test_\w+\.py)\b",
    r"(?>\S*/)?+make\s+(?:-\S+\s+|\w+=\S+\s+)*(?:\S*(?:test|check)\S*)",
    r"(?:npm|pnpm|yarn|bun)\s+(?:-\S+\s+)*(?:run\s+)?(?:t|tst|test\S*)(?!\S)",
    r"(?:go|cargo|dotnet|swift|mix|sbt|lein|deno|bun|dart|flutter|zig\s+build|rake|rails|just|task|bazel|hatch|meson|mage)"
    r"\s+(?:-\S+\s+)*(?:test|nextest)\b",
    r"(?>\S*/)?+(?:mvn|mvnw|gradle|gradlew)\s+(?:\S+\s+)*?\S*(?:test|check|verify)\b",
    r"(?:(?:ba|z)?sh\s+)?(?>\S*/)?+(?:run[-_]?tests?|test|tests)\.sh\b",
)  # fmt: skip
_TEST = re.compile(rf"{_BEFORE}(?:{'|'.join(_RUNS_TESTS)})")
_JOINS = re.compile(r"&&|\|\||;|\n|\|&|\||&(?![>\d])")
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.", re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*['\"]?\w")


@dataclass(frozen=True, slots=True)
class Test:
    """A command that runs tests, and where."""

    __test__ = False  # for pytest, which would collect it

    command: str
    cwd: Path


def test_in(command: str, cwd: Path) -> Test | None:
    """The last part of a command line that runs tests, without what filters its output or edits before it."""
    if heredoc := _HEREDOC.search(command):
        command = command[: heredoc.start()]
    if len(command) > MOST:
        return None
    found: list[str] = []
    moves: list[str] = []
    for part in _parts(command):
        if re.match(r"(?:cd|pushd)\s+\S", part):
            moves.append(part)
        elif _TEST.match(part):
            found = [*moves, part]
    return Test(" && ".join(found), cwd) if found else None


test_in.__test__ = False  # type: ignore[attr-defined]


def _parts(command: str) -> Iterator[str]:
    """The simple commands of a line, as they are written; what is quoted is not looked into."""
    blind = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), command)
    start = 0
    for join in _JOINS.finditer(blind):
        if join[0] == "&" and blind[join.start() - 1 : join.start()] == ">":
            continue  # 2>&1
        yield _bare(command[start : join.start()])
        start = join.end()
    yield _bare(command[start:])


def _bare(part: str) -> str:
    part = part.strip().lstrip("({ ").strip()
    if len(part) > MOST_PART:
        return ""
    if part.count(")") > part.count("("):
        part = part.rstrip(") ;")
    return re.sub(r"(?<!\s)\s*+(?:\d?>&\d|&?\d?>{1,2}+\s*+\S++)\s*+$", "", part).strip()


def run(
    shell: Shell,
    test: Test | None,
    explicit: str | None = None,
    stop: threading.Event | None = None,
    seconds: float = CHECK_SECONDS,
) -> Check | None:
    """The policy's command at the root, else the agent's last test command where it ran; None: there is none.

    A policy's command gets a fresh environment, the agent's its own, with what it had exported.
    """
    if explicit:
        shown, ran = explicit, shell.run(explicit, stop, seconds, at=shell.root)
    elif test is not None:
        shown = test.command
        ran = shell.run(f"cd -- {_quote(str(test.cwd))} && {test.command}", stop, seconds)
    else:
        return None
    output = ran.output if not ran.ended else f"{ran.output}\n(ended: {ran.ended})"
    code = 124 if ran.exit_code is None else ran.exit_code  # as timeout(1) says it
    return Check(shown, code, bounded_text(output, 0, OUTPUT_TAIL))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
