"""Calls that come at once are done at once, each with its own outcome, and none is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.stores.together import Together


def test_what_comes_while_one_is_under_way_is_done_by_the_next() -> None:
    began, go_on, batches = threading.Event(), threading.Event(), []

    def do(some: Sequence[int]) -> list[int]:
        batches.append(list(some))
        began.set()
        assert go_on.wait(60)
        return [-one for one in some]

    together = Together(do)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(together, 0)
        assert began.wait(60)
        others = [pool.submit(together, number) for number in range(1, 9)]
        while len(together._calls) < 8:
            threading.Event().wait(0.001)
        go_on.set()
        assert [first.result(60), *(one.result(60) for one in others)] == [-n for n in range(9)]
    assert batches[0] == [0]
    assert sorted(batches[1]) == list(range(1, 9))
    assert len(batches) == 2


def test_a_failure_is_everybodys_and_the_next_is_not_held_up() -> None:
    def do(some: Sequence[int]) -> list[int]:
        if 3 in some:
            raise OSError("the disk is full")
        return list(some)

    together = Together(do)
    with pytest.raises(OSError, match="full"):
        together(3)
    assert together(4) == 4


def test_under_many_threads_every_call_has_its_own_outcome() -> None:
    together: Together[int, int] = Together(lambda some: [one * one for one in some])
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(together, range(2_000))) == [n * n for n in range(2_000)]
