"""Milliseconds a step outside the model: our engine beside mini-swe-agent, two hundred times `true`.

    make bench-harness

Clocked by the upstream (benchmarks/metronome.py, a process of its own that answers at once): from the last
byte of an answer to the last byte of the next request. So it is what reading the answer, starting the command
and asking again take, and how that grows with the conversation. Through our embedded gateway, as `python -m
bot run` has it, hold and settle on the disk are in it too.

On a busy machine a pause is mostly waiting for a core: CPU milliseconds a step, of the agent's process and
its commands, say what it works.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click

from benchmarks import peers
from benchmarks.metronome import MODEL
from bot.clients.anthropic import Key
from bot.commands import local
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.prices import PriceBook
from bot.runner import prompts
from bot.runner.engines import Event, Task
from bot.runner.engines.opus import Opus
from bot.runner.isolation import tool_env
from bot.runner.shell import Shell
from bot.runner.tools import Tools
from sandbox.processes import Started, serving

COMMAND = "true"
EDGE = 20  # of the steps, the first and the last: how it grows
AMPLE = Ceilings(Usd.parse("1000000"), 10**12, 10**9, 24 * 3600)
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


@dataclass(frozen=True)
class Run:
    """Pauses and CPU time of each step of one run, in milliseconds; its last request, in kilobytes."""

    pauses: list[float]
    cpu: list[float]
    kilobytes: float


@contextmanager
def upstream(steps: int, *last: str) -> Iterator[Started]:
    command = [sys.executable, "-m", "benchmarks.metronome", str(steps), COMMAND, *last]
    with serving(command) as started:
        yield started


def clocked(started: Started, steps: int, ticks: list[float]) -> Run:
    """`ticks`: CPU seconds so far, at each step."""
    figures = started.ask("/pauses")
    if len(figures["pauses"]) < steps:
        raise RuntimeError(f"{len(figures['pauses'])} steps and not {steps}")
    pauses = [1000 * each for each in figures["pauses"]]
    cpu = [1000 * (after - before) for before, after in pairwise(ticks)]
    return Run(pauses, cpu, figures["bodies"][-1] / 1024)


def cpu_seconds() -> float:
    """Of this process and of its children that have ended, so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def alone(steps: int) -> Run:
    with upstream(steps) as started, TemporaryDirectory(prefix="bench-") as home:
        ticks = work(Path(home), started.url, "sk-benchmark")
        return clocked(started, steps, ticks)


def bounded(steps: int) -> Run:
    """The ledger is on this machine's disk, every hold with synchronous=FULL."""
    with upstream(steps) as started, TemporaryDirectory(prefix="bench-", dir=peers.ROOT) as home:
        with local.opened(
            origin="run", ceilings=AMPLE, sources={}, prices=PriceBook(), upstream=started.url,
            key=Key("benchmark", "sk-benchmark"), state=Path(home) / "state", engine="opus", model=MODEL,
        ) as run:  # fmt: skip
            ticks = work(Path(home), run.url, run.token)
        return clocked(started, steps, ticks)


def work(home: Path, url: str, token: str) -> list[float]:
    """A whole run; the CPU seconds so far, at each of its turns."""
    ticks: list[float] = []

    def tell(event: Event) -> None:
        if event.kind == "turn":
            ticks.append(cpu_seconds())

    root = home / "work"
    root.mkdir()
    tools = Tools(root, Shell(root, tool_env(environment(), root), scratch=home))
    try:
        task = Task(prompts.system("default"), "Go on.", MODEL, "high", url, token, AMPLE)
        ending = Opus().work(task, tools, tell, threading.Event())
    finally:
        tools.close()
    if ending.outcome != "done":
        raise RuntimeError(str(ending.message))
    return ticks


_MINI = """
import json, resource, sys
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel
url, model = sys.argv[1:3]
asked = {"api_base": url, "api_key": "sk-benchmark", "max_tokens": 32000}
ticks = []
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
class Clocked(DefaultAgent):
    def execute_actions(self, message):
        ticks.append(cpu())
        return super().execute_actions(message)
agent = Clocked(
    LitellmModel(model_name="anthropic/" + model, model_kwargs=asked, set_cache_control="default_end"),
    LocalEnvironment(), system_template=sys.argv[3], instance_template="Go on.", cost_limit=0)
agent.run("go on")
print("\\n" + json.dumps(ticks))
"""


