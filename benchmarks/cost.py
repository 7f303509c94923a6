"""What the same forty steps cost: our engine's requests beside mini-swe-agent's, on the upstream's invoice.

    make bench-cost

The sandbox's Claude keeps a prompt cache after the published rules and says the same to both, by the number
of the turn; the commands print the same. What differs is what an agent sends: its prompt and tools, where it
marks the cache, what it still sends of what is old.

The bound is what a conversation costs when every token is written to the cache once and read from it ever
after. It is reckoned from the sizes of the requests of a run of ours in which nothing was cleared; clearing
old results may go below it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks import peers
from bot.core.care import CARE, CONTEXTS
from bot.core.ceilings import CLASSES
from bot.runner import prompts
from bot.runner.engines import Task
from bot.runner.engines.opus import Opus
from bot.runner.isolation import tool_env
from bot.runner.shell import Shell
from bot.runner.tools import Tools
from sandbox.characters.measured import STEPS, files
from sandbox.processes import Started, start

MODEL = "claude-opus-4-7"
TASK = "Look at every part of this folder, keep notes of what you have seen, and sum up."
NANOS = 1_000_000_000
# List prices of Opus 4.7 in nano-dollars a token (2026-08-22).
WRITE, READ, OUTPUT = 6_250, 500, 25_000


@dataclass(frozen=True)
class Line:
    """One program's forty answers as they were billed."""

    name: str
    rows: list[dict[str, Any]]

    @property
    def billed(self) -> Decimal:
        return Decimal(sum(row["nanos"] for row in self.rows)) / NANOS

    @property
    def bound(self) -> Decimal:
        """Each token of input written once and read ever after."""
        before = nanos = 0
        for row in self.rows:
            size = total_input(row)
            nanos += before * READ + (size - before) * WRITE + row["output"] * OUTPUT
            before = size
        return Decimal(nanos) / NANOS

    def tokens(self, counter: str) -> int:
        return sum(int(row[counter]) for row in self.rows)


def total_input(row: dict[str, Any]) -> int:
    return int(row["input"] + row["cache_write_5m"] + row["cache_write_1h"] + row["cache_read"])


def invoiced(name: str, claude: Started) -> Line:
    line = Line(name, claude.invoice()["rows"])
    if len(line.rows) != STEPS:
        raise RuntimeError(f"{name}: {len(line.rows)} answers and not {STEPS}")
    return line


def tollgate(context: int, name: str) -> Line:
    with start("claude", character="measured") as claude, TemporaryDirectory(prefix="bench-") as home:
        root = workspace(Path(home))
        tools = Tools(root, Shell(root, tool_env(environment(), root), scratch=Path(home)))
        try:
            opening = prompts.opening(TASK, Path("/work"))
            system, ceilings = prompts.system("default"), CLASSES["default"]
            task = Task(system, opening, MODEL, "high", claude.url, "sk-benchmark", ceilings, context)
            ending = Opus().work(task, tools, lambda event: None, threading.Event())
        finally:
            tools.close()
        if ending.outcome != "done":
            raise RuntimeError(f"{name}: {ending.message}")
        return invoiced(name, claude)


_MINI = """
import json, sys, yaml
from pathlib import Path
import minisweagent
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel
url, model, task, steps, cache = sys.argv[1:6]
config = yaml.safe_load((Path(minisweagent.__file__).parent / "config" / "mini.yaml").read_text())
own = {k: v for k, v in config["model"].items() if k in ("observation_template", "format_error_template")}
asked = {"api_base": url, "api_key": "sk-benchmark", "max_tokens": 32000}
agent = DefaultAgent(
    LitellmModel(model_name="anthropic/" + model, model_kwargs=asked, set_cache_control=cache or None, **own),
    LocalEnvironment(), cost_limit=0, step_limit=int(steps),
    system_template=config["agent"]["system_template"],
    instance_template=config["agent"]["instance_template"])
print("\\n" + json.dumps(agent.run(task).get("exit_status", "")))
"""


