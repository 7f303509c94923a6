"""Strangers who send slowly, or nothing: they get little of a process, and nobody else less for it."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bot.web.anteroom import Anteroom
from bot.web.watchdog import Watchdog

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Connections: our side, and the stranger's."""
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(4)]
        for pair in made:
            for each in pair:
                stack.enter_context(each)
                each.settimeout(30)
        yield made


def at_its_end(sock: socket.socket) -> bool:
    """Whether reading would come back with nothing, and at once."""
    readable, _, _ = select.select([sock], [], [], 0)
    return bool(readable) and sock.recv(1) == b""


def test_where_one_more_would_be_too_many_whoever_has_been_there_the_longest_goes(pairs: list[Pair]) -> None:
    anteroom = Anteroom(Watchdog(), most=2, seconds=600)
    first, second, third, fourth = (ours for ours, _ in pairs)
    anteroom.enter(first)
    left = anteroom.enter(second)
    anteroom.enter(third)
    assert [at_its_end(one) for one in (first, second, third)] == [True, False, False]
    anteroom.leave(left)  # its request is there
    anteroom.enter(fourth)
    assert [at_its_end(one) for one in (second, third, fourth)] == [False, False, False]


def test_what_has_arrived_by_then_is_still_read(pairs: list[Pair]) -> None:
    anteroom = Anteroom(Watchdog(), most=1, seconds=600)
    (ours, theirs), (other, _), *_ = pairs
    theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    anteroom.enter(ours)
    anteroom.enter(other)
    assert ours.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
    ours.sendall(b"an answer")
    assert theirs.recv(100) == b"an answer"


def test_nobody_stays_longer_than_their_time(pairs: list[Pair]) -> None:
    ours = pairs[0][0]
    with Anteroom(Watchdog(), seconds=0.05).reading(ours):
        assert ours.recv(1) == b""  # or the test ends by its own time-out


def test_who_is_known_makes_room_for_nobody(pairs: list[Pair]) -> None:
    anteroom = Anteroom(Watchdog(), most=1, seconds=600)
    known, *others = (ours for ours, _ in pairs)
    with anteroom.reading(known, known=True):
        for other in others:
            anteroom.enter(other)
        assert not at_its_end(known)
