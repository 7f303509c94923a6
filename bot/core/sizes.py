"""What a run of a class usually costs, by past runs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.core.money import Usd

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
