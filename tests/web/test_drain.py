"""What its client has left is read to its end, whatever the machine is short of."""

from __future__ import annotations

import threading
from typing import cast

from bot.clients.anthropic import Exchange, Head, TimedOut
from bot.core.usage import Answer, Reader
from bot.web.drain import Drain

HEAD = Head(200, (("content-type", "text/event-stream"),))
EVENTS = [
    b'data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":3}}}\n\n',
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}\n\n',
    b'data: {"type":"message_stop"}\n\n',
]


class Unselectable:
    """An answer that comes piece by piece and for which there is no selector, as where none is left."""

    def __init__(self) -> None:
        self.pieces = [piece for event in EVENTS for piece in (None, event)]

    def once(self) -> None: ...
    def close(self) -> None: ...

    def fileno(self) -> int:
        raise OSError(24, "Too many open files")

    def head(self, deadline: float) -> Head:
        return HEAD

    def read(self, deadline: float) -> bytes:
        piece = self.pieces.pop(0)
        if piece is None:
            raise TimedOut
        return piece


def test_a_drain_goes_on_where_no_descriptor_is_left_for_a_selector() -> None:
    drain, over, found = Drain(20), threading.Event(), list[Answer | None]()

    def settle(answer: Answer | None, ending: str) -> None:
        found.append(answer)
        over.set()

    drain.take(cast(Exchange, Unselectable()), Reader(), settle)
    assert over.wait(20)
    [answer] = found
    assert answer is not None
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.output) == (3, 7)
    drain.finish(1)
