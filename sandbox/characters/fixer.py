"""The fixer: runs the tests, reads what failed, looks at the code, tries repairs until they pass.

It knows no bug beforehand and sees no file but through its tools: change the bug or the test, and its repair
changes with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, field

from sandbox.characters import evidence
from sandbox.characters.answers import Answer, Call
from sandbox.characters.evidence import Evidence
from sandbox.characters.hands import Hands, Work, ended, follow, seen, turn
from sandbox.characters.plain import Manner
from sandbox.characters.source import Mutation
from sandbox.characters.suspects import imported, is_test, known, module_name, suspects
from sandbox.characters.talk import Step, Talk

LIST = (
    "pwd && (git ls-files --cached --others --exclude-standard 2>/dev/null"
    " || find . -type f -not -path '*/.*') | head -n 400"
)
DIRECT = 6  # repairs tried by hand, before trying the others in a copy of the tree
BATCH = 60
BATCHES = 4
FILES = 8
_COMMAND = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:python3?|pytest|make|tox|uv|poetry|nox)\b[^`\n]*)`")
_PROBE = r"""python3 - <<'TRY_THEM'
import json, pathlib, re, shutil, subprocess, tempfile, time
command, failing, tries = json.loads({given!r})
home = pathlib.Path(tempfile.mkdtemp()) / "tree"
shutil.copytree(".", home, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", "node_modules"))
end = time.time() + 75
for number, (path, old, new) in enumerate(tries):
    if time.time() > end:
        break
    file = home / path
    text = file.read_text()
    file.write_text(text.replace(old, new))
    try:
        run = subprocess.run(["bash", "-c", "export PYTHONDONTWRITEBYTECODE=1; " + command],
                             cwd=home, timeout=20, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace")
        counts = re.findall(r"(?:failures|errors)=(\d+)|(\d+) (?:failed|errors?)\b", run.stdout)
        left = sum(int(one or other) for one, other in counts)
        if run.returncode == 0 or 0 < left < failing:
            print("passes:" if run.returncode == 0 else "fewer fail:", number)
            break
    except subprocess.TimeoutExpired:
        pass
    file.write_text(text)
else:
    print("none of", len(tries), "passes")
shutil.rmtree(home.parent)
TRY_THEM"""


@dataclass
class Notes:
    """What the fixer knows by now."""

    files: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)
    command: str = "python -B -m unittest"
    evidence: Evidence | None = None
    trying: Mutation | None = None  # applied, not known to help
    kept: list[Mutation] = field(default_factory=list)
    tried: set[tuple[str, str, str]] = field(default_factory=set)


class Fixer:
    """Repairs by generate and validate, through the tools of the conversation."""

    def __init__(self, manner: Manner) -> None:
        pass

    def answer(self, talk: Talk) -> Answer:
        hands, notes = Hands(talk.tools), Notes()
        if not hands.can_run:
            return ended(
                "I have no tool to run the tests with, so I cannot tell whether a change would help."
            )
        told = talk.wrap_up_after
        answer, last = follow(self.work(talk, hands, notes), talk, told)
        if told is None or last:
            return answer
        if notes.trying is not None and talk.turns == told:
            undo = _undo(notes.trying, hands)
            return turn("I am nearly out of budget, so I take back the change that did not help.", *undo)
        return ended(_unfinished(notes))

    def work(self, talk: Talk, hands: Hands, notes: Notes) -> Work:
        yield from look_around(talk, hands, notes)
        if notes.evidence is None or not notes.evidence.ran:
            return f"I could not run the tests here: `{notes.command}` ran none. I changed nothing."
        if notes.evidence.passed:
            return f"All {notes.evidence.ran} tests pass already (`{notes.command}`), so I changed nothing."
        yield from read_code(talk, hands, notes)
        while not notes.evidence.passed:
            before = len(notes.kept)
            yield from self._by_hand(talk, hands, notes)
            if not notes.evidence.passed and len(notes.kept) == before:
                yield from self._in_a_copy(talk, hands, notes)
            if len(notes.kept) == before:
                break
        if notes.trying is not None:
            yield turn("That did not help either: I take it back.", *_undo(notes.trying, hands))
        return _fixed(notes) if notes.evidence.passed else _not_found(notes)

    def _by_hand(self, talk: Talk, hands: Hands, notes: Notes) -> Generator[Answer, list[Step], None]:
        for mutation in _untried(talk, notes)[:DIRECT]:
            yield from attempt(mutation, hands, notes)
            if notes.trying is None:
                return

    def _in_a_copy(self, talk: Talk, hands: Hands, notes: Notes) -> Generator[Answer, list[Step], None]:
        for _ in range(BATCHES):
            batch = _untried(talk, notes)[:BATCH]
            if not batch:
                return
            undo = _undo(notes.trying, hands) if notes.trying else []
            failing = len(notes.evidence.failed) if notes.evidence else 0
            given = json.dumps([notes.command, failing, [[each.path, each.old, each.new] for each in batch]])
            words = "The likeliest causes are not it. I try smaller suspicions in a copy, one after another."
            steps = yield turn(words, *undo, hands.run(_PROBE.format(given=given)))
            _forget(notes)
            notes.tried |= {_key(each) for each in batch}
            passes = re.search(r"(?:passes|fewer fail): (\d+)", steps[-1].result)
            if passes and int(passes[1]) < len(batch):
                yield from attempt(batch[int(passes[1])], hands, notes)
                return


def look_around(talk: Talk, hands: Hands, notes: Notes) -> Generator[Answer, list[Step], None]:
    """List the files, then run the tests in the way that this repository runs them."""
    steps = yield turn("I'll look at the repository first.", hands.run(LIST))
    lines = [line.strip().removeprefix("./") for line in steps[-1].result.splitlines()]
    hands.root = next((line for line in lines if line.startswith("/")), "")
    notes.files = [line for line in lines if line and not line.startswith("/") and " " not in line]
    words = "Now the tests, to see what fails."
    for command in commands(talk, notes.files):
        notes.command = command
        steps = yield turn(words, hands.run(command))
        notes.evidence = evidence.read(steps[-1].result)
        if notes.evidence.ran or notes.evidence.failed:
            return
        words = f"`{command}` ran no test here; another way."


def read_code(talk: Talk, hands: Hands, notes: Notes) -> Generator[Answer, list[Step], None]:
    """Look at the tests that fail, then at what they import."""
    found = notes.evidence
    assert found is not None  # noqa: S101  look_around has run the tests
    named = [path for frame in found.frames if (path := known(frame.path, notes.files))]
    tests = [path for path in named if is_test(path)]
    tests += [path for path in notes.files if is_test(path) and module_name(path) in " ".join(found.failed)]
    tests += [path for path in notes.files if is_test(path) and path in " ".join(found.failed)]
    tests = list(dict.fromkeys(tests))[:3] or [path for path in notes.files if is_test(path)][:3]
    if tests:
        failing = ", ".join(sorted(found.test_names)[:3]) or "something"
        fails = "fail. What do these tests" if "," in failing else "fails. What does the test"
        notes.tests = yield from look_at(tests, f"{failing} {fails} expect?", hands)
    wanted = [path for path in named if not is_test(path)]
    for path, text in notes.tests.items():
        wanted += imported(path, text, notes.files)
    wanted = list(dict.fromkeys(wanted)) or [path for path in notes.files if path.endswith(".py")]
    for _ in range(2):
        more = [path for path in wanted if path not in notes.sources and not is_test(path)]
        more = more[: FILES - len(notes.sources)]
        if not more:
            break
        words = "Now the code under test." if not notes.sources else "And what that code uses."
        notes.sources |= yield from look_at(more, words, hands)
        wanted = [each for path in more for each in imported(path, notes.sources[path], notes.files)]


def look_at(paths: list[str], words: str, hands: Hands) -> Generator[Answer, list[Step], dict[str, str]]:
    """The texts of files, by the editor's view or, where that shows them in some other way, by `cat -n`."""
    steps = yield turn(words, *[hands.view(path) for path in paths])
    texts = {path: seen(step.result) for path, step in zip(paths, steps, strict=False)}
    odd = [path for path, step in zip(paths, steps, strict=False) if step.result.strip() and not texts[path]]
    if odd:
        steps = yield turn("I print what I could not read.", *[hands.run(f"cat -n {path}") for path in odd])
        texts |= {path: seen(step.result) for path, step in zip(odd, steps, strict=False)}
    return texts


def attempt(mutation: Mutation, hands: Hands, notes: Notes) -> Generator[Answer, list[Step], None]:
    """Undo what did not help, make one change, run the tests; keep it when fewer of them fail."""
    before = notes.evidence
    assert before is not None  # noqa: S101  nothing is attempted before the tests have run
    undo = _undo(notes.trying, hands) if notes.trying else []
    words = f"Perhaps {mutation.words}. I change that and run the tests again."
    words = f"That was not it. {words}" if undo else words
    change = hands.edit(mutation.path, mutation.old, mutation.new)
    steps = yield turn(words, *undo, change, hands.run(notes.command))
    _forget(notes)
    notes.tried.add(_key(mutation))
    notes.sources[mutation.path] = notes.sources[mutation.path].replace(mutation.old, mutation.new, 1)
    notes.trying = mutation
    now = evidence.read(steps[-1].result)
    if now.passed or (now.ran and now.failed < before.failed):
        notes.evidence, notes.trying = now, None
        notes.kept.append(mutation)


def _forget(notes: Notes) -> None:
    if notes.trying is not None:
        text = notes.sources[notes.trying.path]
        notes.sources[notes.trying.path] = text.replace(notes.trying.new, notes.trying.old, 1)
        notes.trying = None


def _undo(mutation: Mutation, hands: Hands) -> list[Call]:
    return [hands.edit(mutation.path, mutation.new, mutation.old)]


def _key(mutation: Mutation) -> tuple[str, str, str]:
    return mutation.path, mutation.old, mutation.new


def _untried(talk: Talk, notes: Notes) -> list[Mutation]:
    base = notes
    if notes.trying is not None:  # candidates are changes of the tree without the one that did not help
        base = Notes(
            notes.files, dict(notes.sources), notes.tests, notes.command, notes.evidence, notes.trying
        )
        base.tried = notes.tried
        _forget(base)
    return [
        each for each in suspected(talk, base) if _key(each) not in notes.tried and _reversible(each, base)
    ]


def suspected(talk: Talk, notes: Notes) -> list[Mutation]:
    """Every change that we would try to the tree as it is known, the likeliest first."""
    assert notes.evidence is not None  # noqa: S101  nobody is suspected before the tests have run
    return suspects(talk.task, notes.files, notes.sources, notes.tests, notes.evidence)


def _reversible(mutation: Mutation, notes: Notes) -> bool:
    text = notes.sources[mutation.path]
    changed = text.replace(mutation.old, mutation.new, 1)
    return text.count(mutation.old) == 1 and bool(mutation.new.strip()) and changed.count(mutation.new) == 1


def commands(talk: Talk, files: list[str]) -> list[str]:
    told = [
        each
        for each in _COMMAND.findall(talk.said_first)
        if re.search(r"test|tox|nox", each) and not re.search(r"install", each)
    ]
    pytest = any(path.rpartition("/")[2] in ("conftest.py", "pytest.ini") for path in files)
    usual = ["python -B -m unittest", "python -B -m pytest -q"]
    usual += [
        "python3 -B -m unittest",
        "python3 -B -m pytest -q",
        "python -B -m unittest discover -s tests -t .",
    ]
    usual += ["python -B -m unittest discover -s tests", "python3 -B -m unittest discover -s tests"]
    if pytest:
        usual[0], usual[1] = usual[1], usual[0]
    # -B: a repair within the second of the last one, of the same size, would be hidden by the compiled file.
    told = [re.sub(r"\b(python3?) -m\b", r"\1 -B -m", each) for each in told[:2]]
    return list(dict.fromkeys([*told, *usual]))


def _fixed(notes: Notes) -> str:
    assert notes.evidence is not None  # noqa: S101  it is what says that the tests pass
    what = "\n".join(f"- {each.words}." for each in notes.kept)
    return (
        f"Fixed. What was wrong:\n\n{what}\n\n"
        f"All {notes.evidence.ran} tests pass now (`{notes.command}`). I changed nothing else."
    )


def _not_found(notes: Notes) -> str:
    kept = "".join(f"\n- {each.words}: kept, fewer tests fail with it." for each in notes.kept)
    still = ", ".join(sorted(notes.evidence.failed)[:5]) if notes.evidence else ""
    return (
        f"I did not find the cause. Still failing: {still or 'the tests'} (`{notes.command}`). "
        f"I tried {len(notes.tried)} small changes and took back those that did not help.{kept}"
    )


def _unfinished(notes: Notes) -> str:
    kept = "".join(f"\n- {each.words}: changed, and fewer tests fail." for each in notes.kept)
    failing = ", ".join(sorted(notes.evidence.failed)[:5]) if notes.evidence else ""
    kept = kept or " Nothing is changed."
    if notes.evidence is not None and notes.evidence.passed:
        return _fixed(notes)
    return (
        "The budget is nearly gone, so I stop here. "
        f"{f'Still failing: {failing}. ' if failing else ''}"
        f"I tried {len(notes.tried)} changes; those that did not help are taken back.{kept}"
    )
