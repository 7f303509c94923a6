"""What the reports may be made to get wrong, so that whoever reconciles with them has something to find.

The invoice itself stays as it is: it is what was really billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from sandbox.claude.invoice import Row
from sandbox.claude.prices import MODELS, Model, Usage, model_named

COUNTERS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")


@dataclass(frozen=True, slots=True)
class Fault:
    """Of the rows of one `user` (the request's metadata.user_id; "": of all) the reports say something else.

    `model`: that another one answered. `key`: that they were asked with this key. `move`: that the tokens of
    one counter belong to another. `copies`: how often they are there, 0 for not at all. `late_ms`: by how
    much they are later than other rows. `prices`: nano-dollars a token by counter, in the cost report.
    """

    user: str = ""
    model: str = ""
    key: str = ""
    move: tuple[str, ...] = ()
    copies: int = 1
    late_ms: int = 0
    prices: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def read(raw: Mapping[str, Any]) -> Fault:
        """Raises ValueError and TypeError for what is none."""
        fault = Fault(**{**raw, "move": tuple(raw.get("move", ()))})
        if fault.model and model_named(fault.model) is None:
            raise ValueError(f"{fault.model!r} is no model of this address")
        if fault.move and (len(fault.move) != 2 or set(fault.move) - set(COUNTERS)):
            raise ValueError(f"move: two of {', '.join(COUNTERS)}")
        if set(fault.prices) - set(COUNTERS):
            raise ValueError(f"prices: of {', '.join(COUNTERS)}")
        return fault


@dataclass(frozen=True, slots=True)
class Told:
    """A row as the reports have it."""

    row: Row
    prices: Mapping[str, int] = field(default_factory=dict)

    def nanos(self, counter: str) -> int:
        """What the cost report says that the tokens of one counter cost."""
        tokens = getattr(self.row, counter)
        if counter in self.prices:
            return int(tokens * self.prices[counter])
        return self.model.nanos(Usage(**{counter: tokens}), self.row.inference_geo)

    @property
    def model(self) -> Model:
        return MODELS[self.row.model]


def told(rows: Iterable[Row], faults: Iterable[Fault], until: int) -> list[Told]:
    """What the reports know of the rows that were billed until `until` (ms)."""
    found: list[Told] = []
    wrong = tuple(faults)
    for row in rows:
        mine = [fault for fault in wrong if fault.user in ("", row.user)]
        if row.at > until - sum(fault.late_ms for fault in mine):
            continue
        copies, said = 1, Told(row)
        for fault in mine:
            copies *= fault.copies
            said = Told(_changed(said.row, fault), {**said.prices, **fault.prices})
        found += [said] * copies
    return found


def mark(key: str) -> str:
    """By which the invoice knows a key."""
    return sha256(key.encode()).hexdigest()[:12]


def _changed(row: Row, fault: Fault) -> Row:
    if fault.model and (model := model_named(fault.model)) is not None:
        row = replace(row, model=model.id)
    if fault.key:
        row = replace(row, key=mark(fault.key))
    if fault.move:
        source, target = fault.move
        moved = {source: 0, target: getattr(row, target) + getattr(row, source)}
        row = replace(row, **moved)
    return row
