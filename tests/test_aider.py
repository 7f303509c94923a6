"""Aider as somebody has installed it, under `exec`: the lines of docs/agents.md, and a bound that holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.core.money import Usd
from bot.runner.engines.aider import QUIET
from sandbox.processes import ROOT, start
from tests.peers import aider
from tests.runner.foreign import bodies
from tests.runner.world import catching, git, plant

pytestmark = [pytest.mark.peer, pytest.mark.slow]
KEY = "sk-ant-of-the-person"
BUGGY = "acme_calendar/years.py"


@pytest.fixture(scope="module")
def program() -> Path:
    return aider()


@dataclass(frozen=True)
class Ran:
    code: int
    said: str
    report: dict[str, Any]
    nanos: int
    asked: list[dict[str, Any]]


def ran(tmp_path: Path, program: Path, character: str, line: str, **env: str) -> Ran:
    """One line of a shell, in a checkout with a bug."""
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    home.mkdir(exist_ok=True)
    if not checkout.exists():
        git(plant(checkout), "init", "--quiet")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "as it is")
    path = os.pathsep.join([str(Path(sys.executable).parent), str(program.parent), os.defpath])
    line = line.replace("exec ", f"exec --report {tmp_path / 'report.json'} ", 1)
    with start("claude", character=character) as claude:
        given = {"ANTHROPIC_BASE_URL": claude.url, "ANTHROPIC_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
        quiet = {"AIDER_ANALYTICS": "false", "AIDER_CHECK_UPDATE": "false"} | QUIET
        done = subprocess.run(
            ["bash", "-c", line],
            env={"PATH": path, "HOME": str(home), "TERM": "dumb", **quiet, **given, **env},
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        report = json.loads((tmp_path / "report.json").read_text())
        nanos = claude.invoice()["total_nanos"]
        return Ran(done.returncode, done.stdout + done.stderr, report, nanos, bodies(claude))


def lines() -> list[str]:
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    section = page.partition("\n## Aider\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```sh\n(.*?)```", section, re.S)
    return [str(line) for line in block.splitlines()]


@pytest.mark.parametrize("line", lines())
def test_each_line_of_the_page_works_with_no_file_written_by_hand(
    tmp_path: Path, program: Path, line: str
) -> None:
    found = ran(tmp_path, program, "fixer", line)
    assert found.code == 0, found.said
    assert "Model: claude-opus-4-7 with diff edit format, prompt cache" in found.said
    assert "Unknown context window" not in found.said
    assert Usd.parse(found.report["spent"]["usd"]).nanos == found.nanos
    if "--message" in line:
        assert found.nanos > 0
        assert "Cost: $" in found.said, "it knows the price"
        assert not any("temperature" in request for request in found.asked)


def test_it_mends_the_bug_where_it_is_told_how_to_test(tmp_path: Path, program: Path) -> None:
    words = '--yes-always --auto-test --test-cmd "python3 -B -m unittest" --message "Fix the failing test"'
    line = f"python -m bot exec --cost 2 -- aider --model claude-opus-4-7 --no-auto-commits {words}"
    found = ran(tmp_path, program, "fixer", line)
    assert found.code == 0, found.said
    assert BUGGY in git(tmp_path / "checkout", "diff", "--name-only")
    assert found.report["engine"] == "aider"


def test_a_runaway_is_ended_while_it_repeats_what_was_refused(tmp_path: Path, program: Path) -> None:
    words = '--yes-always --auto-test --test-cmd "python3 -B -m unittest" --message "Fix the failing test"'
    line = f"python -m bot exec --steps 2 -- aider --model claude-opus-4-7 --no-auto-commits {words}"
    found = ran(tmp_path, program, "runaway", line)
    assert found.code == 3, found.said
    assert (found.report["outcome"], found.report["reason"]) == ("halted", "step_ceiling")
    assert len(found.asked) == 2
    assert "# Attempt" in git(tmp_path / "checkout", "diff"), "what it had made by then"


def test_a_dot_env_beside_the_work_does_not_lead_past_the_ceilings(tmp_path: Path, program: Path) -> None:
    with catching() as (elsewhere, caught):
        checkout = plant(tmp_path / "checkout")
        git(checkout, "init", "--quiet")
        theirs = [f"ANTHROPIC_{name}={elsewhere}\n" for name in ("API_BASE", "BASE_URL")]
        (checkout / ".env").write_text("".join(["ANTHROPIC_API_KEY=sk-another\n", *theirs]))
        line = 'python -m bot exec -- aider --model claude-opus-4-7 --yes-always --message "Fix it"'
        found = ran(tmp_path, program, "fixer", line)
    assert caught == []
    assert found.nanos > 0
    assert Usd.parse(found.report["spent"]["usd"]).nanos == found.nanos
