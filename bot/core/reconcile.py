"""The ledger beside the upstream's usage report: what to correct, and what nothing here explains (R30, M2).

Nobody says by which of its moments a request is put into a minute of the report. So the minutes that one turn
may have been put into are joined, with those of every turn that shares one, into a stretch of its key and
model; a stretch is compared as a whole. What its exact turns leave of the report is the truth about its
estimates. One run's alone: that run is corrected. Several runs': nobody knows whose, so their pool is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.core.money import Usd
from bot.core.times import HOUR_MS, MINUTE_MS

# The report is about five minutes behind (docs: manage-claude/usage-cost-api, copy of 2026-08-22), "may
# occasionally be longer"; what comes later still is corrected when the same minutes are looked at again.
LAG = 10 * MINUTE_MS
APART = 5_000  # ms by which the upstream's clock may differ from the database's, as L7 has it for ours
# An answer that nobody reads any more may be written to its end before it is counted. No source says how
# fast; 20 tokens a second is slower than any model here is known to write.
MS_A_TOKEN = 50
LONGEST = 4 * HOUR_MS  # ms for which any one request may go on; what is read around a window

COUNTERS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
COSTS = ("cost_input_nanos", "cost_write_nanos", "cost_read_nanos", "cost_output_nanos", "cost_tools_nanos")


@dataclass(frozen=True, slots=True)
class Sums:
    """Tokens by counter and nano-dollars by what they are for, as a turn's row has them; may be negative."""

    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0
    cost_input_nanos: int = 0
    cost_write_nanos: int = 0
    cost_read_nanos: int = 0
    cost_output_nanos: int = 0
    cost_tools_nanos: int = 0

    @property
    def parts(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in COUNTERS + COSTS)

    @property
    def tokens(self) -> int:
        """What the token ceiling counts (R3)."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.output

    @property
    def usd(self) -> Usd:
        return Usd(sum(getattr(self, name) for name in COSTS))

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(mine + its for mine, its in zip(self.parts, other.parts, strict=True)))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(*(mine - its for mine, its in zip(self.parts, other.parts, strict=True)))

    def __bool__(self) -> bool:
        return any(self.parts)


@dataclass(frozen=True, slots=True)
class Entry:
    """A turn that cost something or still may: what was held, first charged, and stands booked by now.

    Times in ms. `corrected`: a row of reconciliation names it. `live`: its run goes on. `room_*`: what the
    run's ceilings leave.
    """

    turn: int
    run: str
    key: str
    model: str  # without its date
    state: str  # held | exact | estimated
    held_at: int
    settled_at: int
    max_tokens: int
    hold_nanos: int
    hold_tokens: int
    hold_cached: int
    first: Sums
    booked: Sums
    corrected: bool = False
    live: bool = False
    room_nanos: int = 0
    room_tokens: int = 0
    request_id: str = ""  # the upstream's own

    @property
    def minutes(self) -> tuple[int, int]:
        """From the start of the first minute that it may be counted in to the end of the last."""
        until = self.settled_at
        if self.state != "exact":
            until = max(until, self.held_at + MINUTE_MS + self.max_tokens * MS_A_TOKEN)
        return _floor(self.held_at - APART), _floor(until + APART) + MINUTE_MS


@dataclass(frozen=True, slots=True)
class Minute:
    """What the report counted in one minute for a key and a model, at our prices."""

    at: int
    key: str
    model: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Stretch:
    """Minutes of one key and model that are compared as a whole. ms, `until` exclusive."""

    key: str
    model: str
    since: int
    until: int

    def meets(self, other: Stretch) -> bool:
        same = (self.key, self.model) == (other.key, other.model)
        return same and self.since < other.until and other.since < self.until


@dataclass(frozen=True, slots=True)
class Pooled:
    """What is booked for a stretch to no run."""

    stretch: Stretch
    sums: Sums


@dataclass(frozen=True, slots=True)
class Correction:
    """A further row for one estimated turn."""

    turn: int
    run: str
    by: Sums


@dataclass(frozen=True, slots=True)
class Finding:
    """One stretch: the ledger before, what the report has, and what is to be booked. `left`: why not yet."""

    stretch: Stretch
    ledger: Sums
    invoice: Sums
    corrections: tuple[Correction, ...] = ()
    pool: Sums = field(default_factory=Sums)
    left: str = ""

    @property
    def correction(self) -> Sums:
        return total(each.by for each in self.corrections) + self.pool

    @property
    def drift(self) -> Sums:
        """What the report has more than the ledger afterwards: other use of the key, or a missing run."""
        return Sums() if self.left else self.invoice - self.ledger - self.correction

    @property
    def books(self) -> bool:
        return bool(self.corrections or self.pool)

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.run for each in self.corrections))


def total(sums: Iterable[Sums]) -> Sums:
    columns = list(zip(*(each.parts for each in sums), strict=True))
    return Sums(*map(sum, columns)) if columns else Sums()


def stretches(
    entries: Iterable[Entry], report: Iterable[Minute]
) -> Iterator[tuple[Stretch, list[Entry], Sums]]:
    """Each stretch of turns and report with its turns and what the report has for it, by key, model, time."""
    spans: dict[tuple[str, str], list[tuple[int, int, Entry | Minute]]] = defaultdict(list)
    for entry in entries:
        spans[entry.key, entry.model].append((*entry.minutes, entry))
    for minute in report:
        spans[minute.key, minute.model].append((minute.at, minute.at + MINUTE_MS, minute))
    for (key, model), found in sorted(spans.items()):
        found.sort(key=lambda span: span[:2])
        end = 0
        while end < len(found):
            start = end
            since, until, _ = found[start]
            # Two that only touch share no minute.
            while end < len(found) and found[end][0] < until:
                until = max(until, found[end][1])
                end += 1
            inside = [span[2] for span in found[start:end]]
            turns = [each for each in inside if isinstance(each, Entry)]
            invoice = total(each.sums for each in inside if isinstance(each, Minute))
            yield Stretch(key, model, since, until), turns, invoice


def compare(
    stretch: Stretch,
    entries: Sequence[Entry],
    pooled: Iterable[Pooled],
    invoice: Sums,
    now: int,
    lag: int = LAG,
) -> Finding:
    """What to book in a stretch, of which `entries` are all the turns; of `pooled` what meets it counts.

    Never more than was held: what the report has beyond that, and what it lacks of the exact turns, is drift.
    """
    estimates = [entry for entry in entries if entry.state == "estimated"]
    pool = total(each.sums for each in pooled if each.stretch.meets(stretch))
    ledger = total(entry.booked for entry in entries) + pool
    if left := _left(stretch, entries, now, lag):
        return Finding(stretch, ledger, invoice, left=left)
    rest = invoice - total(entry.booked for entry in entries if entry.state == "exact")
    if min(rest.parts) < 0:
        return Finding(stretch, ledger, invoice)  # the report may still grow
    fits = (
        rest.usd.nanos <= sum(entry.hold_nanos for entry in estimates)
        and rest.tokens <= sum(entry.hold_tokens for entry in estimates)
        and rest.cache_read <= sum(entry.hold_cached for entry in estimates)
    )
    worst, booked = total(e.first for e in estimates), total(e.booked for e in estimates)
    truth = rest if fits else worst  # other use of the key hides ours: it is charged as it was at first
    alone = len({entry.run for entry in estimates}) == 1
    if alone and _has_room(estimates[0], truth - booked):
        targets = shares(truth, estimates) if fits else [entry.first for entry in estimates]
        pairs = [(entry, target - entry.booked) for entry, target in zip(estimates, targets, strict=True)]
        corrections = tuple(
            # A row of nothing says that the estimate was the truth.
            Correction(entry.turn, entry.run, by)
            for entry, by in pairs
            if by or (fits and not entry.corrected)
        )
        return Finding(stretch, ledger, invoice, corrections, Sums() - pool)
    return Finding(stretch, ledger, invoice, pool=truth - booked - pool)


def shares(truth: Sums, estimates: Sequence[Entry]) -> list[Sums]:
    """One run's truth over its estimated turns, in proportion to their holds and never above one.

    What is left over by rounding goes unit by unit to the first turn with room, so that the sum is exact.
    """
    given = [[0] * len(truth.parts) for _ in estimates]
    for part, whole in enumerate(truth.parts):
        weights = [e.hold_tokens if part < len(COUNTERS) else e.hold_nanos for e in estimates]
        for turn, weight in enumerate(weights):
            given[turn][part] = whole * weight // max(1, sum(weights))
    for part, whole in enumerate(truth.parts):
        for _ in range(whole - sum(mine[part] for mine in given)):
            first = next((t for t, e in enumerate(estimates) if _below(Sums(*given[t]), e, part)), 0)
            given[first][part] += 1
    return [Sums(*mine) for mine in given]


def _below(given: Sums, entry: Entry, part: int) -> bool:
    if part >= len(COUNTERS):
        return given.usd.nanos < entry.hold_nanos
    return COUNTERS[part] == "cache_read" or given.tokens < entry.hold_tokens


def _has_room(entry: Entry, more: Sums) -> bool:
    """Whether the run's ceilings have room for it; late data may come when they are used up otherwise."""
    return more.usd.nanos <= max(0, entry.room_nanos) and more.tokens <= max(0, entry.room_tokens)


def _left(stretch: Stretch, entries: Sequence[Entry], now: int, lag: int) -> str:
    if stretch.until > now - lag:
        return "too fresh for the report"
    if any(entry.state == "held" for entry in entries):
        return "a request is still in flight"
    if any(entry.state == "estimated" and entry.live for entry in entries):
        # Given back, its money could be spent again before the report has grown to its end.
        return "a run with estimates is still live"
    return ""


def _floor(ms: int) -> int:
    return ms // MINUTE_MS * MINUTE_MS
