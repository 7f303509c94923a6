"""What a person decides about partial work: accepted or discarded once, by the rules of a done run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.stores.runs import Runs
from tests.stories import agents
from tests.stories.service import Service, Told, serving

pytestmark = pytest.mark.slow
ONE = [{"path": "new.txt", "mode": "100644", "text": "new\n"}]
HALTED = {"outcome": "halted", "reason": "stopped", "summary": "The month is still wrong."}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has a branch or an issue of its own."""
    folder = tmp_path_factory.mktemp("decide")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.TOLD) as made:
        made.worker()
        yield made


@pytest.fixture
def pull(service: Service, request: pytest.FixtureRequest) -> Told:
    branch = request.node.name.replace("test_", "").replace("[", "-").strip("]")[:60]
    service.github.commit("dana", branch, {f"{branch}.md": branch}, from_="main")
    return Told(service, service.github.pull("dana", branch, branch))


@pytest.fixture
def issue(service: Service) -> Told:
    return Told(service, service.github.issue("dana", "It is wrong", "Look."))


def halted(told: Told, **more: Any) -> str:
    """A run on this thread that was halted with work; its id."""
    told.fix(**({"files": ONE, "result": HALTED} | more))
    told.ended()
    return str(told.row("id")[0])


def says(told: Told, words: str, login: str = "max") -> str:
    """The App's answer to a comment."""
    comment = told.github.comment(login, told.number, words)

    def answer(github: Any) -> str:
        bodies = (c["body"] for c in github.comments(told.number))
        return next((body for body in bodies if f":{comment} -->" in body), "")

    return str(told.github.wait(answer, 30, f"an answer to {words}"))


def report(told: Told, run: str) -> str:
    bodies = (str(c["body"]) for c in told.github.comments(told.number))
    return next(body for body in bodies if f"tollgate-run:{run}:1" in body)


def branches(told: Told) -> list[str]:
    return list(told.github.repository()["branches"])


def head(told: Told) -> str:
    return str(json.loads(told.row("snapshot")[0])["head"]["ref"])


def test_accepted_work_is_on_the_branch_and_the_branch_set_aside_is_gone(pull: Told) -> None:
    run = halted(pull)
    assert "/agent accept" in report(pull, run)
    kept = pull.row("published")[0]
    said = says(pull, "/agent accept")
    assert f"Accepted what run [`{run}`]" in said
    assert pull.github.file("new.txt", head(pull)) == b"new\n"
    assert pull.github.thread(pull.number)["head_sha"] == json.loads(kept)["sha"], "the same commit"
    assert f"agent/run-{run}" not in branches(pull)
    text = report(pull, run)
    assert "; accepted**" in text
    assert "Accepted by `max`. Committed to" in text
    assert "/agent" not in text.partition("<details>")[0].replace("/agent fix", "")
    assert pull.row("settled_as, settled_by") == ("accepted", "max")
    assert pull.check()["conclusion"] == "neutral"


def test_a_branch_that_moved_is_not_overwritten_by_accepting(pull: Told) -> None:
    run = halted(pull)
    theirs = pull.github.commit("dana", head(pull), {"other.txt": "other"})
    said = says(pull, "/agent accept")
    [number] = pull.row("published_pull")
    assert "a pull request" in said
    assert "has moved on" in said
    assert pull.github.thread(number)["base_ref"] == head(pull)
    assert pull.github.thread(pull.number)["head_sha"] == theirs
    assert pull.github.file("new.txt", f"agent/run-{run}") == b"new\n"


def test_accepted_work_on_an_issue_is_a_pull_request_that_closes_it(issue: Told) -> None:
    run = halted(issue)
    says(issue, "/agent accept")
    [number] = issue.row("published_pull")
    assert f"Closes #{issue.number}" in issue.github.thread(number)["body"]
    assert f"agent/run-{run}" not in branches(issue)
    issue.github.merge("dana", number)
    issue.service.until(f"SELECT count(*) = 1 FROM attributions WHERE number = {number}")


def test_a_policy_that_wants_pull_requests_is_obeyed_when_accepting(pull: Told) -> None:
    pull.github.commit("ada", "main", {".github/agent.yml": "publish: pull_request\n"})
    try:
        run = halted(pull)
    finally:
        pull.github.commit("ada", "main", {".github/agent.yml": None})
    before = pull.github.thread(pull.number)["head_sha"]
    says(pull, "/agent accept")
    [number] = pull.row("published_pull")
    assert pull.github.thread(number)["head_ref"] == f"agent/run-{run}"
    assert pull.github.thread(pull.number)["head_sha"] == before


def test_twice_is_once_and_says_where_it_is(pull: Told) -> None:
    run = halted(pull)
    says(pull, "/agent accept")
    last = pull.github.deliveries("issue_comment")[-1]
    pull.github.redeliver(last["id"], times=5, fresh=True)
    again = says(pull, "/agent accept", "dana")
    assert "was accepted already by max" in again
    assert f"committed to [`{head(pull)}`]" in again
    assert "accepted already" in says(pull, "/agent discard")
    count = pull.github.do("dana", "GET", f"/commits?sha={head(pull)}&per_page=50")
    assert sum(f"Tollgate-Run: {run}.1" in one["commit"]["message"] for one in count) == 1
    assert sum(f"Accepted what run [`{run}`]" in c["body"] for c in pull.github.comments(pull.number)) == 1


