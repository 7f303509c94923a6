"""The signals that a lead reads, and what they say (R25-R27, M4): `docs/metrics.md` has every formula.

Values come from `bot.stores.signals`; `bot.core.overview` puts them into words and JSON.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bot.core.money import ZERO, Usd, total
from bot.core.reconcile import Sums

BAND = (Usd.parse("5"), Usd.parse("30"))  # what a merged pull request usually costs
TOO_TIGHT = 0.20
THEATRE = 0.02
FEW = 10  # runs; fewer say nothing about a rate
MUCH = 0.5  # of what a pull request cost: then it is named as a cause
MANY = 4  # attempts on one pull request: then they are named too
BADLY_SCOPED = 80  # steps (R6)
# What merged pull requests cost: each column goes up to one of these, exclusive; the last has no end.
COST_BOUNDS = tuple(Usd.parse(text) for text in ("1", "2", "5", "10", "20", "30", "50", "100", "200"))
# Tokens: each bucket of the histogram goes up to one of these, exclusive; the last has no end.
BUCKETS = (*(digit * 10**power for power in (3, 4, 5, 6) for digit in (1, 2, 5)), 10_000_000)


@dataclass(frozen=True, slots=True)
class Only:
    """Which runs count; what is not given is any. Names count whatever the case, and also earlier ones.

    `line` "" is: on no line. `visible`: the numbers of the repositories that whoever asks may see, and
    nothing else then, also not what belongs to no repository; None: everything. `person`: GitHub's number of
    the developer, who then is no other that has or had the same name.
    """

    repository: str = ""
    task_class: str = ""
    line: str | None = None
    developer: str = ""
    visible: frozenset[int] | None = None
    person: int | None = None


EVERYTHING = Only()


class Costly:
    """What people worked on by what its runs have cost: `halted` and `context` are parts of `usd`, of runs
    that were halted and of reading the conversation; `attempts`: of all its runs."""

    __slots__ = ()

    usd: Usd
    halted: Usd
    context: Usd
    attempts: int

    @property
    def outlier(self) -> bool:
        """Whether it is above the usual band of a pull request."""
        return self.usd > BAND[1]

    @property
    def causes(self) -> tuple[str, ...]:
        """Why it cost so much, as far as these parts of it tell."""
        if not self.usd:
            return ()
        found = []
        for part, what in (
            (self.halted, "on runs that were halted"),
            (self.context, "on reading the context"),
        ):
            share = part.nanos / self.usd.nanos
            if share >= MUCH:
                found.append(f"{share:.0%} {what}")
        if self.attempts >= MANY:
            found.append(f"{self.attempts} attempts")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class MergedPull(Costly):
    """A merged pull request with at least one run, and everything that was spent on it.

    `reverted`: it was taken back since; the money was spent all the same.
    """

    repository: str
    number: int
    title: str
    author: str
    usd: Usd
    runs: int
    reverted: bool = False
    halted: Usd = ZERO
    context: Usd = ZERO
    attempts: int = 0
    repository_id: int | None = None


@dataclass(frozen=True, slots=True)
class Merges:
    """Merged pull requests together: `columns` are how many cost how much (COST_BOUNDS); `reverted` and its
    money: those that were taken back since."""

    pulls: int = 0
    usd: Usd = ZERO
    columns: tuple[int, ...] = (0,) * (len(COST_BOUNDS) + 1)
    outliers: int = 0
    reverted: int = 0
    reverted_usd: Usd = ZERO

    @staticmethod
    def of(pulls: Sequence[MergedPull]) -> Merges:
        columns, gone = [0] * (len(COST_BOUNDS) + 1), [pull.usd for pull in pulls if pull.reverted]
        for pull in pulls:
            columns[bisect(COST_BOUNDS, pull.usd)] += 1
        usd, outliers = total(pull.usd for pull in pulls), sum(pull.outlier for pull in pulls)
        return Merges(len(pulls), usd, tuple(columns), outliers, len(gone), total(gone))

    @staticmethod
    def column(at: int, pulls: int, usd: Usd) -> Merges:
        """So many of one column, none of which is an outlier or was reverted."""
        return Merges(pulls, usd, tuple(pulls if at == one else 0 for one in range(len(COST_BOUNDS) + 1)))

    def __add__(self, other: Merges) -> Merges:
        return Merges(
            self.pulls + other.pulls,
            self.usd + other.usd,
            tuple(mine + theirs for mine, theirs in zip(self.columns, other.columns, strict=True)),
            self.outliers + other.outliers,
            self.reverted + other.reverted,
            self.reverted_usd + other.reverted_usd,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one developer, repository, class, engine, model or line has spent in the window.

    `estimated`: the part that is an upper bound; `halted`: the part of runs that were halted; `number`:
    GitHub's, of a developer or a repository.
    """

    name: str
    usd: Usd
    runs: int
    estimated: Usd
    halted: Usd
    sums: Sums
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """What was spent on one day, "2026-11-26" as people count it; `halted` as in Share."""

    date: str
    usd: Usd
    halted: Usd = ZERO


