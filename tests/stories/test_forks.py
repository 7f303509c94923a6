"""Pull requests of people who may not write here: whose word lets which commit run, where its work goes."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stories import agents
from tests.stories.service import Service, Told, serving

pytestmark = pytest.mark.slow
_count = itertools.count(1)
ONE = [{"path": "new.txt", "mode": "100644", "text": "new\n"}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has a pull request of its own."""
    folder = tmp_path_factory.mktemp("forks")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.TOLD) as made:
        made.github.user("mallory", "none")
        made.worker()
        yield made


class Pull(Told):
    """A pull request from somebody's fork, and what people say on it."""

    def __init__(self, service: Service, whose: str = "eve", by: str | None = None) -> None:
        self.whose, self.branch = whose, f"change-{next(_count)}"
        self.fork = service.github.fork(whose)
        self.push()
        title = f"From outside, {self.branch}"
        super().__init__(service, service.github.pull(by or whose, f"{whose}:{self.branch}", title))

    @property
    def head(self) -> str:
        return str(self.github.thread(self.number)["head_sha"])

    def push(self, login: str | None = None) -> None:
        text = f"{self.branch} {next(_count)}\n"
        start = None if self.branch in self.fork.repository()["branches"] else "main"
        more = {"from_": start} if start else {}
        self.fork.commit(login or self.whose, self.branch, {"theirs.txt": text, "text.txt": "a\nb\n"}, **more)

    def say(self, who: str, words: str) -> str:
        """The App's answer to a comment."""
        comment = self.github.comment(who, self.number, words)
        mark = re.compile(rf"tollgate-reply:\w+:{comment} ")

        def answered(github: Any) -> str | None:
            bodies = [c["body"] for c in github.comments(self.number)]
            return next((body for body in bodies if mark.search(body)), None)

        return str(self.github.wait(answered, 30, f"an answer to {words}"))

    def runs(self) -> int:
        return int(self.service.rows(f"SELECT count(*) FROM runs WHERE thread = {self.number}")[0][0])

    def branches(self) -> list[str]:
        """The branches of the base repository."""
        return sorted(self.github.repository()["branches"])


def test_an_insiders_command_on_an_outsiders_commit_starts_nothing_and_names_what_is_to_be_approved(
    service: Service,
) -> None:
    pull = Pull(service)
    answer = pull.say("dana", "/agent fix")
    assert "eve has no write permission here" in answer
    assert f"`/agent approve {pull.head}`" in answer
    assert f"at this very commit, {pull.head}, and says" in answer
    assert pull.runs() == 0
    refused = f"SELECT reason FROM refusals WHERE thread = {pull.number}"
    assert service.rows(refused) == [("not_approved",)]


def test_an_approved_commit_runs_and_what_is_made_of_it_is_a_patch_on_no_branch(
    service: Service, tmp_path: Path
) -> None:
    pull = Pull(service)
    answer = pull.say("dana", f"/agent approve {pull.head}")
    assert answer.count(pull.head) == 2
    assert "shown as a patch in its report" in answer
    before = pull.branches(), pull.fork.repository()["branches"]
    files = [*ONE, {"path": "text.txt", "mode": "100644", "text": "a\n```\n@ada\n"}]
    pull.fix(files=files)
    state, report = pull.ended()
    assert state == "done"
    assert "they were put on no branch" in report
    assert (pull.branches(), pull.fork.repository()["branches"]) == before, "nothing was pushed anywhere"
    found = re.search(r"^(`{4,})diff\n(.*?)\n\1$", report, re.M | re.S)
    assert found, report
    work = tmp_path / "fork"
    git = ["git", "-c", "advice.detachedHead=false"]
    url = f"{service.github.url}/{pull.fork.repo}.git"
    subprocess.run([*git, "clone", "-q", "-b", pull.branch, url, str(work)], check=True)
    subprocess.run(["git", "-C", str(work), "apply", "-"], input=f"{found[2]}\n".encode(), check=True)
    assert (work / "new.txt").read_text() == "new\n"
    assert (work / "text.txt").read_text() == "a\n```\n@ada\n"
    assert json.loads(pull.row("snapshot")[0])["approved_by"] == "dana"
    assert (pull.check()["status"], pull.check()["conclusion"]) == ("completed", "success")


def test_an_approval_covers_one_commit_on_one_pull_request_and_says_who_gave_it(service: Service) -> None:
    pull = Pull(service)
    first = pull.head
    pull.say("max", f"/agent approve {first}")
    pull.push()
    answer = pull.say("dana", "/agent fix")
    assert f"`/agent approve {pull.head}`" in answer
    assert pull.head != first
    title = "The same commits once more"
    other = service.github.pull("eve", f"eve:{pull.branch}", title, base="faster-dates")
    rows = service.rows(f"SELECT number, sha, author, approved_by, role FROM approvals WHERE sha = '{first}'")
    assert rows == [(pull.number, first, "eve", "max", "maintain")]
    logged = "SELECT count(*) FROM audit WHERE action = 'approved' AND by = 'max'"
    assert service.rows(f"{logged} AND about LIKE '%{first}%'") == [(1,)]
    assert other != pull.number
    assert pull.runs() == 0


@pytest.mark.parametrize(
    ("who", "named", "said"),
    [
        pytest.param("dana", lambda head: head[:12], "can be imitated", id="a shortened name"),
        pytest.param("dana", lambda head: "f" * 40, "the head of this pull request is", id="another commit"),
        pytest.param("tri", lambda head: head, "needs write permission", id="by a triager"),
        pytest.param("eve", lambda head: head, "needs write permission", id="by the outsider"),
        pytest.param("mallory", lambda head: head, "needs write permission", id="by a stranger"),
    ],
)
def test_what_approves_nothing(service: Service, who: str, named: Any, said: str) -> None:
    pull = Pull(service)
    assert said in pull.say(who, f"/agent approve {named(pull.head)}")
    assert service.rows(f"SELECT 1 FROM approvals WHERE number = {pull.number}") == []
    pull.say("dana", "/agent fix")
    assert pull.runs() == 0


