"""What is left after every turn: always the newest, in order, never half a change, at no cost to the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bot.core.transcript import Transcript, read
from bot.runner.service import ServiceError
from bot.runner.uploads import Json, Uploads


def talk(turns: int) -> Transcript:
    return Transcript("opus", ({"role": "user", "content": [{"type": "text", "text": "x"}]},), turns)


@dataclass
class Door:
    """A service that takes what is put when it is let; a tree with one number in it."""

    tree: int = 0
    refuses: int = 0
    got: list[tuple[int, int | None]] = field(default_factory=list)
    looked: list[int] = field(default_factory=list)
    may_take: threading.Event = field(default_factory=threading.Event)
    may_look: threading.Event = field(default_factory=threading.Event)
    failed: list[str] = field(default_factory=list)

    def put(self, kept: bytes, changes: Json | None, until: float) -> None:
        assert self.may_take.wait(20)
        if self.refuses:
            self.refuses -= 1
            raise ServiceError("not now")
        self.got.append((read(kept).turns, None if changes is None else changes["tree"]))

    def look(self) -> Json:
        assert self.may_look.wait(20)
        self.looked.append(self.tree)
        return {"tree": self.tree}


@contextmanager
def opened(door: Door, known: Json | None = None, *, slow: bool = False) -> Iterator[Uploads]:
    door.may_look.set()
    if not slow:
        door.may_take.set()
    uploads = Uploads(door.put, door.look, door.failed.append, known)
    try:
        yield uploads
    finally:
        door.may_take.set()
        uploads.close(20)


def until(door: Door, turns: int) -> None:
    end = time.monotonic() + 20
    while not any(got[0] == turns for got in door.got):
        assert time.monotonic() < end, door.got
        time.sleep(0.005)


def test_changes_go_up_only_when_they_are_others() -> None:
    door = Door(tree=1)
    with opened(door) as uploads:
        for turn, tree in ((1, 1), (2, 1), (3, 2)):
            door.tree = tree
            uploads.results(talk(turn))
            uploads.seen()
            until(door, turn)
    assert door.got == [(1, 1), (2, None), (3, 2)]


def test_changes_that_the_service_has_from_the_attempt_before_do_not_go_up_again() -> None:
    door = Door(tree=1)
    with opened(door, {"tree": 1}) as uploads:
        uploads.results(talk(1))
        uploads.seen()
        until(door, 1)
    assert door.got == [(1, None)]


def test_a_slow_service_gets_the_newest_and_nothing_is_out_of_order() -> None:
    door = Door()
    with opened(door, slow=True) as uploads:
        for turn in range(1, 9):
            door.tree = turn
            uploads.results(talk(turn))
            uploads.seen()
            uploads.turn(talk(turn))
            uploads.seen()
        door.may_take.set()
        until(door, 8)
    turns = [got[0] for got in door.got]
    assert turns == sorted(turns)
    assert turns[-1] == 8
    assert len(turns) < 8
    assert [tree for _, tree in door.got if tree is not None][-1] == 8


def test_what_failed_to_go_up_goes_with_the_next() -> None:
    door = Door(tree=5, refuses=1)
    with opened(door) as uploads:
        uploads.results(talk(1))
        uploads.seen()
        while not door.failed:
            time.sleep(0.005)
        uploads.turn(talk(2))
        until(door, 2)
    assert door.got == [(2, 5)]
    assert door.failed == ["not now"]


def test_nobody_changes_the_tree_while_it_is_looked_at() -> None:
    door = Door(tree=1)
    with opened(door) as uploads:
        door.may_look.clear()
        uploads.results(talk(1))

        def tool() -> None:
            uploads.seen()
            door.tree = 2

        thread = threading.Thread(target=tool)
        thread.start()
        door.may_look.set()
        thread.join(20)
    assert (door.looked, door.tree) == ([1], 2)


def test_the_last_is_waited_for_and_comes_last() -> None:
    door = Door(tree=1)
    with opened(door, slow=True) as uploads:
        uploads.results(talk(1))
        threading.Timer(0.05, door.may_take.set).start()
        uploads.last(talk(2), {"tree": 9}, 20)
        assert door.got[-1] == (2, 9)
        uploads.results(talk(3))
    assert door.got[-1] == (2, 9), "nothing comes after it"


def test_an_engine_that_did_not_end_leaves_what_it_had_told() -> None:
    door = Door(tree=1)
    with opened(door, slow=True) as uploads:
        uploads.results(talk(1))
        uploads.results(talk(2))
        threading.Timer(0.05, door.may_take.set).start()
        uploads.last(None, None, 20)
    assert door.got[-1][0] in (1, 2)