@dataclass(frozen=True, slots=True)
class Ended:
    """Runs that ended in the window, by class, repository and how. `long`: needed more than 80 steps."""

    task_class: str
    repository: str
    state: str
    reason: str | None
    runs: int
    long: int = 0
    repository_id: int | None = None


CEILINGS = ("cost_ceiling", "token_ceiling", "step_ceiling", "wall_clock_ceiling", "cached_token_ceiling")


@dataclass(frozen=True, slots=True)
class Rate:
    """Of how many runs how many were ended by a ceiling, for one class, repository or all."""

    name: str
    runs: int
    exhausted: int

    @property
    def value(self) -> float | None:
        return self.exhausted / self.runs if self.runs else None

    @property
    def verdict(self) -> str:
        rate = self.value
        if rate is None:
            return "no run ended in this window"
        if self.runs < FEW:
            return f"only {self.runs} of the {FEW} runs that it takes to judge by"
        if rate > TOO_TIGHT:
            return "above 20 %: the ceilings are too tight or the tasks too big"
        if rate < THEATRE:
            return "below 2 %: the ceilings are theatre"
        return "healthy: between 2 % and 20 %"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What tasks used of their token ceilings: percentiles that occurred, and a histogram over BUCKETS.

    `outcome` success (the agent was done) | failure (halted, failed or lost). A task is a run with all its
    attempts; one that asked nothing of a model is none.
    """

    outcome: str
    runs: int
    p50: int
    p90: int
    p99: int
    most: int
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the spend, by what became of its runs (`reason`: of the halt), and where they were."""

    state: str
    reason: str | None
    attributed: bool  # to a merged pull request
    threaded: bool  # on an issue or a pull request
    usd: Usd
    sums: Sums


