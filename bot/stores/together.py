"""Writes that come at once are written at once: while one waits for the lock or the disk, others gather."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


@dataclass(eq=False, slots=True)
class _Call(Generic[A, R]):
    argument: A
    leads: bool = False
    outcome: R | None = None
    error: BaseException | None = None
    woken: threading.Event = field(default_factory=threading.Event)


class Together(Generic[A, R]):
    """`do` gets the arguments of all calls that have come since it was last begun, in their order, and
    returns what came of each; one thread at a time is in it. What it raises, all of them raise."""

    def __init__(self, do: Callable[[Sequence[A]], Sequence[R]]) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._calls: list[_Call[A, R]] = []
        self._led = False

    def __call__(self, argument: A) -> R:
        mine: _Call[A, R] = _Call(argument)
        with self._lock:
            self._calls.append(mine)
            mine.leads, self._led = not self._led, True
        if not mine.leads:
            mine.woken.wait()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.outcome  # type: ignore[return-value]  # without an error there is one

    def _lead(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        try:
            for call, outcome in zip(calls, self._do([call.argument for call in calls]), strict=True):
                call.outcome = outcome
        except BaseException as error:  # noqa: BLE001 - it is raised in every one of them
            for call in calls:
                call.error = error
        with self._lock:
            after = self._calls[0] if self._calls else None
            self._led = after is not None
            if after is not None:
                after.leads = True
        for call in (*calls, *([after] if after else [])):
            call.woken.set()