@pytest.mark.parametrize("login", ["tri", "ren", "eve"])
def test_below_write_nobody_decides(pull: Told, login: str) -> None:
    run = halted(pull)
    for verb in ("accept", "discard"):
        pull.github.comment(login, pull.number, f"/agent {verb}")
    asked = f"thread = {pull.number} AND reason = 'not_entitled'"
    pull.service.until(f"SELECT count(*) = 2 FROM refusals WHERE {asked}")
    assert pull.row("settled_as") == (None,)
    assert f"agent/run-{run}" in branches(pull)


def held(told: Told, *files: Any) -> str:
    """A done run whose work is held; its id."""
    told.fix(files=list(files))
    told.ended()
    return str(told.row("id")[0])


def mark(told: Told) -> Any:
    """The run's check run with its buttons and annotations."""
    found = told.check()["id"]
    return next(one for one in told.github.repository()["checks"] if one["id"] == found)


def buttons(told: Told) -> list[str]:
    return [one["identifier"] for one in mark(told)["actions"]]


def quiet(service: Service) -> None:
    """Until every delivery so far has had its story told."""
    service.until("SELECT count(*) = 0 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING')")


def press(told: Told, login: str, identifier: str) -> str:
    """Press a button; the App's last word on the thread when everything is told."""
    before = len(told.service.rows("SELECT id FROM deliveries WHERE event = 'check_run'"))
    told.github.press(login, mark(told)["id"], identifier)
    told.service.until(f"SELECT count(*) > {before} FROM deliveries WHERE event = 'check_run'")
    quiet(told.service)
    return str(told.github.comments(told.number)[-1]["body"])


SECRET = {"path": "app/conf.py", "mode": "100644", "text": "t = 'ghs_" + "a" * 40 + "'\n"}


def test_what_was_held_is_published_by_one_click_of_who_may_say_so_and_says_who(pull: Told) -> None:
    run = held(pull, SECRET)
    assert (buttons(pull), mark(pull)["conclusion"]) == (["accept", "discard"], "action_required")
    [note] = mark(pull)["annotations"]
    assert (note["path"], note["annotation_level"]) == ("app/conf.py", "warning")
    assert "a GitHub token" in note["message"]
    assert "needs the role" not in report(pull, run)
    assert "takes the role `maintain`" in report(pull, run)

    said = press(pull, "dana", "accept")
    assert "takes the role maintain, and yours is write" in said
    assert pull.row("settled_as") == (None,)

    said = press(pull, "max", "accept")
    assert f"Accepted what run [`{run}`]" in said
    assert pull.github.file("app/conf.py", head(pull)).decode() == SECRET["text"]
    assert pull.row("settled_as, settled_by") == ("accepted", "max")
    text = report(pull, run)
    assert "Accepted by `max`, who let through what it was held for: `app/conf.py` holds" in text
    assert (buttons(pull), mark(pull)["conclusion"]) == ([], "success")
    [last] = pull.github.do("dana", "GET", f"/commits?sha={head(pull)}&per_page=1")
    assert "Accepted by max, who let through: " in last["commit"]["message"]
    assert last["commit"]["verification"]["verified"]


def test_a_click_counts_once_however_often_it_is_delivered(pull: Told) -> None:
    run = held(pull, SECRET)
    press(pull, "max", "accept")
    pressed = [one for one in pull.github.deliveries("check_run") if one["action"] == "requested_action"][-1]
    pull.github.redeliver(pressed["id"], times=5, fresh=True)
    pull.github.redeliver(pressed["id"], times=2)
    quiet(pull.service)
    count = pull.github.do("dana", "GET", f"/commits?sha={head(pull)}&per_page=50")
    assert sum(f"Tollgate-Run: {run}.1" in one["commit"]["message"] for one in count) == 1
    told = [c["body"] for c in pull.github.comments(pull.number)]
    assert sum(f"Accepted what run [`{run}`]" in body for body in told) == 1
    assert sum("was accepted already" in body for body in told) <= 1


def test_a_click_on_a_branch_that_moved_overwrites_nothing(pull: Told) -> None:
    held(pull, SECRET)
    theirs = pull.github.commit("dana", head(pull), {"other.txt": "other"})
    assert "a pull request" in press(pull, "ada", "accept")
    [number] = pull.row("published_pull")
    assert pull.github.thread(number)["base_ref"] == head(pull)
    assert pull.github.thread(pull.number)["head_sha"] == theirs


