"""How a run ends: what it made is judged and published, its report is the last word, and no end is missed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.ceilings import Reason
from bot.stores.runs import Runs
from sandbox.github.client import Client
from tests.stories import agents
from tests.stories.service import Service, Told, serving

pytestmark = pytest.mark.slow
ONE = [{"path": "new.txt", "mode": "100644", "text": "new\n"}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has a branch or an issue of its own."""
    folder = tmp_path_factory.mktemp("finish")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.TOLD) as made:
        made.worker()
        yield made


@pytest.fixture
def pull(service: Service, request: pytest.FixtureRequest) -> Told:
    branch = request.node.name.replace("test_", "")[:60]
    service.github.commit("dana", branch, {f"{branch}.md": branch}, from_="main")
    return Told(service, service.github.pull("dana", branch, branch))


@pytest.fixture
def issue(service: Service) -> Told:
    return Told(service, service.github.issue("dana", "It is wrong", "Look."))


def branch(told: Told) -> str:
    return str(json.loads(told.row("snapshot")[0])["head"]["ref"])


def test_done_is_committed_on_the_branch_and_the_check_succeeds(pull: Told) -> None:
    pull.fix(files=ONE)
    state, report = pull.ended()
    assert state == "done"
    assert "Committed to" in report
    assert pull.github.file("new.txt", branch(pull)) == b"new\n"
    assert (pull.check()["status"], pull.check()["conclusion"]) == ("completed", "success")
    # GitHub starts no workflow for what a job's own token pushes; these events are the App's.
    sha = pull.github.thread(pull.number)["head_sha"]
    sent = [json.loads(one["raw"]) for one in pull.github.deliveries()]
    told = [one for one in sent if one.get("after") == sha]
    assert {one["sender"]["login"] for one in told} == {"tollgate[bot]"}
    assert {one.get("action") for one in told} == {None, "synchronize"}, "a push, and the pull request's"


def test_tests_that_still_fail_are_said_and_the_check_fails(pull: Told) -> None:
    check = {"command": "make test", "exit_code": 1, "output": "1 failed"}
    pull.fix(files=ONE, result={"check": check})
    _, report = pull.ended()
    assert "tests still fail" in report
    assert pull.check()["conclusion"] == "failure"


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        (".github/workflows/ci.yml", "on: push", "no run may change"),
        ("../outside.txt", "x", "not a path inside"),
        ("key.pem", "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkq" * 4, "a private key"),
    ],
    ids=["a workflow", "outside", "a secret"],
)
def test_what_may_not_be_committed_waits_for_a_human(issue: Told, path: str, text: str, why: str) -> None:
    before = issue.github.repository()["branches"]
    issue.fix(files=[{"path": path, "mode": "100644", "text": text}])
    _, report = issue.ended()
    assert "a person has to look first" in report
    assert why in report
    assert issue.github.repository()["branches"] == before
    assert issue.check()["conclusion"] == "action_required"


