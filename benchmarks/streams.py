"""A hundred runs that stream at once through one worker process of the gateway.

    make bench-streams

How much older an event is when it has passed the gateway than straight from the upstream, what the worker
takes for it, and that each run is settled exactly: the ledger is the upstream's invoice to the nano-dollar,
run by run. Of every twenty runs one asks twice at once and has a single step, and one has four seconds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks import listening, peers, service
from benchmarks.listening import Heard, Job
from bot.core.ceilings import Ceilings
from sandbox.processes import Started, start

MAX_TOKENS = 4_000
FEW = replace(service.AMPLE, steps=1)  # of those that ask twice at once
SHORT = replace(service.AMPLE, seconds=4)


@dataclass(frozen=True)
class Outcome:
    """`cores`: of the worker while the streams lasted; `wrong`: what is not as it must be."""

    heard: Heard
    mb: float
    cores: float
    wrong: list[str]


def ceilings(number: int) -> Ceilings:
    return {7: FEW, 13: SHORT}.get(number % 20, service.AMPLE)


def through(served: service.Service, claude: Started, count: int) -> Outcome:
    """So many runs at once; when all are settled, each is held against its ceilings and the invoice."""
    # Those with little time last: it begins with the claim.
    asked = sorted(map(ceilings, range(count)), key=lambda most: most is SHORT)
    runs = [(*served.run(most), most) for most in asked]
    pid = served.process.pid
    before, began = service.cpu_seconds(pid), time.monotonic()
    keys = [(token, run) for run, token, most in runs for _ in range(2 if most is FEW else 1)]
    heard = listening.run(Job(f"{served.url}/v1/messages", keys, MAX_TOKENS))
    cores = (service.cpu_seconds(pid) - before) / (time.monotonic() - began)
    mb = service.worker_mb(pid)
    until = (
        time.monotonic() + 130
    )  # a stream that was cut is read to its end for two minutes at the most (G5)
    while time.monotonic() < until and any(served.account(run).held_steps for run, *_ in runs):
        time.sleep(0.2)
    billed: dict[str, int] = defaultdict(int)
    for row in claude.invoice()["rows"]:
        billed[row["user"]] += row["nanos"]
    wrong = [each for run, _, most in runs if (each := fault(served, run, most, billed))]
    return Outcome(heard, mb, cores, wrong)


def fault(served: service.Service, run: str, most: Ceilings, billed: Mapping[str, int]) -> str:
    """What is not as it must be of a run; empty if nothing is."""
    account = served.account(run)
    if account.held_steps or account.held:
        return f"run {run} still holds {account.held} for {account.held_steps} steps"
    # Who has four seconds may have none left when it asks; the others have their answers.
    if account.spent.nanos != billed[run] or not (billed[run] or most is SHORT):
        return f"run {run} has spent {account.spent.nanos} nano-dollars, and {billed[run]} were billed"
    if account.spent > most.usd or account.spent_tokens > most.tokens or account.steps > most.steps:
        return f"run {run} has spent {account.spent} in {account.steps} steps"
    if most is not service.AMPLE and account.state != "halted":
        return f"run {run} is {account.state}, though it had come to a ceiling"
    return ""


@click.command()
@click.option("--streams", default=100, show_default=True, help="At once.")
@click.option("--words", default=60, show_default=True, help="Stamped events of each.")
@click.option("--event-ms", default=50, show_default=True, help="Between two events; a third are stamped.")
@click.option("--databases", default="sqlite,postgresql", show_default=True)
def main(streams: int, words: int, event_ms: int, databases: str) -> None:
    """Runs that stream at once through one worker: latency of events, memory, CPU, ledger against invoice."""
    click.echo(f"Tollgate {peers.commit()} (gunicorn {peers.version('gunicorn')}), 1 web process")
    click.echo(peers.machine())
    click.echo(f"{streams} streams of {3 * words} events, {event_ms} ms apart")
    click.echo("                 events     p50     p99    max ms  worker MB  cores  ends")
    cells: list[dict[str, Any]] = []
    with ExitStack() as stack:
        invoice = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) / "invoice"
        claude = stack.enter_context(
            start("claude", character="clock", invoice=invoice, event_ms=event_ms, answer_tokens=words)
        )
        keys = [("sk-benchmark", "straight")] * streams
        straight = listening.run(Job(f"{claude.url}/v1/messages", keys, MAX_TOKENS))
        click.echo(row("(straight)", straight))
        for kind in databases.split(","):
            with ExitStack() as inner:
                url = inner.enter_context(service.sqlite() if kind == "sqlite" else service.postgresql())
                served = inner.enter_context(service.serving(url, claude.url))
                outcome = through(served, claude, streams)
            click.echo(row(kind, outcome.heard, f"{outcome.mb:>11.0f}{outcome.cores:>7.2f}"))
            for each in outcome.wrong:
                click.echo(f"  WRONG: {each}")
            heard = outcome.heard
            cells.append({
                "database": kind, "added_p50_ms": heard.p50 - straight.p50, "max_ms": heard.most,
                "added_p99_ms": heard.p99 - straight.p99, "mb": outcome.mb, "cores": outcome.cores,
                "ended": heard.ended, "wrong": outcome.wrong,
            })  # fmt: skip
    click.echo(json.dumps({"bench": "streams", "streams": streams, "cells": cells}))
    sys.exit(any(cell["wrong"] for cell in cells))


def row(name: str, heard: Heard, more: str = "") -> str:
    ends = ", ".join(f"{count} {how}" for how, count in sorted(heard.ended.items()))
    return (
        f"{name:<14}{heard.events:>9}{heard.p50:>8.1f}{heard.p99:>8.1f}{heard.most:>10.1f}{more:<18}  {ends}"
    )


if __name__ == "__main__":
    main()
