"""Past runs under other ceilings, turn by turn, by the gateway's own rules (R28).

A turn is admitted where what was spent before it and its hold fit. Its hold is taken as small as the gateway
would have made it for the same answer: `max_tokens` lowered to the answer's length, but not below the floor
(G2). Where only a shorter answer would have fit, that turn is the last one, and is charged like the recorded
one as far as the ceiling goes (an answer that is cut short halts the run). What was admitted under the
ceilings that held is admitted under them here.

Approximated: in the order of their holds, as if each turn had waited for those before it; the slice that the
native engine keeps back is not; nothing tells how a run would have gone on that was halted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from bot.core.ceilings import Ceilings, Reason
from bot.core.meter import FLOOR
from bot.core.money import ZERO, Usd
from bot.core.prices import GEO_DENOMINATOR, GEO_NUMERATOR

BY_CEILING = {
    Reason.COST: "usd",
    Reason.TOKENS: "tokens",
    Reason.STEPS: "steps",
    Reason.WALL_CLOCK: "seconds",
}


# A page makes twenty thousand of each, and a tuple is made in a fifth of the time.
class Turn(NamedTuple):
    """One answered request: what was held, and what it came to with its corrections. Times in ms."""

    attempt: int
    held_at: int
    hold_nanos: int
    hold_tokens: int
    max_tokens: int
    nanos: int
    tokens: int  # that the token ceiling counts
    output: int
    output_nanos: int


@dataclass(frozen=True)  # no slots: it is asked several times what it needed
class Recorded:
    """An ended run with its turns, oldest first. `own`: the ceilings that held in its last attempt."""

    run: str
    task_class: str
    state: str
    reason: str | None
    own: Ceilings
    attempt: int
    started_at: int
    ended_at: int
    turns: tuple[Turn, ...]

    @property
    def nanos(self) -> int:
        return sum(turn.nanos for turn in self.turns)

    @cached_property
    def needs(self) -> tuple[Need, ...]:
        """Of each turn in turn, had all those before it been admitted."""
        return tuple(_needs(self))


@dataclass(frozen=True, slots=True)
class Other:
    """The ceilings to try; None: the run's own."""

    usd: Usd | None = None
    tokens: int | None = None
    steps: int | None = None
    seconds: int | None = None

    def over(self, own: Ceilings) -> Ceilings:
        return Ceilings(
            own.usd if self.usd is None else self.usd,
            own.tokens if self.tokens is None else self.tokens,
            own.steps if self.steps is None else self.steps,
            own.seconds if self.seconds is None else self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a run would have gone. `halt`: the ceiling that would have ended it earlier than it ended."""

    nanos: int
    steps: int
    halt: Reason | None


class Need(NamedTuple):
    """What the ceilings must be at the least for a turn: for the same answer, and for the shortest of use."""

    nanos: int
    tokens: int
    steps: int
    ms: int
    least_nanos: int
    least_tokens: int


def _needs(run: Recorded) -> Iterator[Need]:
    own = run.own
    usd, most, last = own.usd.nanos, own.tokens, own.seconds * 1000 - 1
    nanos = tokens = 0
    for step, (turn, ms) in enumerate(zip(run.turns, _elapsed(run), strict=True), 1):
        # What a token of the hold's output was priced at: as the answer's, and what US-only inference might
        # have added, which hardly a request excludes. Without a price the hold is not made smaller.
        priced, output = turn.output_nanos * GEO_NUMERATOR, turn.output
        rate = priced // (output * GEO_DENOMINATOR) if output else 0
        # Output tokens that the hold could have been without: for the same answer, and for the shortest.
        less, least = max(0, turn.max_tokens - max(output, FLOOR)), max(0, turn.max_tokens - FLOOR)
        yield Need(
            min(nanos + max(0, turn.hold_nanos - less * rate), usd),
            min(tokens + max(0, turn.hold_tokens - less), most),
            min(step, own.steps),
            min(ms, last),
            nanos + max(0, turn.hold_nanos - least * rate),
            tokens + max(0, turn.hold_tokens - least),
        )
        nanos, tokens = nanos + turn.nanos, tokens + turn.tokens


def _elapsed(run: Recorded) -> Iterator[int]:
    """Ms from the start to each hold, without the time between attempts (G7).

    `started_at` is earlier by what the attempts before the last took, so it is exact for the last one; of
    those before it is known when they asked, not when they were claimed.
    """
    before, first, last = 0, 0, 0
    attempt = 0
    for turn in run.turns:
        if turn.attempt != attempt:
            before, first, attempt = before + last - first, turn.held_at, turn.attempt
        last = turn.held_at
        yield turn.held_at - run.started_at if attempt == run.attempt else before + turn.held_at - first


def replay(run: Recorded, other: Other) -> Replayed:
    """The run under other ceilings: it never costs more than it did, and no more under lower ones."""
    ceilings = other.over(run.own)
    nanos = tokens = 0
    for step, (turn, need) in enumerate(zip(run.turns, run.needs, strict=True)):
        if need.steps > ceilings.steps:
            return Replayed(nanos, step, Reason.STEPS)
        if need.ms >= ceilings.seconds * 1000:
            return Replayed(nanos, step, Reason.WALL_CLOCK)
        money, count = need.nanos > ceilings.usd.nanos, need.tokens > ceilings.tokens
        if money or count:
            halt = Reason.COST if money else Reason.TOKENS
            if need.least_nanos > ceilings.usd.nanos or need.least_tokens > ceilings.tokens:
                return Replayed(nanos, step, halt)
            return Replayed(nanos + min(turn.nanos, ceilings.usd.nanos - nanos), step + 1, halt)
        nanos, tokens = nanos + turn.nanos, tokens + turn.tokens
    late = run.state == "done" and min(_took(run), run.own.seconds * 1000) > ceilings.seconds * 1000
    return Replayed(nanos, len(run.turns), Reason.WALL_CLOCK if late else None)


def _took(run: Recorded) -> int:
    return run.ended_at - run.started_at


@dataclass(frozen=True, slots=True)
class Peak:
    """The least ceilings under which a run would have gone just as it did."""

    nanos: int
    tokens: int
    steps: int
    seconds: int


def peak(run: Recorded) -> Peak:
    return Peak(
        max((need.nanos for need in run.needs), default=0),
        max((need.tokens for need in run.needs), default=0),
        len(run.needs),
        min(-(-_took(run) // 1000), run.own.seconds),
    )


@dataclass(slots=True)
class Tally:
    """Runs of one class under other ceilings: how many would have halted earlier, and what that comes to."""

    task_class: str
    runs: int = 0
    successes: int = 0
    halted: dict[Reason, int] = field(default_factory=dict)  # earlier than they ended, by ceiling
    lost: int = 0  # of the successes
    freed: int = 0  # halted by a ceiling that would have been higher: how they go on is not known
    spent: Usd = ZERO
    would: Usd = ZERO

    @property
    def earlier(self) -> int:
        return sum(self.halted.values())

    @property
    def saved(self) -> Usd:
        return self.spent - self.would

    def add(self, run: Recorded, other: Other) -> None:
        found = replay(run, other)
        self.runs += 1
        self.successes += run.state == "done"
        self.spent += Usd(run.nanos)
        self.would += Usd(found.nanos)
        if found.halt is not None:
            self.halted[found.halt] = self.halted.get(found.halt, 0) + 1
            self.lost += run.state == "done"
        elif _freed(run, other):
            self.freed += 1


def _freed(run: Recorded, other: Other) -> bool:
    name = next((name for reason, name in BY_CEILING.items() if reason.value == run.reason), None)
    given = None if name is None else getattr(other, name)
    return given is not None and given > getattr(run.own, str(name))


def tally(found: Iterable[Recorded], other: Callable[[str], Other]) -> tuple[Tally, ...]:
    """By class, the class with the most spend first; `other` tells the ceilings to try for a class."""
    tallies: dict[str, Tally] = {}
    for run in found:
        tallies.setdefault(run.task_class, Tally(run.task_class)).add(run, other(run.task_class))
    return tuple(sorted(tallies.values(), key=lambda one: (-one.spent.nanos, one.task_class)))
