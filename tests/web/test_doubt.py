"""`expected` and `counted` before many clients, several gateways and an upstream that means ill."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Lock

import pytest
import sqlalchemy as sa

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.rules import Rules
from bot.stores.database import Database
from bot.stores.tables import turns
from tests.web.gates import Gate, gated
from tests.web.test_gateway import MODEL, TALK, post, together
from tests.web.upstreams import MESSAGE, Upstream, sent, upstream, whole

CLIENTS, GATEWAYS = 64, 3
CEILINGS = {
    Reason.COST: Ceilings(Usd.parse("2"), 10**9, 10**4, 600),
    Reason.TOKENS: Ceilings(Usd.parse("99"), 400_000, 10**4, 600),
}
TEXT = "a word or two and then some more of them " * 1_500
CACHED = 60_000  # tokens that are read from the cache or, at a miss, written anew: within the bound by bytes
MARKED = [{"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}}]


@pytest.fixture
def above() -> Iterator[Upstream]:
    with upstream() as made:
        yield made


@pytest.fixture
def gates(database: Database, above: Upstream) -> Iterator[list[Gate]]:
    """Several gateways on one database, each with connections and a memory of its own."""
    with ExitStack() as stack:
        made = []
        for _ in range(GATEWAYS):
            own = Database(database.url)
            stack.callback(own.close)
            made.append(stack.enter_context(gated(own, above.url)))
        yield made


def means_ill(above: Upstream, seed: int) -> None:
    """It counts next to nothing beforehand, and misses the cache whenever it likes."""
    dice, lock = random.Random(seed), Lock()

    def play(client: socket.socket, number: int) -> bool:
        if b"/count_tokens" in above.taken[number - 1].partition(b"\r\n")[0]:
            return sent(client, whole({"input_tokens": 10}))
        with lock:
            missed, output = dice.random() < 0.2, dice.choice([5, 900])
        counter = "cache_creation_input_tokens" if missed else "cache_read_input_tokens"
        usage = {"input_tokens": 40, "output_tokens": output, counter: CACHED}
        return sent(client, whole({**MESSAGE, "usage": usage}))

    above.play = play


def spend_all(gates: list[Gate], token: str) -> set[int]:
    """All clients, each at its gateway, until each is told to stop; the statuses seen."""
    numbers, seen, lock = iter(range(CLIENTS)), set[int](), Lock()

    def work() -> None:
        with lock:
            gate = gates[next(numbers) % len(gates)]
        asked = {"model": MODEL, "max_tokens": 1_000, "messages": TALK, "system": MARKED}
        status = 200
        while status == 200:
            status = post(gate, {**asked, "inference_geo": "global"}, {"x-api-key": token})[0]
            with lock:
                seen.add(status)

    together(work, CLIENTS)
    return seen


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("admission", ["strict", "expected", "counted"])
@pytest.mark.parametrize("reason", CEILINGS)
def test_one_answer_at_most_passes_a_ceiling_and_only_by_its_doubt(
    gates: list[Gate], database: Database, above: Upstream, reason: Reason, admission: str, seed: int
) -> None:
    means_ill(above, seed)
    ceilings = CEILINGS[reason]
    run, token = gates[0].run(ceilings, Rules(admission))
    assert spend_all(gates, token) == {200, 402}
    account = gates[0].account(run)
    with database.read() as tx:
        rows = list(tx.execute(sa.select(turns).where(turns.c.run == run)).mappings())
    assert (account.held, account.held_tokens, account.held_steps) == (Usd(0), 0, 0)
    assert sum(row["nanos"] for row in rows) == account.spent.nanos
    beaten = [row for row in rows if row["nanos"] > row["hold_nanos"] or row["tokens"] > row["hold_tokens"]]
    assert len(beaten) <= (0 if admission == "strict" else 1)
    assert account.reason == (Reason.BOUND_EXCEEDED if beaten else reason)
    more = sum(row["nanos"] - row["hold_nanos"] for row in beaten)
    more_tokens = sum(row["tokens"] - row["hold_tokens"] for row in beaten)
    assert account.spent.nanos <= ceilings.usd.nanos + max(0, more)
    assert account.spent_tokens <= ceilings.tokens + max(0, more_tokens)
