"""When an agent should be told that its budget is nearly gone (R11): once, while there is still some left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import ZERO, Usd
from bot.runner.engines import Remaining, Reply

PARTS = 33  # nearly gone: a thirty-third of a ceiling, 3 % (G10)
SECONDS = 15


@dataclass
class Budget:
    """Fed each answer, it says what is nearly gone.

    The headers of a streamed answer leave before its cost is known (G9), so what it cost is taken off here:
    its step, its tokens and its seconds exactly, its dollars as the dearest turn so far. What does not
    suffice for two more such turns is as good as gone: told in its last turn, a model cannot act on it.
    """

    ceilings: Ceilings
    clock: Callable[[], float] = time.monotonic
    _before: Remaining = field(default_factory=Remaining)
    _began: float = 0.0
    _dearest: Usd = ZERO
    _longest: int = 0

    def asked(self) -> None:
        self._began = self.clock()

    def nearly_gone(self, reply: Reply) -> tuple[Reason, str] | None:
        """Which ceiling it is, and what is left of it in words; None while there is enough of each."""
        left, last, ceilings = reply.before, self._before, self.ceilings
        self._before = left
        self._longest = max(self._longest, reply.tokens)
        if left.usd is not None and last.usd is not None:
            self._dearest = max(self._dearest, last.usd - left.usd)
        if left.steps is not None:
            steps = max(left.steps - 1, 0)
            if steps <= max(1, ceilings.steps // PARTS):
                return Reason.STEPS, f"{_count(steps, 'step')} of {ceilings.steps}"
        if left.usd is not None:
            usd = max(left.usd - self._dearest, ZERO)
            if usd <= max(ceilings.usd.over(PARTS), self._dearest * 2):
                return Reason.COST, f"about {usd} of {ceilings.usd}"
        if left.tokens is not None:
            tokens = max(left.tokens - reply.tokens, 0)
            if tokens <= max(ceilings.tokens // PARTS, 2 * self._longest):
                return Reason.TOKENS, f"{tokens:,} of {ceilings.tokens:,} tokens"
        if left.seconds is not None:
            seconds = max(left.seconds - int(self.clock() - self._began), 0)
            if seconds <= max(ceilings.seconds // PARTS, min(SECONDS, ceilings.seconds // 4)):
                return Reason.WALL_CLOCK, f"{_count(seconds, 'second')} of {ceilings.seconds}"
        return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
