"""A conversation as what was done in it: each tool call with what came of it, whichever engine made it.

Tools are known by the shape of what they are given, not by their names alone: a command, a path with an old
and a new text, a path with a whole content. An engine without tools (Aider) acts by fenced blocks in its
words, and reads what came of them in the next message. Whatever is not known to only read may change things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bot.core import edits, failures
from bot.core.edits import Edit

WINDOW = 120  # messages looked at, from the end: what happened before has no say any more
_DIGITS = re.compile(r"\d+")
# What a client leaves of a result that it took out of the conversation, or never had: it says nothing.
_CLEARED = re.compile(
    r"\W*(?=[^\n]{0,200}\Z)[^\n]*\b(?:cleared|removed|omitted|elided|pruned|left out)\b", re.I
)
_NOT_DONE = re.compile(r"\W*(?:not executed|\[?request interrupted)", re.I)
_OLD_NEW = (
    ("old_str", "new_str"), ("old_string", "new_string"), ("search", "replace"), ("old_text", "new_text"),
    ("old", "new"), ("find", "replace"), ("original", "updated"),
)  # fmt: skip
_PATHS = ("file_path", "path", "filename", "file", "notebook_path", "target_file", "filepath")
_CONTENTS = ("content", "file_text", "contents", "new_source", "text", "new_content", "code_edit")
_COMMANDS = ("command", "cmd", "script", "code", "commands")
_PATCHES = ("patch", "diff", "input")
_READING = re.compile(
    r"(?:^|[_.])(?:read|view|list|ls|grep|glob|search|find|get|look|fetch|open|cat|show|status|query|tree)"
    r"(?:$|[_.A-Z])|^(?:Read|Grep|Glob|LS|Web|BashOutput|TaskOutput|ToolSearch)",
)
_WAITING = re.compile(r"^(?:BashOutput|TaskOutput|AgentOutput|Monitor)|wait|poll|sleep")
_CHATTER = re.compile(r"^(?:Todo|Task(?:Create|Update|List|Get)$|EnterPlanMode|ExitPlanMode|think)")


@dataclass(eq=False)
class Act:
    """One thing that was done. `result` is None where it is not known: cleared, or never carried out."""

    name: str
    given: Mapping[str, Any]
    turn: int
    result: str | None = None
    error: bool = False

    def same(self, other: Act) -> bool:
        """The same action, whatever came of it."""
        return self.name == other.name and self.given == other.given

    @cached_property
    def mark(self) -> object:
        """Equal for the same actions, and quickly compared: by the texts that were given alone."""
        words = (pair for pair in self.given.items() if isinstance(pair[1], str))
        return self.name, hash(frozenset(words))

    def alike(self, other: Act) -> bool:
        """The same came of it, but for how long it took and where in memory it was."""
        if self.result is None or other.result is None or self.error != other.error:
            return False
        if self.result == other.result:
            return True
        return abs(len(self.result) - len(other.result)) <= failures.NEARLY and self._said == other._said

    @cached_property
    def _said(self) -> str:
        return failures.timeless(self.result or "")

    @cached_property
    def command(self) -> str | None:
        """What was given to a shell or an interpreter."""
        for key in _COMMANDS:
            value = self.given.get(key)
            if isinstance(value, list) and all(isinstance(word, str) for word in value):
                value = " ".join(value)
            if isinstance(value, str) and not self.path:
                return value
        return None

    @cached_property
    def path(self) -> str:
        """The file or folder that it is about; empty where none is named."""
        return next((self.given[key] for key in _PATHS if isinstance(self.given.get(key), str)), "")

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """What it changed in files, as far as that can be seen in what it was given."""
        if self.error:
            return ()
        return tuple(self._edits())

    def _edits(self) -> Iterator[Edit]:
        given, path = self.given, self.path
        if self.name == TEXT:
            yield from edits.in_words(given["text"])
            return
        if self.command is not None:
            yield from edits.in_command(self.command)
            return
        several = given.get("edits")
        for each in several if isinstance(several, list) else [given]:
            if not isinstance(each, dict):
                continue
            for old, new in _OLD_NEW:
                if isinstance(each.get(old), str) and isinstance(each.get(new, ""), str):
                    yield Edit(path, each[old], each.get(new, ""))
                    break
        if several is None and path and not any(old in given for old, _ in _OLD_NEW):
            for key in _CONTENTS:
                if isinstance(given.get(key), str) and not _READING.search(self.name):
                    yield Edit(path, None, given[key])
                    return
        if path and isinstance(given.get("insert_text"), str):
            yield Edit(path, "", f"{given.get('insert_line')}:{given['insert_text']}")
        for key in _PATCHES:
            if isinstance(given.get(key), str) and edits.is_patch(given[key]):
                yield from edits.in_patch(given[key], path)

    @cached_property
    def chatter(self) -> bool:
        """It only keeps the agent's own list, or thinks."""
        return _CHATTER.search(self.name) is not None

    @cached_property
    def waits(self) -> bool:
        """It lets time pass, in which the same may come out differently."""
        if self.command is not None:
            return edits.lets_time_pass(self.command)
        return _WAITING.search(self.name) is not None

    @cached_property
    def may_change(self) -> bool:
        """It is not known to only read."""
        if self.edits:
            return True
        if self.chatter:
            return False
        if self.name == TEXT:
            return self.command is not None and not edits.only_reads(self.command)
        if self.command is not None:
            return not edits.only_reads(self.command)
        if self.given.get("command") == "view":
            return False
        return _READING.search(self.name) is None

    def __str__(self) -> str:
        """As people call it: `ls -la`, `Read shop/orders.py`."""
        if self.name == TEXT:
            return line(self.command or "the same answer")
        words = self.command if self.command is not None else f"{self.name} {self.path or _first(self.given)}"
        return line(words)


