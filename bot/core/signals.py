"""The signals a lead reads: cost per merged pull request, and whether the ceilings bite (R25, R26, M4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.core.money import ZERO, Usd, total

BAND = (Usd.parse("5"), Usd.parse("30"))  # what a merged pull request usually costs
TOO_TIGHT = 0.20
THEATRE = 0.02
FEW = 10  # runs; fewer say nothing about a rate


@dataclass(frozen=True, slots=True)
class MergedPull:
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


@dataclass(frozen=True, slots=True)
class Share:
    """What one developer, repository or class has spent in the window."""

    name: str
    usd: Usd
    runs: int


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
    """Runs that ended in the window, counted by class and by how."""

    task_class: str
    state: str
    reason: str | None
    runs: int


CEILINGS = ("cost_ceiling", "token_ceiling", "step_ceiling", "wall_clock_ceiling", "cached_token_ceiling")


@dataclass(frozen=True, slots=True)
class Signals:
    """One window, whole. Pull requests count by merge date, the rest by the date of the turn (M4)."""

    since: str
    until: str
    merged: tuple[MergedPull, ...]
    spent: Usd
    estimated: Usd  # the part of `spent` that is an upper bound, not the upstream's word (M2)
    pooled: Usd  # the part of `spent` that corrects estimates of several runs at once; usually negative
    unattributed: Usd  # the part of `spent` that belongs to no merged pull request
    unmerged: Usd  # the part of `unattributed` whose run was on an issue or pull request
    ended: tuple[Ended, ...]
    by: str | None
    shares: tuple[Share, ...]

    @property
    def direct(self) -> Usd | None:
        """Spend attributed to the merged pull requests, for each of them."""
        return total(pull.usd for pull in self.merged).over(len(self.merged)) if self.merged else None

    @property
    def fully_loaded(self) -> Usd | None:
        """All spend of the window, also what never merged, for each merged pull request."""
        return self.spent.over(len(self.merged)) if self.merged else None

    @property
    def runs(self) -> int:
        return sum(group.runs for group in self.ended)

    @property
    def exhausted(self) -> int:
        """Runs that a ceiling ended."""
        return sum(group.runs for group in self.ended if group.reason in CEILINGS)

    @property
    def exhaustion_rate(self) -> float | None:
        return self.exhausted / self.runs if self.runs else None

    def exhausted_by(self, what: str) -> dict[str, int]:
        """`what`: "reason" or "task_class"."""
        found: dict[str, int] = {}
        for group in self.ended:
            if group.reason in CEILINGS:
                name = getattr(group, what)
                found[name] = found.get(name, 0) + group.runs
        return found

    @property
    def elsewhere(self) -> Usd:
        """The part of `unattributed` that was on no thread: on laptops, in other workflows."""
        return self.unattributed - self.unmerged - self.pooled

    @property
    def reverted(self) -> tuple[MergedPull, ...]:
        return tuple(pull for pull in self.merged if pull.reverted)

    @property
    def outliers(self) -> tuple[MergedPull, ...]:
        return tuple(pull for pull in self.merged if pull.usd > BAND[1])


def judge_cost(cost: Usd | None) -> str:
    if cost is None:
        return "no pull request with a run was merged in this window"
    low, high = BAND
    if cost > high:
        return f"above the usual band of {low} to {high}: look at the outliers"
    if cost < low:
        return f"below the usual band of {low} to {high}"
    return f"within the usual band of {low} to {high}"


def judge_exhaustion(signals: Signals) -> str:
    rate = signals.exhaustion_rate
    if rate is None:
        return "no run ended in this window"
    few = f" (only {signals.runs} runs: too few to judge by)" if signals.runs < FEW else ""
    if rate > TOO_TIGHT:
        return f"above 20 %: the ceilings are too tight or the tasks too big{few}"
    if rate < THEATRE:
        return f"below 2 %: the ceilings are theatre{few}"
    return f"healthy: between 2 % and 20 %{few}"


def as_json(signals: Signals) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    rate = signals.exhaustion_rate
    return {
        "since": signals.since,
        "until": signals.until,
        "cost_per_merged_pr": {
            "direct": _exact(signals.direct),
            "fully_loaded": _exact(signals.fully_loaded),
            "merged": len(signals.merged),
            "reverted": len(signals.reverted),
            "reverted_usd": total(pull.usd for pull in signals.reverted).exact,
            "band": [BAND[0].exact, BAND[1].exact],
            "verdict": judge_cost(signals.direct),
        },
        "budget_exhaustion": {
            "rate": None if rate is None else round(rate, 4),
            "halted_by_a_ceiling": signals.exhausted,
            "runs": signals.runs,
            "by_ceiling": signals.exhausted_by("reason"),
            "by_class": signals.exhausted_by("task_class"),
            "verdict": judge_exhaustion(signals),
        },
        "spend": {
            "usd": signals.spent.exact,
            "estimated_usd": signals.estimated.exact,
            "pooled_usd": signals.pooled.exact,
            "attributed_usd": (signals.spent - signals.unattributed).exact,
            "unattributed_usd": signals.unattributed.exact,
            "unmerged_usd": signals.unmerged.exact,
            "elsewhere_usd": signals.elsewhere.exact,
        },
        "by": signals.by,
        "shares": [{"name": s.name, "usd": s.usd.exact, "runs": s.runs} for s in signals.shares],
        "merged": [
            {
                "repository": pull.repository,
                "number": pull.number,
                "title": pull.title,
                "author": pull.author,
                "usd": pull.usd.exact,
                "runs": pull.runs,
                "outlier": pull in signals.outliers,
                "reverted": pull.reverted,
            }
            for pull in signals.merged
        ],
    }


def as_text(signals: Signals) -> str:
    """For people, on a terminal."""
    direct, loaded, rate = signals.direct, signals.fully_loaded, signals.exhaustion_rate
    merged = len(signals.merged)
    lines = [
        f"Window: {signals.since} to {signals.until} (UTC)",
        "",
        f"Cost per merged pull request   direct {direct or '-'}, fully loaded {loaded or '-'}"
        f"   ({merged} merged with a run)",
        f"                               {judge_cost(direct)}",
        f"Budget exhaustion rate         {'-' if rate is None else f'{rate:.1%}'}"
        f"   ({signals.exhausted} of {signals.runs} runs halted by a ceiling)",
        f"                               {judge_exhaustion(signals)}",
        f"Spend                          {signals.spent}"
        + (f" ({signals.estimated} of it estimated)" if signals.estimated != ZERO else ""),
        f"  of merged pull requests      {signals.spent - signals.unattributed}",
        f"  unattributed                 {signals.unattributed} ({signals.unmerged} on what has not merged, "
        f"{signals.elsewhere} on no issue or pull request)",
    ]
    if signals.reverted:
        lines.append(
            f"Reverted since                 {len(signals.reverted)} of the merged, "
            f"{total(pull.usd for pull in signals.reverted)} (they count all the same)"
        )
    if signals.pooled:
        lines.append(
            f"Corrected, of no run           {signals.pooled} (estimates of several runs, reconciled)"
        )
    for title, counts in (
        ("Halts by ceiling", signals.exhausted_by("reason")),
        ("Halts by class", signals.exhausted_by("task_class")),
    ):
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            lines.append(f"{title:<31}{listed}")
    if signals.merged:
        lines += ["", "Merged pull requests, dearest first"]
        for pull in signals.merged:
            mark = "   outlier" if pull in signals.outliers else ""
            mark += "   reverted" if pull.reverted else ""
            runs = f"{pull.runs} run{'s' if pull.runs != 1 else ''}"
            lines.append(f"  {pull.usd!s:>12}  {pull.repository}#{pull.number}  {pull.title}  ({runs}){mark}")
    if signals.by:
        lines += ["", f"Spend by {signals.by}"]
        lines += [f"  {share.usd!s:>12}  {share.name}  ({share.runs} runs)" for share in signals.shares]
        if signals.pooled:
            lines.append(f"  {signals.pooled!s:>12}  (corrected, of no run)")
    return "\n".join(lines)


def _exact(usd: Usd | None) -> str | None:
    return None if usd is None else usd.exact
