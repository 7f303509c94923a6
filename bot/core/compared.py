"""The bill in one sentence, and how a window compares with the one before it, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.core.money import Usd
from bot.core.signals import Signals, judge_cost

SAME = 0.005  # of what was before: less is no change that is worth a word


@dataclass(frozen=True, slots=True)
class Change:
    """`way`: up | down | same | new: how a figure stands to what it was; `words` say it."""

    way: str
    words: str


def sentence(signals: Signals) -> str:
    """What was spent and what came of it."""
    merged = signals.merges.pulls
    if not merged:
        told = judge_cost(None)
        return f"Agents cost {signals.spent}; {told}."
    what = "pull request was merged" if merged == 1 else "pull requests were merged"
    told = (
        f"Agents cost {signals.spent}, and {merged:,} {what} with their help: {signals.direct} each for what "
        f"went into them, {judge_cost(signals.direct)}; {signals.fully_loaded} each with everything that was "
        "spent"
    )
    if signals.unattributed.nanos > 0 and signals.spent.nanos > 0:
        share = signals.unattributed.nanos / signals.spent.nanos
        told += f". {signals.unattributed} ({share:.0%}) belongs to none that was merged"
    return f"{told}."


def changes(now: Signals, before: Signals, called: str) -> dict[str, Change]:
    """By figure, of those that a lead looks at first. `called`: the window before."""
    money = {
        name: _amount(getattr(now, name), getattr(before, name), called)
        for name in ("spent", "direct", "fully_loaded", "halted", "unattributed")
    }
    count = before.merges.pulls
    merged = _change(now.merges.pulls, count, f"{count:,}", called)
    return {**money, "merged": merged, "exhaustion": _rate(now, before, called)}


def before_json(before: Signals) -> Mapping[str, Any]:
    """The figures of the window before, for machines."""
    rate = before.exhaustion.value
    return {
        "since": before.since,
        "until": before.until,
        "usd": before.spent.exact,
        "halted_usd": before.halted.exact,
        "merged": before.merges.pulls,
        "direct": None if before.direct is None else before.direct.exact,
        "fully_loaded": None if before.fully_loaded is None else before.fully_loaded.exact,
        "exhaustion_rate": None if rate is None else round(rate, 4),
    }


def _amount(now: Usd | None, before: Usd | None, called: str) -> Change:
    if now is None or before is None:
        return Change("new", f"nothing to compare with in {called}")
    return _change(now.nanos, before.nanos, str(before), called)


def _change(now: int, before: int, told: str, called: str) -> Change:
    if before <= 0:
        return Change("new", f"{told} in {called}")
    part = (now - before) / before
    if abs(part) < SAME:
        return Change("same", f"as in {called} ({told})")
    much = (
        f"{now / before:.1f} times" if part >= 2 else f"{abs(part):.0%} {'more' if part > 0 else 'less'} than"
    )
    return Change("up" if part > 0 else "down", f"{much} {called} ({told})")


def _rate(now: Signals, before: Signals, called: str) -> Change:
    rate, was = now.exhaustion.value, before.exhaustion.value
    if rate is None or was is None:
        return Change("new", f"no run ended in {called}" if was is None else f"{was:.1%} in {called}")
    points = round(rate * 100 - was * 100, 1)
    if not points:
        return Change("same", f"as in {called} ({was:.1%})")
    way = "up" if points > 0 else "down"
    word = "more" if points > 0 else "less"
    return Change(way, f"{abs(points):.1f} points {word} than {called} ({was:.1%})")
