"""Aider's way of talking: no tools; files stand in the conversation, edits are SEARCH/REPLACE blocks (0.86).

What is in a file is read from what Aider shows of it; a test's outcome from what Aider says of a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sandbox.characters.talk import Talk, asked

Block = tuple[str, str, str]  # a path, the lines that stand there, those that are to stand there

_OPENING_FENCE = re.compile(r"^2\. The opening fence and code language, eg: (\S+?)python$", re.M)
_CLOSING_FENCE = re.compile(r"^8\. The closing fence: (\S+)$", re.M)
_RULES = re.compile(r"\n\n# \*SEARCH/REPLACE block\* Rules:\n.*\Z", re.S)
_EXAMPLES_END = "I switched to a new code base."
_MAP = "Here are summaries of some files present in my git repository."
_SHOWN = "I have *added these files to the chat*"
# What Aider puts between what was said earlier and what is said now.
_NOT_SAID = (
    _MAP,
    _SHOWN,
    "Don't try and edit any existing code",
    "I am not sharing any files",
    "Here are some READ ONLY",
)
_BLOCK = re.compile(r"^(\S[^\n]*)\n\S+\n<<<<<<< SEARCH\n(.*?)=======\n(.*?)>>>>>>> REPLACE\n", re.M | re.S)
_MAPPED = re.compile(r"^([^\s⋮│:][^\n:]*):?$", re.M)


def spoken(talk: Talk) -> bool:
    """Whether this is such a conversation."""
    return not talk.tools and _EXAMPLES_END in "".join(text for _, text in _messages(talk))


@dataclass(frozen=True)
class Chat:
    """One request of Aider's, read once."""

    talk: Talk

    @cached_property
    def said(self) -> list[tuple[str, str]]:
        """(role, text) of all that was really said, without examples, files and rules."""
        messages = _messages(self.talk)
        start = next(number for number, (_, text) in enumerate(messages) if text.startswith(_EXAMPLES_END))
        found, pairs = [], iter(messages[start + 2 :])
        for role, text in pairs:
            if role == "user" and text.startswith(_NOT_SAID):
                next(pairs, None)  # Aider's own answer to it
            else:
                found.append((role, _RULES.sub("", text)))
        return found

    @cached_property
    def task(self) -> str:
        return asked(self.said[0][1]) if self.said else ""

    @cached_property
    def files(self) -> dict[str, str]:
        """The files that may be edited, as they are now."""
        shown = next((text for _, text in _messages(self.talk) if text.startswith(_SHOWN)), "")
        begin, end = (re.escape(mark) for mark in self._fence)
        file = re.compile(rf"^(\S[^\n]*)\n{begin}\n(.*?)^{end}$", re.M | re.S)
        return {found[1]: found[2] for found in file.finditer(shown)}

    @cached_property
    def mapped(self) -> list[str]:
        """The other files that the repository's map names."""
        shown = next((text for _, text in _messages(self.talk) if text.startswith(_MAP)), "")
        return [path for path in _MAPPED.findall(shown.partition("\n\n")[2]) if "." in path or "/" in path]

    @property
    def turns(self) -> int:
        return sum(role == "assistant" and text.strip() not in ("Ok", "Ok.") for role, text in self.said)

    def write(self, words: str, blocks: list[Block]) -> str:
        """An answer with edits. It names no file that is not shown: Aider would add that one instead."""
        begin, end = self._fence
        made = (
            f"{path}\n{begin}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n{end}\n"
            for path, old, new in blocks
        )
        return "\n\n".join([words, *made])

    @property
    def _fence(self) -> tuple[str, str]:
        rules = self.talk.said_first
        begin, end = _OPENING_FENCE.search(rules), _CLOSING_FENCE.search(rules)
        return (begin[1], end[1]) if begin and end else ("```", "```")


def ask_for(paths: list[str]) -> str:
    """An answer that asks for files. Aider shows them, and says so."""
    return f"I need to see {', '.join(f'`{path}`' for path in paths)}. Please add them to the chat."


def blocks(text: str) -> list[Block]:
    """The edits of an answer."""
    return [(found[1], found[2], found[3]) for found in _BLOCK.finditer(text)]


def _messages(talk: Talk) -> list[tuple[str, str]]:
    return list(_each(talk))


def _each(talk: Talk) -> Iterator[tuple[str, str]]:
    for message in talk.messages:
        content = message["content"]
        if isinstance(content, list):
            content = "\n".join(block["text"] for block in content if block["type"] == "text")
        yield message["role"], content