TEXT = ""  # the name of an act that is a block in the model's words
_SHELLS = ("bash", "sh", "shell", "mswea_bash_command")


@dataclass
class Turn:
    """One turn of the assistant: what it said, what it did, and the words that a person said after it."""

    said: str = ""
    acts: list[Act] = field(default_factory=list)
    heard: str = ""

    @cached_property
    def known(self) -> list[Act]:
        """The acts whose result is there. (Asked for when all results are.)"""
        return [act for act in self.acts if act.result is not None]


def read(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The turns since somebody last said something new, the newest last.

    A conversation without any tool call is one in which the user's messages are what came of the turns.
    """
    recent = messages[-WINDOW:]
    with_tools = any(
        block.get("type") in ("tool_use", "tool_result") for each in recent for block in _blocks(each)
    )
    found: list[Turn] = []
    calls: dict[str, Act] = {}
    for message in recent:
        if message.get("role") == "assistant":
            turn = Turn("\n".join(_texts(message)))
            found.append(turn)
            for block in _blocks(message):
                if block.get("type") == "tool_use":
                    given = block.get("input")
                    act = Act(
                        str(block.get("name")), given if isinstance(given, dict) else {}, len(found) - 1
                    )
                    calls[str(block.get("id"))] = act
                    turn.acts.append(act)
            if not with_tools and (given := _in_words(turn.said)) is not None:
                turn.acts.append(Act(TEXT, given, len(found) - 1))
            continue
        words = _without_reminders("\n".join(_texts(message))).strip()
        if found and with_tools:
            found[-1].heard = f"{found[-1].heard}\n{words}".strip()
        elif found:
            for act in found[-1].acts:
                act.result = f"{act.result or ''}\n{words}".strip()
        for block in _blocks(message):
            if block.get("type") == "tool_result" and str(block.get("tool_use_id")) in calls:
                act = calls[str(block["tool_use_id"])]
                act.result, act.error = _result(block), block.get("is_error") is True
    return found[_spoken(found) :]


def _spoken(turns: list[Turn]) -> int:
    """How many turns lie before a person's last new words: those are judged by what is said now."""
    heard: set[str] = set()
    since = 0
    for number, turn in enumerate(turns, 1):
        # Counters in what a client repeats at every turn are not news.
        words = _DIGITS.sub("#", turn.heard)
        if words and words not in heard:
            heard.add(words)
            since = number
    return since


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict)]


def _texts(message: Mapping[str, Any]) -> list[str]:
    if isinstance(content := message.get("content"), str):
        return [content]
    return [
        block["text"]
        for block in _blocks(message)
        if block.get("type") == "text" and isinstance(block.get("text"), str)
    ]


def _result(block: Mapping[str, Any]) -> str | None:
    content = block.get("content")
    if isinstance(content, list):
        text = "\n".join(
            part["text"] if isinstance(part, dict) and isinstance(part.get("text"), str) else str(part)
            for part in content
        )
    else:
        text = content if isinstance(content, str) else ""
    text = _without_reminders(text)
    if len(text) < 400 and (_NOT_DONE.match(text) or (text[:1] in "[<(…" and _CLEARED.match(text))):
        return None
    return text


def _without_reminders(text: str) -> str:
    """Claude Code adds notes of its own to what people and tools say."""
    begin, end = "<system-reminder>", "</system-reminder>"
    while (start := text.find(begin)) >= 0 and (stop := text.find(end, start)) >= 0:
        text = text[:start] + text[stop + len(end) :]
    return text


def line(words: str, most: int = 80) -> str:
    """For evidence: on one line, bounded."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in words[: 4 * most]).split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def _first(given: Mapping[str, Any]) -> str:
    return next((value for value in given.values() if isinstance(value, str)), "")


def _in_words(said: str) -> dict[str, str] | None:
    """What an engine without tools does: its fenced blocks; None where it only talks."""
    blocks = list(edits.fenced(said))
    if not blocks:
        return None
    shell = next((text for language, text in blocks if language in _SHELLS), None)
    return {"text": said} if shell is None or "<<<<<<< SEARCH" in said else {"text": said, "command": shell}
