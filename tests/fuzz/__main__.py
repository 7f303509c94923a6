"""`make fuzz`: each target in turn for its share of time; findings are kept, with how to get them again."""

from __future__ import annotations

import argparse
import logging
import os
import re
import resource
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers import machine
from tests.fuzz.target import Tried
from tests.fuzz.targets import TARGETS
from tests.fuzz.worlds import Worlds

BATCH = 200  # inputs by one seed: what a finding is had again with
MEMORY = 6 << 30  # bytes of addresses of this process: more is an error where it is asked for
ROUNDS = 3  # times that each target has its turn: a run that is cut short has seen all of them


class Seen:
    """What came of one target."""

    def __init__(self, target: Tried) -> None:
        self.target = target
        self.inputs, self.seconds, self.findings = 0, 0.0, 0

    def more(self, inputs: int) -> None:
        self.inputs += inputs


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    asked.add_argument("--minutes", type=float, default=30.0, help="for all targets together (30)")
    asked.add_argument("--only", action="append", default=[], help="this target; may be given several times")
    asked.add_argument("--seed", type=int, help="the first seed; a random one, which is shown")
    asked.add_argument(
        "--inputs", type=int, help="so many inputs by this seed and no more, instead of --minutes"
    )
    asked.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where findings are kept (.fuzz)")
    told = asked.parse_args()
    known = {target.name: target for target in TARGETS}
    if strange := [name for name in told.only if name not in known]:
        asked.error(f"there is no target {strange[0]!r}; there are {', '.join(known)}")
    chosen = [known[name] for name in told.only] or list(TARGETS)
    logging.disable(logging.CRITICAL)  # of what the doors refuse they tell in their logs
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    seed = secrets.randbelow(10**9) if told.seed is None else told.seed
    say(f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%d %H:%M} UTC, seed {seed}, {machine()}")
    seen = [Seen(target) for target in chosen]
    with Worlds() as worlds:
        if told.inputs:
            for one in seen:
                batch(one, worlds, seed, told.inputs, told.keep)
        else:
            shares = sum(target.share for target in chosen)
            for turn in range(ROUNDS):
                for one in seen:
                    seconds = 60 * told.minutes * one.target.share / shares / ROUNDS
                    seed = stretch(one, worlds, seed, seconds, told.keep)
                say(f"turn {turn + 1} of {ROUNDS} is over: {sum(one.inputs for one in seen):,} inputs")
    say(table(seen))
    return 1 if any(one.findings for one in seen) else 0


def stretch(seen: Seen, worlds: Worlds, seed: int, seconds: float, keep: Path) -> int:
    """Batch after batch for so long; the next seed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        batch(seen, worlds, seed, BATCH, keep)
        seed += 1
    return seed


def batch(seen: Seen, worlds: Worlds, seed: int, inputs: int, keep: Path) -> None:
    began = time.monotonic()
    found = seen.target.tried(worlds, seed, inputs, seen.more)
    seen.seconds += time.monotonic() - began
    if found:
        seen.findings += 1
        keep.mkdir(exist_ok=True)
        name = seen.target.name
        again = f"python -m tests.fuzz --only '{name}' --seed {seed} --inputs {inputs}"
        file = keep / f"{re.sub('[^a-z]+', '-', name)}-{seed}.txt"
        file.write_text(f"{again}\n\n{found}", "utf-8", "backslashreplace")
        say(f"{name}: a finding in {file}\n  {again}")


def table(seen: list[Seen]) -> str:
    rows = ["| target | what must hold | inputs | seconds | findings |", "|---|---|--:|--:|--:|"]
    for one in seen:
        rows.append(
            f"| {one.target.name} | {one.target.law} | {one.inputs:,} | {one.seconds:.0f} | {one.findings} |"
        )
    inputs, seconds = sum(one.inputs for one in seen), sum(one.seconds for one in seen)
    rows.append(f"| all | | {inputs:,} | {seconds:.0f} | {sum(one.findings for one in seen)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return "\n".join(
        [*rows, "", f"{peak:,} MB of memory at the most; load at the end {os.getloadavg()[0]:.1f}"]
    )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
