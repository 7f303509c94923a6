"""Which turns add up to exactly an amount of tokens that the invoice has elsewhere, or has not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.core.reconcile import COUNTERS, Entry, Sums

STEPS = 20_000  # of the search; what is not found by then is not named
UNTOLD = "others have used exactly as much, and the invoice does not tell which of them it was"

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The turns, and others' turns that might be meant as well: they add up to the same."""

    turns: tuple[Entry, ...]
    alike: tuple[Entry, ...] = ()


def tokens(sums: Sums) -> Tokens:
    return tuple(getattr(sums, name) for name in COUNTERS)


def adding_up(
    entries: Iterable[Entry], target: Tokens, fits: Callable[[Sums], bool] = lambda sums: True
) -> Found | None:
    """Whole runs that add up to `target`, else single turns; None: no such, or too many to try."""
    if min(target) < 0 or not any(target):
        return None
    turns = tuple(entries)
    return _first(_grouped(turns, lambda entry: entry.run), target, fits) or _first(
        _grouped(turns, lambda entry: str(entry.turn)), target, fits
    )


def _grouped(entries: Iterable[Entry], by: Callable[[Entry], Hashable]) -> list[tuple[Entry, ...]]:
    groups: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[by(entry)].append(entry)
    return sorted(map(tuple, groups.values()), key=lambda group: -sum(tokens(_sum(group))))


def _first(groups: Sequence[tuple[Entry, ...]], target: Tokens, fits: Callable[[Sums], bool]) -> Found | None:
    counts = [tokens(_sum(group)) for group in groups]
    left = STEPS

    def search(at: int, rest: Tokens, chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        nonlocal left
        if not any(rest):
            if fits(_sum(entry for one in chosen for entry in groups[one])):
                yield chosen
            return
        for one in range(at, len(groups)):
            left -= 1
            if left < 0:
                return
            after = tuple(have - take for have, take in zip(rest, counts[one], strict=True))
            if min(after) >= 0 and any(counts[one]):
                yield from search(one + 1, after, (*chosen, one))

    found = search(0, target, ())
    chosen = next(found, ())
    if not chosen:
        return None
    same = {counts[one] for one in chosen}
    others = {one for other in found for one in other}  # as far as there was time to look for them
    others |= {one for one, count in enumerate(counts) if count in same}
    alike = sorted(others.difference(chosen))
    return Found(
        tuple(entry for one in chosen for entry in groups[one]),
        tuple(entry for one in alike for entry in groups[one]),
    )


def _sum(entries: Iterable[Entry]) -> Sums:
    return sum((entry.booked for entry in entries), Sums())
