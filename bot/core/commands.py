"""What a comment asks for: its first line that starts with `/agent`, read into a closed set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.core.money import Usd
from bot.core.quantities import duration, whole

ENGINES = ("opus", "claude-code", "aider")
CLASS_OF = {"fix": "bugfix", "feature": "feature", "refactor": "refactor", "run": "default"}

# The one table of commands that this version carries out: help comment and README come from it. The others of
# the grammar are read too, and answered with a sentence.
HELP: tuple[tuple[str, str], ...] = (
    ("/agent fix|feature|refactor|run [options] [text]", "starts a run of that class"),
    ("/agent stop", "halts the live run"),
    ("/agent status · /agent cost", "the live run · what this thread has cost so far"),
    ("/agent help", "the commands, and the ceilings that would hold here now"),
)
EXAMPLE = "/agent fix cost=$5 steps=20 the date test fails in leap years"


@dataclass(frozen=True, slots=True)
class Options:
    """What stood on the command line; None where nothing did. Money in Usd, wall in seconds."""

    cost: Usd | None = None
    tokens: int | None = None
    steps: int | None = None
    wall: int | None = None
    engine: str | None = None
    line: str | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    verb: str
    task_class: str
    options: Options
    instruction: str


@dataclass(frozen=True, slots=True)
class Resume:
    options: Options
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    options: Options
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Approve:
    sha: str


@dataclass(frozen=True, slots=True)
class Ack:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plain:
    """A command without arguments: accept, discard, split, stop, status, cost, help."""

    verb: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """It was meant for us and starts nothing: what is wrong, and the right form."""

    why: str
    example: str = EXAMPLE


Command = Start | Resume | Sweep | Approve | Ack | Plain | Malformed

_PLAIN = ("accept", "discard", "split", "stop", "status", "cost", "help")
_READERS: dict[str, Callable[[str], Any]] = {
    "cost": Usd.parse,
    "tokens": whole,
    "steps": whole,
    "wall": duration,
    "parallel": whole,
}
_OPTION = re.compile(r"([a-z][a-z0-9_-]{0,30})=(\S*)\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}\Z")
_SHA = re.compile(r"[0-9a-f]{7,64}\Z")


def parse(body: str) -> Command | None:
    """The command of a comment, or None where there is none. Never raises; linear in the comment's length."""
    found = _find(body)
    if found is None:
        return None
    line, rest = found
    verb, _, tail = line[len("/agent") :].strip().partition(" ")
    return _command(verb, tail, rest)


def _find(body: str) -> tuple[str, str] | None:
    """The command line and what follows it, outside code fences, indented code, quotes and HTML comments."""
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fence, hidden = "", False
    for index, line in enumerate(lines):
        if hidden:
            hidden = "-->" not in line
            continue
        mark = _FENCE.match(line)
        if fence:
            # A fence closes with at least as many of its own marks, and nothing behind them.
            if (
                mark
                and mark[1][0] == fence[0]
                and len(mark[1]) >= len(fence)
                and not line[mark.end() :].strip()
            ):
                fence = ""
            continue
        if mark:
            fence = mark[1]
            continue
        if "<!--" in line and "-->" not in line[line.rindex("<!--") :]:
            hidden = True
        # Exactly at the start of a line: four spaces would be code, `>` a quote, words before it prose.
        if line == "/agent" or line.startswith(("/agent ", "/agent\t")):
            return " ".join(line.split()), "\n".join(lines[index + 1 :]).strip()
    return None


def _command(verb: str, tail: str, rest: str) -> Command:
    if verb in CLASS_OF or verb in ("resume", "sweep"):
        options, text = _options(tail)
        if isinstance(options, Malformed):
            return options
        if options.parallel is not None and verb != "sweep":
            return Malformed("`parallel=` belongs to `/agent sweep`")
        instruction = "\n\n".join(part for part in (text, rest) if part)
        if verb == "resume":
            return Resume(options, instruction)
        if verb == "sweep":
            return Sweep(options, instruction)
        return Start(verb, CLASS_OF[verb], options, instruction)
    if verb == "approve":
        sha = tail.strip()
        if not _SHA.match(sha):
            return Malformed("`approve` needs the commit that may run", "/agent approve 1a2b3c4")
        return Approve(sha)
    if verb == "ack":
        return Ack("\n".join(part for part in (tail.strip(), rest) if part))
    if verb in _PLAIN:
        if tail.strip() and verb != "help":
            return Malformed(f"`{verb}` takes nothing more; there was {_quoted(tail)}", f"/agent {verb}")
        return Plain(verb)
    if not verb:
        return Plain("help")
    return Malformed(f"there is no command {_quoted(verb)}", "/agent help")


def _options(tail: str) -> tuple[Options, str] | tuple[Malformed, str]:
    """Options anywhere on the line until ` -- `; what is left is the instruction (P3)."""
    values: dict[str, Any] = {}
    words = tail.split(" ")
    text: list[str] = []
    for index, word in enumerate(words):
        if word == "--":
            text += words[index + 1 :]
            break
        option = _OPTION.match(word)
        if option is None:
            text.append(word)
            continue
        name, value = option[1], option[2]
        if name in values:
            return Malformed(f"`{name}=` is given twice"), ""
        problem = _value(name, value, values)
        if problem:
            return Malformed(problem), ""
    return Options(**values), " ".join(word for word in text if word)


def _value(name: str, value: str, values: dict[str, Any]) -> str | None:
    """Put a checked value in its place, or say what is wrong with it."""
    if name in _READERS:
        try:
            read = _READERS[name](value)
        except ValueError as error:
            return f"`{name}=`: {error}"
        if isinstance(read, Usd) and not Usd(0) < read <= Usd.parse("100000"):
            return f"`{name}=`: {_quoted(value)} is not between $0 and $100,000"
        if name == "parallel" and read > 50:
            return "`parallel=`: at most 50"
        values[name] = read
    elif name == "engine":
        if value not in ENGINES:
            return f"`engine=`: {_quoted(value)} is none of {', '.join(ENGINES)}"
        values[name] = value
    elif name == "line":
        if not _NAME.match(value):
            return f"`line=`: {_quoted(value)} is not a name"
        values[name] = value
    else:
        known = ", ".join(f"`{known}=`" for known in (*_READERS, "engine", "line"))
        return f"`{name}=` is not an option; there are {known}. Put ` -- ` before words that look like one"
    return None


def _quoted(text: str) -> str:
    """A stranger's words inside our sentence: short, and without a backtick that would end the code."""
    plain = "".join(ch if ch.isprintable() and ch != "`" else " " for ch in text.strip())[:40]
    return f"`{plain}`"
