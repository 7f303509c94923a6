"""What a runner hands in: results with changesets, judged beside git's own opinion of each path."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bot.core import changeset, results
from bot.core.changeset import Malformed
from bot.core.objections import objections
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import characters, mutated, words
from tests.fuzz.worlds import Worlds

BASE = "a" * 40
PROTECTED = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true")
PATTERNS = ("infra/**", "*.lock", "**/secret?.py")
_PARTS = (
    "a", "src", ".git", ".GIT", ".git ", ".git.", ".g\u200bit", "git~1", "GIT~1", ".gitmodules",
    ".gitm\u200eodules", "gi7eba~1", ".gi\u202at", ".git::$INDEX_ALLOCATION",
    ".github", ".GitHub", "workflows", "ci.yml", "agent.yml", "..", ".", "", " ", "C:", "con", "\\",
    "infra", "x.lock",
    "\u202e", "é", "e\u0301", "\x7f", "\n", "\0", "\ud800", "~", "-rf", "*", "a" * 300,
)  # fmt: skip
paths = st.one_of(
    st.lists(st.one_of(st.sampled_from(_PARTS), st.text(characters, max_size=6)), min_size=1, max_size=6).map(
        "/".join
    ),
    words,
)


def unicode(text: str) -> bool:
    return text.isprintable()


contents = st.one_of(
    st.builds(lambda text: {"text": text}, st.one_of(st.text(max_size=20), paths.filter(unicode))),
    st.builds(lambda text: {"base64": text}, st.sampled_from(["", "aGk=", "////"])),
    st.just({"deleted": True}),
)
files = st.builds(
    lambda path, mode, content: {"path": path, "mode": mode, **content},
    paths,
    st.sampled_from(["100644", "100755", "120000"]),
    contents,
)


def a_result(sets: Any) -> dict[str, Any]:
    return {
        "outcome": "done", "reason": None, "message": "m", "summary": "s", "isolation": "user",
        "tool_calls": 3,
        "engine": {"name": "opus", "version": "1", "own_usd": "0.5"},
        "check": {"command": "make test", "exit_code": 0, "output": "ok"}, "changeset": sets,
    }  # fmt: skip


results_of_runners = mutated(
    st.builds(lambda some: a_result({"base": BASE, "files": some}), st.lists(files, max_size=6)), most=1
)


def judged(worlds: Worlds) -> Law:
    """git's own `update-index` is asked about what nobody objected to."""
    folder = worlds.folder("changes")
    git(folder, "init", "--quiet")
    blob = git(folder, "hash-object", "-w", "--stdin").strip()

    def law(raw: bytes) -> None:
        try:
            read = results.read(raw)
        except Malformed:
            return
        for said in (read.message, read.summary, read.isolation, read.engine):
            stored(said)
        for file in read.changeset.files:
            one = changeset.Changeset(read.changeset.base, (file,))
            found = objections(one, PATTERNS)
            assert all(str(objection).isprintable() for objection in found)
            if found or file.content is None:
                continue
            parts = file.path.casefold().split("/")
            assert ".." not in parts
            assert ".git" not in parts
            assert parts[:2] != [".github", "workflows"]
            stored(file.path)
            git(folder, "update-index", "--add", "--cacheinfo", f"{file.mode},{blob},{file.path}")
            git(folder, "read-tree", "--empty")

    return law


def stored(text: str) -> None:
    """Both databases and GitHub take it."""
    text.encode()
    assert "\0" not in text


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *PROTECTED, *words], cwd=folder, check=True, capture_output=True, text=True, input=""
    ).stdout


TARGETS = (
    Target(
        "changesets",
        "what nobody objects to is a path that git takes, inside the tree and in none that is forbidden",
        results_of_runners,
        judged,
        150,
    ),
)
