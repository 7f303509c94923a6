"""The agents' door over real HTTP: requests with anything in them, upstreams that answer with anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bot.core.ceilings import Ceilings
from bot.core.money import ZERO, Usd
from bot.stores.database import Database
from tests.fuzz.answers import MESSAGE, streams
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import mutated
from tests.fuzz.worlds import Worlds
from tests.web.gates import Gate, gated
from tests.web.test_gateway import settled
from tests.web.test_http import bare, lines
from tests.web.upstreams import Upstream, head, upstream, whole

AMPLE = Ceilings(Usd.parse("5"), 10**6, 100, 600)
REQUEST: dict[str, Any] = {
    "model": "claude-opus-4-7",
    "max_tokens": 500,
    "stream": True,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "bash", "input": {"c": "ls"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "a"}]},
    ],
    "tools": [{"name": "bash", "description": "d", "input_schema": {"type": "object", "properties": {}}}],
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 200},
}
PLAIN = {"model": "claude-opus-4-7", "max_tokens": 500, "messages": [{"role": "user", "content": "hello"}]}
MAY = {200, 400, 402, 413, 429}


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Gate, Upstream]]:
    database = Database(f"sqlite:///{folder / 'gate.db'}")
    database.migrate()
    with ExitStack() as stack:
        stack.callback(database.close)
        above = stack.enter_context(upstream())
        yield stack.enter_context(gated(database, above.url, drain_seconds=1)), above


def requests(worlds: Worlds) -> Law:
    gate, above = worlds.once("gate", partial(opened, worlds.folder("gate")))

    def law(body: bytes) -> None:
        above.play = whole()
        before = len(above.taken)
        run, token = gate.run(AMPLE)
        status, said = asked(gate, token, body)
        settled(gate, run)
        assert status in MAY, (status, said)
        spent = gate.account(run).spent
        if status == 200:
            assert len(above.taken) == before + 1
            assert ZERO < spent <= AMPLE.usd
        else:
            assert json.loads(said)["error"]["message"]
            assert len(above.taken) == before, "what is refused is not sent"
            assert spent == ZERO

    return law


def upstreams(worlds: Worlds) -> Law:
    gate, above = worlds.once("gate", partial(opened, worlds.folder("gate")))
    body = json.dumps(PLAIN).encode()

    def law(given: tuple[bool, bytes]) -> None:
        streamed, answer = given
        kind = "text/event-stream" if streamed else "application/json"
        above.play = head("connection: close", f"content-length: {len(answer)}", kind=kind) + answer
        run, token = gate.run(AMPLE)
        status, _ = asked(gate, token, body)
        settled(gate, run)
        assert status in (200, 502)
        account = gate.account(run)
        assert account.spent >= ZERO
        assert account.held == ZERO
        assert account.steps <= 1
        assert account.spent or account.state == "running"

    return law


def asked(gate: Gate, token: str, body: bytes) -> tuple[int, bytes]:
    raw = bare(gate, lines(token, f"content-length: {len(body)}", "connection: close") + body)
    top, _, said = raw.partition(b"\r\n\r\n")
    return int(top.split()[1]), said


TARGETS = (
    Target(
        "requests to the gateway",
        "a request is sent within its ceilings, or refused with a sentence and nothing spent",
        mutated(st.sampled_from([REQUEST, PLAIN])),
        requests,
        60,
        2,
    ),
    Target(
        "upstreams",
        "whatever is answered is booked once, and nothing stays held",
        st.one_of(st.tuples(st.just(True), streams()), st.tuples(st.just(False), mutated(st.just(MESSAGE)))),
        upstreams,
        60,
        2,
    ),
)
