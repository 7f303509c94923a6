"""What a gateway adds to a request, and how many a worker process carries: ours beside LiteLLM's proxy.

    make bench-gateway

Every gateway has one worker process, the same upstream (the sandbox's Claude, in a process of its own) and
the same client. Ours holds and settles on every request, under four ceilings; LiteLLM forwards without a
budget. Added latency is the median through the gateway minus the median straight to the upstream, each round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click

from benchmarks import load, peers, service
from sandbox.processes import start

MODEL = "claude-opus-4-7"
KEY = "sk-benchmark-0123456789abcdef"
# A short question, about a kilobyte. What a longer body costs is another table: --body-kb.
QUESTION = "What does this line do, and what would break if it were gone? "


@dataclass(frozen=True)
class Target:
    """Something that answers `/v1/messages`. `pid` is of its server; None for the upstream itself."""

    name: str
    url: str
    keys: tuple[str, ...]
    pid: int | None = None


@dataclass(frozen=True)
class Cell:
    """One target under one load in one round. `cpu` is milliseconds of its processes an answer."""

    target: str
    stream: bool
    connections: int
    p50: float
    p99: float
    first: float
    rate: float
    cpu: float
    mb: float
    failures: int


@contextmanager
def litellm(upstream: str) -> Iterator[Target]:
    """LiteLLM's proxy with one worker and no budget. Raises peers.NotInstalled."""
    program = peers.litellm() / "litellm"
    with TemporaryDirectory(prefix="bench-litellm-") as home, Path(os.devnull).open("wb") as nowhere:
        config = Path(home) / "config.yaml"
        params = {"model": f"anthropic/{MODEL}", "api_key": "sk-upstream", "api_base": upstream}
        listed = {"model_list": [{"model_name": MODEL, "litellm_params": params}]}
        config.write_text(json.dumps(listed))
        port = service.free_port()
        env = {
            **os.environ,  # noqa: TID251 - a child's environment is this one and what is said here
            "LITELLM_MASTER_KEY": KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env=env, cwd=home, stdout=nowhere, stderr=nowhere)
        try:
            url = f"http://127.0.0.1:{port}"
            service.await_http(f"{url}/health/liveliness", process)
            yield Target("LiteLLM", url, (KEY,), process.pid)
        finally:
            service.stop(process)


@contextmanager
def ours(name: str, database_url: str, upstream: str, most: int) -> Iterator[Target]:
    """The real web process; as many runs as there are connections, for agents do not share one."""
    with service.serving(database_url, upstream) as served:
        keys = tuple(served.run()[1] for _ in range(most))
        yield Target(name, served.url, keys, served.process.pid)


