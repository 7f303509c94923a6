"""The upstream's cost report at our price list, and use of the organization that is none of ours (R30).

The cost report knows no keys: its amounts are compared with all that the usage report has of a workspace and
a model, at our prices, by kind of token. What its own tiers leave out (priority, batch, flex) is left out on
both sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.core.drift import CACHE_PRICE, DAYS, MISSING, OTHER_KEY, PRICE, PRICES, RUNS, Drift, day_of
from bot.core.money import ZERO, Usd
from bot.core.prices import PriceBook, UnknownModel, undated
from bot.core.reconcile import COUNTERS, Entry
from bot.core.usage import Usage

LONG_INPUT = 200_001  # tokens; the reports say no more of a request than that it was above 200,000
SEARCHES = "web_searches"
PARTS = (*COUNTERS, SEARCHES)
PLAIN = ("", "standard")
BATCH, UNPRICED = "batch", "unpriced"
BESIDE = (BATCH, UNPRICED)  # use of our keys that cannot have passed the gateway
# A line of the cost report may be rounded to the digits that it is printed with, but to no more than that.
MOST_ROUNDED = 100_000  # nano-dollars: a hundredth of a cent

WORDS = {
    "input": "fresh input",
    "cache_write_5m": "5-minute cache writes",
    "cache_write_1h": "1-hour cache writes",
    "cache_read": "cache reads",
    "output": "output",
    SEARCHES: "web searches",
}


@dataclass(frozen=True, slots=True)
class Used:
    """What the usage report has of one day and key. `key`: the variable's name where it is `ours`."""

    day: str
    key: str
    ours: bool
    workspace: str
    usage: Usage
    long: bool = False


@dataclass(frozen=True, slots=True)
class Billed:
    """One line of the cost report. `at`: the start of its day, ms. `part`: one of PARTS, or "" for what the
    usage report does not count; `model`: "" where the line is of no model. `rounded`: nano-dollars."""

    at: int
    workspace: str
    model: str
    part: str
    tier: str
    amount: Usd
    rounded: int = 0


def others(used: Iterable[Used], prices: PriceBook) -> tuple[Drift, ...]:
    """Use that never passes the gateway: of other keys, and with ours batches and models without a price.

    At our list prices.
    """
    sums: dict[tuple[str, str, str, str, str], tuple[Usd, int]] = defaultdict(lambda: (ZERO, 0))
    unknown = set()
    for each in used:
        try:
            cost, known = _cost(each, each.usage, prices), True
        except UnknownModel:
            cost, known = ZERO, False
        part = each.usage.service_tier if known else UNPRICED
        if each.ours and part not in BESIDE:
            continue
        kind, part = (MISSING, part) if each.ours else (OTHER_KEY, each.workspace)
        place = each.day, each.key, undated(each.usage.model), kind, part
        usd, tokens = sums[place]
        if not known:
            unknown.add(place)
        sums[place] = usd + cost, tokens + sum(getattr(each.usage, name) for name in COUNTERS)
    return tuple(
        Drift(
            *place,
            invoiced=usd,
            invoiced_tokens=tokens,
            hint="no price is known for this model, so the amount is missing" if place in unknown else "",
            report=DAYS,
        )
        for place, (usd, tokens) in sorted(sums.items())
        if tokens
    )


