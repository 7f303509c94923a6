"""A conversation as a character sees it: the task, what it has done, what came of it, what tools it has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.S)
_TAGGED = re.compile(r"<task>(.*?)</task>", re.S)
_ENOUGH = re.compile(
    r"wrap(?:ping)?[ -]?(?:it |this |things )?up"
    r"|(?:budget|ceiling|limit|tokens?|time|steps?|money)\b[^.\n]{0,60}\b(?:nearly|almost|about to be)\b"
    r"|(?:nearly|almost) (?:gone|spent|used up|exhausted|reached|out of)"
    r"|\b(?:last|final) (?:turn|step)\b",
    re.I,
)


_RESUMED = re.compile(r"\bnearly gone no longer holds\b", re.I)


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call of the assistant, with what came of it."""

    name: str
    input: dict[str, Any]
    result: str
    failed: bool
    turn: int  # the assistant's turn in which it was made, from 0


class Talk:
    """One request's conversation, read once. The request has been checked."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.model: str = body["model"]
        self.max_tokens: int = body.get("max_tokens", 0)
        self.tools: list[dict[str, Any]] = body.get("tools") or []
        self.messages: list[dict[str, Any]] = body["messages"]

    @cached_property
    def task(self) -> str:
        """What the person asked for, in the first user message."""
        return asked(_texts(self.messages[0]))

    @cached_property
    def turns(self) -> int:
        """How many turns the assistant has had."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @cached_property
    def steps(self) -> list[Step]:
        """Every tool call that has a result, in order."""
        results = {
            block["tool_use_id"]: block
            for message in self.messages
            for block in _blocks(message)
            if block["type"] == "tool_result"
        }
        found, turn = [], -1
        for message in self.messages:
            if message["role"] != "assistant":
                continue
            turn += 1
            for block in _blocks(message):
                if block["type"] == "tool_use" and block["id"] in results:
                    result = results[block["id"]]
                    failed = bool(result.get("is_error"))
                    found.append(Step(block["name"], block["input"], _result_text(result), failed, turn))
        return found

    @cached_property
    def said_first(self) -> str:
        """Everything that stands before the assistant's first turn: instructions and task."""
        system = self.body.get("system") or ""
        rules = system if isinstance(system, str) else "\n".join(block["text"] for block in system)
        return f"{rules}\n{_texts(self.messages[0])}"

    @cached_property
    def wrap_up_after(self) -> int | None:
        """After how many turns somebody said that the budget is nearly gone; None: nobody, or no more."""
        turns, told = 0, None
        for message in self.messages[1:]:
            words = _REMINDER.sub("", _texts(message))
            if message["role"] == "assistant":
                turns += 1
            elif _RESUMED.search(words):
                told = None
            elif told is None and _ENOUGH.search(words):
                told = turns
        return told


def asked(said: str) -> str:
    """The task in what was said first: what stands between task tags, else all of it."""
    said = _REMINDER.sub("", said)
    tagged = _TAGGED.search(said)
    return tagged[1] if tagged else said


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _texts(message: dict[str, Any]) -> str:
    return "\n".join(block["text"] for block in _blocks(message) if block["type"] == "text")


def _result_text(result: dict[str, Any]) -> str:
    content = result.get("content") or ""
    if not isinstance(content, str):
        content = "\n".join(each["text"] for each in content if each["type"] == "text")
    return _unwrapped(content)


def _unwrapped(text: str) -> str:
    """What a command wrote, where it comes in JSON with its exit code, as from mini-swe-agent 2."""
    try:
        told = json.loads(text) if text.startswith("{") else None
    except ValueError:
        return text
    return told["output"] if isinstance(told, dict) and isinstance(told.get("output"), str) else text
