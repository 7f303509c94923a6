"""Those who work but do not arrive: runaway, tireless, stuck, oscillating, and one who is sure of it."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Protocol

from sandbox.characters.answers import Answer, Call
from sandbox.characters.fixer import Notes, attempt, look_around, read_code, suspected
from sandbox.characters.hands import Hands, Work, ended, follow, turn
from sandbox.characters.plain import Manner, prose
from sandbox.characters.talk import Step, Talk

STEPS = 10_000  # for ever


class Restless(Protocol):
    def work(self, talk: Talk, hands: Hands, notes: Notes) -> Work: ...


class Working:
    """Follows some work through the conversation, and stops when told that the budget is nearly gone."""

    def __init__(self, restless: Restless, obeys: bool = True) -> None:
        self._restless = restless
        self._obeys = obeys

    def answer(self, talk: Talk) -> Answer:
        hands, notes = Hands(talk.tools), Notes()
        if not hands.can_run:
            return ended("I have no tool to work with.")
        if talk.wrap_up_after is not None and self._obeys:
            return ended(
                f"The budget is nearly gone, so I stop here after {talk.turns} turns. The cause is not found "
                "yet; what I changed so far is in the tree, and the tests that failed still fail."
            )
        return follow(self._restless.work(talk, hands, notes), talk)[0]


class Endless:
    """Looks around, then goes on for ever: each turn has an edit, a command, and its number in all of it."""

    WHAT: str

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def work(self, talk: Talk, hands: Hands, notes: Notes) -> Work:
        yield from look_around(talk, hands, notes)
        if notes.evidence is not None and notes.evidence.ran:
            yield from read_code(talk, hands, notes)
        for number in range(1, STEPS):
            words = prose(self._manner.answer_tokens or 500 + 150 * number, self._manner)
            look = self.look(number, f"git diff | tail -n {40 + number}; cat {_some(notes)}", notes)
            edits = _noted(notes, hands, number, self.WHAT)
            yield turn(f"{self.WHAT} {number}. {words}", *edits, hands.run(look))
        return "I give up."

    def look(self, number: int, rest: str, notes: Notes) -> str:
        raise NotImplementedError


class Runaway(Endless):
    """Edits, builds, tests, and again: never the same command, always more to read, never done."""

    WHAT = "Attempt"

    def look(self, number: int, rest: str, notes: Notes) -> str:
        return f"{notes.command} -v; echo attempt {number}; {rest}"


class Tireless(Endless):
    """Always finds one more thing to write: each turn is new, only the work has no end."""

    WHAT = "Idea"

    def look(self, number: int, rest: str, notes: Notes) -> str:
        return f"echo idea {number}; {rest}"


class Stuck:
    """The same action, the same result, for ever."""

    def __init__(self, manner: Manner) -> None:
        pass

    def work(self, talk: Talk, hands: Hands, notes: Notes) -> Work:
        for _ in range(STEPS):
            yield turn("Let me look at what there is.", hands.run("ls; head -n 5 README.md 2>&1"))
        return "I give up."


class Oscillating:
    """Makes an edit, takes it back, makes it again."""

    def __init__(self, manner: Manner) -> None:
        pass

    def work(self, talk: Talk, hands: Hands, notes: Notes) -> Work:
        yield from look_around(talk, hands, notes)
        yield from read_code(talk, hands, notes)
        path, line = _function(notes, 0) or ("", "")
        new = f"{_indent(line)}# Seen here.\n{line}"
        while path:
            yield turn("This is where it happens. I mark it.", hands.edit(path, line, new))
            yield turn("No, it was right as it stood.", hands.edit(path, new, line))
        return "There is no function that I could change."


class Steady:
    """Adds one line to a file at each turn, by what it last saw of it, until there are LINES.

    It does not wrap up. `pause=N` in its task: each of its commands takes N seconds.
    """

    LINES = 9

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def answer(self, talk: Talk) -> Answer:
        hands = Hands(talk.tools)
        pause = re.search(r"\bpause=([0-9.]+)", talk.task)
        mine = [step for step in talk.steps if "lines.txt" in str(step.input.get("command"))]
        done = [step for step in mine if not step.result.startswith("Not executed")]
        if done and done[-1].failed:  # it was ended in the middle: nobody knows how far it came
            return turn("Let me look how far that came.", hands.run("cat lines.txt"))
        lines = re.findall(r"^line \d+$", done[-1].result, re.M) if done else []
        if len(lines) >= self.LINES:
            return ended(f"There are {len(lines)} lines now.")
        wait = f"sleep {pause[1]}; " if pause else ""
        command = f'echo "line {len(lines) + 1}" >> lines.txt; {wait}cat lines.txt'
        words = prose(self._manner.answer_tokens or 600, self._manner)
        return turn(f"There are {len(lines)} lines; the next one. {words}", hands.run(command))


class Wrong:
    """Makes a plausible change that does not help, and says that all is well."""

    def __init__(self, manner: Manner) -> None:
        pass

    def work(self, talk: Talk, hands: Hands, notes: Notes) -> Work:
        yield from look_around(talk, hands, notes)
        if notes.evidence is None or not notes.evidence.ran or notes.evidence.passed:
            return "Everything is in order."
        yield from read_code(talk, hands, notes)
        yield from self._miss(talk, hands, notes)
        change = notes.trying.words if notes.trying else "nothing was wrong"
        return f"Fixed: {change}. All tests pass now."

    def _miss(self, talk: Talk, hands: Hands, notes: Notes) -> Generator[Answer, list[Step], None]:
        found = notes.evidence
        likely = [
            each for each in suspected(talk, notes) if each.kind in ("comparison", "constant", "arithmetic")
        ]
        for mutation in reversed(likely[:40]):
            yield from attempt(mutation, hands, notes)
            if notes.trying is not None:
                return
            # By accident it helped: that is somebody else's part.
            notes.evidence, notes.trying = found, notes.kept.pop()


def _noted(notes: Notes, hands: Hands, number: int, what: str) -> list[Call]:
    """An edit that changes nothing: a comment above a function, another one each time."""
    place = _function(notes, number) if hands.can_edit else None
    if place is None:
        return []
    path, line = place
    new = f"{_indent(line)}# {what} {number}: the cause must be near here.\n{line}"
    notes.sources[path] = notes.sources[path].replace(line, new, 1)
    return [hands.edit(path, line, new)]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _some(notes: Notes) -> str:
    return " ".join(list(notes.sources)[:4]) or "README.md"


def _function(notes: Notes, number: int) -> tuple[str, str] | None:
    """A line that begins a function and stands once in its file, another one each time."""
    places = [
        (path, found[0])
        for path, text in notes.sources.items()
        for found in re.finditer(r"^[ ]*def \w+\(.*$", text, re.M)
        if text.count(found[0]) == 1
    ]
    return places[number % len(places)] if places else None
