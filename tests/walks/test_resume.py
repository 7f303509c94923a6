"""Must-show: however a run ended, it goes on: the real workflow, worker and runner, before the sandbox.

Its agent adds nine lines to a file, one at each turn, by what it last saw of it: nothing is lost and nothing
done twice exactly if lines 1 to 9 stand there at the end. Claude's stand-in checks that each request goes on
from the one before, over both attempts, and the ledger is its invoice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.world_up import World, world
from tests.walks.ledger import rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all of these; each has an issue of its own."""
    folder = tmp_path_factory.mktemp("resume")
    with world(folder, bug="leap", character="steady", think_ms=0, port=0, progress=1) as made:
        yield made


class Run:
    """An issue with the one run on it."""

    def __init__(self, up: World, command: str, pause: str = "") -> None:
        self.up, self.github = up, up.github
        self.number = self.github.issue("dana", "Nine lines", "One after the other.")
        self.say(f"{command}\n\nWrite them. {pause}")
        self.id = str(self.until("id IS NOT NULL", "id"))

    def say(self, words: str) -> None:
        self.github.comment("dana", self.number, words)

    def until(self, what: str, column: str = "1", seconds: float = 90) -> Any:
        end = time.monotonic() + seconds
        query = f"SELECT {column} FROM runs WHERE thread = {self.number} AND {what}"
        while not (found := rows(self.up, query)):
            assert time.monotonic() < end, f"waited for {what}: {rows(self.up, 'SELECT * FROM runs')[-1]}"
            time.sleep(0.1)
        return found[0][0]

    def report(self, attempt: int) -> str:
        self.until(f"attempt = {attempt} AND finished_at IS NOT NULL")
        mark = f"tollgate-run:{self.id}:{attempt} "
        return next(str(c["body"]) for c in self.github.comments(self.number) if mark in c["body"])

    def runner(self) -> int:
        """The process that works on it."""
        mine = f"TOLLGATE_RUN={self.id}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                runs = b"bot.runner" in (process / "cmdline").read_bytes().split(b"\0")
                if runs and mine in (process / "environ").read_bytes().split(b"\0"):
                    return int(process.name)
            except OSError:
                continue
        raise AssertionError("it has no runner")


def killed(run: Run) -> None:
    # An answer that was not uploaded yet would be asked for anew, and that is another conversation.
    answered = "(SELECT max(settled_at) FROM turns WHERE turns.run = runs.id)"
    kept = f"SELECT 1 FROM blobs WHERE run = runs.id AND kind = 'transcript' AND stored_at >= {answered}"
    run.until(f"steps >= 3 AND EXISTS ({kept})")
    os.kill(run.runner(), signal.SIGKILL)


def stopped(run: Run) -> None:
    run.until("steps >= 3")
    run.say("/agent stop")
    asked = time.monotonic()
    run.until("state = 'halted'")
    run.until("finishing_at IS NOT NULL")
    assert time.monotonic() - asked < 30, "its command would have taken longer"


def limited(run: Run) -> None:
    run.until("steps >= 3")
    run.up.claude.ask("/_sandbox/character", {"character": "upstream-limit", "times": 1})


def circling(run: Run) -> None:
    run.until("steps >= 3")
    # As many as it takes to be halted: from then on it is its old self.
    run.up.claude.ask("/_sandbox/character", {"character": "stuck", "times": 4})


def nothing(run: Run) -> None:
    """Its ceiling ends it."""


@pytest.mark.parametrize(
    ("command", "pause", "ends", "reason", "again"),
    [
        ("/agent fix", "pause=1.5", killed, None, ""),
        ("/agent fix", "pause=1", stopped, "stopped", ""),
        ("/agent fix", "pause=1", limited, "upstream_limit", ""),
        ("/agent fix", "pause=1", circling, "stuck_loop", ""),
        ("/agent fix steps=5", "", nothing, "step_ceiling", "steps=30"),
        ("/agent fix cost=$0.25", "", nothing, "cost_ceiling", "cost=$3"),
        ("/agent fix tokens=15k", "", nothing, "token_ceiling", "tokens=300k"),
        ("/agent fix wall=8s", "pause=1.5", nothing, "wall_clock_ceiling", "wall=5m"),
    ],
    ids=["killed -9", "stopped", "upstream limit", "stuck", "steps", "cost", "tokens", "wall clock"],
)
def test_it_goes_on_without_a_lost_edit_or_a_double_charge(
    up: World, command: str, pause: str, ends: Callable[[Run], None], reason: str | None, again: str
) -> None:
    before = up.claude.ask("/_sandbox/conversations")
    run = Run(up, command, pause)
    ends(run)
    first = run.report(1)
    state = run.until("1 = 1", "state")
    assert (state, run.until("1 = 1", "reason")) == ("halted" if reason else "lost", reason)
    made = run.github.file("lines.txt", f"agent/run-{run.id}").decode().split("\n")
    assert 1 <= len(made) - 1 < 9, first
    run.say(f"/agent resume {again}")
    second = run.report(2)
    assert run.until("1 = 1", "state") == "done", second
    whole = run.github.file("lines.txt", f"agent/issue-{run.number}-{run.id}").decode()
    assert whole == "".join(f"line {number}\n" for number in range(1, 10))
    talks = up.claude.ask("/_sandbox/conversations")[len(before) :]
    assert [(talk["broken"], talk["keys"]) for talk in talks] == [(0, 1)], "one conversation, never changed"
    spent = rows(run.up, "SELECT sum(spent_nanos), sum(held_nanos), sum(estimated_nanos) FROM runs")[0]
    assert spent == (up.claude.invoice()["total_nanos"], 0, 0)
