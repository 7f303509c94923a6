"""What a run's policy tells the gateway: how it admits, what it allows beyond a bound, when a run is stuck.

A snapshot taken at the trigger and kept as JSON with the run. What does not stand there is the strictest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any

ADMISSIONS = ("strict", "counted", "expected")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one kind of thing that has no bound of its own may add to a request.

    `uses`: how often in one request; `tokens`: of each use; `nanos`: nano-dollars of each request.
    """

    uses: int = 0
    tokens: int = 0
    nanos: int = 0


@dataclass(frozen=True, slots=True)
class Stuck:
    """When a run goes round in circles (core/stuck).

    The same has happened `repeats` times; `idle` turns brought nothing new; `errors` turns only failed tools.
    """

    repeats: int = 4
    idle: int = 8
    errors: int = 6


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one run. `allow` is by the policy's key; what has none is refused (G8)."""

    admission: str = "strict"
    allow: Mapping[str, Allowance] = field(default_factory=dict)
    stuck: Stuck = field(default_factory=Stuck)

    @staticmethod
    def parse(text: str) -> Rules:
        """The rules of a run's row; the same text is read once."""
        return _parsed(text)

    def json(self) -> str:
        """As `parse` reads it; what is as it would be anyway is left out."""
        usual = asdict(STRICTEST)
        return json.dumps({name: told for name, told in asdict(self).items() if told != usual[name]})


STRICTEST = Rules()


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Rules:
    raw = json.loads(text)
    admission = raw.get("admission")
    return Rules(
        admission=admission if admission in ADMISSIONS else "strict",
        allow={name: _of(Allowance, told) for name, told in raw.get("allow", {}).items()},
        stuck=_of(Stuck, raw.get("stuck", {})),
    )


def _of(kind: Any, told: Mapping[str, Any]) -> Any:
    """A value from the keys that it knows; others are of another version."""
    return kind(**{each.name: told[each.name] for each in fields(kind) if each.name in told})
