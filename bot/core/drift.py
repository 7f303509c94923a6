"""Where ledger and invoice differ after all corrections: what kind of difference it is, and whose (R30, M2).

Pure judgement over the stretches of `bot.core.reconcile`. A kind is given only where the figures leave no
other one: an exact match of every counter, or one request id on two turns. All else is `unexplained`, or
`late` for as long as the report may still grow. Nothing is booked because of a drift.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.core.adding_up import UNTOLD, Found, adding_up, tokens
from bot.core.money import ZERO, Usd
from bot.core.reconcile import COUNTERS, Entry, Finding, Stretch, Sums, total
from bot.core.times import DAY_MS

# Reports are five minutes behind, "may occasionally be longer" (docs: manage-claude/usage-cost-api, copy of
# 2026-08-22), and nobody says how much longer: what is missing from them is judged when it is a day old.
FINAL = DAY_MS
RUNS = 100  # named with one drift, those with the most tokens first

MISSING, DOUBLE, MODEL, CACHE_PRICE, PRICE = (
    "missing_run",
    "double_run",
    "wrong_model",
    "cache_price",
    "price",
)
OTHER_KEY, LATE, UNEXPLAINED = "other_key", "late", "unexplained"
KINDS = (MISSING, DOUBLE, MODEL, CACHE_PRICE, PRICE, UNEXPLAINED, LATE, OTHER_KEY)
# What a drift was found in: minute by minute, day by day over all keys, day by day in the cost report.
MINUTES, DAYS, PRICES = "minutes", "days", "prices"
# Shown, and no reason to be alarmed: not this service's spend, and not known yet.
QUIET = (LATE, OTHER_KEY)
AGAIN = (
    "it is exactly what was booked once in the same minutes, as when something between gateway and Anthropic "
    "sends a request again"
)
_PROMPT = COUNTERS[:4]  # what a token of the prompt may be counted as


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference of a day (UTC), a key and a model. `expected`: only the ledger, or our price list, has
    it; `invoiced`: only the report has. Tokens are of all counters.

    `key`: the variable of ours, another key's own name, or "" where the report knows no keys. `part`: the
    other model, the kind of token, or a workspace. `hint`: what else the figures tell.
    """

    day: str
    key: str
    model: str
    kind: str
    part: str = ""
    expected: Usd = ZERO
    invoiced: Usd = ZERO
    expected_tokens: int = 0
    invoiced_tokens: int = 0
    runs: tuple[str, ...] = ()
    hint: str = ""
    report: str = MINUTES

    @property
    def place(self) -> tuple[str, str, str, str, str, str]:
        """What it is told apart by: there is one of each at a time."""
        return self.report, self.day, self.key, self.model, self.kind, self.part

    @property
    def usd(self) -> Usd:
        """What the invoice has more; below nothing: less."""
        return self.invoiced - self.expected

    @property
    def loud(self) -> bool:
        return self.kind not in QUIET


@dataclass(frozen=True, slots=True)
class Looked:
    """A stretch as it stands after its corrections, with its turns."""

    finding: Finding
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rest:
    """A stretch and what is not explained of it yet: the report less the ledger."""

    stretch: Stretch
    entries: tuple[Entry, ...]
    more: Sums

    def without(self, explained: Sums) -> _Rest:
        return replace(self, more=self.more - explained)

    @property
    def runs(self) -> tuple[str, ...]:
        return _named(self.entries)


@dataclass(frozen=True, slots=True)
class _Piece:
    at: int
    key: str
    model: str
    kind: str
    ledger: Sums
    invoice: Sums
    runs: tuple[str, ...]
    part: str = ""
    hint: str = ""


