"""Edits as far as they can be seen: in a diff, in an engine's words, in a shell command. And what only reads.

What a program changes by itself, a formatter or a generator, cannot be seen in what it was given. The texts
are the agent's: each is gone through once, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPAQUE = "\0"  # `old` of an edit by a script: what it puts in whose place is not read
LONGEST = 4_000  # characters of a command, or of a line in it, that are understood


@dataclass(frozen=True, slots=True)
class Edit:
    """A text put in the place of another. `old` is None where the whole file was written."""

    path: str
    old: str | None
    new: str


# -- in words and patches --

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})\s*([\w.+-]*)")
_SEARCH, _BECOMES, _REPLACE = "<<<<<<< SEARCH\n", "\n=======\n", "\n>>>>>>> REPLACE"
_HUNK = re.compile(r"^@@|^\*\*\* (?:Update|Add|Delete) File: ", re.M)


def fenced(said: str) -> Iterator[tuple[str, str]]:
    """Each fenced block: its language, its text."""
    fence, language, inside = "", "", list[str]()
    for line in said.split("\n"):
        if line.lstrip()[:3] not in ("```", "~~~"):
            inside.append(line)
            continue
        mark = _FENCE.match(line)
        if not fence and mark:
            fence, language, inside = mark[1], mark[2], []
        elif fence and line.strip() and set(line.strip()) == {fence[0]} and len(line.strip()) >= len(fence):
            yield language, "\n".join(inside)
            fence = ""
        else:
            inside.append(line)


def in_words(said: str) -> Iterator[Edit]:
    """Aider's SEARCH/REPLACE blocks, each under the name of its file, or the hunks of a diff."""
    if is_patch(said):
        yield from in_patch(said, "")
    path, at = "", 0
    while (start := said.find(_SEARCH, at)) >= 0:
        middle = said.find(_BECOMES, start + len(_SEARCH) - 1)
        end = said.find(_REPLACE, middle + len(_BECOMES) - 1)
        if middle < 0 or end < 0:
            return
        above = said[at:start].replace("`" * 3, "\n").split("\n")
        path = next((line.strip() for line in reversed(above) if "." in line or "/" in line), path)
        yield Edit(path, said[start + len(_SEARCH) : middle + 1], said[middle + len(_BECOMES) : end + 1])
        at = end + len(_REPLACE)


def is_patch(text: str) -> bool:
    return _HUNK.search(text) is not None


def in_patch(patch: str, path: str) -> Iterator[Edit]:
    """The hunks of a diff: what each takes out, and what it puts there. `path`: where the diff names none."""
    old: list[str] = []
    new: list[str] = []
    for line in [*patch.split("\n"), "@@"]:
        if line.startswith(("@@", "+++ ", "--- ", "*** ", "diff ")):
            if old or new:
                yield Edit(path, "\n".join(old), "\n".join(new))
                old, new = [], []
            if line.startswith(("+++ ", "*** Update File: ", "*** Add File: ")):
                path = line.split(None, 3 if line.startswith("***") else 1)[-1].removeprefix("b/")
        elif line.startswith("-"):
            old.append(line[1:])
        elif line.startswith("+"):
            new.append(line[1:])


# -- in commands --

_HEREDOC = re.compile(
    r"\bcat\s*>\s*(?P<path>[^\s<>|&;]+)\s*<<-?\s*['\"]?(?P<end>\w+)"
    r"|\bcat\s*<<-?\s*['\"]?(?P<end2>\w+)['\"]?\s*>\s*(?P<path2>[^\s<>|&;]+)"
)
_IN_PLACE = re.compile(r"\b(?:sed|perl)\s[^|;&]{0,40}?-\w*i")
_SUBSTITUTION = re.compile(
    r"['\"](?:\d+)?s(?P<by>[/|#,@])(?P<old>[^'\"]{1,500}?)(?P=by)(?P<new>[^'\"]{0,500}?)(?P=by)\w{0,4}['\"]"
    r"\s+(?P<path>[^\s;&|]+)"
)
_INTERPRETER = re.compile(r"\b(?:python[\d.]*|node|ruby|perl)\b[^\n|;&]{0,60}(?:<<|\s-[ce]\s)")
_WRITES = re.compile(r"write_text|\.write\(|writelines|writeFile|File\.write|open\([^)]{0,200}['\"][wa]")
_QUOTED_PATH = re.compile(r"['\"\\]([\w./-]{1,200}\.\w{1,5})['\"\\]")


def in_command(command: str) -> Iterator[Edit]:
    """`cat > file <<EOF`, `sed -i s/a/b/`, patches, and scripts given inline that write files."""
    if "<<" not in command and " -" not in command:
        return
    yield from _written(command)
    if "<<" in command and is_patch(command):
        yield from in_patch(command, "")
    elif _INTERPRETER.search(command) and _WRITES.search(command):
        path = _QUOTED_PATH.search(command)
        # What it does is not read; that it is the very same script again is seen.
        yield Edit(path[1] if path else "a script", OPAQUE, command)


