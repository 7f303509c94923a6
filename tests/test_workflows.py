"""The shipped workflow files: valid, small rights, nobody else's code, nothing interpolated into a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.core.commands import ENGINES
from bot.runner.inputs import ALONE, DISPATCHED, INPUTS, SERVED, variable
from bot.runner.inputs import read as inputs
from bot.runner.papers import OUTPUTS
from tests.runner.world import git, repository

ROOT = Path(__file__).parent.parent
OURS = "tollgate-dev/tollgate@"
BIN = Path(sys.executable).parent
FILES = sorted([*(ROOT / "workflows").glob("*.yml"), ROOT / "action.yml"])
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def read(file: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as a boolean; GitHub does not.
    found = yaml.safe_load(re.sub(r"^on:", '"on":', file.read_text(encoding="utf-8"), flags=re.M))
    assert isinstance(found, dict)
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    data = read(file)
    jobs = data.get("jobs", {}).values()
    return [*data.get("runs", {}).get("steps", []), *(step for job in jobs for step in job["steps"])]


@each_file
def test_each_is_what_githubs_schema_asks_for(file: Path) -> None:
    schema = "vendor.github-actions" if file.name == "action.yml" else "vendor.github-workflows"
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", schema, file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@each_file
def test_each_passes_the_security_lint(file: Path) -> None:
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--persona", "pedantic", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@each_file
def test_none_uses_the_code_of_others(file: Path) -> None:
    used = [step["uses"] for step in steps(file) if "uses" in step]
    assert [action for action in used if not action.startswith(OURS)] == []


@each_file
def test_none_puts_an_expression_into_a_shell(file: Path) -> None:
    assert [step["run"] for step in steps(file) if "${{" in step.get("run", "")] == []


def test_the_agents_job_may_read_and_say_who_it_is_and_nothing_else() -> None:
    data = read(ROOT / "workflows" / "agent.yml")
    assert data["permissions"] == {}
    assert [job["permissions"] for job in data["jobs"].values()] == [
        {"contents": "read", "id-token": "write"}
    ]


def test_the_agents_workflow_starts_by_dispatch_alone_with_the_names_the_service_sends() -> None:
    data = read(ROOT / "workflows" / "agent.yml")
    assert list(data["on"]) == ["workflow_dispatch"]
    assert list(data["on"]["workflow_dispatch"]["inputs"]) == ["run", "attempt", "service"]
    assert data["run-name"] == "Tollgate run ${{ inputs.run }}.${{ inputs.attempt }}"


def test_the_actions_inputs_and_outputs_are_those_that_the_step_reads_and_writes() -> None:
    data = read(ROOT / "action.yml")
    assert set(data["inputs"]) == set(INPUTS)
    assert tuple(data["outputs"]) == OUTPUTS
    assert [name for name, said in data["inputs"].items() if "required" in said or "default" in said] == []
    [step] = data["runs"]["steps"]
    given = {variable(name): f"${{{{ inputs.{name} }}}}" for name in INPUTS if name != "anthropic-api-key"}
    key = {"TOLLGATE_KEY": "${{ inputs.anthropic-api-key }}", "GITHUB_TOKEN": "${{ github.token }}"}
    assert step["env"] == given | key


def test_the_actions_input_names_every_engine() -> None:
    says = read(ROOT / "action.yml")["inputs"]["engine"]["description"]
    assert f"({', '.join(ENGINES)})" in says


def test_the_key_leaves_the_environment_before_anything_is_started(tmp_path: Path) -> None:
    [step] = read(ROOT / "action.yml")["runs"]["steps"]
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nenv > {tmp_path}/env\ncat > {tmp_path}/stdin\n")
    python.chmod(0o755)
    secrets = {"TOLLGATE_KEY": "the-key", "GITHUB_TOKEN": "the-token"}
    env = {"PATH": os.defpath, "GITHUB_ACTION_PATH": str(ROOT), "TOLLGATE_PYTHON": str(python), **secrets}
    subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], env=env, check=True)
    assert (tmp_path / "stdin").read_text() == "the-key\nthe-token\n"
    assert re.findall("the-key|the-token", (tmp_path / "env").read_text()) == []


def test_the_nightly_example_proposes_what_the_agent_changed_and_nothing_when_that_is_nothing(
    tmp_path: Path,
) -> None:
    jobs = read(ROOT / "workflows" / "step-nightly.yml")["jobs"]
    [_, keep], [propose] = (job["steps"] for job in jobs.values())
    repo = repository(tmp_path)
    patch, output, called = tmp_path / "changes.patch", tmp_path / "output", tmp_path / "called"
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    gh.chmod(0o755)
    env = {
        "PATH": f"{gh.parent}:{os.defpath}",
        "HOME": str(tmp_path),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_SERVER_URL": repo.server,
        "GITHUB_REPOSITORY": repo.full_name,
        "GITHUB_SHA": repo.sha,
        "GITHUB_RUN_ID": "77",
    }

    def run(step: dict[str, Any], value: str) -> None:
        command = ["bash", "-eo", "pipefail", "-c", step["run"]]
        subprocess.run(command, cwd=tmp_path, env=env | {"PATCH": value}, check=True, capture_output=True)

    patch.write_bytes(b"")
    run(keep, str(patch))
    assert output.read_text() == "patch=\n", "so that the other job is skipped"
    head = "diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n"
    patch.write_text(f"{head}@@ -0,0 +1 @@\n+new\n")
    run(keep, str(patch))
    run(propose, output.read_text().splitlines()[-1].removeprefix("patch="))
    bare = tmp_path / "acme" / "calendar.git"
    assert git(bare, "show", "nightly-refresh-77:new.txt") == "new"
    assert git(bare, "rev-parse", "nightly-refresh-77^") == repo.sha
    assert "pr create --head nightly-refresh-77" in called.read_text()
    shutil.rmtree(tmp_path / "work")
    env["GITHUB_RUN_ID"] = "78"
    large = f"{head}@@ -0,0 +1 @@\n+"
    patch.write_text(f"{large}{'x' * (98_000 - len(large) - 1)}\n")
    run(keep, str(patch))
    run(propose, output.read_text().splitlines()[-1].removeprefix("patch="))
    assert len(git(bare, "show", "nightly-refresh-78:new.txt")) > 97_000, "what is handed over arrives"
    patch.write_text(f"{large}{'x' * (98_000 - len(large))}\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(keep, str(patch))


def test_no_patch_is_a_command_to_the_log_that_shows_it(tmp_path: Path) -> None:
    """GitHub's runner takes a carriage return for the end of a line, too."""
    [job] = read(ROOT / "workflows" / "step-pull-request.yml")["jobs"].values()
    patch = tmp_path / "changes.patch"
    patch.write_bytes(b"+a\r::warning::read me\r\n+b ##[error]c\r  ::add-mask::d\n")
    command = ["bash", "-eo", "pipefail", "-c", job["steps"][-1]["run"]]
    env = {"PATH": os.defpath, "PATCH": str(patch), "OUTCOME": "done"}
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    lines = re.split(rb"[\r\n]+", done.stdout)
    assert done.returncode == 1
    assert [line for line in lines if line.strip().startswith(b"::") or b"##[" in line] == [
        b"::error::The docs say something else than the code: the patch above corrects them."
    ]
    assert b"read me" in done.stdout


