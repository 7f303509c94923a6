"""Gateways die and upstreams fail, as often as they like: every dollar of the invoice is in the ledger.

And reconciled with the upstream's report, the ledger is the invoice, to the nano-dollar.
"""

from __future__ import annotations

import http.client
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.reconcile import COSTS, COUNTERS, Finding
from bot.services import Services
from bot.stores.tables import pool_corrections, runs, turns
from bot.stories.reconcile import reconcile
from sandbox.processes import Started, start
from tests.chaos.booked import booked
from tests.gateways import ROOT, Gateway, World, gateways

pytestmark = pytest.mark.slow

MODEL, ADMIN, HOUR = "claude-opus-4-7", "sk-ant-admin-test", 3_600_000
# Of these one run each, so that it is alone in its stretches; all others share MODEL.
ALONE = ("claude-opus-4-8", "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5")
REQUESTS, RUNS, CLIENTS, SEED = 1_000, 50, 16, 20261125
# Twice: those by which a run goes on.
CHARACTERS = [
    "echo", "echo", "echo", "echo", "expensive", "expensive", "slow", "slow", "refuses", "refuses-midway",
    "cuts", "truncated", "reset", "reset-midway", "error-midway", "pings", "silent", "gibberish",
    "overloaded", "rate-limited", "broken",
]  # fmt: skip


def ceilings(number: int) -> Ceilings:
    """Some that money ends, some that tokens or steps do, some that nothing does."""
    wide = Ceilings(Usd.parse("5"), 10**7, 10**4, 900)
    match number % 4:
        case 0:
            return Ceilings(Usd.parse("0.15"), 10**7, 10**4, 900)
        case 1:
            return Ceilings(Usd.parse("5"), 8_000, 10**4, 900)
        case 2:
            return Ceilings(Usd.parse("5"), 10**7, 9, 900)
        case _:
            return wide


def model_of(number: int) -> str:
    return ALONE[number] if number < len(ALONE) else MODEL


