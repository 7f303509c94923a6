"""Must-show: another agent in the place of ours, by the shipped workflow, up to the commit and the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from sandbox.story import Narrator, asked
from sandbox.world_up import World
from tests.peers import claude_code, left_of
from tests.walks.ledger import rows
from tests.walks.test_demo import PULL, a_world, passes

pytestmark = [pytest.mark.peer, pytest.mark.slow]
WORDS = "The tests fail since this branch made the dates faster. Find the bug and fix it."
ENDLESS = "Please be tireless with this task: polish everything again and again."


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for both; its programs are those that the product installs."""
    claude_code()
    with a_world(tmp_path_factory.mktemp("agents")) as made:
        yield made


def test_claude_code_fixes_the_pull_request_and_is_reported_as_our_own_engine_is(up: World) -> None:
    assert not passes(up)
    report = asked(up.github, PULL, f"/agent fix cost=$5 engine=claude-code\n\n{WORDS}", Narrator(0.0))
    assert "Done: tests pass" in report
    assert "engine `claude-code`" in report
    assert re.search(r"claude-code itself says that this attempt cost \$[\d.]+, as is counted here", report)
    assert passes(up), "the App has committed it to the branch"
    [(engine, spent, held, result)] = rows(up, "SELECT engine, spent_nanos, held_nanos, result FROM runs")
    assert (engine, held) == ("claude-code", 0)
    assert spent == up.claude.invoice()["total_nanos"] > 0
    assert json.loads(result)["isolation"] == "user"


def test_one_that_goes_on_for_ever_is_halted_at_its_ceiling_with_its_work_on_a_branch(up: World) -> None:
    before = up.claude.invoice()["total_nanos"]
    command = f"/agent fix cost=$1.50 engine=claude-code\n\n{ENDLESS}"
    report = asked(up.github, PULL, command, Narrator(0.0))
    assert re.search(r"Halted at step \d+: \$1.50 cost ceiling reached", report)
    assert "agent/run-" in report, "what it had made is on a branch"
    assert up.claude.invoice()["total_nanos"] - before <= 1_500_000_000
    run = re.search(r"run \[?`(\w{12})`", report)  # a link, where there is a dashboard
    assert run
    assert left_of(run[1]) == []