def mini_swe_agent(steps: int) -> Run:
    """Without a trajectory on the disk, which its output_path would write at every step."""
    interpreter = peers.python("mini", f"mini-swe-agent=={peers.MINI_SWE_AGENT}")
    with upstream(steps, SUBMIT) as started, TemporaryDirectory(prefix="bench-") as home:
        env = environment(
            HOME=home,
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            MSWEA_SILENT_STARTUP="1",
            MSWEA_CONFIGURED="true",
            MSWEA_GLOBAL_CONFIG_DIR=home,
        )
        done = subprocess.run(
            [str(interpreter), "-c", _MINI, started.url, MODEL, prompts.system("default")],
            env=env, cwd=home, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"mini-swe-agent: {done.stderr.strip()[-400:]}")
        return clocked(started, steps, json.loads(done.stdout.strip().splitlines()[-1]))


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}  # noqa: TID251 - a child's environment is this one and what is said here


def middle(kind: str, runs: list[list[float]]) -> dict[str, float]:
    """Medians over the rounds: of all steps, of the first and of the last EDGE."""
    return {
        f"{kind}p50_ms": median(median(steps) for steps in runs),
        f"{kind}first_ms": median(median(steps[:EDGE]) for steps in runs),
        f"{kind}last_ms": median(median(steps[-EDGE:]) for steps in runs),
    }


@click.command()
@click.option("--steps", default=200, show_default=True)
@click.option(
    "--rounds", default=3, show_default=True, help="Of each, one after the other; medians are shown."
)
@click.option("--peer/--no-peer", default=True, help="mini-swe-agent beside us.")
def main(steps: int, rounds: int, peer: bool) -> None:
    """Milliseconds a step outside the model, ours beside mini-swe-agent's, and how they grow."""
    machine, missing = peers.machine(), ""
    plans: dict[str, Callable[[int], Run]] = {"Tollgate, engine alone": alone, "Tollgate, gateway": bounded}
    theirs = f"mini-swe-agent {peers.MINI_SWE_AGENT}"
    if peer:
        plans[theirs] = mini_swe_agent
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for name, program in plans.items():
            try:
                runs.setdefault(name, []).append(program(steps))
            except (peers.NotInstalled, subprocess.SubprocessError) as error:
                missing = f"{name} is not beside us here: {error}"
    click.echo(f"Tollgate {peers.commit()} (anthropic {peers.version('anthropic')}), {theirs}\n{machine}")
    click.echo(f"{rounds} rounds of {steps} steps; medians, in ms; first and last: of {EDGE} steps\n")
    click.echo(
        f"{'':<26}{'pause':>8}{'first':>8}{'last':>8}{'CPU':>8}{'first':>8}{'last':>8}{'sent last':>12}"
    )
    figures: dict[str, dict[str, float]] = {}
    for name, found in runs.items():
        if not found:
            continue
        row = {
            **middle("", [run.pauses for run in found]),
            **middle("cpu_", [run.cpu for run in found]),
            "kilobytes": median(run.kilobytes for run in found),
        }
        figures[name] = {key: round(value, 2) for key, value in row.items()}
        click.echo(
            f"{name:<26}{row['p50_ms']:>8.1f}{row['first_ms']:>8.1f}{row['last_ms']:>8.1f}"
            f"{row['cpu_p50_ms']:>8.1f}{row['cpu_first_ms']:>8.1f}{row['cpu_last_ms']:>8.1f}"
            f"{row['kilobytes']:>9.0f} KB"
        )
    click.echo(f"\n{missing}" if missing else "")
    summary: dict[str, object] = {"bench": "harness", "machine": machine, "steps": steps, "rounds": rounds}
    summary |= {"figures": figures, "missing": missing}
    if theirs in figures:
        peer_p50 = figures[theirs]["p50_ms"]
        for key, name in (("ratio", "Tollgate, engine alone"), ("gateway_ratio", "Tollgate, gateway")):
            summary[key] = round(figures[name]["p50_ms"] / peer_p50, 3)
            summary[f"cpu_{key}"] = round(figures[name]["cpu_p50_ms"] / figures[theirs]["cpu_p50_ms"], 3)
    click.echo(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
