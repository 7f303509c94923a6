"""Must-show: a review comment, an issue, an outsider's fork and an insider's, from the command to the result.

The shipped workflow under act, the real runner and agent loop, the App's commits: before the sandbox's GitHub
and Claude, whose invoice is the ledger. The walk on a pull request is the demo's own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import world as calendar
from sandbox.story import try_tests
from sandbox.world_up import World, world
from tests.contracts.checker import contract
from tests.walks.ledger import rows

pytestmark = pytest.mark.slow
FIX = "/agent fix cost=$2\n\nThe tests fail. Find the bug and fix it."


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all of these; whatever they send is GitHub's own, and the ledger is the invoice."""
    folder = tmp_path_factory.mktemp("triggers")
    with world(folder, bug="leap", character="auto", think_ms=0, port=0, progress=1) as made:
        yield made
        [(spent, held, estimated)] = rows(
            made, "SELECT sum(spent_nanos), sum(held_nanos), sum(estimated_nanos) FROM runs"
        )
        assert spent == made.claude.invoice()["total_nanos"] > 0
        assert (held, estimated) == (0, 0)
        assert contract().check_traffic(folder / "traffic.ndjson") == []


def finished(up: World, number: int) -> tuple[str, str]:
    """The run on a thread and its report, once it is the last one."""
    end = time.monotonic() + 120
    while not (found := rows(up, f"SELECT id FROM runs WHERE thread = {number} AND finished_at IS NOT NULL")):
        assert time.monotonic() < end, rows(up, "SELECT * FROM runs")
        time.sleep(0.2)
    run = str(found[0][0])
    bodies = [str(c["body"]) for c in up.github.comments(number)]
    return run, next(body for body in bodies if f"tollgate-run:{run}:1 " in body)


def answer(up: World, number: int, words: str) -> str:
    """What a comment of Dana's is answered with."""
    comment = up.github.comment("dana", number, words)
    mark = re.compile(rf"tollgate-reply:\w+:{comment} ")
    found = up.github.wait(
        lambda g: next((c["body"] for c in g.comments(number) if mark.search(c["body"])), None), 60, words
    )
    return str(found)


def passes(folder: Path) -> bool:
    command = [sys.executable, "-m", "unittest"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def cloned(up: World, repo: str, branch: str, to: Path) -> Path:
    url = f"{up.github.url}/{repo}.git"
    subprocess.run(["git", "clone", "--quiet", "--branch", branch, url, str(to)], check=True)
    return to


def test_a_review_comment_becomes_a_commit_and_is_answered_in_its_thread(up: World) -> None:
    github, head = up.github, str(up.github.thread(2)["head_ref"])
    assert not try_tests(github, head).passed
    asked = github.review_comment("dana", 2, "acme_calendar/years.py", 5, FIX)
    run, report = finished(up, 2)
    assert "Done: tests pass" in report
    assert try_tests(github, head).passed
    said = f"tollgate-reply:started:{asked} "
    [told] = [c for c in github.reviews(2) if said in c["body"]]
    assert (told["in_reply_to"], run in told["body"]) == (asked, True)


def test_an_issue_becomes_a_pull_request_that_closes_it(up: World) -> None:
    github = up.github
    broken = {path: text for path, text in calendar.branch_files("month_end").items() if "months" in path}
    github.commit("dana", "main", broken, "Quicker months")
    number = github.issue("dana", "Months are wrong since today", "Adding one to the 31st leaves the month.")
    github.comment("dana", number, FIX)
    run, report = finished(up, number)
    [(made,)] = rows(up, f"SELECT published_pull FROM runs WHERE id = '{run}'")
    pull = github.thread(made)
    assert "Done: tests pass" in report
    assert pull["head_ref"] == f"agent/issue-{number}-{run}"
    assert f"Closes #{number}" in pull["body"]
    assert try_tests(github, pull["head_ref"]).passed
    github.merge("dana", made)
    assert github.thread(number)["state"] == "closed"
    assert try_tests(github, "main").passed


def test_an_outsiders_fork_runs_once_its_commit_is_approved_and_becomes_a_patch(
    up: World, tmp_path: Path
) -> None:
    github, files = up.github, calendar.branch_files("off_by_one")
    number = github.fork_pull("eve", files, "Quicker dates, from outside")
    head, before = str(github.thread(number)["head_sha"]), github.repository()["branches"]
    refused = answer(up, number, FIX)
    assert f"`/agent approve {head}`" in refused
    assert "Approved" in answer(up, number, f"/agent approve {head}")
    github.comment("dana", number, FIX)
    _, report = finished(up, number)
    assert "Done: tests pass" in report
    assert github.repository()["branches"] == before
    patch = re.search(r"^(`{3,})diff\n(.*?)\n\1$", report, re.M | re.S)
    assert patch, report
    work = cloned(up, "eve/calendar", "change", tmp_path / "eve")
    assert not passes(work)
    subprocess.run(["git", "-C", str(work), "apply", "-"], input=f"{patch[2]}\n".encode(), check=True)
    assert passes(work)


def test_an_insiders_fork_becomes_a_pull_request_against_the_base(up: World) -> None:
    github = up.github
    number = github.fork_pull("max", calendar.branch_files("sign"), "Quicker dates, from my fork")
    forked = github.fork("max").repository()["branches"]
    github.comment("dana", number, FIX)
    run, report = finished(up, number)
    [(made,)] = rows(up, f"SELECT published_pull FROM runs WHERE id = '{run}'")
    pull = github.thread(made)
    assert "Done: tests pass" in report
    assert (pull["head_repo"], pull["head_ref"], pull["base_ref"]) == (
        github.repo,
        f"agent/run-{run}",
        "main",
    )
    assert f"Includes the commits of #{number}" in pull["body"]
    assert try_tests(github, pull["head_ref"]).passed
    assert github.fork("max").repository()["branches"] == forked
