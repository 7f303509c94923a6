"""What failed, and how, in the output of test runners, compilers and linters.

Read are pytest, unittest, Jest, Vitest, node:test, go test, cargo test, RSpec, PHPUnit, tsc, mypy, ruff,
ESLint, gcc and whatever else writes `file:line: error`. A way of failing is words without what differs from
run to run (times, addresses, temporary paths) and without line numbers, which every edit shifts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 30_000  # characters looked at, from the end: failures stand there
TELLING = 6  # lines of a report that say how it failed
MOST = 200  # failures of one output

READ = 128  # outputs whose reading is kept: a conversation carries its last ones again in each request

_HINTS = ("fail", "error", "✖", "✗", "not ok", "●", "panicked", "undefined")
_PLACE = re.compile(r":\d+:\d+: ")
_CODE = re.compile(r"[a-z]\d{3} ")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_VARIES = re.compile(
    r"(?P<address>0x[0-9a-fA-F]{4,})"
    r"|(?P<place>(?:/private)?/(?:tmp|var/folders|var/tmp|dev/shm)/[^\s'\":,)]*)"
    r"|(?P<time>\(?\b\d+(?:\.\d+)?\s?(?:ms|µs|s|sec|secs|seconds|m)\b\)?)"
    r"|(?P<line>:\d+(?::\d+)?\b|\bline \d+|\(\d+,\d+\))"
)

# A failure that says how on its own line.
_ON_ONE_LINE = re.compile(
    r"^(?:FAILED|ERROR) (?P<pytest>[^\s:]+\.py(?:::\S.*?)?)(?: - (?P<said>.*))?$"
    r"|^[ \t]*(?P<tsc>[^\s(:]+\.\w+)\(\d+,\d+\): (?P<tsc_said>error .*)$"
    r"|^[ \t]*(?P<file>(?:[A-Za-z]:)?[^\s:()\[\]'\"|=]+\.\w{1,8}):\d+(?::\d+)?:? ?-? "
    r"(?P<file_said>(?:fatal |syntax |type )?(?:error|Error|ERROR)\b.*|[A-Z]{1,4}\d{3,4} .*"
    r"|undefined.*|cannot .*)$",
    re.M,
)
# A failure whose report stands in the lines that follow.
_HEADED = re.compile(
    r"^(?:FAIL|ERROR): (?P<unittest>\S+ \(\S+?\).*)$"
    r"|^_{3,} (?:ERROR (?:at|collecting) )?(?:setup of |teardown of )?(?P<section>\S.*?) _{3,}$"
    r"|^[ \t]*● (?P<jest>\S.*)$"
    r"|^[ \t]*(?:❯|×|FAIL)\s+(?P<vitest>\S+\.\w+ > .*)$"  # noqa: RUF001
    r"|^[ \t]*(?:not ok \d+ - |✖ (?!\d+ problem))(?P<node>\S.*)$"
    r"|^[ \t]*--- FAIL: (?P<go>\S+)"
    r"|^---- (?P<cargo>\S+) stdout ----$"
    r"|^[ ]{0,4}\d+\) (?P<counted>\S.*)$"
    r"|^(?P<rust>error(?:\[E\d+\])?: .*)$"
    r"|^(?P<traceback>Traceback \(most recent call last\):)$"
    r"|^(?P<ruff>[A-Z]{1,4}\d{3,4} .*)$"
    r"|^(?P<eslint>/\S+\.\w{1,5})$",
    re.M,
)
_ENDS = re.compile(
    r"^(?:={5,}|-{5,}|failures:|test result:|Ran \d+ tests?|FAILED \(|Tests?:\s|Test Suites:|Finished in"
    r"|✖ \d+ problems?)",
    re.M,
)
_BLAND = re.compile(
    r"^[ \t]*(?:\^|~|File \"|at |\[?stack|#\d|>?\s*\d*\s*\||❯|⎯|duration_ms|type:|location:|note: run|# )"  # noqa: RUF001
    r"|^[ \t]*[-=~^]+\s*$"
)
_ARROW = re.compile(r"^[ \t]*--> (\S+?):\d+")
_FRAME = re.compile(r'^\s+File "([^"<]+)", line')
_ESLINT = re.compile(r"^\s+\d+:\d+\s+error\s+(.*)$")


@dataclass(frozen=True, slots=True)
class Output:
    """What an output says: how each thing fails, by its name; how many passed; whether something is well."""

    failing: Mapping[str, str]
    passed: tuple[str, ...]
    green: bool


def read(text: str) -> Output:
    """What stands at the end of an output; the same output is read once."""
    return _read(_end(text))


@lru_cache(maxsize=READ)
def _read(text: str) -> Output:
    return Output(_failing(text), _passed(text), _green(text))


def green(text: str) -> bool:
    """Whether it says that something is well, and no more: much quicker than reading it."""
    return _green(_end(text))


def _end(text: str) -> str:
    return str(text[-LONGEST:])


# -- what passed --

_PASSED = re.compile(r" pass(?:ed|ing)\b")  # found by its letters: many times as fast as by the number before
_NUMBER = re.compile(r"\b\d+\Z")
_WELL = ("test result: ok", "Success: no issues", "All checks passed")
_WELL_LINE = re.compile(r"\n(?:OK\b|ok\s|PASS\b|# pass [1-9])")
_NONE_WRONG = re.compile(r"\b0 (?:errors|failures)\b")


def _passed(text: str) -> tuple[str, ...]:
    numbers = (
        _NUMBER.search(text, max(0, found.start() - 20), found.start()) for found in _PASSED.finditer(text)
    )
    return tuple(number[0] for number in numbers if number)


def _green(text: str) -> bool:
    return (
        any(words in text for words in _WELL)
        or any("1" <= number[0] <= "9" for number in _passed(text))
        or _WELL_LINE.search("\n" + text) is not None
        or (("0 errors" in text or "0 failures" in text) and _NONE_WRONG.search(text) is not None)
    )


# -- what failed --


def _hints(text: str) -> bool:
    low = text.lower()
    return any(hint in low for hint in _HINTS) or bool(_PLACE.search(low) or _CODE.search(low))


def _failing(text: str) -> Mapping[str, str]:
    if not _hints(text):
        return {}
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    found: dict[str, str] = {}
    for each in _ON_ONE_LINE.finditer(text):
        if each["pytest"]:
            _add(found, each["pytest"], each["said"] or "")
        elif each["tsc"]:
            _add(found, each["tsc"], each["tsc_said"])
        else:
            _add(found, each["file"], each["file_said"])
        if len(found) >= MOST:
            break
    heads = list(_HEADED.finditer(text))[:MOST]
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, until in zip(heads, ends, strict=False):
        body = text[head.end() : until]
        end = _ENDS.search(body, 1)
        # The rule under a unittest's name only opens its report.
        if end and head["unittest"] and end.start() <= 2:
            end = _ENDS.search(body, end.end() + 1)
        _report(found, head, body[: end.start()] if end else body)
    return found


def _report(found: dict[str, str], head: re.Match[str], body: str) -> None:
    """Take in one report of several lines."""
    kind, name = str(head.lastgroup), str(head[str(head.lastgroup)])
    lines = body.split("\n")[:400]
    if kind == "eslint":
        for line in lines:
            if problem := _ESLINT.match(line):
                _add(found, name, problem[1])
        return
    if kind in ("rust", "ruff"):
        place = next((at[1] for line in lines[:4] if (at := _ARROW.match(line))), None)
        if place is not None:
            _add(found, place, name)
        return
    if kind == "section":
        # pytest's own: joined to the test that the summary names, if it does.
        said = " ".join(line[1:].strip() for line in lines if line.startswith("E "))[:600]
        tail = name.replace(".", "::")
        whole = next((test for test in found if test.endswith(f"::{tail}") or test == name), None)
        if said:
            _add(found, whole or name, said)
        return
    if kind == "traceback":
        frames = [at[1] for line in lines if (at := _FRAME.match(line))]
        error = next(
            (line for line in lines if line[:1].strip() and (":" in line or line.endswith("Error"))), ""
        )
        if frames and error:
            _add(found, frames[-1], error)
        return
    if kind == "counted" and not _says_how(lines):
        return  # any list has numbers
    _add(found, _VARIES.sub(_stable, name), " ".join(_telling(lines)))


def _says_how(lines: list[str]) -> bool:
    return any(
        re.search(r"Failure/Error|Error:|Failed asserting|expected|Exception|Error$", line)
        for line in lines[:8]
    )


def _telling(lines: list[str]) -> list[str]:
    kept, source = [], False
    for line in lines:
        if source and line.startswith("    "):
            continue  # a line of source under its frame
        source = _FRAME.match(line) is not None
        if line.strip() and not _BLAND.match(line):
            kept.append(line.strip())
            if len(kept) == TELLING:
                break
    return kept


def _add(found: dict[str, str], name: str, said: str) -> None:
    said = _VARIES.sub(_stable, said).strip()
    before = found.get(name)
    if before is None:
        found[name] = said
    elif said and said not in before:
        found[name] = f"{before} {said}"


def _stable(varies: re.Match[str]) -> str:
    # Two temporary places are one, but two files in them are not.
    return varies["place"].rpartition("/")[2] if varies["place"] else ""


# Each begins with letters or a bracket of its own, so that a text is gone through quickly. A mark stays in
# the place of what goes, so that no two words become one.
_TIMED = tuple(
    map(
        re.compile,
        (
            r"([iI](?<!\w.)[nN] )\d+(?:\.\d+)?\s?(?i:ms|s|sec|seconds)\b",
            r"([tT](?<!\w.)(?i:ime: ))[\d.:]+",
            r"([dD](?<!\w.)(?i:uration ))[\d.]+(?i:m?s)",
            r"([dD](?<!\w.)(?i:uration_ms ))[\d.]+",
            r"(\()\d+(?:\.\d+)?\s?(?i:ms|s)(?=\))",
        ),
    )
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


NEARLY = 40  # characters by which times and addresses make an output longer


@lru_cache(maxsize=READ)
def timeless(text: str) -> str:
    """An output without how long it took and where in memory it was."""
    for timed in _TIMED:
        text = timed.sub(r"\1_", text)
    return _ADDRESS.sub("", text)