def _written(command: str) -> Iterator[Edit]:
    path, end, inside = "", "", list[str]()
    for line in command.split("\n"):
        if end:
            if line.strip() == end:
                yield Edit(path, None, "\n".join(inside))
                end = ""
            else:
                inside.append(line)
        elif len(line) > LONGEST:
            continue
        elif opened := _HEREDOC.search(line):
            path, end, inside = opened["path"] or opened["path2"], opened["end"] or opened["end2"], []
        elif _IN_PLACE.search(line):
            for found in _SUBSTITUTION.finditer(line):
                yield Edit(found["path"], found["old"], found["new"])


# -- commands that only read --

_QUIET = re.compile(r"\d?>&\d|&?\d?>{1,2}\s*/dev/null|2>>?\s*\S+")
_SEPARATORS = re.compile(r"&&|\|\||[;|\n&]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_BEFORE = frozenset({"time", "command", "exec", "sudo", "env", "nice", "timeout", "!", "(", "{"})
_READERS = frozenset(
    """
    ls cat head tail less more grep egrep fgrep rg ag wc pwd cd echo printf true false test [ sleep stat file
    tree diff cmp sort uniq cut tr nl which type whereis ps date printenv uname whoami id df du jq yq awk find
    basename dirname realpath readlink md5sum sha256sum xxd od hexdump strings column export set source wait
    curl ping nc dig pytest mypy tsc rspec phpunit tox nosetests jest vitest ctest pylint flake8 pyright sed
    history man lsof netstat ss free uptime top nproc eslint
    """.split()  # noqa: SIM905  as words it can be read
)
_RUNS = re.compile(
    r"python[\d.]* (?:-\w+ )*?-m (?:pytest|unittest|mypy|pylint|flake8|tox|pyright|doctest)\b"
    r"|python[\d.]* (?:-V|--version)|node (?:-v|--version)|node (?:--\S+ )*?--test\b"
    r"|(?:npm|pnpm|yarn|bun) (?:run )?(?:test|lint|typecheck|type-check|check|tsc)\b"
    r"|(?:npx|bunx|pnpm exec|yarn|bundle exec|poetry run|uv run|pipenv run|hatch run)"
    r" (?:jest|vitest|tsc|eslint|mocha|ava|rspec|pytest|python -m pytest|mypy|phpunit|ruff check)\b"
    r"|go (?:test|vet|build|list|doc)\b|cargo (?:test|check|build|clippy|tree)\b|dotnet (?:test|build)\b"
    r"|(?:\./)?vendor/bin/phpunit|(?:\./)?(?:gradlew|mvnw|mvn|gradle) (?:-\S+ )*?test\b|swift test\b"
    r"|make (?:-\S+ )*?(?:test|check|lint)\b|ruff (?:check|format --check)|pip3? (?:list|show|freeze)\b"
    r"|git (?:--no-pager )?(?:status|diff|log|show|blame|ls-files|rev-parse|grep|describe|branch|remote)\b"
    r"|xargs (?:grep|cat|head|wc|ls)\b|docker (?:ps|logs|inspect)\b|kubectl (?:get|describe|logs)\b"
    r"|gh (?:pr|run|issue) (?:view|list|checks|diff|watch)\b"
)
_AFTER_ALL = re.compile(
    r" (?:--fix|--write|-w|--in-place|-i\S*|-delete|-exec|--update-snapshots?|-X \S+|-d|-o) "
)
_LOOKS_SO_TOO = frozenset(
    {"cut", "sort", "test", "[", "ls", "grep", "egrep", "rg", "pytest", "wc", "diff", "date"}
)
_TIME = re.compile(r"\bsleep\b|\bwait\b|\bwatch\b|--watch\b|\btail -[fF]|\buntil\b")


def only_reads(command: str) -> bool:
    """Every part of a command line is known to change nothing. What quoting hides counts as unknown."""
    if len(command) > LONGEST:
        return False
    plain = _QUIET.sub("", command)
    if "<<" in plain or ">" in plain or "`" in plain:
        return False
    return all(_reads(part.split()) for part in _SEPARATORS.split(plain))


def _reads(words: list[str]) -> bool:
    while words and (words[0] in _BEFORE or _ASSIGNMENT.match(words[0])):
        words = words[2:] if words[0] == "timeout" else words[1:]
    if not words:
        return True
    first, line = words[0].lstrip("(").rpartition("/")[2], " ".join(words)
    if first not in _READERS and not _RUNS.match(line):
        return False
    return first in _LOOKS_SO_TOO or _AFTER_ALL.search(f"{line} ") is None


def lets_time_pass(command: str) -> bool:
    """The same may come out differently after it: it sleeps, or waits for something."""
    return _TIME.search(command[:LONGEST]) is not None