def test_a_branch_that_moved_is_not_overwritten_but_gets_a_pull_request(pull: Told, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pull.fix(files=ONE, wait=str(go))
    pull.until("state = 'running'")
    pull.github.commit("dana", branch(pull), {"other.txt": "other"})
    go.touch()
    _, report = pull.ended()
    [run] = pull.row("id")
    assert "has moved on" in report
    assert pull.github.file("new.txt", f"agent/run-{run}") == b"new\n"
    [number] = pull.row("published_pull")
    assert pull.github.thread(number)["base_ref"] == branch(pull)


def test_work_for_which_no_pull_request_can_be_opened_is_kept_and_the_report_says_where(
    pull: Told, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    pull.fix(files=ONE, wait=str(go))
    pull.until("state = 'running'")
    for repository in (pull.service.folder / "github").rglob("*.git"):
        gone = ["git", "--git-dir", str(repository), "update-ref", "-d", f"refs/heads/{branch(pull)}"]
        subprocess.run(gone, check=True)
    go.touch()
    state, report = pull.ended()
    [run] = pull.row("id")
    assert state == "done"
    assert "no pull request could be opened" in report
    assert f"agent/run-{run}" in report
    assert "Nothing was committed" not in report
    assert pull.github.file("new.txt", f"agent/run-{run}") == b"new\n"


def test_an_issue_gets_a_pull_request_that_closes_it(issue: Told) -> None:
    issue.fix(files=ONE)
    _, report = issue.ended()
    [number] = issue.row("published_pull")
    made = issue.github.thread(number)
    assert f"Closes #{issue.number}" in made["body"]
    assert "pull request of their own" in report
    issue.github.merge("dana", number)
    issue.service.until(f"SELECT count(*) = 1 FROM attributions WHERE number = {number}")


def test_a_workflow_that_ends_without_a_result_is_a_lost_run(issue: Told) -> None:
    issue.fix(exit=1)
    state, report = issue.ended()
    assert state == "lost"
    assert "without handing in a result" in report
    assert issue.check()["conclusion"] == "neutral"


def test_a_halt_by_the_gateway_stands_whatever_the_runner_says(issue: Told, tmp_path: Path) -> None:
    go = tmp_path / "go"
    issue.fix(files=ONE, wait=str(go))
    issue.until("state = 'running'")
    [run] = issue.row("id")
    Runs(issue.service.database).end(
        run, "halted", reason=Reason.COST, message="halted at step 4: $5.00 cost ceiling reached"
    )
    go.touch()
    state, report = issue.ended()
    assert state == "halted"
    assert "$5.00 cost ceiling reached" in report
    assert "is kept on" in report
    assert issue.github.file("new.txt", f"agent/run-{run}") == b"new\n"
    assert issue.check()["conclusion"] == "neutral"


def test_the_comment_is_live_while_it_runs_and_never_after_the_report(issue: Told, tmp_path: Path) -> None:
    go = tmp_path / "go"
    issue.fix(files=ONE, wait=str(go))

    def live(github: Client) -> bool:
        return any("**Running" in c["body"] and "waiting" in c["body"] for c in github.comments(issue.number))

    issue.github.wait(live, 30, "a live comment")
    go.touch()
    _, report = issue.ended()
    Told(issue.service, issue.github.issue("dana", "Another")).fix(exit=0)  # time goes by
    issue.service.until("SELECT count(*) = 0 FROM runs WHERE finished_at IS NULL")
    assert issue.ended()[1] == report


@pytest.mark.parametrize(
    ("method", "path", "status", "when"),
    [
        ("POST", "/issues/{number}/comments", 502, "before"),
        ("POST", "/issues/{number}/comments", 502, "after"),
        ("POST", "/actions/workflows/agent.yml/dispatches", 503, "before"),
        ("POST", "/git/trees", 500, "before"),
        ("POST", "/git/refs", 502, "after"),
        ("POST", "/pulls", 502, "after"),
        ("POST", "/check-runs", 502, "after"),
    ],
)
def test_github_that_fails_for_a_moment_is_asked_again_and_nothing_is_done_twice(
    issue: Told, method: str, path: str, status: int, when: str
) -> None:
    at = f"/repos/{issue.github.repo}{path.format(number=issue.number)}"
    worker = issue.service.workers[-1]
    worker.send_signal(signal.SIGSTOP)  # the fault is for the worker, not for whoever types the comment
    try:
        issue.fix(files=ONE)
        issue.github.fault(method, at, status, times=1, when=when)
    finally:
        worker.send_signal(signal.SIGCONT)
    state, _ = issue.ended()
    issue.github.clear_faults()
    assert state == "done"
    [run] = issue.row("id")
    mine = [one for one in issue.github.runs() if one["inputs"]["run"] == run]
    pulls = [t for t in issue.github.repository()["threads"] if f"Closes #{issue.number}\n" in t["body"]]
    assert (len(mine), len(pulls)) == (1, 1)


def test_a_workflow_that_is_not_there_is_a_failed_run_that_says_so(service: Service) -> None:
    told = Told(service, service.github.issue("dana", "No workflow"))
    at = f"/repos/{service.github.repo}/actions/workflows/agent.yml"
    service.github.fault("POST", f"{at}/dispatches", 404, times=1)
    told.fix()
    state, report = told.ended()
    service.github.clear_faults()
    assert state == "failed"
    assert "could not be started" in report


def test_a_report_whose_comment_was_deleted_is_posted_anew(issue: Told, tmp_path: Path) -> None:
    go = tmp_path / "go"
    issue.fix(files=ONE, wait=str(go), result={"tool_calls": 41})
    issue.until("state = 'running'")
    [comment] = issue.row("report_comment_id")
    issue.github.delete_comment("ada", comment)
    go.touch()
    state, report = issue.ended()
    assert state == "done"
    assert "41 tool calls" in report
