"""What is tried: where inputs come from, and the law that holds for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import strategies as st

from tests.fuzz.trying import Law, tried
from tests.fuzz.worlds import Worlds


class Tried(Protocol):
    """`law` is a sentence; `few`: so many inputs in the suite; `share`: of the time."""

    name: str
    law: str
    few: int
    share: int

    def tried(self, worlds: Worlds, seed: int, inputs: int, count: Callable[[int], None]) -> str:
        """What did not hold, and for which of so many inputs, or ""; `count` is told how many came."""


@dataclass(slots=True)
class Target:
    """Inputs of ours; `opened` prepares what their law needs."""

    name: str
    law: str
    inputs: st.SearchStrategy[Any]
    opened: Callable[[Worlds], Law]
    few: int
    share: int = 1

    def tried(self, worlds: Worlds, seed: int, inputs: int, count: Callable[[int], None]) -> str:
        return tried(self.inputs, self.opened(worlds), seed, inputs, count)


def pure(law: Law) -> Callable[[Worlds], Law]:
    """A law that needs nothing."""
    return lambda worlds: law
