"""Actions in the sandbox: the real workflow file run by act, with OIDC, cancelling and time limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from github import GithubException
from github.Repository import Repository

from sandbox.actions import processes
from tests.sandbox.github_fixtures import Heard, World, app, listening, world

WORKFLOW = """
name: agent
run-name: "Tollgate run ${{ inputs.run }}.${{ inputs.attempt }}"
on:
  workflow_dispatch:
    inputs:
      run: {required: true}
      attempt: {required: true}
      service: {required: true}
permissions: {contents: read, id-token: write}
jobs:
  agent:
    runs-on: ubuntu-latest
    timeout-minutes: LIMIT
    steps:
      - name: Look
        env: {TOKEN: "${{ github.token }}", SERVICE: "${{ inputs.service }}"}
        run: |
          test -z "$(ls -A)" && echo "workspace is empty"
          echo "repository $GITHUB_REPOSITORY run $GITHUB_RUN_ID sha $GITHUB_SHA"
          git init -q . && git fetch -q --depth=1 "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY.git" refs/pull/2/head
          git checkout -q FETCH_HEAD && ls
          curl -s -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \\
            "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$SERVICE" > "$RUNNER_TEMP/oidc"
          cd "$RUNNER_TEMP"
          "$TOLLGATE_PYTHON" -c "import json; print('jwt', json.load(open('oidc'))['value'])"
          echo "token is $TOKEN"
      - name: Act
        run: DEED
      - name: Always
        if: always()
        run: echo "swept up"; echo "### Summed **up**" >> "$GITHUB_STEP_SUMMARY"; echo "::error::mind"
