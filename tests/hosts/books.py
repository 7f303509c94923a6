"""Afterwards: nothing lost, nothing twice, no ceiling passed, and what the ledger says beside the invoice."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bot import services, settings
from bot.stories.reconcile import reconcile
from tests.chaos.booked import booked
from tests.hosts.world import World

HOUR = 3_600_000


@dataclass(frozen=True)
class Books:
    """Of some threads. Dollars in nano-dollars; `estimated`: the part of `spent` that is an upper bound."""

    runs: int
    turns: int
    estimates: int
    spent: int
    estimated: int
    billed: int


def audit(world: World, threads: Sequence[int]) -> Books:
    """Raises AssertionError for whatever is lost, doubled or passed."""
    names = ", ".join(map(str, threads))
    rows = world.rows(
        "SELECT id, thread, state, reason, spent_nanos, ceiling_nanos, steps, ceiling_steps, spent_tokens, "
        f"ceiling_tokens, held_nanos, published_pull FROM runs WHERE thread IN ({names}) ORDER BY thread"
    )
    assert [row.thread for row in rows] == sorted(threads), "one run for each command"
    dispatched = Counter(run["title"] for run in world.github.runs())
    invoice: dict[str, dict[str, int]] = defaultdict(dict)
    for one in world.claude.invoice()["rows"]:
        invoice[one["user"]][one["request_id"]] = one["nanos"]
    bodies_of = [thread["body"] for thread in world.github.repository()["threads"]]
    closed = Counter(number for body in bodies_of for number in re.findall(r"Closes #([0-9]+)", body))
    turns = estimates = spent = estimated = billed = 0
    for row in rows:
        assert row.state in ("done", "halted"), (row.id, row.state, row.reason)
        assert row.state == "done" or row.reason == "cost_ceiling", row.reason
        assert row.spent_nanos <= row.ceiling_nanos
        assert row.spent_tokens <= row.ceiling_tokens
        assert row.steps <= row.ceiling_steps
        assert row.held_nanos == 0
        assert dispatched[f"Tollgate run {row.id}.1"] == 1, dispatched
        bodies = [comment["body"] for comment in world.github.comments(row.thread)]
        assert sum(f"tollgate-run:{row.id}:1" in body for body in bodies) == 1, bodies
        if row.state == "done":
            assert closed[str(row.thread)] == 1, (row.thread, closed)
        exact, upper = booked(world.database, row.id)
        own = invoice[row.id]
        assert {id: nanos for id, nanos in own.items() if id in exact} == exact
        rest = [nanos for id, nanos in own.items() if id not in exact]
        assert len(rest) <= len(upper)
        assert sum(rest) <= sum(upper)
        assert row.spent_nanos == sum(exact.values()) + sum(upper)
        turns += len(exact) + len(upper)
        estimates += len(upper)
        spent += row.spent_nanos
        estimated += sum(upper)
        billed += sum(own.values())
    return Books(len(rows), turns, estimates, spent, estimated, billed)


def reconciled(world: World) -> tuple[int, int]:
    """What the ledger comes to once it was compared with the invoice, and the invoice."""
    with services.opened(settings.read(world.env), "test") as ready:
        now = ready.database.now_ms() + HOUR
        reconcile(ready, now - 3 * HOUR, now, now)
        return ready.signals.read().spent.nanos, int(world.claude.invoice()["total_nanos"])
