"""One who works through forty steps, the same whoever carries them out: to compare what they cost."""

from __future__ import annotations

from sandbox.characters.answers import Answer, Say
from sandbox.characters.hands import Hands
from sandbox.characters.plain import Manner, prose
from sandbox.characters.talk import Talk

STEPS = 40  # answers, the last of which is the summary
PARTS = 12  # of what it reads
TESTS = 4  # every so many steps it runs them


class Measured:
    """Reads the parts one after the other, writes a small file now and then, runs the tests, and sums up.

    What it says depends on the number of the turn alone; its commands print the same everywhere.
    """

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def answer(self, talk: Talk) -> Answer:
        number = talk.turns + 1
        if number >= STEPS:
            return Answer((Say(f"Done after {number} steps. {prose(150, self._manner)}"),))
        words = f"Step {number}. {prose(60 + 7 * (number % 9), self._manner)}"
        return Answer((Say(words), Hands(talk.tools).run(command(number))))  # no thought: not all ask for one


def command(number: int) -> str:
    """Of one step; what it prints has from some hundred to nine thousand characters."""
    part = number % PARTS
    if number % TESTS == 0:
        return f"cat tests.log | head -c {1_500 + 60 * number}"
    if number % TESTS == 2:
        return f"printf '%s\\n' 'step {number}' >> notes.txt; grep -n 'def ' part_{part:02}.py | head -n 40"
    return f"head -c {5_000 + 90 * number} part_{part:02}.py"


def files() -> dict[str, str]:
    """The workspace that it works in: path → text."""
    found = {"tests.log": _lines("tests/test_part.py::test_{n} PASSED  [ {n}%]\n", 9_000)}
    for part in range(PARTS):
        found[f"part_{part:02}.py"] = _lines(
            f"def step_{part}_{{n}}(value: int) -> int:\n    return value * {part + 2} + {{n}}\n\n\n", 9_500
        )
    return found


def _lines(pattern: str, size: int) -> str:
    text = "".join(pattern.format(n=n) for n in range(size // len(pattern) + 1))
    return text[:size]