def test_on_an_issue_and_on_an_insiders_pull_request_there_is_nothing_to_approve(service: Service) -> None:
    issue = Told(service, service.github.issue("dana", "An issue"))
    Pull.say(issue, "dana", "/agent approve 1a2b3c4d")  # type: ignore[arg-type]
    answer = Pull.say(Told(service, 2), "dana", f"/agent approve {'a' * 40}")  # type: ignore[arg-type]
    assert "without it" in answer
    assert service.rows("SELECT 1 FROM approvals WHERE number IN (1, 2)") == []


def test_a_head_that_moved_after_the_approval_was_asked_for_is_not_what_was_approved(
    service: Service,
) -> None:
    pull = Pull(service)
    read = pull.head
    pull.push()
    answer = pull.say("dana", f"/agent approve {read}")
    assert "what was pushed since has to be looked at too" in answer
    assert service.rows(f"SELECT 1 FROM approvals WHERE number = {pull.number}") == []


def test_a_pull_request_whose_fork_is_gone_does_not_run(service: Service) -> None:
    pull = Pull(service, "mallory")
    service.github.gone(pull.fork)
    assert "the fork that this pull request came from is gone" in pull.say("dana", "/agent fix")
    assert pull.runs() == 0


def test_an_insiders_pull_request_from_an_outsiders_fork_needs_the_approval_too(service: Service) -> None:
    pull = Pull(service, "eve", by="dana")
    assert "eve has no write permission here" in pull.say("dana", "/agent fix")
    assert pull.runs() == 0


def test_from_an_insiders_fork_the_result_is_a_pull_request_against_the_base(service: Service) -> None:
    pull = Pull(service, "max")
    head, forked = pull.head, pull.fork.repository()["branches"]
    pull.fix(files=ONE)
    state, report = pull.ended()
    run = pull.row("id")[0]
    [(number,)] = service.rows(f"SELECT published_pull FROM runs WHERE id = '{run}'")
    made = service.github.thread(number)
    assert state == "done"
    assert "a pull request of their own" in report
    assert (made["head_repo"], made["head_ref"], made["base_ref"]) == (
        service.github.repo,
        f"agent/run-{run}",
        "main",
    )
    assert f"Includes the commits of #{pull.number}" in made["body"]
    assert not re.search(r"\b(close[sd]?|fix(es|ed)?|resolve[sd]?)\b", made["body"], re.I)
    assert service.github.file("new.txt", made["head_ref"]) == b"new\n"
    commit = service.github.do("dana", "GET", f"/commits/{made['head_sha']}")
    assert [parent["sha"] for parent in commit["parents"]] == [head]
    assert pull.fork.repository()["branches"] == forked, "a fork is never pushed to"


def test_a_stopped_run_on_an_insiders_fork_is_kept_aside_and_accepting_it_proposes_it(
    service: Service,
) -> None:
    pull = Pull(service, "max")
    pull.fix(files=ONE, result={"outcome": "halted", "reason": "stuck_loop"})
    assert "it is not on your branch" in pull.ended()[1]
    answer = pull.say("dana", "/agent accept")
    assert "a pull request" in answer
    [(number,)] = service.rows(f"SELECT published_pull FROM runs WHERE thread = {pull.number}")
    assert service.github.thread(number)["base_ref"] == "main"


def test_what_cannot_be_committed_here_is_a_patch_in_the_report(service: Service) -> None:
    pull = Pull(service, "max")
    service.github.fault("POST", "/git/refs$", 403, times=5)
    try:
        pull.fix(files=ONE)
        state, report = pull.ended()
    finally:
        service.github.clear_faults()
    assert state == "done"
    assert "it could not be committed here" in report
    assert "+new" in report


def test_what_was_held_of_an_outsiders_fork_is_let_through_as_a_patch(service: Service) -> None:
    pull = Pull(service)
    pull.say("dana", f"/agent approve {pull.head}")
    many = [{"path": f"many/{n}.txt", "mode": "100644", "text": f"{n}\n"} for n in range(301)]
    before = pull.branches()
    pull.fix(files=many)
    assert "a person has to look first" in pull.ended()[1]
    assert "as a patch in its report" in pull.say("ada", "/agent accept")
    assert "+300" in pull.ended()[1]
    assert pull.branches() == before


@pytest.mark.parametrize(
    ("login", "runs"), [("helpful[bot]", 0), ("tollgate[bot]", 1)], ids=["another's", "our own"]
)
def test_of_the_bots_only_our_own_needs_nobody_to_answer_for_it(
    service: Service, login: str, runs: int
) -> None:
    service.github.user(login, "write", "Bot")
    branch = f"agent/issue-{next(_count)}-0123456789ab"
    service.github.commit("dana", branch, {"x.txt": branch}, from_="main")
    pull = Told(service, service.github.pull(login, branch, branch))
    pull.fix(files=ONE)
    if runs:
        assert pull.ended()[0] == "done"
    else:
        service.until(f"SELECT count(*) = 1 FROM refusals WHERE thread = {pull.number}")
        [(why,)] = service.rows(f"SELECT message FROM refusals WHERE thread = {pull.number}")
        assert why.startswith("helpful[bot] has no write permission here")
    assert service.rows(f"SELECT count(*) FROM runs WHERE thread = {pull.number}") == [(runs,)]