@dataclass(frozen=True)  # no slots: a page asks for each sum several times
class Signals:
    """One window, whole. Pull requests count by merge date, runs by their end, spend by the date of the turn
    (M4). `merged` are all, or those that stick out; `merges` is of all."""

    since: str
    until: str
    zone: str
    only: Only
    merged: tuple[MergedPull, ...]
    merges: Merges
    parts: tuple[Part, ...]
    estimated: Usd  # the part of `spent` that is an upper bound, not the upstream's word (M2)
    pooled: Usd  # the part of `spent` that corrects estimates of several runs at once; usually negative
    ended: tuple[Ended, ...]
    tokens: tuple[Tokens, ...]
    days: tuple[Day, ...]  # without `pooled`
    by: str | None
    shares: tuple[Share, ...]  # without `pooled`

    @cached_property
    def spent(self) -> Usd:
        """Everything, corrections too: settled = spent - estimated."""
        return total(part.usd for part in self.parts) + self.pooled

    @cached_property
    def unattributed(self) -> Usd:
        """The part of `spent` that belongs to no merged pull request."""
        return total(part.usd for part in self.parts if not part.attributed) + self.pooled

    @cached_property
    def unmerged(self) -> Usd:
        """The part of `unattributed` whose run was on an issue or pull request."""
        return total(part.usd for part in self.parts if not part.attributed and part.threaded)

    @property
    def elsewhere(self) -> Usd:
        """The part of `unattributed` that was on no thread: on laptops, in other workflows."""
        return self.unattributed - self.unmerged - self.pooled

    @cached_property
    def halted(self) -> Usd:
        """The part of `spent` whose runs were halted, whatever became of their work."""
        return total(part.usd for part in self.parts if part.state == "halted")

    def halted_by(self) -> dict[str, Usd]:
        """The same by reason, dearest first."""
        found: dict[str, Usd] = {}
        for part in self.parts:
            if part.state == "halted" and part.usd:
                found[str(part.reason)] = found.get(str(part.reason), ZERO) + part.usd
        return dict(sorted(found.items(), key=lambda item: (-item[1].nanos, item[0])))

    @cached_property
    def sums(self) -> Sums:
        """Tokens by counter and what each cost, without `pooled`."""
        return sum((part.sums for part in self.parts), Sums())

    @cached_property
    def direct(self) -> Usd | None:
        """Spend attributed to the merged pull requests, for each of them."""
        return self.merges.usd.over(self.merges.pulls) if self.merges.pulls else None

    @property
    def fully_loaded(self) -> Usd | None:
        """All spend of the window, also what never merged, for each merged pull request."""
        return self.spent.over(self.merges.pulls) if self.merges.pulls else None

    @cached_property
    def exhaustion(self) -> Rate:
        """Runs that a ceiling ended, of all that ended."""
        return _rate("all", self.ended)

    def exhaustion_by(self, what: str) -> tuple[Rate, ...]:
        """`what`: "task_class" or "repository"; most halts first."""
        groups: dict[str, list[Ended]] = {}
        for group in self.ended:
            groups.setdefault(getattr(group, what), []).append(group)
        rates = (_rate(name, found) for name, found in groups.items())
        return tuple(sorted(rates, key=lambda rate: (-rate.exhausted, -rate.runs, rate.name)))

    def halts(self) -> dict[str, int]:
        """Runs that were halted, by reason."""
        found: dict[str, int] = {}
        for group in self.ended:
            if group.state == "halted":
                found[str(group.reason)] = found.get(str(group.reason), 0) + group.runs
        return found

    def halts_by_ceiling(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for group in self.ended:
            if group.reason in CEILINGS:
                found[group.reason] = found.get(group.reason, 0) + group.runs
        return found

    @property
    def badly_scoped(self) -> tuple[tuple[str, int, int], ...]:
        """Classes of which more than a fifth keeps needing more than 80 steps: name, such runs, all (R6)."""
        counted: dict[str, tuple[int, int]] = {}
        for group in self.ended:
            long, runs = counted.get(group.task_class, (0, 0))
            counted[group.task_class] = long + group.long, runs + group.runs
        return tuple(
            (name, long, runs)
            for name, (long, runs) in sorted(counted.items())
            if runs >= FEW and long > runs * TOO_TIGHT
        )


def _rate(name: str, ended: Iterable[Ended]) -> Rate:
    groups = tuple(ended)
    exhausted = sum(group.runs for group in groups if group.reason in CEILINGS)
    return Rate(name, sum(group.runs for group in groups), exhausted)


def judge_cost(cost: Usd | None) -> str:
    if cost is None:
        return "no pull request with a run was merged in this window"
    low, high = BAND
    if cost > high:
        return f"above the usual band of {low} to {high}: look at the outliers"
    if cost < low:
        return f"below the usual band of {low} to {high}"
    return f"within the usual band of {low} to {high}"


def nearest(percent: int, count: int) -> int:
    """The rank, from 1, of the value that so many in a hundred do not exceed."""
    return -(-count * percent // 100)