def test_the_agents_step_has_a_time_limit_of_its_own_that_no_ceiling_reaches() -> None:
    # The longest that anyone may ask for: five times the refactor row's 30 minutes (INTERFACE section 4).
    [step] = [step for step in steps(ROOT / "workflows" / "agent.yml") if "uses" in step]
    [job] = read(ROOT / "workflows" / "agent.yml")["jobs"].values()
    assert 150 < step["timeout-minutes"] < job["timeout-minutes"]


def test_no_secret_is_named_but_the_key_of_the_step_without_a_service() -> None:
    for file in FILES:
        named = re.findall(r".*secrets\..*", file.read_text(encoding="utf-8"))
        alone = file.name == "step-pull-request.yml"
        key = ["          anthropic-api-key: ${{ secrets.ANTHROPIC_API_KEY }}"]
        assert named == (key if alone else []), file.name


READS = {"contents": "read"}
SAYS_WHO = {"contents": "read", "id-token": "write"}
# Every job of every shipped workflow, and all that its token may do.
PERMISSIONS = {
    ("agent.yml", "agent"): SAYS_WHO,
    ("step-nightly.yml", "refresh"): SAYS_WHO,
    ("step-nightly.yml", "propose"): {"contents": "write", "pull-requests": "write"},
    ("step-evals.yml", "eval"): SAYS_WHO,
    ("step-pull-request.yml", "docs"): READS,
}


