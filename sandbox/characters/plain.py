"""Characters that only talk, and those that fail to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sandbox.characters.answers import STAMP, Answer, Delivery, Failure, Say
from sandbox.characters.talk import Talk


@dataclass(frozen=True, slots=True)
class Manner:
    """What the command line says of all characters."""

    answer_tokens: int = 0  # how long an answer is, for those that only talk; 0: a short one
    bytes_per_5_tokens: int = 16  # of this tokenizer; 5 when it is dense
    event_ms: int = 200  # for `slow` and `pings`
    retry_after: int = 1


class Character(Protocol):
    """Decides the next turn from the conversation and nothing else: the same conversation, the same turn."""

    def answer(self, talk: Talk) -> Answer | Failure: ...


def prose(tokens: int, manner: Manner) -> str:
    """Text of so many tokens."""
    size = max(1, tokens * manner.bytes_per_5_tokens // 5)
    line = "I looked at this again and here is one more thing that I could say about it. "
    return (line * (size // len(line) + 1))[:size]


class Echo:
    """Answers at once, with a short text or one of --answer-tokens."""

    def __init__(self, manner: Manner) -> None:
        self._text = (
            prose(manner.answer_tokens, manner) if manner.answer_tokens else "Hello from the sandbox."
        )

    def answer(self, talk: Talk) -> Answer:
        return Answer((Say(self._text),))


class Expensive:
    """Uses nearly all of the max_tokens it is given (or --answer-tokens)."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def answer(self, talk: Talk) -> Answer:
        tokens = self._manner.answer_tokens or max(1, talk.max_tokens * 95 // 100)
        return Answer((Say(prose(tokens, self._manner)),))


class Delivered:
    """A talker whose answer is brought in some manner: slowly, cut off, with too large a bill."""

    def __init__(self, manner: Manner, delivery: Delivery) -> None:
        self._text = prose(manner.answer_tokens or 60, manner)
        self._delivery = delivery

    def answer(self, talk: Talk) -> Answer:
        return Answer((Say(self._text),), delivery=self._delivery)


class Clock:
    """Says what time it is, --answer-tokens times."""

    def __init__(self, manner: Manner) -> None:
        self._words = (Say(STAMP),) * (manner.answer_tokens or 60)
        self._delivery = Delivery(event_ms=manner.event_ms, stamped=True)

    def answer(self, talk: Talk) -> Answer:
        return Answer(self._words, delivery=self._delivery)


class Refuses:
    """A refusal before any output (not billed), or in the middle of it (billed)."""

    def __init__(self, manner: Manner, midway: bool) -> None:
        self._midway = midway
        self._text = prose(manner.answer_tokens or 40, manner)

    def answer(self, talk: Talk) -> Answer:
        if self._midway:
            return Answer((Say(self._text),), stop="refusal")
        return Answer((), stop="refusal", delivery=Delivery(refused=True))


class Fails:
    """The same error every time."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    def answer(self, talk: Talk) -> Failure:
        return self._failure
