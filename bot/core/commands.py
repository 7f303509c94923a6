"""What a comment asks for: its first line that starts with `/agent`, read into a closed set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from bot.core.money import Usd
from bot.core.own_words import own_lines
from bot.core.quantities import duration, whole
from bot.core.untrusted import code

ENGINES = ("opus", "claude-code", "aider")
CLASS_OF = {
    "fix": "bugfix",
    "feature": "feature",
    "refactor": "refactor",
    "run": "default",
    "split": "split",
}

# The one table of commands: help comment and README come from it.
HELP: tuple[tuple[str, str], ...] = (
    ("/agent fix|feature|refactor|run [options] [text]", "starts a run of that class"),
    ("/agent resume [options] [text]", "goes on with the last halted run; options are new totals"),
    ("/agent accept · /agent discard", "publishes · drops what the last halted run had made"),
    ("/agent split [options] [text]", "makes a check list of smaller pieces, each with a class and a price"),
    (
        "/agent sweep [parallel=N] [total=$N] [options] [text]",
        "a run and a pull request for each unchecked item of the issue's task list, on a budget line",
    ),
    ("/agent approve SHA", "lets this commit of somebody without write permission run"),
    ("/agent stop", "halts the live run"),
    ("/agent status · /agent cost", "the live run · what this thread has cost so far, and your month"),
    ("/agent ack [reason]", "opens a quarter more of a monthly cap that is reached, by who may"),
    ("/agent help", "the commands, and the ceilings that would hold here now"),
)
EXAMPLE = "/agent fix cost=$5 steps=20 the date test fails in leap years"


@dataclass(frozen=True, slots=True)
class Options:
    """What stood on the command line; None where nothing did. Money in Usd, wall in seconds.

    `parallel` and `total` are of a sweep: how many items at once, and what all of them may cost together.
    """

    cost: Usd | None = None
    tokens: int | None = None
    steps: int | None = None
    wall: int | None = None
    engine: str | None = None
    line: str | None = None
    parallel: int | None = None
    total: Usd | None = None


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
    """A command without arguments: accept, discard, stop, status, cost, help."""

    verb: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """It was meant for us and starts nothing: what is wrong, and the right form."""

    why: str
    example: str = EXAMPLE


Command = Start | Resume | Sweep | Approve | Ack | Plain | Malformed


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that can be set: how it is read (ValueError: not one), its form in words, and one to show."""

    read: Callable[[str], Any]
    form: str
    sample: str


def _dollars(text: str) -> Usd:
    amount = Usd.parse(text)
    if not Usd(0) < amount <= MOST_DOLLARS:
        raise ValueError("out of bounds")
    return amount


def _parallel(text: str) -> int:
    number = whole(text)
    if number > MOST_PARALLEL:
        raise ValueError("out of bounds")
    return number


MOST_DOLLARS = Usd.parse("100000")
MOST_PARALLEL = 20
# What labels can set too.
AMOUNTS = {
    "cost": Amount(_dollars, f"an amount of dollars above $0 and up to {MOST_DOLLARS}, such as $10", "$10"),
    "tokens": Amount(whole, "a whole number such as 500000, 800k or 1M", "800k"),
    "steps": Amount(whole, "a whole number such as 50", "50"),
    "wall": Amount(duration, "a time such as 90s, 20m or 1h", "20m"),
}
_AMOUNTS = {
    **AMOUNTS,
    "parallel": Amount(_parallel, f"a whole number, at most {MOST_PARALLEL}", "5"),
    "total": replace(AMOUNTS["cost"], sample="$100"),
}
_OPTIONS = (*_AMOUNTS, "engine", "line")
_PLAIN = ("accept", "discard", "stop", "status", "cost", "help")
_VERBS = (*CLASS_OF, "resume", "sweep", "approve", "ack", *_PLAIN)
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}\Z")
_SHA = re.compile(r"[0-9a-f]{7,64}\Z")  # a shortened one is told what the whole one is
_APPROVAL = "/agent approve 0123456789abcdef0123456789abcdef01234567"
_OPTION = re.compile(r"([a-z][a-z0-9_-]{0,30})=(\S*)\Z")
# No options (P3), but who writes `--cost=$5` or `Cost=$5` counts on it: starting without it would cost more.
_ALMOST = re.compile(
    r"""[-\u2013\u2014`*_"'\u2018-\u201d(\[<{]{0,3}(cost|tokens|steps|wall|total)(?:[=\uff1d]|:\$?[0-9])""",
    re.ASCII | re.IGNORECASE,
)


def parse(body: str) -> Command | None:
    """The command of a comment, or None where there is none. Never raises; linear in the comment's length."""
    found = _find(body)
    if found is None:
        return None
    before, line, after = found
    verb, _, tail = line[len("/agent") :].strip().partition(" ")
    return _command(verb, tail, before, after)