def ask(
    gateway: Gateway, run: str, token: str, model: str, character: str, stream: bool, patience: float
) -> int | str:
    """One request as an agent makes it, and leaves if it takes too long; its status, or how it broke."""
    asked = {
        "model": model,
        "max_tokens": 300,
        "stream": stream,
        "metadata": {"user_id": run},
        "messages": [{"role": "user", "content": f"character: {character}"}],
    }
    parts = urlsplit(gateway.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
    try:
        connection.request(
            "POST",
            f"{parts.path}/v1/messages",
            json.dumps(asked),
            {"x-api-key": token, "anthropic-version": "2023-06-01", "content-type": "application/json"},
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException) as broke:
        return type(broke).__name__
    finally:
        connection.close()


def ends_of_gateways(world: World, chance: random.Random, stop: threading.Event) -> int:
    """Kill one after the other and start it anew, until told to stop; how many died."""
    died = 0
    while not stop.wait(chance.uniform(0.2, 1.2)):
        victim = chance.choice(world.gateways)
        victim.kill()
        died += 1
        victim.start()
        victim.ready()
    return died


def test_the_ledger_is_never_below_the_invoice_and_above_it_only_by_what_is_marked_estimated(
    tmp_path: Path, database_url: str, private_key: str
) -> None:
    chance, seen, stop = random.Random(SEED), Counter[int | str](), threading.Event()
    died: list[int] = []
    with (
        start(
            "claude", character="auto", invoice=tmp_path / "invoice", event_ms=20, admin_key=ADMIN
        ) as claude,
        gateways(
            tmp_path, database_url, claude.url, private_key, 2,
            hold_lease_seconds="1.5", anthropic_admin_key=ADMIN,
        ) as world,
    ):  # fmt: skip
        opened = [(*world.run(ceilings(number)), ceilings(number)) for number in range(RUNS)]
        work = [
            (*opened[i % RUNS][:2], model_of(i % RUNS), chance.choice(CHARACTERS), chance.random())
            for i in range(REQUESTS)
        ]
        left = iter(work)
        lock = threading.Lock()

        def client(number: int) -> None:
            mine = random.Random(SEED + number)
            while True:
                with lock:
                    task = next(left, None)
                if task is None:
                    return
                run, token, model, character, dice = task
                patience = mine.choice([0.3, 1.0]) if character in ("pings", "silent", "slow") else 30
                outcome: int | str = "ConnectionRefusedError"
                while outcome == "ConnectionRefusedError":  # of a gateway that is just starting
                    gateway = mine.choice(world.gateways)
                    outcome = ask(gateway, run, token, model, character, dice < 0.5, patience)
                with lock:
                    seen[outcome] += 1

        def watchdog() -> None:  # as the worker does
            while not stop.wait(0.3):
                world.ledger.expire()

        killer = threading.Thread(
            target=lambda: died.append(ends_of_gateways(world, random.Random(SEED), stop))
        )
        looking = threading.Thread(target=watchdog)
        clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in (killer, looking, *clients):
            thread.start()
        for thread in clients:
            thread.join()
        stop.set()
        killer.join()
        looking.join()
        for each in world.gateways:  # whoever still drains an answer that will never end
            each.kill()
        until = time.monotonic() + 30
        while time.monotonic() < until and (
            claude.ask("/healthz")["in_flight"]
            or any(world.ledger.account_of(r).held_steps for r, *_ in opened)
        ):
            world.ledger.expire()
            time.sleep(0.2)
        rows = claude.invoice()["rows"]
        billed: dict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            billed[row["user"]][row["request_id"]] = row["nanos"]
        assert sum(seen.values()) == REQUESTS
        assert died[0] >= 3
        estimates = 0
        for run, _, most in opened:
            account = world.ledger.account_of(run)
            assert account.held == Usd(0)
            assert account.held_steps == 0
            assert account.spent <= most.usd
            assert account.spent_tokens <= most.tokens
            assert account.steps <= most.steps
            exact, estimated = booked(world.database, run)
            invoice = billed.pop(run, {})
            # What is booked as exact is on the invoice, answer by answer.
            assert {id: nanos for id, nanos in invoice.items() if id in exact} == {
                id: nanos for id, nanos in exact.items() if nanos or id in invoice
            }
            rest = [nanos for id, nanos in invoice.items() if id not in exact]
            assert len([nanos for nanos in rest if nanos]) <= len(estimated)
            # And all else that was billed is in an estimate, which is what the ledger is above the invoice.
            assert sum(rest) <= sum(estimated)
            above = account.spent.nanos - sum(invoice.values())
            assert above == sum(estimated) - sum(rest) >= 0
            assert world.runs.report(run).estimated.nanos == sum(estimated)
            estimates += len(estimated)
        assert not any(billed.values())
        assert estimates >= died[0]
        assert seen[200] > REQUESTS / 5, seen
        reconciled(world, claude)


def reconciled(world: World, claude: Started) -> None:
    """After the report: each run that had estimates alone is its invoice, all of them together theirs."""
    rows = claude.invoice()["rows"]
    billed: dict[str, int] = defaultdict(int)
    for row in rows:
        billed[row["user"]] += row["nanos"]
    before = ledger(world)
    with services.opened(settings.read(world.env), "test") as ready:
        now = ready.database.now_ms() + HOUR  # the report has caught up with everything
        claude.ask("/_sandbox/conduct", {"report_lag_ms": 0})
        early = [finding for finding in look(ready, now) if finding.books]
        halted = states(world)
        # What is given back might be spent again: only of runs that are over; some run of each pool goes on.
        assert all(halted[run][0] == "halted" for finding in early for run in finding.runs)
        assert not any(finding.pool for finding in early)
        for run in before:
            world.runs.end(run, "done")
        halted = states(world)
    died = deaths(world, now)
    with services.opened(settings.read(world.env), "test") as ready:
        look(ready, now)
        after, once = ledger(world), entries(world)
        again = look(ready, now)
        assert not any(finding.books or finding.drift for finding in again)
        assert entries(world) == once
        told = ready.signals.read()
    assert died >= len(ALONE) - len(early)
    assert states(world) == halted
    for number, run in enumerate(before):
        if number < len(ALONE):
            assert after[run]["spent_nanos"] == billed[run], model_of(number)
            assert after[run]["estimated_nanos"] == 0
        else:
            assert after[run] == before[run]
    with world.database.read() as tx:
        pool = dict(tx.execute(sa.select(*map(_sum, pool_corrections.c))).mappings().one())
        shown = tx.execute(sa.select(*map(_sum, runs.c))).mappings().one()
    charged = [row for row in rows if row["ended"] != "refused"]
    assert pool["nanos"] < 0
    assert shown["spent_nanos"] + pool["nanos"] == sum(billed.values()) == told.spent.nanos
    assert told.pooled.nanos == pool["nanos"]
    for counter in COUNTERS:
        assert shown[counter] + pool[counter] == sum(row[counter] for row in charged), counter
    for cost in COSTS:
        assert shown[cost] == sum(row[cost] for row in after.values())
    assert sum(pool[cost] for cost in COSTS) == pool["nanos"]
    kept = [row for row in once if row["state"] == "corrected" and row["ending"] == "reconciled"]
    of = {row["id"]: row for row in once}
    assert kept
    assert all(of[row["corrects"]]["state"] == "estimated" for row in kept)


def look(ready: Services, now: int) -> tuple[Finding, ...]:
    return reconcile(ready, now - 3 * HOUR, now, now).findings


def deaths(world: World, now: int) -> int:
    """Reconcile in processes that die in the middle of what they book, until one has nothing left to do."""
    for died in range(100):
        done = subprocess.run(
            [
                sys.executable, "-m", "tests.chaos.dying_reconcile",
                str(now - 3 * HOUR), str(now), ("inside", "after")[died % 2],
            ],
            env=world.env, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return died
        assert done.returncode == -signal.SIGKILL, done.stderr
    raise AssertionError("it never came to its end")


def ledger(world: World) -> dict[str, dict[str, int]]:
    """Every run's counters, in the order in which they were opened."""
    names = ("spent_nanos", "spent_tokens", "estimated_nanos", *COUNTERS, *COSTS)
    with world.database.read() as tx:
        found = tx.execute(sa.select(runs)).mappings().all()
    shown = {row["id"]: {name: row[name] for name in names} for row in found}
    return {run: shown[run] for run in world.opened}


def states(world: World) -> dict[str, tuple[str, str | None]]:
    with world.database.read() as tx:
        return {row.id: (row.state, row.reason) for row in tx.execute(sa.select(runs)).all()}


def entries(world: World) -> list[dict[str, object]]:
    with world.database.read() as tx:
        return [dict(row) for row in tx.execute(sa.select(turns).order_by(turns.c.id)).mappings()]


def _sum(column: sa.Column[object]) -> sa.ColumnElement[int]:
    number = isinstance(column.type, sa.BigInteger)
    whole = sa.func.coalesce(sa.func.sum(column), 0) if number else sa.literal(0)
    return sa.cast(whole, sa.BigInteger).label(column.name)
