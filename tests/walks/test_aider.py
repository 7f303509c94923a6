"""Must-show: Aider in the place of our engine, by the shipped workflow, up to the commit and the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from bot.runner.engines.aider import Aider
from sandbox.story import Narrator, asked
from sandbox.world_up import World
from tests.peers import aider
from tests.runner.test_ci import processes
from tests.walks.ledger import rows
from tests.walks.test_demo import PULL, a_world, passes

pytestmark = [pytest.mark.peer, pytest.mark.slow]
WORDS = "The tests fail since this branch made the dates faster. Find the bug and fix it."
ENDLESS = "Please run away with this task: polish everything again and again."


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for both, with a policy that says what decides whether the work is good."""
    aider()
    with a_world(tmp_path_factory.mktemp("aider")) as made:
        policy = "check: python3 -B -m unittest\n"
        made.github.commit("ada", "main", {".github/agent.yml": policy})
        yield made


def test_one_that_goes_on_for_ever_is_halted_at_its_ceiling_with_its_work_on_a_branch(up: World) -> None:
    before = up.claude.invoice()["total_nanos"]
    command = f"/agent fix cost=$0.60 engine=aider\n\n{ENDLESS}"
    report = asked(up.github, PULL, command, Narrator(0.0))
    assert re.search(r"Halted at step \d+: \$0.60 cost ceiling reached", report)
    assert "agent/run-" in report, "what it had made is on a branch"
    assert up.claude.invoice()["total_nanos"] - before <= 600_000_000
    assert "start_aider" not in processes()


def test_aider_fixes_the_pull_request_and_is_reported_as_our_own_engine_is(up: World) -> None:
    before = up.claude.invoice()["total_nanos"]
    assert not passes(up)
    report = asked(up.github, PULL, f"/agent fix cost=$5 engine=aider\n\n{WORDS}", Narrator(0.0))
    assert "Done: tests pass" in report
    assert "engine `aider`" in report
    assert passes(up), "the App has committed it to the branch"
    found = rows(up, "SELECT engine, spent_nanos, held_nanos, result FROM runs WHERE state = 'done'")
    [(engine, spent, held, result)] = found
    assert (engine, held) == ("aider", 0)
    assert spent == up.claude.invoice()["total_nanos"] - before > 0
    assert json.loads(result)["isolation"] == "user"
    log = "\n".join(up.github.runs()[-1]["log"])
    assert f"the engine: aider {Aider().version}" in log