def test_every_job_has_exactly_the_permissions_that_it_needs() -> None:
    workflows = [file for file in FILES if file.name != "action.yml"]
    assert [read(file)["permissions"] for file in workflows] == [{}] * len(workflows)
    found = {
        (file.name, name): job["permissions"]
        for file in workflows
        for name, job in read(file)["jobs"].items()
    }
    assert found == PERMISSIONS


def test_where_an_agent_runs_nothing_may_be_written_and_where_something_may_no_agent_runs() -> None:
    for file in FILES:
        for name, job in read(file).get("jobs", {}).items():
            agent = any(step.get("uses", "").startswith(OURS) for step in job["steps"])
            writes = {right for right, level in PERMISSIONS[file.name, name].items() if level == "write"}
            assert agent == (writes <= {"id-token"}), (file.name, name)


def test_every_job_and_every_agent_has_a_time_limit() -> None:
    for file in FILES:
        for job in read(file).get("jobs", {}).values():
            for step in job["steps"]:
                assert step.get("timeout-minutes", 0) < job["timeout-minutes"]
                assert "timeout-minutes" in step or "uses" not in step


def test_the_examples_pin_the_action_by_commit_and_by_none_that_exists() -> None:
    used = [
        step["uses"]
        for file in FILES
        if file.name.startswith("step-")
        for step in steps(file)
        if "uses" in step
    ]
    assert used == [f"{OURS}{'0' * 40}"] * 3


def test_the_examples_give_the_action_inputs_that_go_together() -> None:
    for file in FILES:
        for step in steps(file):
            if file.name.startswith("step-") and "uses" in step:
                given = {variable(name): text for name, text in step["with"].items()}
                plain = {name: "x" if "${{" in text else text for name, text in given.items()}
                key = plain.pop(variable("anthropic-api-key"), None)
                assert inputs(plain, key is not None).mode == ("alone" if key else "served")


def test_the_scripts_of_the_examples_are_shell() -> None:
    for file in FILES:
        for step in steps(file):
            if "run" in step:
                done = subprocess.run(
                    ["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of docs/workflow-steps.md, cell by cell."""
    text = (ROOT / "docs" / "workflow-steps.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    lines = text[text.index("|") :].splitlines()
    rows = list(takewhile(lambda line: line.startswith("|"), lines))[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_docs_list_every_input_with_the_ways_in_which_it_may_be_given() -> None:
    ways = {"service": SERVED, "alone": ALONE, "dispatched": DISPATCHED}
    found = {name: said.split(", ") for name, said, _ in table("Inputs")}
    assert found == {name: [way for way, names in ways.items() if name in names] for name in INPUTS}


def test_the_docs_list_every_output() -> None:
    assert tuple(row[0] for row in table("Outputs")) == OUTPUTS


def test_the_docs_name_every_example_and_the_readme_the_docs() -> None:
    text = (ROOT / "docs" / "workflow-steps.md").read_text(encoding="utf-8")
    for file in (ROOT / "workflows").glob("step-*.yml"):
        assert f"(../workflows/{file.name})" in text
    assert "(docs/workflow-steps.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
