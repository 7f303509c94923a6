"""The signals that a lead reads, and what they say (R25-R27, M4): `docs/metrics.md` has every formula.

Values come from `bot.stores.signals`; `bot.core.overview` puts them into words and JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.core.money import ZERO, Usd, total
from bot.core.reconcile import Sums

BAND = (Usd.parse("5"), Usd.parse("30"))  # what a merged pull request usually costs
TOO_TIGHT = 0.20
THEATRE = 0.02
FEW = 10  # runs; fewer say nothing about a rate
MUCH = 0.5  # of what a pull request cost: then it is named as a cause
MANY = 4  # attempts on one pull request: then they are named too
BADLY_SCOPED = 80  # steps (R6)
# Tokens: each bucket of the histogram goes up to one of these, exclusive; the last has no end.
BUCKETS = (*(digit * 10**power for power in (3, 4, 5, 6) for digit in (1, 2, 5)), 10_000_000)


@dataclass(frozen=True, slots=True)
class Only:
    """Which runs count; what is not given is any. Names count whatever the case, and also earlier ones.

    `line` "" is: on no line. `visible`: the numbers of the repositories that whoever asks may see, and
    nothing else then, also not what belongs to no repository; None: everything.
    """

    repository: str = ""
    task_class: str = ""
    line: str | None = None
    developer: str = ""
    visible: frozenset[int] | None = None


EVERYTHING = Only()


@dataclass(frozen=True, slots=True)
class MergedPull:
    """A merged pull request with at least one run, and everything that was spent on it.

    `reverted`: it was taken back since; the money was spent all the same. `halted`: the part of runs that
    were halted; `context`: the part that reading the conversation cost; `attempts`: of all its runs.
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

    @property
    def outlier(self) -> bool:
        return self.usd > BAND[1]

    @property
    def causes(self) -> tuple[str, ...]:
        """Why it cost so much, as far as the numbers tell."""
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
class Share:
    """What one developer, repository, class, engine, model or line has spent in the window.

    `estimated`: the part that is an upper bound; `halted`: the part of runs that were halted.
    """

    name: str
    usd: Usd
    runs: int
    estimated: Usd
    halted: Usd
    sums: Sums


@dataclass(frozen=True, slots=True)
class Day:
    """What was spent on one day, "2026-11-26" as people count it; `halted` as in Share."""

    date: str
    usd: Usd
    halted: Usd = ZERO


ENOUGH = 5  # past runs of a class; fewer say nothing about the next one


@dataclass(frozen=True, slots=True)
class Spread:
    """What past runs of a class have cost: how many, the median, and what nine in ten did not exceed."""

    runs: int
    median: Usd
    p90: Usd


@dataclass(frozen=True, slots=True)
class Size:
    """What a run of a class usually costs, and how one knows: by `scope` repository | installation, or not
    at all (ceiling: then it is what such a run may cost at most)."""

    task_class: str
    scope: str
    runs: int
    median: Usd
    p90: Usd

    def to_json(self) -> dict[str, Any]:
        return {
            "task_class": self.task_class,
            "scope": self.scope,
            "runs": self.runs,
            "median": self.median.nanos,
            "p90": self.p90.nanos,
        }

    @staticmethod
    def of_json(raw: Mapping[str, Any]) -> Size:
        return Size(raw["task_class"], raw["scope"], raw["runs"], Usd(raw["median"]), Usd(raw["p90"]))


def size(task_class: str, here: Spread | None, around: Spread | None, ceiling: Usd) -> Size:
    """By this repository's past runs of the class, else by the installation's, else by its cost ceiling."""
    for scope, spread in (("repository", here), ("installation", around)):
        if spread is not None and spread.runs >= ENOUGH:
            return Size(task_class, scope, spread.runs, spread.median, spread.p90)
    return Size(task_class, "ceiling", 0, ceiling, ceiling)


@dataclass(frozen=True, slots=True)
class Ended:
    """Runs that ended in the window, by class, repository and how. `long`: needed more than 80 steps."""

    task_class: str
    repository: str
    state: str
    reason: str | None
    runs: int
    long: int = 0


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


@dataclass(frozen=True, slots=True)
class Signals:
    """One window, whole. Pull requests count by merge date, runs by their end, spend by the date of the turn
    (M4)."""

    since: str
    until: str
    zone: str
    only: Only
    merged: tuple[MergedPull, ...]
    parts: tuple[Part, ...]
    estimated: Usd  # the part of `spent` that is an upper bound, not the upstream's word (M2)
    pooled: Usd  # the part of `spent` that corrects estimates of several runs at once; usually negative
    ended: tuple[Ended, ...]
    tokens: tuple[Tokens, ...]
    days: tuple[Day, ...]  # without `pooled`
    by: str | None
    shares: tuple[Share, ...]  # without `pooled`

    @property
    def spent(self) -> Usd:
        """Everything, corrections too: settled = spent - estimated."""
        return total(part.usd for part in self.parts) + self.pooled

    @property
    def unattributed(self) -> Usd:
        """The part of `spent` that belongs to no merged pull request."""
        return total(part.usd for part in self.parts if not part.attributed) + self.pooled

    @property
    def unmerged(self) -> Usd:
        """The part of `unattributed` whose run was on an issue or pull request."""
        return total(part.usd for part in self.parts if not part.attributed and part.threaded)

    @property
    def elsewhere(self) -> Usd:
        """The part of `unattributed` that was on no thread: on laptops, in other workflows."""
        return self.unattributed - self.unmerged - self.pooled

    @property
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

    @property
    def sums(self) -> Sums:
        """Tokens by counter and what each cost, without `pooled`."""
        return sum((part.sums for part in self.parts), Sums())

    @property
    def direct(self) -> Usd | None:
        """Spend attributed to the merged pull requests, for each of them."""
        return total(pull.usd for pull in self.merged).over(len(self.merged)) if self.merged else None

    @property
    def fully_loaded(self) -> Usd | None:
        """All spend of the window, also what never merged, for each merged pull request."""
        return self.spent.over(len(self.merged)) if self.merged else None

    @property
    def reverted(self) -> tuple[MergedPull, ...]:
        return tuple(pull for pull in self.merged if pull.reverted)

    @property
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
