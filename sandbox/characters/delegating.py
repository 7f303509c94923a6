"""One that gives its task to subagents, all at once and again; each of them talks for as long as it may.

Claude Code's subagents are conversations of their own that have the same tools: what each is told says which
of them it is.
"""

from __future__ import annotations

from sandbox.characters.answers import Answer, Call
from sandbox.characters.hands import Hands, ended, turn
from sandbox.characters.plain import Manner, prose
from sandbox.characters.talk import Talk

SUBAGENTS = 8
PART = "This is part {number} of a task that was given out. Go on with it."
_GIVEN = PART.partition("{")[0]


class Delegating:
    """Decides by the first words whether it is the one who gives out, or one of those who work."""

    def __init__(self, manner: Manner) -> None:
        self._text = prose(manner.answer_tokens or 600, manner)

    def answer(self, talk: Talk) -> Answer:
        hands = Hands(talk.tools)
        if _GIVEN in talk.task:
            step = hands.run(f"echo step {talk.turns}") if hands.can_run else None
            return turn(self._text, *([step] if step else []))
        tool = next((tool["name"] for tool in talk.tools if tool["name"] in ("Task", "Agent")), "")
        if not tool:
            return ended("I have nobody to give this to.")
        return turn("I give this out.", *(_part(tool, number) for number in range(1, SUBAGENTS + 1)))


def _part(tool: str, number: int) -> Call:
    given = {
        "subagent_type": "general-purpose",
        "description": f"part {number}",
        "prompt": PART.format(number=number),
    }
    return Call(tool, given)