@pytest.mark.parametrize("login", ["tri", "ren", "eve"])
def test_a_click_below_write_does_nothing_and_is_told_once(pull: Told, login: str) -> None:
    held(pull, SECRET)
    before = len(pull.github.comments(pull.number))
    for identifier in ("accept", "discard", "accept"):
        said = press(pull, login, identifier)
    assert "takes write permission" in said
    assert len(pull.github.comments(pull.number)) == before + 1
    assert pull.row("settled_as") == (None,)


def test_what_no_run_may_change_is_let_through_by_nobody_and_shown_as_a_patch(issue: Told) -> None:
    run = held(issue, {"path": ".github/workflows/ci.yml", "mode": "100644", "text": "on: push\n"})
    assert buttons(issue) == ["discard"]
    text = report(issue, run)
    assert "No command lets this through" in text
    assert "+++ b/.github/workflows/ci.yml\n" in text
    assert "+on: push\n" in text
    for said in (says(issue, "/agent accept", "ada"),):
        assert "could not be accepted" in said
        assert "no run may change" in said
    assert issue.row("settled_as") == (None,)
    assert "Discarded" in press(issue, "dana", "discard")
    assert (issue.row("settled_as"), buttons(issue)) == (("discarded",), [])
    assert mark(issue)["conclusion"] == "neutral"


def test_of_the_policies_of_then_and_of_now_the_stricter_holds(pull: Told) -> None:
    halted(pull)
    rules = {".github/agent.yml": "paths:\n  forbidden: [new.txt]\n"}
    pull.github.commit("ada", "main", rules)
    try:
        said = says(pull, "/agent accept", "dana")
        assert "`new.txt` is under `new.txt`, which the policy forbids" in said
        assert "takes the role maintain, and yours is write" in said
        pull.github.commit("ada", "main", {".github/agent.yml": "paths: 1\n"})
        assert "is wrong: line 1" in says(pull, "/agent accept", "max")
        pull.github.commit("ada", "main", rules)
        assert "Accepted" in says(pull, "/agent accept", "max")
    finally:
        pull.github.commit("ada", "main", {".github/agent.yml": None})


def test_a_closed_pull_request_takes_nothing(pull: Told) -> None:
    run = halted(pull)
    pull.github.close("dana", pull.number)
    assert "this pull request is closed" in says(pull, "/agent accept")
    assert f"agent/run-{run}" in branches(pull)


def test_discarded_work_is_gone_and_what_it_cost_stays(pull: Told) -> None:
    run = halted(pull)
    before = pull.row("spent_nanos, tool_calls")
    said = says(pull, "/agent discard")
    assert f"Discarded what run [`{run}`]" in said
    assert f"agent/run-{run}" not in branches(pull)
    assert pull.service.rows(f"SELECT count(*) FROM blobs WHERE run = '{run}'") == [(0,)]
    assert "Discarded by `max`: nothing of what it had made is kept." in report(pull, run)
    assert pull.row("spent_nanos, tool_calls") == before
    assert "was discarded already by max" in says(pull, "/agent accept")
    assert "no run on this thread that was halted" in says(pull, "/agent resume cost=$9")


def test_a_branch_that_somebody_has_added_to_is_not_removed(pull: Told) -> None:
    run = halted(pull)
    pull.github.commit("dana", f"agent/run-{run}", {"theirs.txt": "theirs"})
    assert f"The branch `agent/run-{run}` stays" in says(pull, "/agent discard")
    assert pull.github.file("theirs.txt", f"agent/run-{run}") == b"theirs"


def test_published_work_is_neither_accepted_nor_discarded(pull: Told) -> None:
    pull.fix(files=ONE)
    pull.ended()
    for verb in ("accept", "discard"):
        said = says(pull, f"/agent {verb}")
        assert f"There is nothing to {verb}" in said
        assert "published already" in said
    assert pull.github.file("new.txt", head(pull)) == b"new\n"


def test_a_live_run_has_the_first_word(pull: Told, tmp_path: Path) -> None:
    pull.fix(files=ONE, wait=str(tmp_path / "go"))
    pull.until("state = 'running'")
    assert "is live, so there is nothing to accept yet" in says(pull, "/agent accept")
    (tmp_path / "go").touch()
    pull.ended()


def test_what_could_not_be_published_is_free_again(pull: Told) -> None:
    halted(pull)
    branch = head(pull)
    at = f"/repos/{pull.github.repo}/git/refs/heads/{branch}"
    pull.github.fault("PATCH", at, 403, times=1)
    said = says(pull, "/agent accept")
    pull.github.clear_faults()
    assert "could not be accepted" in said
    assert pull.row("settled_as") == (None,)
    assert "Accepted" in says(pull, "/agent accept")


def test_one_of_two_who_decide_at_once_does(pull: Told) -> None:
    run = halted(pull)
    runs = Runs(pull.service.database)
    assert runs.settle(run, 1, "discarded", "ada", "d1")
    assert runs.settle(run, 1, "discarded", "ada", "d1"), "told anew after a crash"
    assert not runs.settle(run, 1, "accepted", "max", "d2")
    assert not runs.settle(run, 2, "accepted", "max", "d3")
    runs.unsettle(run, "d2")
    assert pull.row("settled_as") == ("discarded",)
