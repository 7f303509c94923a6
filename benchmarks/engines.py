"""The three engines on the exam: solved, dollars, steps and seconds of each, with the same mind behind all.

    make exam-engines

Each is the real program; where no key is set the sandbox's examinee answers all three, so that what differs
is what the programs send and do. A program that cannot be installed here is left out, and the reason said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import click

from benchmarks import peers
from bot.core.ceilings import span
from bot.core.commands import ENGINES
from bot.core.money import Usd
from bot.runner.engines.named import named

HALTED = 3


def sat(engine: str, given: tuple[str, ...]) -> dict[str, Any]:
    """One engine's exam, as its JSON. Raises RuntimeError where it had no answers."""
    command = [sys.executable, "-m", "bot", "exam", "--engine", engine, "--json", *given]
    done = subprocess.run(command, cwd=peers.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, HALTED):
        raise RuntimeError(f"the exam ended with {done.returncode}")
    return dict(json.loads(done.stdout))


def row(engine: str, found: dict[str, Any]) -> dict[str, Any]:
    seconds = sum(task["seconds"] for task in found["tasks"])
    kept = {name: found[name] for name in ("sitting", "character", "solved", "sat", "usd", "steps")}
    return {"engine": engine, "version": named(engine).version, **kept, "seconds": seconds}


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--engines", default=",".join(ENGINES), show_default=True)
@click.argument("given", nargs=-1, type=click.UNPROCESSED)
def main(engines: str, given: tuple[str, ...]) -> None:
    """The exam with one engine after the other; what else is given goes to `python -m bot exam`."""
    machine = peers.machine()
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for engine in engines.split(","):
        try:
            rows.append(row(engine, sat(engine, given)))
        except (RuntimeError, ValueError) as error:
            missing[engine] = str(error)
    click.echo(f"Tollgate {peers.commit()}")
    click.echo(f"{machine}\n")
    click.echo(
        f"{'engine':<13}{'version':<28}{'who answers':<22}{'solved':>9}{'cost':>10}{'steps':>7}{'time':>9}"
    )
    for each in rows:
        who = f"scripted: {each['character']}" if each["character"] else "the model"
        solved, cost = f"{each['solved']} of {each['sat']}", str(Usd.parse(each["usd"]))
        click.echo(
            f"{each['engine']:<13}{each['version']:<28}{who:<22}{solved:>9}{cost:>10}{each['steps']:>7}"
            f"{span(each['seconds']):>9}"
        )
    for name, why in missing.items():
        click.echo(f"{name} did not sit: {why}")
    click.echo(json.dumps({"bench": "engines", "machine": machine, "rows": rows, "missing": missing}))


if __name__ == "__main__":
    sys.exit(main())
