"""The action without a service: a bounded run on the job's checkout, with the sandbox's Claude for a mind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.commands.step import ceilings
from bot.commands.step import policy_of as policy
from bot.runner.inputs import ALONE, FAILED, HALTED, REFUSED, variable
from sandbox.processes import ROOT, Started, start
from tests.runner.test_inputs import given
from tests.runner.world import git, plant, say, scripted, sh

KEY, TOKEN = "sk-ant-step-only-0123456789", "ghs_step_only_0123456789"
NANOS = 1_000_000_000


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="auto", key=KEY, invoice=tmp_path / "invoice") as started:
        yield started


class Job:
    """A job with a checkout of its own, and what the step leaves in it."""

    def __init__(self, folder: Path, claude_url: str) -> None:
        self.folder = folder
        self.checkout = plant(folder / "checkout")
        git(self.checkout, "init", "--quiet")
        git(self.checkout, "add", "--all")
        git(self.checkout, "commit", "--quiet", "--message", "first")
        self.summary, self.outputs = folder / "summary.md", folder / "outputs"
        (folder / "temp").mkdir()
        self.env = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
            "HOME": str(folder),
            "GITHUB_WORKSPACE": str(self.checkout),
            "GITHUB_REPOSITORY": "acme/calendar",
            "GITHUB_ACTOR": "dana",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.outputs),
            "RUNNER_TEMP": str(folder / "temp"),
            "ANTHROPIC_BASE_URL": claude_url,
        }

    def start(self, key: str = KEY, **inputs: str) -> subprocess.Popen[str]:
        env = self.env | {variable(name.replace("_", "-")): text for name, text in inputs.items()}
        command = [sys.executable, "-m", "bot.commands.step"]
        pipe = subprocess.PIPE
        step = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )
        assert step.stdin is not None
        step.stdin.write(f"{key}\n{TOKEN}\n")
        step.stdin.close()
        step.stdin = None
        return step

    def run(self, key: str = KEY, **inputs: str) -> tuple[int, str]:
        """The exit code and the log."""
        with self.start(key, **inputs) as step:
            log, _ = step.communicate(timeout=120)
        return step.returncode, log

    def output(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.outputs.read_text().splitlines())

    def report(self) -> dict[str, Any]:
        return dict(json.loads(Path(self.output()["report"]).read_text()))

    def changed(self) -> list[str]:
        return git(self.checkout, "status", "--porcelain").splitlines()


@pytest.fixture
def job(tmp_path: Path, claude: Started) -> Job:
    return Job(tmp_path, claude.url)


def test_it_fixes_the_bug_in_the_working_tree_and_tells_what_that_cost(job: Job, claude: Started) -> None:
    base = git(job.checkout, "rev-parse", "HEAD")
    code, log = job.run(task="The tests fail. Find the bug and fix it.", cost="2", **{"class": "bugfix"})
    assert code == 0, log
    out, report = job.output(), job.report()
    assert job.changed() == ["M acme_calendar/years.py"]
    tests = [sys.executable, "-B", "-m", "unittest"]
    assert subprocess.run(tests, cwd=job.checkout, capture_output=True, check=False).returncode == 0
    assert (out["outcome"], out["reason"]) == ("done", "")
    assert Decimal(out["cost"]) * NANOS == claude.invoice()["total_nanos"] > 0
    assert (out["steps"], out["tokens"]) == (str(report["spent"]["steps"]), str(report["spent"]["tokens"]))
    assert report["ceilings"] == {"usd": "2", "tokens": 500_000, "steps": 20, "seconds": 600}
    git(job.checkout, "checkout", "--quiet", "--force", base)
    git(job.checkout, "apply", out["patch"])
    assert job.changed() == ["M acme_calendar/years.py"]
    summary = job.summary.read_text()
    assert Path(out["summary"]).read_text() == summary
    assert "Done: tests pass" in summary
    assert "`patch`" in summary
    assert "/agent" not in summary
    assert json.loads(summary.partition("```json\n")[2].partition("\n```")[0])["run"] == report["run"]
    assert log.startswith(f"::add-mask::{KEY}\n")
    assert KEY not in log.partition("\n")[2]
    assert sum(line.startswith("turn ") for line in log.splitlines()) > 3


def test_what_the_agent_runs_finds_no_key_and_no_token_in_its_environment(job: Job) -> None:
    seen = job.folder / "seen"
    all_of_them = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
    look = f"env > {seen}; {all_of_them} | grep -a -e {KEY} -e {TOKEN} >> {seen}"
    with scripted([sh(look)], [say("I have looked.")]) as (url, script):
        job.env["ANTHROPIC_BASE_URL"] = url
        code, log = job.run(task="Look around.")
    assert code == 0, log
    assert script.tokens == [KEY, KEY]
    found = seen.read_text()
    assert "HOME=" in found
    for secret in (KEY, TOKEN, "TOLLGATE_TASK", "ACTIONS_"):
        assert secret not in found


def test_nothing_that_the_agent_started_is_there_when_the_next_step_begins(job: Job) -> None:
    """It would have that step's secrets before it. Without our mark, in a session of its own."""
    mark = f"7{os.getpid()}"
    with scripted([sh(f"env -i setsid -f sleep {mark}")], [say("I left one behind.")]) as (url, _):
        job.env["ANTHROPIC_BASE_URL"] = url
        code, log = job.run(task="Leave something behind.")
    assert code == 0, log
    left = subprocess.run(["pgrep", "-f", f"^sleep {mark}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_a_runaway_is_halted_and_what_it_made_is_kept(job: Job, claude: Started) -> None:
    task = "Please be tireless with this task: polish everything again and again."
    code, log = job.run(task=task, cost="0.40")
    out = job.output()
    assert code == HALTED, log
    assert (out["outcome"], out["reason"]) == ("halted", "cost_ceiling")
    assert Decimal(out["cost"]) * NANOS == claude.invoice()["total_nanos"]
    assert Decimal(out["cost"]) <= Decimal("0.40")
    assert job.changed()
    assert Path(out["patch"]).stat().st_size > 0
    assert "$0.40 cost ceiling reached" in job.summary.read_text()


def test_a_step_that_may_halt_ends_well_and_says_so_in_its_outputs(job: Job) -> None:
    code, log = job.run(task="Do it.", steps="1", fail_on="failed, tests")
    assert code == 0, log
    assert (job.output()["outcome"], job.output()["reason"]) == ("halted", "step_ceiling")


def test_a_fix_with_which_the_check_still_fails_fails_the_step(job: Job) -> None:
    code, log = job.run(task="The tests fail. Fix it.", check="false")
    assert code == FAILED, log
    assert job.output()["outcome"] == "done"
    assert "Tests still fail" in job.summary.read_text().replace("tests", "Tests")


def test_an_empty_workspace_gets_the_commit_of_the_job(job: Job, tmp_path: Path) -> None:
    bare = tmp_path / "server" / "acme" / "calendar.git"
    bare.parent.mkdir(parents=True)
    git(tmp_path, "clone", "--quiet", "--bare", str(job.checkout), str(bare))
    sha, job.checkout = git(job.checkout, "rev-parse", "HEAD"), tmp_path / "empty"
    job.env |= {
        "GITHUB_WORKSPACE": str(job.checkout),
        "GITHUB_SERVER_URL": (tmp_path / "server").as_uri(),
        "GITHUB_SHA": sha,
    }
    code, log = job.run(task="The tests fail. Find the bug and fix it.")
    assert code == 0, log
    assert git(job.checkout, "rev-parse", "HEAD") == sha
    assert job.changed() == ["M acme_calendar/years.py"]
    assert "acme_calendar/years.py" in Path(job.output()["patch"]).read_text()


def test_what_an_earlier_step_had_changed_is_not_in_the_patch(job: Job) -> None:
    (job.checkout / "generated.txt").write_text("by a step before\n")
    (job.checkout / "README.md").write_text("by a step before\n")
    code, log = job.run(task="The tests fail. Find the bug and fix it.")
    assert code == 0, log
    patch = Path(job.output()["patch"]).read_text()
    assert "acme_calendar/years.py" in patch
    assert "by a step before" not in patch


@pytest.mark.parametrize(
    ("key", "inputs", "said"),
    [
        pytest.param(KEY, {}, "`task` is not given", id="nothing to do"),
        pytest.param(
            "", {"task": "x"}, "neither `service` nor `anthropic-api-key`", id="a secret that is empty"
        ),
        pytest.param(KEY, {"task": "x", "policy": "no.yml"}, "no.yml cannot be read", id="no such policy"),
        pytest.param(KEY, {"task": "x", "model_prices": "no.json"}, "no.json", id="no such prices"),
    ],
)
def test_what_cannot_start_spends_nothing_and_says_why(
    job: Job, claude: Started, key: str, inputs: dict[str, str], said: str
) -> None:
    code, log = job.run(key, **inputs)
    assert code == REFUSED
    assert said in log
    assert "Nothing was spent." in log
    assert not job.outputs.exists()
    assert claude.invoice()["total_nanos"] == 0


def test_a_wrong_policy_in_the_checkout_starts_nothing_and_names_line_and_key(job: Job) -> None:
    (job.checkout / ".github").mkdir()
    (job.checkout / ".github" / "agent.yml").write_text("classes:\n  bugfix: {cost: a lot}\n")
    code, log = job.run(task="x")
    assert code == REFUSED
    assert ".github/agent.yml" in log
    assert "line 2" in log


def test_a_checkout_that_keeps_its_token_is_warned_about(job: Job) -> None:
    git(job.checkout, "config", "http.https://github.com/.extraheader", "AUTHORIZATION: basic x")
    _, log = job.run(task="x", steps="1")
    assert "::warning title=Tollgate::The checkout keeps a token" in log


def test_a_cancelled_job_leaves_its_papers(job: Job) -> None:
    with start("claude", character="auto", key=KEY, think_ms=1_500) as slow:
        job.env["ANTHROPIC_BASE_URL"] = slow.url
        with job.start(task="The tests fail. Find the bug and fix it.") as step:
            assert step.stdout is not None
            for line in step.stdout:
                if line.startswith("turn "):
                    break
            step.send_signal(signal.SIGINT)
            asked = time.monotonic()
            step.communicate(timeout=60)
    assert time.monotonic() - asked < 30
    assert step.returncode == HALTED
    assert (job.output()["outcome"], job.output()["reason"]) == ("halted", "stopped")


# -- what holds --

LOWER = "classes:\n  default: {cost: $3, steps: 10, wall: 5h}\nmax:\n  write: {cost: $1}\n"


def test_the_policy_of_a_checkout_lowers_ceilings_and_raises_none(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "agent.yml").write_text(LOWER)
    inputs = given(task="x", cost="4", tokens="100k")
    most, sources = ceilings(inputs, {}, policy(inputs, tmp_path))
    assert (most.usd.exact, most.tokens, most.steps, most.seconds) == ("3", 100_000, 10, 1_200)
    assert sources == {"usd": "policy", "tokens": "input", "steps": "policy", "seconds": "class default"}


def test_the_budget_variables_hold_where_no_input_says_so(tmp_path: Path) -> None:
    inputs = given(task="x", cost="4")
    env = {"ANTHROPIC_COST_BUDGET": "1", "ANTHROPIC_TOKEN_BUDGET": "50k"}
    most, sources = ceilings(inputs, env, policy(inputs, tmp_path))
    assert (most.usd.exact, most.tokens) == ("4", 50_000)
    assert (sources["usd"], sources["tokens"]) == ("input", "ANTHROPIC_TOKEN_BUDGET")


def test_the_policy_of_a_checkout_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("admission: expected\n")
    assert policy(given(task="x", policy="p.yml"), tmp_path).rules.admission == "strict"
    assert set(ALONE) > {"policy"}