def mini_swe_agent(cache: str, name: str) -> Line:
    """With its own prompts and observation template (mini.yaml); its step_limit ends it after the summary."""
    interpreter = peers.python("mini", f"mini-swe-agent=={peers.MINI_SWE_AGENT}")
    with start("claude", character="measured") as claude, TemporaryDirectory(prefix="bench-") as home:
        env = environment(
            HOME=home,
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            MSWEA_SILENT_STARTUP="1",
            MSWEA_CONFIGURED="true",
            MSWEA_GLOBAL_CONFIG_DIR=home,
        )
        done = subprocess.run(
            [str(interpreter), "-c", _MINI, claude.url, MODEL, TASK, str(STEPS), cache],
            env=env, cwd=workspace(Path(home)), capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"mini-swe-agent: {done.stderr.strip()[-400:]}")
        return invoiced(name, claude)


def workspace(home: Path) -> Path:
    root = home / "work"
    root.mkdir()
    for path, text in files().items():
        (root / path).write_text(text)
    return root


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}  # noqa: TID251 - a child's environment is this one and what is said here


@click.command()
@click.option("--peer/--no-peer", default=True, help="mini-swe-agent beside us.")
def main(peer: bool) -> None:
    """Dollars for the same forty steps, ours beside mini-swe-agent's and the least that they can cost."""
    machine, missing = peers.machine(), ""
    usual = CARE["default"].context
    own = tollgate(usual, f"Tollgate, context {usual:,}")
    small = tollgate(CONTEXTS["50k"], "Tollgate, context 50,000")
    whole = tollgate(CONTEXTS["1M"], "Tollgate, nothing cleared")
    lines = [own, small, whole]
    named = f"mini-swe-agent {peers.MINI_SWE_AGENT}"
    plans: list[tuple[str, Callable[[], Line]]] = [
        ("best", lambda: mini_swe_agent("default_end", f"{named}, set_cache_control")),
        ("bare", lambda: mini_swe_agent("", f"{named}, without cache control")),
    ]
    found: dict[str, Line] = {}
    for kind, program in plans if peer else ():
        try:
            found[kind] = program()
            lines.append(found[kind])
        except (peers.NotInstalled, RuntimeError, subprocess.SubprocessError) as error:
            missing = f"mini-swe-agent is not beside us here: {error}"
            break
    bound = whole.bound
    click.echo(f"Tollgate {peers.commit()}, {STEPS} steps; billed by the upstream\n{machine}\n")
    click.echo(
        f"{'program':<42}{'$':>9}{'of the bound':>14}{'fresh':>10}{'written':>10}{'read':>12}{'output':>8}"
        f"{'largest':>10}"
    )
    for line in lines:
        written = line.tokens("cache_write_5m") + line.tokens("cache_write_1h")
        click.echo(
            f"{line.name:<42}{line.billed:>9.4f}{line.billed / bound:>14.3f}{line.tokens('input'):>10,}"
            f"{written:>10,}{line.tokens('cache_read'):>12,}{line.tokens('output'):>8,}"
            f"{max(map(total_input, line.rows)):>10,}"
        )
    click.echo(f"{'the bound: written once, then read':<42}{bound:>9.4f}\n")
    if missing:
        click.echo(missing)
    summary: dict[str, Any] = {
        "bench": "cost",
        "machine": machine,
        "steps": STEPS,
        "usd": float(own.billed),
        "bound_usd": float(bound),
        "of_bound": round(float(own.billed / bound), 4),
        "whole_of_bound": round(float(whole.billed / bound), 4),
        "lines": {line.name: float(line.billed) for line in lines},
        "missing": missing,
    }
    for kind, line in found.items():
        summary[f"peer_{kind}_usd"] = float(line.billed)
        summary[f"of_peer_{kind}"] = round(float(own.billed / line.billed), 4)
    click.echo(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