"""


def workflow(deed: str = "true", limit: str = "5") -> str:
    return WORKFLOW.replace("DEED", deed).replace("LIMIT", limit)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as door:
        yield door


def dispatch(repo: Repository, **inputs: str) -> Any:
    given = {"run": "abc", "attempt": "1", "service": "http://127.0.0.1:1/"} | inputs
    found = repo.get_workflow("agent.yml")
    return found.create_dispatch("main", given, throw=True, return_run_details=True)


def finished(made: World, id: int | None = None) -> dict[str, Any]:
    def over(client: Any) -> Any:
        return [r for r in client.runs() if r["status"] == "completed" and id in (None, r["id"])]

    return dict(made.client.wait(over, what="the run's end")[0])


def test_a_dispatched_run_executes_the_real_workflow_with_a_true_identity(
    tmp_path: Path, heard: Heard
) -> None:
    with world(tmp_path, workflow(), webhook_url=heard.url) as made, app(made) as (_, repo):
        run = repo.get_workflow_run(dispatch(repo).id)
        assert run.display_title == "Tollgate run abc.1"
        assert [r.id for r in repo.get_workflow_runs()] == [run.id]
        done = finished(made)
        log = "\n".join(done["log"])
        assert done["conclusion"] == "success", log
        assert "workspace is empty" in log
        assert f"repository acme/calendar run {run.id} sha {run.head_sha}" in log
        assert "acme_calendar" in log
        assert "token is ***" in log
        assert "Error: mind" in log
        assert done["summary"].strip() == "### Summed **up**"
        token = next(line.removeprefix("jwt ") for line in done["log"] if line.startswith("jwt "))
        issuer = made.client.about["oidc_issuer"]
        keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks").get_signing_key_from_jwt(token)
        claims = jwt.decode(token, keys, algorithms=["RS256"], audience="http://127.0.0.1:1/", issuer=issuer)
        assert claims["repository_id"] == str(repo.id)
        assert claims["run_id"] == str(run.id)
        assert claims["event_name"] == "workflow_dispatch"
        assert claims["workflow_ref"] == "acme/calendar/.github/workflows/agent.yml@refs/heads/main"
        assert claims["sub"].startswith(f"repo:acme@{repo.owner.id}/calendar@{repo.id}:ref:")
        assert claims["actor"] == "tollgate[bot]"
        assert [s["name"] for s in done["steps"]][1:4] == ["Look", "Act", "Always"]
        assert {job.conclusion for job in repo.get_workflow_run(run.id).jobs()} == {"success"}
        made.client.wait(lambda _: len(heard.requests) >= 3)
        told = [d["action"] for d in made.client.deliveries("workflow_run")]
        assert told == ["requested", "in_progress", "completed"]


def test_without_details_a_dispatch_answers_nothing_and_the_run_is_found_by_its_title(tmp_path: Path) -> None:
    with world(tmp_path, workflow()) as made, app(made) as (_, repo):
        inputs = {"run": "abc", "attempt": "2", "service": "s"}
        assert repo.get_workflow("agent.yml").create_dispatch("main", inputs, throw=True) is True
        assert [r.display_title for r in repo.get_workflow_runs()] == ["Tollgate run abc.2"]
        finished(made)


def test_a_failing_step_fails_the_run_and_the_rest_that_is_always_runs(tmp_path: Path) -> None:
    with world(tmp_path, workflow("exit 7")) as made, app(made) as (_, repo):
        dispatch(repo)
        done = finished(made)
        assert done["conclusion"] == "failure"
        assert "swept up" in done["log"]


def test_cancelling_ends_every_process_and_still_sweeps_up(tmp_path: Path) -> None:
    # One in a session of its own, one without our environment, one that ignores what it is told.
    deed = "setsid sleep 300 & env -i sleep 300 & trap '' INT TERM; echo started; sleep 300"
    with world(tmp_path, workflow(deed), grace=0.5) as made, app(made) as (_, repo):
        id = dispatch(repo).id
        made.client.wait(lambda c: "started" in c.runs()[0]["log"], what="the step")
        assert repo.get_workflow_run(id).cancel()
        done = finished(made)
        assert done["conclusion"] == "cancelled"
        assert "swept up" in done["log"]
        assert processes(id, tmp_path / "data" / "runs" / str(id)) == []


def test_a_run_ends_at_its_jobs_limit(tmp_path: Path) -> None:
    with world(tmp_path, workflow("sleep 300", limit="0.02"), grace=0.5) as made, app(made) as (_, repo):
        dispatch(repo)
        assert finished(made)["conclusion"] == "timed_out"


def test_tokens_of_a_run_die_with_it(tmp_path: Path) -> None:
    with world(tmp_path, workflow()) as made, app(made) as (_, repo):
        dispatch(repo)
        finished(made)
        assert [t for t in made.github.hub.tokens.values() if t.kind == "actions"] == []
        assert made.github.issuer.requests == {}


def test_runs_go_on_side_by_side_but_no_more_than_allowed(tmp_path: Path) -> None:
    with world(tmp_path, workflow("sleep 1"), jobs=2) as made, app(made) as (_, repo):
        for n in range(3):
            dispatch(repo, run=f"r{n}")
        made.client.wait(lambda c: sum(r["status"] == "in_progress" for r in c.runs()) == 2)
        assert sum(r["status"] == "queued" for r in made.client.runs()) == 1
        made.client.wait(lambda c: all(r["conclusion"] == "success" for r in c.runs()))


@pytest.mark.parametrize(
    ("inputs", "ref"),
    [
        pytest.param({"run": "a", "attempt": "1", "service": "s", "other": "x"}, "main", id="unknown input"),
        pytest.param({"run": "a"}, "main", id="missing input"),
        pytest.param({"run": "a", "attempt": "1", "service": "s"}, "nowhere", id="unknown ref"),
    ],
)
def test_a_dispatch_that_github_would_refuse_starts_nothing(
    tmp_path: Path, inputs: dict[str, str], ref: str
) -> None:
    with world(tmp_path, workflow()) as made, app(made) as (_, repo):
        with pytest.raises(GithubException) as no:
            repo.get_workflow("agent.yml").create_dispatch(ref, inputs, throw=True)
        assert no.value.status == 422
        assert made.client.runs() == []
