"""Those who work without tools, in Aider: they ask for files, write blocks, and read what its tests said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.characters import evidence
from sandbox.characters.answers import Answer, Failure
from sandbox.characters.blocks import Block, Chat, ask_for, blocks, spoken
from sandbox.characters.evidence import Evidence
from sandbox.characters.examinee import known_answers, replacements
from sandbox.characters.hands import ended
from sandbox.characters.plain import Character, Manner, prose
from sandbox.characters.source import Mutation
from sandbox.characters.suspects import is_test, known, suspects
from sandbox.characters.talk import Talk

ASKED_FOR = 12  # files at once
NOTHING_SEEN = Evidence(0, False, frozenset(), (), (), ())


class Writes(Protocol):
    def write(self, chat: Chat) -> str: ...


class Either:
    """The same mind with tools and, where it has none, in Aider."""

    def __init__(self, with_tools: Character, without: Writes) -> None:
        self._with_tools, self._without = with_tools, without

    def answer(self, talk: Talk) -> Answer | Failure:
        if not spoken(talk):
            return self._with_tools.answer(talk)
        return ended(self._without.write(Chat(talk)))


class WritesAnswers:
    """Lays the exam's answers over what it is shown: of `after`, or of `symptom`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def write(self, chat: Chat) -> str:
        answers = known_answers(chat.task, self._kind)
        if not answers:
            return "I have no answer for this repository. I changed nothing."
        if missing := [path for path in answers if path not in chat.files and path in chat.mapped]:
            return ask_for(missing)
        edits = [
            (path, old, new)
            for path, answer in answers.items()
            if path in chat.files
            for old, new in replacements(chat.files[path], answer)
        ]
        if not edits:
            return "It reads as I would have written it. I changed nothing."
        return chat.write("This is where the cause is. I change that.", edits)


@dataclass
class Tried:
    """What the runs of the tests told of the edits before."""

    best: Evidence = NOTHING_SEEN
    trying: Block | None = None  # applied, not known to help
    tried: set[Block] = field(default_factory=set)


class WritesRepairs:
    """The fixer: one small change after another until fewer tests fail, and then the next."""

    def write(self, chat: Chat) -> str:
        if missing := _python(chat):
            return ask_for(missing[:ASKED_FOR])
        so_far = _so_far(chat)
        if so_far.best.passed:
            return f"All {so_far.best.ran} tests pass, so I changed nothing more."
        tests = {path: text for path, text in chat.files.items() if is_test(path)}
        sources = {path: text for path, text in chat.files.items() if not is_test(path)}
        if not so_far.best.ran:
            return _as_it_is(chat, sources)
        undo: list[Block] = []
        if so_far.trying is not None:
            path, old, new = so_far.trying
            sources[path] = sources[path].replace(new, old, 1)
            undo = [(path, new, old)]
        failing = {
            path: text
            for path, text in tests.items()
            if any(known(frame.path, [path]) for frame in so_far.best.frames)
        }
        likely = suspects(chat.task, list(chat.files), sources, failing or tests, so_far.best)
        for each in likely:
            block = (each.path, f"{each.old}\n", f"{each.new}\n")
            if block not in so_far.tried and _stands_once(each, sources):
                words = f"Perhaps {each.words}. I change that."
                return chat.write(f"That was not it. {words}" if undo else words, [*undo, block])
        return chat.write("I did not find the cause.", undo)


class WritesForEver:
    """Always one comment more, with more words at each turn."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def write(self, chat: Chat) -> str:
        if missing := _python(chat):
            return ask_for(missing[:ASKED_FOR])
        number = chat.turns
        places = [
            (path, found[0])
            for path, text in chat.files.items()
            for found in re.finditer(r"^[ ]*def \w+\(.*\n", text, re.M)
            if not is_test(path) and text.count(found[0]) == 1
        ]
        if not places:
            return "There is no function that I could write about."
        path, line = places[number % len(places)]
        indent = line[: len(line) - len(line.lstrip())]
        words = prose(self._manner.answer_tokens or 500 + 150 * number, self._manner)
        comment = f"{indent}# Attempt {number}: the cause must be near here.\n{line}"
        return chat.write(f"Attempt {number}. {words}", [(path, line, comment)])


def _python(chat: Chat) -> list[str]:
    """The files of Python that were not shown yet; none once some were."""
    shown = any(path.endswith(".py") for path in chat.files)
    return [] if shown and chat.turns else [path for path in chat.mapped if path.endswith(".py")]


def _as_it_is(chat: Chat, sources: dict[str, str]) -> str:
    """An edit that changes nothing: after one, Aider runs the tests where it was told how."""
    for path, text in sources.items():
        if line := next((line for line in text.splitlines(keepends=True) if text.count(line) == 1), ""):
            block = (path, line, line)
            if block in _so_far(chat).tried:
                break
            return chat.write("Nobody has shown me what fails. I leave this as it is, to see.", [block])
    return "I cannot run the tests here, and nobody shows me what they say. I changed nothing."


def _so_far(chat: Chat) -> Tried:
    found = Tried()
    last = ""
    for role, text in chat.said:
        if role == "assistant":
            if made := blocks(text):
                found.trying = made[-1]
                found.tried.add(made[-1])
            continue
        seen = evidence.read(text)
        # Aider says what the tests printed twice: once for the record, once as what is asked now.
        if not (seen.ran or seen.failed) or text == last:
            continue
        last = text
        if seen.passed or (found.best.ran and seen.failed < found.best.failed):
            found.best, found.trying = seen, None
        elif not found.best.ran:
            found.best = seen
    return found


def _stands_once(mutation: Mutation, sources: dict[str, str]) -> bool:
    text = sources[mutation.path]
    return text.count(mutation.old) == 1 and text.replace(mutation.old, mutation.new).count(mutation.new) == 1
