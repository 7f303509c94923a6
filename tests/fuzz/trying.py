"""A law tried with inputs by a seed: the same seed, the same inputs, and the same finding."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

Law = Callable[[Any], None]  # raises for an input for which it does not hold
LONGEST = 20.0  # seconds of this process's own computing for one input, whatever else the machine does


class TooLong(Exception):
    """An input keeps the processor busy beyond anything that it may take."""


def tried(
    inputs: st.SearchStrategy[Any], law: Law, seed: int, most: int, count: Callable[[int], None]
) -> str:
    """Try so many inputs; `count` is told of each. What does not hold, made as small as it can be, or ""."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=most,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(inputs)
    def holds(value: object) -> None:
        count(1)
        with bounded():
            law(value)

    try:
        holds()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return "".join(traceback.format_exception(error))
    return ""


@contextmanager
def bounded() -> Iterator[None]:
    """Raises TooLong after LONGEST of processor time."""

    def over(*_: object) -> None:
        raise TooLong(f"more than {LONGEST:g} s of processor time for one input")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