# -- where it stands --


def _find(body: str) -> tuple[str, str, str] | None:
    """The command line, what stands before and after it; outside code, quotes and HTML comments."""
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for index in own_lines(lines):
        line = lines[index]
        # Exactly at the start of a line: four spaces would be code, `>` a quote, words before it prose.
        if line.startswith("/agent") and not line[len("/agent") :][:1].strip():
            before, after = lines[:index], lines[index + 1 :]
            return "\n".join(before).strip(), " ".join(line.split()), "\n".join(after).strip()
    return None


# -- what it says --


def _command(verb: str, tail: str, before: str, after: str) -> Command:
    if verb in CLASS_OF or verb in ("resume", "sweep"):
        options, text = _options(verb, tail)
        if isinstance(options, Malformed):
            return options
        for name in ("parallel", "total"):
            if getattr(options, name) is not None and verb not in ("sweep", "resume"):
                return Malformed(f"`{name}=` belongs to `/agent sweep`", _example("sweep", name))
        instruction = "\n\n".join(part for part in (before, text, after) if part)
        if verb == "resume":
            return Resume(options, instruction)
        if verb == "sweep":
            return Sweep(options, instruction)
        return Start(verb, CLASS_OF[verb], options, instruction)
    if verb == "approve":
        sha = tail.strip().lower()
        if not _SHA.match(sha):
            return Malformed("`approve` needs the commit that may run, named in full", _APPROVAL)
        return Approve(sha)
    if verb == "ack":
        return Ack("\n\n".join(part for part in (before, tail, after) if part))
    if verb in _PLAIN:
        # Whoever says stop, with whatever words behind it, means it.
        if tail and verb not in ("help", "stop"):
            return Malformed(f"`{verb}` takes nothing more; there was {code(tail, 40)}", f"/agent {verb}")
        return Plain(verb)
    if not verb:
        return Plain("help")
    close = get_close_matches(verb[:40].lower(), _VERBS, n=1)
    return Malformed(
        f"there is no command {code(verb, 40)}" + (f"; did you mean `{close[0]}`?" if close else ""),
        f"/agent {close[0]}" if close else "/agent help",
    )


def _options(verb: str, tail: str) -> tuple[Options, str] | tuple[Malformed, str]:
    """Options anywhere on the line until ` -- `; what is left is the instruction (P3)."""
    values: dict[str, Any] = {}
    words = tail.split()
    text: list[str] = []
    for index, word in enumerate(words):
        if word == "--":
            text += words[index + 1 :]
            break
        option = _OPTION.match(word)
        if option is None:
            if why := _almost(word, text[-1] if text else ""):
                return Malformed(why, f"/agent {verb} cost=$5 steps=20"), ""
            text.append(word)
            continue
        name, value = option[1], option[2]
        if name in values:
            return Malformed(f"`{name}=` is given twice", _example(verb, name)), ""
        problem = _value(name, value, values)
        if problem:
            return Malformed(problem, _example(verb, name)), ""
    return Options(**values), " ".join(text)


def _almost(word: str, before: str) -> str:
    """What is wrong with a word that somebody takes for an option, though it is none."""
    if _ALMOST.match(word):
        return (
            f"{code(word, 40)} looks like an option; one is in lower case with nothing around it. {_ESCAPE}"
        )
    if word.startswith("=") and before.lower() in AMOUNTS:
        return f"an option has no spaces around its `=`: {code(f'{before} {word}', 40)}. {_ESCAPE}"
    return ""


def _value(name: str, value: str, values: dict[str, Any]) -> str | None:
    """Put a checked value in its place, or say what is wrong with it."""
    if name in _AMOUNTS:
        try:
            values[name] = _AMOUNTS[name].read(value)
        except ValueError:
            return f"`{name}=`: {code(value, 40)} is not {_AMOUNTS[name].form}"
    elif name == "engine":
        if value not in ENGINES:
            return f"`engine=`: {code(value, 40)} is none of {', '.join(ENGINES)}"
        values[name] = value
    elif name == "line":
        if not NAME.match(value):
            return f"`line=`: {code(value, 40)} is not a name"
        values[name] = value
    else:
        known = ", ".join(f"`{known}=`" for known in _OPTIONS)
        return f"`{name}=` is not an option; there are {known}. {_ESCAPE}"
    return None


_ESCAPE = "Put ` -- ` before words that only look like one"


def _example(verb: str, name: str) -> str:
    if name in _AMOUNTS:
        return f"/agent {verb} {name}={_AMOUNTS[name].sample}"
    samples = {"engine": f"/agent {verb} engine={ENGINES[0]}", "line": f"/agent {verb} line=evals"}
    return samples.get(name, f"/agent {verb} cost=$5 steps=20")