def judge(looked: Iterable[Looked], now: int) -> tuple[Drift, ...]:
    """The drift of all stretches that could be compared, by day, key, model and kind.

    Its sum is the drift of the findings, to the nano-dollar.
    """
    seen = tuple(looked)
    rests = [
        _Rest(each.finding.stretch, each.entries, each.finding.drift) for each in seen if each.finding.drift
    ]
    pieces: list[_Piece] = []
    rests = _doubles(rests, _twice(entry for each in seen for entry in each.entries), pieces)
    rests = _relabelled(rests, pieces)
    rests = _relabelled(_models(rests, pieces), pieces)
    pieces += [_left(rest, now) for rest in rests if rest.more]
    return _gathered(pieces)


def day_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def _twice(entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """How many turns too many there are of each key's request id."""
    told = Counter((entry.key, entry.request_id) for entry in entries if entry.request_id)
    return {one: count - 1 for one, count in told.items() if count > 1}


def _doubles(rests: list[_Rest], spare: dict[tuple[str, str], int], pieces: list[_Piece]) -> list[_Rest]:
    """One request of the upstream is one line of its invoice: of two turns with one id, one is too many."""
    for whole in (True, False):  # first where the invoice lacks a whole one; then wherever else it differs
        left = []
        for rest in rests:
            for entry in reversed(rest.entries):
                one = entry.key, entry.request_id
                without = rest.more + entry.booked
                if spare.get(one) and (max(without.parts) <= 0 if whole else rest.more):
                    spare[one] -= 1
                    others = tuple(other for other in rest.entries if other is not entry)
                    rest = replace(rest, more=without, entries=others)
                    pieces.append(_piece(rest, DOUBLE, entry.booked, Sums(), (entry.run,)))
            left.append(rest)
        rests = left
    return left


def _relabelled(rests: list[_Rest], pieces: list[_Piece]) -> list[_Rest]:
    """The same tokens, counted as another kind of prompt: another price. Or the same in all, and yet so."""
    left = []
    for rest in rests:
        moved = _moved(rest.more)
        if moved or _same(rest.more):
            less, more = _split(rest.more)
            part = " → ".join("+".join(_fields(side)) for side in (less, more)) if moved else ""
            touched = [
                e for e in rest.entries if not moved or any(getattr(e.booked, n) for n in _fields(less))
            ]
            pieces.append(_piece(rest, CACHE_PRICE if moved else PRICE, less, more, _named(touched), part))
            rest = rest.without(rest.more)
        left.append(rest)
    return left


def _same(more: Sums) -> bool:
    return not any(tokens(more)) and bool(more.usd)


def _moved(more: Sums) -> bool:
    return any(tokens(more)) and not more.output and not sum(tokens(more))


def _models(rests: list[_Rest], pieces: list[_Piece]) -> list[_Rest]:
    """What one model lacks, another one has too much at the same time: exactly the tokens of some turns."""
    left = list(rests)
    for group in _together(rests):
        for told in sorted({rests[place].stretch.model for place in group}):
            theirs = [place for place in group if left[place].stretch.model == told and left[place].more]
            # All that it has too much, else what it has too much in some minutes.
            for places in (theirs, *([place] for place in theirs if len(theirs) > 1)):
                _model(left, group, places, pieces)
    return left


def _model(left: list[_Rest], group: Sequence[int], told: Sequence[int], pieces: list[_Piece]) -> None:
    """Take what is too much in the places `told` for turns of another model of the group, if it is theirs."""
    surplus = total(left[place].more for place in told)
    if not _one_sided(surplus) or min(min(tokens(left[place].more)) for place in told) < 0:
        return
    model = left[told[0]].stretch.model
    for booked in sorted({left[place].stretch.model for place in group} - {model}):
        places = [place for place in group if left[place].stretch.model == booked]
        lacks = total(left[place].more for place in places)
        if min(tokens(lacks)) >= 0:
            continue

        def explains(sums: Sums, lacks: Sums = lacks) -> bool:
            """What it leaves has one name, or none is needed."""
            rest = lacks + sums
            return not any(tokens(rest)) or _one_sided(rest) or _one_sided(Sums() - rest) or _moved(rest)

        found = adding_up((e for place in places for e in left[place].entries), tokens(surplus), explains)
        if found is None:
            continue
        runs, hint = _told(found)
        ledger = total(entry.booked for entry in found.turns)
        pieces.append(_piece(left[places[0]], MODEL, ledger, surplus, runs, model, hint))
        taken = {entry.turn for entry in found.turns}
        for place in places:
            mine = [entry for entry in left[place].entries if entry.turn in taken]
            others = tuple(entry for entry in left[place].entries if entry.turn not in taken)
            more = left[place].more + total(entry.booked for entry in mine)
            left[place] = replace(left[place], more=more, entries=others)
        for place in told:
            left[place] = left[place].without(left[place].more)
        return


def _together(rests: Sequence[_Rest]) -> Iterator[list[int]]:
    """Places of what still differs, in groups of one key that overlap in time."""
    spans = sorted(
        (rest.stretch.key, rest.stretch.since, place) for place, rest in enumerate(rests) if rest.more
    )
    group: list[int] = []
    key, until = "", 0
    for named, since, place in spans:
        if group and (named != key or since >= until):
            yield group
            group = []
        until = max(until, rests[place].stretch.until) if group else rests[place].stretch.until
        key = named
        group.append(place)
    if group:
        yield group


def _left(rest: _Rest, now: int) -> _Piece:
    less, more = _split(rest.more)
    if not less:
        again = adding_up(rest.entries, tokens(more))
        runs, hint = (rest.runs, "") if again is None else (_told(again)[0], AGAIN)
        return _piece(rest, MISSING, less, more, runs, hint=hint)
    kind = LATE if not more and rest.stretch.until > now - FINAL else UNEXPLAINED
    found = None if more else adding_up(rest.entries, tokens(less))
    runs, hint = (rest.runs, "") if found is None else _told(found)
    return _piece(rest, kind, less, more, runs, hint=hint)


def _told(found: Found) -> tuple[tuple[str, ...], str]:
    """The runs, and a hint where the figures do not tell them from others."""
    runs = tuple(dict.fromkeys((*_named(found.turns), *_named(found.alike))))
    return runs, UNTOLD if len(runs) > len(_named(found.turns)) else ""


def _piece(
    rest: _Rest,
    kind: str,
    ledger: Sums,
    invoice: Sums,
    runs: tuple[str, ...],
    part: str = "",
    hint: str = "",
) -> _Piece:
    stretch = rest.stretch
    # By its end: only then is it compared, and where it began may be long before what is looked at.
    return _Piece(stretch.until - 1, stretch.key, stretch.model, kind, ledger, invoice, runs, part, hint)


def _gathered(pieces: Iterable[_Piece]) -> tuple[Drift, ...]:
    found: dict[tuple[str, str, str, str, str], list[_Piece]] = defaultdict(list)
    for each in pieces:
        found[day_of(each.at), each.key, each.model, each.kind, each.part].append(each)
    return tuple(
        Drift(
            *place,
            total(each.ledger for each in some).usd,
            total(each.invoice for each in some).usd,
            sum(sum(tokens(each.ledger)) for each in some),
            sum(sum(tokens(each.invoice)) for each in some),
            tuple(dict.fromkeys(run for each in some for run in each.runs))[:RUNS],
            "; ".join(dict.fromkeys(each.hint for each in some if each.hint)),
        )
        for place, some in sorted(found.items())
    )


def _named(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The runs of turns, those with the most tokens first."""
    used: dict[str, int] = defaultdict(int)
    for entry in entries:
        used[entry.run] += sum(tokens(entry.booked))
    return tuple(sorted(used, key=lambda run: (-used[run], run)))[:RUNS]


def _split(sums: Sums) -> tuple[Sums, Sums]:
    """What is below nothing, turned round, and what is above."""
    return Sums(*(max(0, -part) for part in sums.parts)), Sums(*(max(0, part) for part in sums.parts))


def _one_sided(sums: Sums) -> bool:
    return min(tokens(sums)) >= 0 and any(tokens(sums))


def _fields(sums: Sums) -> list[str]:
    return [name for name in _PROMPT if getattr(sums, name)]