def measure(target: Target, stream: bool, connections: int, seconds: float, body_kb: float) -> Cell:
    question = (QUESTION * (int(body_kb * 1024) // len(QUESTION) + 1))[: int(body_kb * 1024)]
    body = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": question}]}
    if stream:
        body["stream"] = True
    job = load.Job(f"{target.url}/v1/messages", target.keys, json.dumps(body), connections, seconds)
    before = service.cpu_seconds(target.pid) if target.pid else 0.0
    done = load.run(job)
    used = service.cpu_seconds(target.pid) - before if target.pid else 0.0
    if done.failures:
        raise click.ClickException(f"{target.name} failed {done.failures} times: {done.failed_with}")
    if not done.answers:
        raise click.ClickException(f"{target.name} gave no answer in {seconds:g} s: try more --seconds")
    served = done.rate * (job.seconds + job.warm)
    return Cell(
        target.name,
        stream,
        connections,
        done.p50,
        done.p99,
        done.first_p50,
        done.rate,
        1000 * used / served,
        service.worker_mb(target.pid) if target.pid else 0.0,
        done.failures,
    )


def middle(cells: list[Cell], straight: list[Cell]) -> dict[str, float]:
    """The medians over the rounds; each round's added latency is against its own way straight."""
    pairs = list(zip(cells, straight, strict=True))
    return {
        "added_p50": median(cell.p50 - bare.p50 for cell, bare in pairs),
        "added_p99": median(cell.p99 - bare.p99 for cell, bare in pairs),
        "rate": median(cell.rate for cell in cells),
        "cpu": median(cell.cpu for cell in cells),
        "mb": max(cell.mb for cell in cells),
    }


@click.command()
@click.option("--seconds", default=4.0, show_default=True, help="Of each measurement, after one to warm up.")
@click.option("--rounds", default=3, show_default=True, help="Of everything; medians are shown.")
@click.option("--connections", default="1,8,32", show_default=True, help="At once.")
@click.option("--body-kb", default=1.0, show_default=True, help="Size of a request.")
@click.option("--databases", default="sqlite,postgresql", show_default=True)
@click.option("--peer/--no-peer", default=True, help="LiteLLM beside us.")
@click.option("--answer-tokens", default=0, help="Length of an answer; 0 is one short sentence.")
def main(
    seconds: float,
    rounds: int,
    connections: str,
    body_kb: float,
    databases: str,
    peer: bool,
    answer_tokens: int,
) -> None:
    """Added latency, requests a second and memory: our gateway beside LiteLLM's proxy."""
    machine, widths = peers.machine(), [int(each) for each in connections.split(",")]
    missing = ""
    with ExitStack() as stack:
        claude = stack.enter_context(start("claude", character="echo", answer_tokens=answer_tokens))
        straight = Target("straight", claude.url, ("sk-benchmark",))
        targets = []
        for kind in databases.split(","):
            made = service.sqlite() if kind == "sqlite" else service.postgresql()
            url = stack.enter_context(made)
            targets.append(stack.enter_context(ours(f"Tollgate, {kind}", url, claude.url, max(widths))))
        if peer:
            try:
                targets.append(stack.enter_context(litellm(claude.url)))
            except (peers.NotInstalled, RuntimeError) as error:
                missing = f"LiteLLM is not beside us here: {error}"
        cells: dict[tuple[str, bool, int], list[Cell]] = {}
        for _ in range(rounds):
            for stream in (False, True):
                for width in widths:
                    for target in (straight, *targets):
                        cell = measure(target, stream, width, seconds, body_kb)
                        cells.setdefault((target.name, stream, width), []).append(cell)
                        kind = "SSE" if stream else "JSON"
                        click.echo(f"{kind} {width} {target.name}: {cell.p50:.2f} ms", err=True)
    names = [target.name for target in targets]
    report(cells, names, widths, machine, missing, rounds, seconds, body_kb)


def report(
    cells: dict[tuple[str, bool, int], list[Cell]],
    names: list[str],
    widths: list[int],
    machine: str,
    missing: str,
    rounds: int,
    seconds: float,
    body_kb: float,
) -> None:
    click.echo(f"Tollgate {peers.commit()} (gunicorn {peers.version('gunicorn')}), LiteLLM {peers.LITELLM}")
    click.echo(machine)
    click.echo(
        f"{rounds} rounds of {seconds:g} s, requests of {body_kb:g} KB, one worker process each; "
        "SQLite with synchronous=FULL for every hold, PostgreSQL as it comes"
    )
    click.echo("added ms: through the gateway minus straight to the upstream\n")
    click.echo(
        "answer  conns  target                 added p50  added p99      req/s    CPU ms/req  worker MB"
    )
    figures: list[dict[str, object]] = []
    for stream in (False, True):
        for width in widths:
            bare = cells["straight", stream, width]
            kind = "SSE" if stream else "JSON"
            rate = median(cell.rate for cell in bare)
            p50, p99 = median(cell.p50 for cell in bare), median(cell.p99 for cell in bare)
            click.echo(f"{kind:<6}{width:>7}  {'(straight)':<20}{p50:>12.2f}{p99:>11.2f}{rate:>11.0f}")
            for name in names:
                row = middle(cells[name, stream, width], bare)
                figures.append({"target": name, "stream": stream, "connections": width, **row})
                click.echo(
                    f"{kind:<6}{width:>7}  {name:<20}{row['added_p50']:>12.2f}{row['added_p99']:>11.2f}"
                    f"{row['rate']:>11.0f}{row['cpu']:>14.2f}{row['mb']:>11.0f}"
                )
    click.echo()
    summary: dict[str, object] = {"bench": "gateway", "machine": machine, "cells": figures}
    if missing:
        click.echo(missing)
        summary["missing"] = missing
    own = next(name for name in names if name != "LiteLLM")
    summary.update(headline(figures, own))
    click.echo(json.dumps({key: _short(value) for key, value in summary.items()}))


def headline(figures: list[dict[str, object]], own: str) -> dict[str, object]:
    """One JSON request at a time for latency; the best that each side did for the rest."""

    def value(name: str, key: str, stream: bool = False, width: int | None = None) -> list[float]:
        return [
            float(str(row[key]))
            for row in figures
            if row["target"] == name and row["stream"] is stream and width in (None, row["connections"])
        ]

    found: dict[str, object] = {"added_p50_ms": value(own, "added_p50")[0]}
    for key, short in (("rate", "requests_s"), ("mb", "mb")):
        found[short] = max(value(own, key))
        found[f"streams_{short}"] = max(value(own, key, stream=True))
    if value("LiteLLM", "rate"):
        found["peer_added_p50_ms"] = value("LiteLLM", "added_p50")[0]
        found["ratio"] = value("LiteLLM", "added_p50")[0] / value(own, "added_p50")[0]
        found["rate_ratio"] = max(value(own, "rate")) / max(value("LiteLLM", "rate"))
        found["stream_rate_ratio"] = max(value(own, "rate", stream=True)) / max(
            value("LiteLLM", "rate", stream=True)
        )
        found["mb_ratio"] = max(value("LiteLLM", "mb", stream=True)) / max(value(own, "mb", stream=True))
    return found


def _short(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [_short(each) for each in value]
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    return value


if __name__ == "__main__":
    sys.exit(main())
