"""A step with the service: it opens a run, works on a copy of the checkout, brings back what changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.core.changeset import Changeset
from bot.runner.inputs import FAILED, HALTED, REFUSED
from bot.runner.step import main_step
from sandbox.processes import start
from tests.runner.test_ci import Ci, job
from tests.runner.world import RUN, TOKEN, git, plant, say, scripted, sh

REPORT: dict[str, Any] = {
    "run": RUN,
    "outcome": "done",
    "reason": None,
    "spent": {"usd": "0.123456", "tokens": 4_200, "steps": 6},
}


@contextmanager
def step(folder: Path, base_url: str, report: Any = REPORT, **api: Any) -> Iterator[Ci]:
    told = {"finished": True, "settled": True, "report": report, "summary": "The report.\n"} if report else {}
    with job(folder, base_url, report=told, **api) as ci:
        checkout = plant(folder / "checkout")
        git(checkout, "init", "--quiet")
        git(checkout, "add", "--all")
        git(checkout, "commit", "--quiet", "--message", "first")
        (folder / "temp").mkdir()
        for name in ("TOLLGATE_RUN", "TOLLGATE_ATTEMPT"):
            del ci.env[name]
        ci.env |= {
            "TOLLGATE_TASK": "fix the failing test",
            "TOLLGATE_COST": "2",
            "GITHUB_WORKSPACE": str(checkout),
            "RUNNER_TEMP": str(folder / "temp"),
        }
        yield ci


def changed(ci: Ci) -> list[str]:
    return git(Path(ci.env["GITHUB_WORKSPACE"]), "status", "--porcelain").splitlines()


def test_it_opens_a_run_and_brings_the_fix_into_the_working_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start("claude", character="fixer") as claude, step(tmp_path / "job", claude.url) as ci:
        assert main_step(ci.env) == 0
        assert changed(ci) == ["M acme_calendar/years.py"]
    [asked] = ci.api.asked
    number = asked.pop("number")
    assert 0 < number < 2**63
    assert asked == {
        "task": "fix the failing test", "class": "default", "cost": "2", "tokens": None, "steps": None,
        "wall": None, "check": "", "line": "", "engine": None,
    }  # fmt: skip
    out = ci.output()
    assert (out["outcome"], out["cost"], out["steps"]) == ("done", "0.123456", "6")
    assert json.loads(Path(out["report"]).read_text()) == REPORT
    assert Path(out["summary"]).read_text() == ci.summary.read_text() == "The report.\n"
    assert "acme_calendar/years.py" in Path(out["patch"]).read_text()
    assert [file.path for file in ci.result().changeset.files] == ["acme_calendar/years.py"]
    log = capsys.readouterr().out.splitlines()
    assert log[0] == f"::add-mask::{TOKEN}"


def test_what_the_service_says_decides_how_the_step_ends(tmp_path: Path) -> None:
    halted = REPORT | {"outcome": "halted", "reason": "cost_ceiling"}
    with scripted([say("Nothing to do.")]) as (url, _), step(tmp_path / "job", url, halted) as ci:
        assert main_step(ci.env) == HALTED
        assert (ci.output()["outcome"], ci.output()["reason"]) == ("halted", "cost_ceiling")
        assert main_step(ci.env | {"TOLLGATE_FAIL_ON": "nothing"}) == 0


def test_tests_that_still_fail_fail_the_step(tmp_path: Path) -> None:
    with (
        scripted([say("Done.")]) as (url, _),
        step(tmp_path / "job", url, brief={"check": "false"}) as ci,
    ):
        assert main_step(ci.env) == FAILED


def test_a_service_that_does_not_tell_the_report_leaves_what_is_known_here(tmp_path: Path) -> None:
    with scripted([say("Done.")]) as (url, _), step(tmp_path / "job", url, report=None) as ci:
        assert main_step(ci.env) == 0
    assert ci.output() == {"outcome": "done", "reason": "", "cost": "0.75", "tokens": "10000", "steps": "8"}
    assert "Done." in ci.summary.read_text()


def test_a_refusal_is_said_in_one_sentence_and_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted([say("?")]) as (url, script), step(tmp_path / "job", url, claims=[403]) as ci:
        assert main_step(ci.env) == REFUSED
    assert "::error title=Tollgate::Not started:" in capsys.readouterr().out
    assert (script.requests, ci.api.posted) == ([], [])


def test_asked_again_after_a_fault_it_asks_for_the_same(tmp_path: Path) -> None:
    with scripted([say("Done.")]) as (url, _), step(tmp_path / "job", url, claims=[503, 500]) as ci:
        assert main_step(ci.env) == 0
    assert len(ci.api.asked) == 3
    assert len({asked["number"] for asked in ci.api.asked}) == 1


def test_a_job_that_may_not_say_who_it_is_is_told_what_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted([say("?")]) as (url, _), step(tmp_path / "job", url) as ci:
        del ci.env["ACTIONS_ID_TOKEN_REQUEST_URL"]
        assert main_step(ci.env) == REFUSED
    assert "id-token: write" in capsys.readouterr().out
    assert ci.api.asked == []


def test_what_a_person_should_look_at_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit = sh("mkdir -p .github/workflows && echo 'on: push' > .github/workflows/x.yml")
    brief = {"forbidden_paths": [".github/workflows/**"]}
    with scripted([edit], [say("Done.")]) as (url, _), step(tmp_path / "job", url, brief=brief) as ci:
        main_step(ci.env)
        assert changed(ci) == ["?? .github/"]
    assert "::warning title=Tollgate::A person should look" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run tools as another user")
def test_the_agents_commands_reach_neither_the_jobs_tree_nor_its_tokens(tmp_path: Path) -> None:
    with step(tmp_path / "job", "http://127.0.0.1:9") as ci:
        tree = Path(ci.env["GITHUB_WORKSPACE"])
        look = f"touch {tree}/escaped; id -un; cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -a ghs_job"
        with scripted([sh(look)], [say("I have looked.")]) as (url, script):
            ci.api.base_url = url
            main_step(ci.env)
        assert not (tree / "escaped").exists()
    said = json.dumps(script.requests[-1]["messages"][-1])
    assert "tollgate-agent" in said
    assert "ghs_job_token" not in said
    assert ci.result().isolation == "user"
    assert ci.result().changeset == Changeset(ci.result().changeset.base, ())
