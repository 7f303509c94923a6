"""The whole path, end to end, with the real workflow: what the demo shows, held against others' rules."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.processes import ROOT
from sandbox.story import FIX, Narrator, asked, product, try_tests
from sandbox.world_up import World, world
from tests.contracts.checker import contract

pytestmark = pytest.mark.slow
PULL = 2


@contextmanager
def a_world(folder: Path, *, bug: str = "leap", character: str = "auto") -> Iterator[World]:
    with world(folder, bug=bug, character=character, think_ms=0, port=0, progress=1) as up:
        yield up


def fixed(up: World) -> str:
    """The report of a run that was asked to fix the pull request."""
    return asked(up.github, PULL, FIX, Narrator(0.0))


def passes(up: World) -> bool:
    return try_tests(up.github, up.github.thread(PULL)["head_ref"]).passed


def test_the_demo_tells_its_story_and_everything_on_the_wire_is_githubs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox", "up", "--story", "--once", "--folder", str(tmp_path / "demo")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    for said in (
        "👀",
        "Done: tests pass",
        "OK",
        "Cost per merged pull request",
        "$0.50 cost ceiling reached",
    ):
        assert said in told.stdout
    assert "equal to the nano-dollar" in told.stdout
    traffic = tmp_path / "demo" / "traffic.ndjson"
    lines = [json.loads(line) for line in traffic.read_text().splitlines()]
    assert len(lines) > 50
    assert contract().check_traffic(traffic) == []
    # Once more without the product's own words: the rows against the invoice's lines.
    invoice = [json.loads(line) for line in (tmp_path / "demo" / "invoice.ndjson").read_text().splitlines()]
    ledger = sqlite3.connect(tmp_path / "demo" / "tollgate.db")
    turns = ledger.execute("SELECT request_id, nanos FROM turns WHERE state = 'settled'").fetchall()
    runs = ledger.execute("SELECT spent_nanos, held_nanos FROM runs").fetchall()
    ledger.close()
    assert dict(turns) == {row["request_id"]: row["nanos"] for row in invoice}
    assert sum(spent for spent, _ in runs) == sum(row["nanos"] for row in invoice)
    assert [held for _, held in runs] == [0, 0]


@pytest.mark.parametrize("bug", ["off_by_one", "month_end", "sign"])
def test_another_bug_gets_another_patch(tmp_path: Path, bug: str) -> None:
    with a_world(tmp_path, bug=bug) as up:
        assert not passes(up)
        assert fixed(up).find("Done: tests pass") >= 0
        assert passes(up)


def test_another_test_gets_another_patch(tmp_path: Path) -> None:
    with a_world(tmp_path) as up:
        head = up.github.thread(PULL)["head_ref"]
        source = up.github.file("acme_calendar/years.py", head).decode()
        up.github.commit("dana", head, {"acme_calendar/years.py": source.replace("return 366", "return 365")})
        assert not passes(up)
        fixed(up)
        patched = up.github.file("acme_calendar/years.py", head).decode()
        assert passes(up)
        assert "366" in patched


def test_a_wrong_fix_is_reported_as_one_and_not_as_done(tmp_path: Path) -> None:
    with a_world(tmp_path, character="wrong") as up:
        report = fixed(up)
        assert "tests still fail" in report
        assert not passes(up)
        spent = json.loads(product(up.env, "metrics", "--json"))["spend"]
        assert spent["estimated_usd"] == "0"


def test_a_writers_command_on_an_outsiders_thread_and_prose_start_nothing(tmp_path: Path) -> None:
    with a_world(tmp_path) as up:
        up.github.comment("eve", PULL, FIX)
        up.github.comment("dana", PULL, "> /agent fix\n\nwhat would that do?")
        up.github.comment("dana", PULL, "/agent fix cost=a-lot")
        up.github.wait(lambda g: any("a-lot" in c["body"] for c in g.comments(PULL)[3:]), 30, "the reply")
        assert up.github.runs() == []
        assert up.claude.invoice()["total_nanos"] == 0
