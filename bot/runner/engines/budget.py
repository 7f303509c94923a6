"""When an agent should be told that its budget is nearly gone (R11): once, while there is still some left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from bot.core.ceilings import PARTS, Ceilings, Reason
from bot.core.meter import FLOOR_THINKING
from bot.core.money import ZERO, Usd
from bot.runner.engines import Remaining, Reply
from bot.runner.engines.context import OUTPUT, WRITE

SECONDS = 15
TURNS = 10  # to be expected where nobody counts them


@dataclass
class Budget:
    """Fed each answer, it says what is nearly gone.

    The headers of a streamed answer leave before its cost is known (G9), so what it cost is taken off here:
    its step, its tokens and its seconds exactly, its dollars as the dearest turn so far. What does not
    suffice for two more such turns is as good as gone: told in its last turn, a model cannot act on it.

    And a gateway that must bound the next request (G3) refuses while there is still money left: how far off
    that is, a lowered max_tokens tells, for it falls with every turn until it is under the floor (G2). That
    is counted without the slice which the gateway keeps back for wrapping up, and opens then (G10).
    """

    ceilings: Ceilings
    clock: Callable[[], float] = time.monotonic
    _before: Remaining = field(default_factory=Remaining)
    _began: float = 0.0
    _dearest: Usd = ZERO
    _longest: int = 0
    _room: int | None = None  # the last lowered max_tokens
    _weight: int = 0  # of the last answer
    _rate: int | None = None  # nano-dollars a token of fresh input, the dearest that was seen

    def asked(self) -> None:
        self._began = self.clock()

    def nearly_gone(self, reply: Reply) -> tuple[Reason, str] | None:
        """Which ceiling it is, and what is left of it in words; None while there is enough of each."""
        left, last, ceilings = reply.before, self._before, self.ceilings
        self._before = left
        self._longest = max(self._longest, reply.tokens)
        if left.usd is not None and last.usd is not None:
            paid = last.usd - left.usd
            self._dearest = max(self._dearest, paid)
            if self._weight:
                self._rate = max(self._rate or 0, -(-paid.nanos * 100 // self._weight))
        self._weight = reply.weight
        room, self._room = self._room, reply.clamped
        if left.steps is not None:
            steps = max(left.steps - 1, 0)
            if steps <= max(1, ceilings.steps // PARTS):
                return Reason.STEPS, f"{_count(steps, 'step')} of {ceilings.steps}"
        if reply.clamped is not None:
            falls = max(room - reply.clamped, 0) if room is not None else reply.clamped // 4
            ceiling, left_of_it = self.scarcer(reply)
            if (reply.clamped - FLOOR_THINKING) <= falls * self._turns_ahead(ceiling):
                return ceiling, left_of_it
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

    def turns(self, reply: Reply) -> int:
        """How many more are to be expected: as a rule half of those that there may be."""
        steps = reply.before.steps
        return TURNS if steps is None else steps // 2

    def affords(self, reply: Reply, size: int) -> bool:
        """Whether half of what is left would hold a request of so many bytes that continues none (G3)."""
        left = reply.before
        if left.tokens is not None and 2 * (size + FLOOR_THINKING) > left.tokens - reply.tokens:
            return False
        if left.usd is None:
            return True
        weight = size * WRITE + FLOOR_THINKING * OUTPUT
        rate = self._rate
        return rate is not None and 2 * rate * weight // 100 <= (left.usd - self._dearest).nanos

    def _turns_ahead(self, ceiling: Reason) -> Fraction:
        """Two, less those that the slice which is opened then will pay for (G10)."""
        most, turn = (
            (self.ceilings.usd.nanos, self._dearest.nanos)
            if ceiling is Reason.COST
            else (self.ceilings.tokens, self._longest)
        )
        # A turn takes what it costs, and makes the next one's worst case dearer by about as much.
        return max(Fraction(0), 2 - Fraction(most, PARTS * 2 * turn)) if turn else Fraction(2)

    def scarcer(self, reply: Reply) -> tuple[Reason, str]:
        """Which of dollars and tokens lowered max_tokens: the one of which the smaller part is left."""
        left, ceilings = reply.before, self.ceilings
        usd, tokens = left.usd or ZERO, left.tokens or 0
        if left.usd is None or (
            left.tokens is not None and tokens * ceilings.usd.nanos < usd.nanos * ceilings.tokens
        ):
            return Reason.TOKENS, f"{max(tokens - reply.tokens, 0):,} of {ceilings.tokens:,} tokens"
        return Reason.COST, f"about {max(usd - self._dearest, ZERO)} of {ceilings.usd}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