def misprices(
    used: Iterable[Used], billed: Iterable[Billed], entries: Sequence[Entry], prices: PriceBook
) -> tuple[Drift, ...]:
    """Where the upstream asked for another price than our list has, for models and workspaces of ours."""
    rows = [each for each in used if each.usage.service_tier in PLAIN]
    ours = {(each.day, each.workspace, undated(each.usage.model)) for each in rows if each.ours}
    lines: dict[tuple[str, str, str, str], list[Billed]] = defaultdict(list)
    for line in billed:
        if line.tier in PLAIN and line.part:
            model = "" if line.part == SEARCHES else undated(line.model)
            lines[day_of(line.at), line.workspace, model, line.part].append(line)
    sums: dict[tuple[str, str, str, str], tuple[Usd, int]] = defaultdict(lambda: (ZERO, 0))
    unpriced = set()
    for each in rows:
        for part in PARTS:
            count = getattr(each.usage, part)
            model = "" if part == SEARCHES else undated(each.usage.model)
            place = each.day, each.workspace, model, part
            try:
                cost = _cost(each, _only(each.usage, part), prices) if count else ZERO
            except UnknownModel:
                unpriced.add(place)
                continue
            sums[place] = sums[place][0] + cost, sums[place][1] + count
    with_ours = {(day, workspace) for day, workspace, _ in ours}
    found = []
    for place in sorted(({*sums, *lines}) - unpriced):
        day, workspace, model, part = place
        if (place[:3] not in ours) if model else ((day, workspace) not in with_ours):
            continue
        expected, tokens = sums[place]
        invoiced = Usd(sum(line.amount.nanos for line in lines[place]))
        if abs((invoiced - expected).nanos) > sum(min(line.rounded, MOST_ROUNDED) for line in lines[place]):
            kind = CACHE_PRICE if part.startswith("cache_") else PRICE
            where = f"{part}@{workspace}" if workspace else part
            runs = _who(entries, day, model, part)
            found.append(
                Drift(day, "", model, kind, where, expected, invoiced, tokens, tokens, runs, "", PRICES)
            )
    return tuple(_hinted(found, sums, lines, prices))


def _hinted(
    found: Sequence[Drift],
    sums: dict[tuple[str, str, str, str], tuple[Usd, int]],
    lines: dict[tuple[str, str, str, str], list[Billed]],
    prices: PriceBook,
) -> Iterator[Drift]:
    """The price of another kind of token, or one share of all prices of the day: then that is said."""
    shares: dict[tuple[str, str, str], list[int]] = defaultdict(list)  # per mille of our list's price
    for place, (expected, _) in sums.items():
        if expected:
            invoiced = sum(line.amount.nanos for line in lines.get(place, ()))
            shares[place[:3]].append(round(invoiced * 1000 / expected.nanos))
    for each in found:
        part, _, workspace = each.part.partition("@")
        alike = shares[each.day, workspace, each.model]
        hint = ""
        if len(alike) > 1 and len(set(alike)) == 1:
            share = f"{alike[0] / 10:g} %"
            hint = f"all prices of it are {share} of our list's: a discount, or another price list"
        elif each.model and (other := _priced_as(each, part, prices)):
            hint = f"that is the price of {WORDS[other]}"
        yield replace(each, hint=hint)


def _priced_as(drift: Drift, part: str, prices: PriceBook) -> str:
    at = datetime.fromisoformat(drift.day).replace(tzinfo=UTC)
    try:
        rates = prices.price(drift.model, at).at(0)
    except UnknownModel:
        return ""
    alike = (name for name in COUNTERS if name != part)
    return next((n for n in alike if getattr(rates, n) * drift.expected_tokens == drift.invoiced.nanos), "")


def _cost(each: Used, usage: Usage, prices: PriceBook) -> Usd:
    at = datetime.fromisoformat(each.day).replace(tzinfo=UTC)
    return prices.cost(usage, at, LONG_INPUT if each.long else 0).total


def _only(usage: Usage, part: str) -> Usage:
    """The tokens, or the searches, of one kind."""
    nothing = dict.fromkeys(PARTS, 0) | {part: getattr(usage, part)}
    return Usage(**nothing, model=usage.model, geo=usage.geo, speed=usage.speed)


def _who(entries: Iterable[Entry], day: str, model: str, part: str) -> tuple[str, ...]:
    """The runs that used it that day, those with most of it first."""
    used: dict[str, int] = defaultdict(int)
    for entry in entries:
        if part in COUNTERS and entry.model == model and day_of(entry.settled_at) == day:
            used[entry.run] += getattr(entry.booked, part)
    return tuple(sorted((run for run in used if used[run]), key=lambda run: (-used[run], run)))[:RUNS]
