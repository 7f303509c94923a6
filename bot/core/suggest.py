"""Ceilings that past runs suggest (R28), and the words for what they would have halted and saved.

For each ceiling: what nine in ten successful runs of the class needed at the least and a quarter more, but
not less than 98 in 100 needed; rounded up to two digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import Ceilings, span
from bot.core.money import Usd
from bot.core.replay import Other, Peak, Recorded, Tally, peak
from bot.core.signals import BADLY_SCOPED, nearest
from bot.core.times import DAY_MS

WEEK = 7 * DAY_MS  # of telemetry before anything is suggested
ENOUGH = 20  # successful runs of a class; fewer say too little of the next
USUAL, NEARLY_ALL = 90, 98  # percent
APPROXIMATE = (
    "Approximated: a halted answer is charged as far as the ceiling goes; turns in flight together count one "
    "after the other; how a halted run would have gone on is not known. Corrections are included."
)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Of one class: the ceilings, or why there are none yet. `own`: what most of its runs were given."""

    task_class: str
    successes: int
    own: Ceilings
    ceilings: Ceilings | None
    why: str = ""

    @property
    def many_steps(self) -> bool:
        """Whether the ceiling of steps is above what one task should need; that a class is badly scoped is
        counted in its runs, by `Signals.badly_scoped`."""
        return self.ceilings is not None and self.ceilings.steps > BADLY_SCOPED

    @property
    def other(self) -> Other:
        to = self.ceilings or self.own
        return Other(to.usd, to.tokens, to.steps, to.seconds)


def suggest(found: Iterable[Recorded], now: int) -> tuple[Suggestion, ...]:
    """By class, in order of name."""
    peaks: dict[str, list[Peak]] = {}
    given: dict[str, dict[Ceilings, int]] = {}
    first: dict[str, int] = {}
    for run in found:
        name = run.task_class
        counted = given.setdefault(name, {})
        counted[run.own] = counted.get(run.own, 0) + 1
        first[name] = min(run.ended_at, first.get(name, run.ended_at))
        mine = peaks.setdefault(name, [])
        if run.state == "done":
            mine.append(peak(run))
    made = []
    for name in sorted(given):
        own = max(given[name], key=lambda one: given[name][one])
        ceilings, why = None, ""
        if now - first[name] < WEEK:
            why = "a week of runs is needed first"
        elif len(peaks[name]) < ENOUGH:
            why = f"{len(peaks[name])} of the {ENOUGH} successful runs that it takes"
        else:
            ceilings = _ceilings(peaks[name])
        made.append(Suggestion(name, len(peaks[name]), own, ceilings, why))
    return tuple(made)


def _ceilings(peaks: Sequence[Peak]) -> Ceilings:
    return Ceilings(
        Usd(_of([one.nanos for one in peaks])),
        _of([one.tokens for one in peaks]),
        _of([one.steps for one in peaks]),
        _of([one.seconds for one in peaks]),
    )


def _of(values: Sequence[int]) -> int:
    ordered = sorted(values)
    usual, nearly_all = (ordered[nearest(percent, len(ordered)) - 1] for percent in (USUAL, NEARLY_ALL))
    return rounded_up(max(-(-usual * 5 // 4), nearly_all, 1))


def rounded_up(value: int) -> int:
    """To two digits: 1234 → 1300."""
    unit = int("1" + "0" * (len(str(value)) - 2))
    return -(-value // unit) * unit


def suggestions_json(made: Sequence[Suggestion], tallies: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """For machines: money as decimal strings."""
    return [
        {
            "class": one.task_class,
            "successes": one.successes,
            "own": _ceilings_json(one.own),
            "suggested": one.ceilings and _ceilings_json(one.ceilings),
            "why_not": one.why or None,
            "above_80_steps": one.many_steps,
            "past_runs": tally_json(tallies[one.task_class]) if one.ceilings else None,
        }
        for one in made
    ]


def suggestions_text(made: Sequence[Suggestion], tallies: Mapping[str, Tally]) -> str:
    """For people, on a terminal."""
    if not made:
        return "No run has ended here yet: ceilings are suggested after a week of them."
    lines = []
    for one in made:
        if one.ceilings is None:
            lines += [f"{one.task_class}: no suggestion yet, {one.why}", ""]
            continue
        lines += [
            f"{one.task_class}: {_words(one.ceilings)}   (most were given {_words(one.own)})",
            f"  by {one.successes} successful runs: what nine in ten needed and a quarter more, "
            "at least what 98 in 100 needed",
            *(f"  {line}" for line in _told(tallies[one.task_class])),
        ]
        if one.many_steps:
            lines.append(f"  more than {BADLY_SCOPED} steps: split such tasks rather than give them so many")
        lines.append("")
    return "\n".join([*lines, APPROXIMATE])


def as_yaml(made: Sequence[Suggestion]) -> str:
    """What to paste into a policy file; "" where nothing is suggested."""
    lines = [
        f"  {one.task_class}: {{cost: ${one.ceilings.usd.exact}, tokens: {one.ceilings.tokens}, "
        f"steps: {one.ceilings.steps}, wall: {one.ceilings.seconds}s}}"
        for one in made
        if one.ceilings is not None
    ]
    return "\n".join(["classes:", *lines]) if lines else ""


def tally_json(one: Tally) -> dict[str, Any]:
    return {
        "class": one.task_class,
        "runs": one.runs,
        "successes": one.successes,
        "halted_earlier": one.earlier,
        "halted_by": {reason.value: count for reason, count in one.halted.items()},
        "successes_lost": one.lost,
        "would_have_gone_on": one.freed,
        "spent_usd": one.spent.exact,
        "would_have_spent_usd": one.would.exact,
        "saved_usd": one.saved.exact,
    }


def tallies_text(tallies: Sequence[Tally], other: Other) -> str:
    """For people, on a terminal."""
    if not tallies:
        return "No run that asked a model has ended here: try a longer window, or leave --class out."
    parts = {
        "cost": other.usd, "tokens": None if other.tokens is None else f"{other.tokens:,}",
        "steps": other.steps, "wall": None if other.seconds is None else span(other.seconds),
    }  # fmt: skip
    given = ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)
    lines = [f"Past runs under {given or 'their own ceilings'}", ""]
    for one in tallies:
        lines += [one.task_class, *(f"  {line}" for line in _told(one)), ""]
    return "\n".join([*lines, APPROXIMATE])


def _told(one: Tally) -> list[str]:
    by = ", ".join(f"{reason} {count}" for reason, count in sorted(one.halted.items()))
    lines = [
        f"{one.earlier} of {one.runs} runs would have halted earlier{f' ({by})' if by else ''}, "
        f"{one.lost} of {one.successes} successes among them",
        f"{one.would} instead of {one.spent}: {one.saved} saved",
    ]
    if one.freed:
        lines.append(f"{one.freed} that a ceiling halted would have gone on; how far is not known")
    return lines


def _words(ceilings: Ceilings) -> str:
    wall = span(ceilings.seconds)
    return f"{ceilings.usd}, {ceilings.tokens:,} tokens, {ceilings.steps} steps, {wall}"


def _ceilings_json(ceilings: Ceilings) -> dict[str, Any]:
    return {
        "usd": ceilings.usd.exact,
        "tokens": ceilings.tokens,
        "steps": ceilings.steps,
        "seconds": ceilings.seconds,
    }
