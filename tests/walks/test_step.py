"""A real workflow that uses the action as a step, with and without the service, under the real runner."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from sandbox.fresh import KEY
from sandbox.github.client import Client
from sandbox.story import product
from sandbox.world_up import World, world
from tests.walks.ledger import rows

pytestmark = pytest.mark.slow
PULL = 2
BUGGY = "acme_calendar/years.py"
FIX = "The tests fail. Find the bug and fix it."
RUNAWAY = "Please be tireless with this task: polish everything again and again."
WORKFLOW = """
name: Step
on: {workflow_dispatch: {inputs: {task: {required: true}, cost: {default: "2"}, fail-on: {default: ""}}}}
permissions: {}
jobs:
  step:
    runs-on: ubuntu-latest
    permissions: {contents: read, id-token: write}
    env: {ANTHROPIC_BASE_URL: "%(claude)s"}
    steps:
      - name: Agent
        id: agent
        uses: tollgate-dev/tollgate@v1
        with:
          task: ${{ inputs.task }}
          cost: ${{ inputs.cost }}
          fail-on: ${{ inputs.fail-on }}
          %(how)s
      - name: After
        if: always()
        env: {OUTPUTS: "${{ toJSON(steps.agent.outputs) }}"}
        run: |
          echo "outputs $(printf '%%s' "$OUTPUTS" | tr -d '\\n')"
          cd "$GITHUB_WORKSPACE"
          echo "changed $(git status --porcelain | tr '\\n' ';')"
          python3 -B -m unittest 2> /dev/null && echo "tests pass"
          read='import json, sys; print(json.load(sys.stdin).get("patch", ""))'
          patch=$(printf '%%s' "$OUTPUTS" | python3 -c "$read")
          if [ -s "$patch" ]; then
            git checkout --quiet . && git clean --quiet --force -d
            git apply "$patch" && echo "patch applies"
          fi
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all: the bug is on the default branch, with a workflow of each kind."""
    folder = tmp_path_factory.mktemp("step")
    with world(folder, bug="leap", character="auto", think_ms=0, port=0, progress=1) as made:
        github = made.github
        bug = github.file(BUGGY, github.thread(PULL)["head_ref"]).decode()
        how = {"alone": f"anthropic-api-key: {KEY}", "served": f"service: {made.service}"}
        files = {
            f".github/workflows/{name}.yml": WORKFLOW % {"claude": made.claude.url, "how": given}
            for name, given in how.items()
        }
        github.commit("ada", "main", {BUGGY: bug, **files})
        yield made


class Run:
    """One workflow run, from its dispatch to its end."""

    def __init__(self, up: World, kind: str, who: str = "dana", ref: str = "main", **inputs: str) -> None:
        self.github, before = up.github, up.claude.invoice()["total_nanos"]
        asked = {"ref": ref, "inputs": inputs, "return_run_details": True}
        made = self.github.do(who, "POST", f"/actions/workflows/{kind}.yml/dispatches", asked)
        self.id = int(made["workflow_run_id"])
        self.found = self.github.wait(self._over, 150, "the end of the workflow run")
        self.log = "\n".join(self.found["log"])
        self.nanos = up.claude.invoice()["total_nanos"] - before

    def _over(self, github: Client) -> Any:
        found = next(run for run in github.runs() if run["id"] == self.id)
        return found if found["status"] == "completed" else None

    @property
    def outputs(self) -> dict[str, str]:
        said = re.search(r"^outputs (.*)$", self.log, re.M)
        assert said, self.log
        return dict(json.loads(said[1]))

    @property
    def cost(self) -> Decimal:
        """In nano-dollars, as its outputs say it."""
        return Decimal(self.outputs["cost"]) * 1_000_000_000


@pytest.mark.parametrize("kind", ["alone", "served"])
def test_a_step_fixes_the_bug_in_the_working_tree_and_its_outputs_are_the_invoice(
    up: World, kind: str
) -> None:
    run = Run(up, kind, task=FIX)
    assert run.found["conclusion"] == "success", run.log
    assert (run.outputs["outcome"], run.outputs["reason"]) == ("done", "")
    assert run.cost == run.nanos > 0
    assert f"changed  M {BUGGY};" in run.log
    assert "tests pass" in run.log
    assert "patch applies" in run.log
    assert "Done: tests pass" in run.found["summary"]
    assert '"outcome": "done"' in run.found["summary"]
    assert KEY not in run.log.replace(f"add-mask::{KEY}", "")
    if kind == "served":
        [(origin, spent, held, thread)] = rows(
            up, f"SELECT origin, spent_nanos, held_nanos, thread FROM runs WHERE workflow_run_id = {run.id}"
        )
        assert (origin, spent, held, thread) == ("step", run.nanos, 0, None)


@pytest.mark.parametrize("kind", ["alone", "served"])
def test_a_runaway_is_halted_at_its_ceiling_and_fails_the_step(up: World, kind: str) -> None:
    run = Run(up, kind, task=RUNAWAY, cost="0.40")
    assert run.found["conclusion"] == "failure", run.log
    assert (run.outputs["outcome"], run.outputs["reason"]) == ("halted", "cost_ceiling")
    assert run.cost == run.nanos <= 400_000_000
    assert "$0.40 cost ceiling reached" in run.found["summary"]
    assert "patch applies" in run.log


@pytest.mark.parametrize("kind", ["alone", "served"])
def test_a_step_that_may_halt_leaves_its_job_green(up: World, kind: str) -> None:
    run = Run(up, kind, task=RUNAWAY, cost="0.30", **{"fail-on": "failed"})
    assert run.found["conclusion"] == "success", run.log
    assert run.outputs["outcome"] == "halted"


def test_a_step_of_another_branchs_workflow_opens_nothing(up: World) -> None:
    up.github.commit("dana", "mine", {"own.txt": "mine\n"}, from_="main")
    run = Run(up, "served", ref="mine", task=FIX)
    assert run.found["conclusion"] == "failure"
    assert "only one of the default branch (main)" in run.log
    assert run.nanos == 0


def test_the_ledger_of_the_service_has_its_steps_as_spend_of_no_pull_request(up: World) -> None:
    ours = rows(up, "SELECT sum(spent_nanos) FROM runs WHERE origin = 'step'")[0][0]
    spend = json.loads(product(up.env, "metrics", "--json"))["spend"]
    assert Decimal(spend["unattributed_usd"]) * 1_000_000_000 == ours > 0
