"""Who may start what, and that what is said twice happens once: the real service, the sandbox's GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these, on SQLite; each law has a thread of its own."""
    folder = tmp_path_factory.mktemp("launch")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.UNTIL_STOPPED) as made:
        made.worker()
        yield made


def issue(service: Service, title: str = "It is wrong") -> int:
    return service.github.issue("dana", title, "Somebody should look.")


def answers(service: Service, number: int, count: int = 1, seconds: float = 30) -> list[str]:
    """The App's comments on a thread, once there are that many."""

    def ours(github: Any) -> list[str]:
        found = [c["body"] for c in github.comments(number) if "<!-- tollgate-" in c["body"]]
        return found if len(found) >= count else []

    found: list[str] = service.github.wait(ours, seconds, f"{count} answers on #{number}")
    return found


def settled(service: Service) -> None:
    """Until every delivery has had its story told."""
    service.until("SELECT count(*) = 0 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING')")


def runs(service: Service, number: int) -> list[Any]:
    return service.rows(f"SELECT id, state, reason, actor FROM runs WHERE thread = {number}")


def end(service: Service, number: int) -> None:
    """Leave no live run behind: the workflow slots are few."""
    service.github.comment("dana", number, "/agent stop")
    service.until(f"SELECT count(*) = 0 FROM runs WHERE thread = {number} AND finished_at IS NULL")


def test_the_same_body_under_twenty_delivery_ids_at_once_is_one_run(service: Service) -> None:
    number = issue(service)
    service.github.comment("dana", number, "/agent fix")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number}")
    last = service.github.deliveries("issue_comment")[-1]
    service.github.redeliver(last["id"], times=20, fresh=True)
    service.until("SELECT count(*) >= 21 FROM deliveries WHERE event = 'issue_comment'")
    settled(service)
    assert len(runs(service, number)) == 1
    assert len(answers(service, number)) == 1
    end(service, number)


@pytest.mark.parametrize("who", ["tri", "ren", "eve"])
def test_below_write_nothing_starts_and_each_person_is_told_once(service: Service, who: str) -> None:
    number = issue(service)
    for words in ("/agent fix", "/agent run please"):
        service.github.comment(who, number, words)
    service.until(f"SELECT count(*) = 2 FROM refusals WHERE thread = {number} AND reason = 'not_entitled'")
    settled(service)
    assert runs(service, number) == []
    [answer] = answers(service, number)
    assert "write permission" in answer
    assert "Nothing was started" in answer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("/agent fix cost=ten", "cost="),
        ("/agent fix colour=red", "colour="),
        ("/agent dance", "dance"),
        ("/agent resume cost=$9", "no run on this thread that was halted"),
        ("/agent accept", "no run has ended on this thread"),
        ("/agent discard", "no run has ended on this thread"),
        ("/agent approve 1a2b3c4", "has no commit to approve"),
        ("/agent fix engine=cursor", "engine"),
        ("/agent stop", "no live run"),
        ("/agent status", "No run is live"),
        ("/agent cost", "cost nothing"),
        ("/agent help", "What would hold here now"),
    ],
)
def test_what_starts_no_run_is_answered(service: Service, words: str, said: str) -> None:
    number = issue(service)
    service.github.comment("dana", number, words)
    [answer] = answers(service, number)
    assert said in answer
    assert runs(service, number) == []


@pytest.mark.parametrize("words", ["> /agent fix", "```\n/agent fix\n```", "what about /agent fix", "LGTM"])
def test_what_is_no_command_is_left_alone(service: Service, words: str) -> None:
    number = issue(service)
    service.github.comment("dana", number, words)
    service.until("SELECT count(*) > 0 FROM deliveries WHERE event = 'issue_comment'")
    settled(service)
    assert [c for c in service.github.comments(number) if "tollgate" in c["body"]] == []


def test_a_second_start_on_a_thread_is_answered_with_a_link_to_the_live_run(service: Service) -> None:
    number = issue(service)
    service.github.comment("dana", number, "/agent fix")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number}")
    service.github.comment("max", number, "/agent feature")
    second = answers(service, number, 2)[1]
    [(run, *_)] = runs(service, number)
    assert run in second
    assert "is live on this thread already" in second
    end(service, number)


def test_stop_halts_the_run_and_keeps_what_it_made(service: Service) -> None:
    number = issue(service)
    service.github.comment("dana", number, "/agent fix")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number} AND state = 'running'")
    service.github.comment("max", number, "/agent stop")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number} AND finished_at IS NOT NULL")
    [(run, state, reason, _)] = runs(service, number)
    assert (state, reason) == ("halted", "stopped")
    assert service.github.file("half.txt", f"agent/run-{run}") == b"half"
    report = next(c for c in answers(service, number, 2) if f"tollgate-run:{run}" in c)
    assert "stopped by max" in report


def test_a_comment_edited_after_the_trigger_changes_nothing(service: Service) -> None:
    number = issue(service)
    comment = service.github.comment("dana", number, "/agent fix cost=$1")
    service.github.edit_comment("dana", comment, "/agent fix cost=$20")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number}")
    settled(service)
    [(ceiling,)] = service.rows(f"SELECT ceiling_nanos FROM runs WHERE thread = {number}")
    assert ceiling == 1_000_000_000
    end(service, number)


def test_a_label_holds_with_the_role_of_who_applied_it_and_the_snapshot_says_so(service: Service) -> None:
    number = issue(service)
    service.github.label("ada", number, "agent:cost=$2")
    service.github.comment("dana", number, "/agent fix cost=$9")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number}")
    [(ceiling, clamps, snapshot)] = service.rows(
        f"SELECT ceiling_nanos, clamps, snapshot FROM runs WHERE thread = {number}"
    )
    assert ceiling == 2_000_000_000
    assert "may not raise it" in json.loads(clamps)[0]
    assert json.loads(snapshot)["labels"] == ["agent:cost=$2 label by ada (admin)"]
    end(service, number)


def test_a_closed_thread_does_not_run(service: Service) -> None:
    number = issue(service)
    service.github.close("dana", number)
    service.github.comment("dana", number, "/agent fix")
    [answer] = answers(service, number)
    assert "is closed" in answer


def test_a_wrong_policy_starts_nothing_and_names_line_and_key(service: Service) -> None:
    number = issue(service)
    lots = {".github/agent.yml": "max:\n  write:\n    cost: lots\n"}
    wrong = service.github.commit("ada", "main", lots)
    service.github.comment("dana", number, "/agent fix")
    [answer] = answers(service, number)
    service.github.commit("ada", "main", {".github/agent.yml": None})
    assert "line 3" in answer
    assert "max.write.cost" in answer
    assert runs(service, number) == []
    [check] = [one for one in service.github.repository()["checks"] if one["name"] == "Tollgate policy"]
    assert f"/runs/{check['id']})" in answer
    assert check["head_sha"] == wrong, "the commit whose file it is"
    assert (check["conclusion"], [one["start_line"] for one in check["annotations"]]) == ("failure", [3])


def test_a_policy_bounds_what_a_comment_may_ask_for(service: Service) -> None:
    number = issue(service)
    rules = "max:\n  write:\n    cost: $3\ncheck: make test\n"
    service.github.commit("ada", "main", {".github/agent.yml": rules})
    service.github.comment("dana", number, "/agent fix cost=$4")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number}")
    service.github.commit("ada", "main", {".github/agent.yml": None})
    [(ceiling, snapshot)] = service.rows(f"SELECT ceiling_nanos, snapshot FROM runs WHERE thread = {number}")
    assert ceiling == 3_000_000_000
    assert json.loads(snapshot)["check"] == "make test"
    end(service, number)


def test_a_review_comment_starts_a_run_that_knows_its_lines_and_is_answered_in_its_thread(
    service: Service,
) -> None:
    github, path = service.github, "acme_calendar/years.py"
    last = github.file(path, "faster-dates").decode().count("\n")
    first = github.review_comment("max", 2, path, min(last, 5), "Is this right?")
    asked = github.answer_review("dana", 2, first, "/agent fix this line")
    service.until("SELECT count(*) = 1 FROM runs WHERE thread = 2")
    [(run, kind, task)] = service.rows("SELECT id, comment_kind, task FROM runs WHERE thread = 2")
    assert kind == "review_comment"
    assert task.startswith(f"this line\n\nThe comment is on `{path}`, line {min(last, 5)}, the last line of")
    assert "```diff\n@@" in task
    said = f"tollgate-reply:started:{asked} "
    answer = github.wait(
        lambda g: next((c for c in g.reviews(2) if said in c["body"]), None), 30, "the answer"
    )
    assert answer["in_reply_to"] == first
    [report] = [c for c in github.comments(2) if f"tollgate-run:{run}:" in c["body"]]
    assert f"/pull/2#issuecomment-{report['id']})" in answer["body"]
    assert answers(service, 2) == [report["body"]], "and nothing of it beside the thread"
    end(service, 2)


def test_an_answer_whose_review_thread_is_gone_stands_beside_it(service: Service) -> None:
    github = service.github
    github.fault("POST", "/replies$", 404, times=1)
    github.review_comment("dana", 2, "acme_calendar/years.py", 1, "/agent status")
    said = "No run is live"
    github.wait(lambda g: any(said in c["body"] for c in g.comments(2)), 30, "the answer")
    assert not any(said in c["body"] for c in github.reviews(2))


def test_what_github_will_not_tell_starts_nothing_and_is_said(service: Service) -> None:
    number = issue(service)
    service.github.fault("GET", f"/repos/{service.github.repo}/issues/{number}/labels", 404, times=50)
    try:
        service.github.comment("dana", number, "/agent fix")
        (answer,) = answers(service, number, seconds=60)
    finally:
        service.github.clear_faults()
    assert "GitHub did not tell" in answer
    assert runs(service, number) == []


def written_five_hours_ago(service: Service, number: int, words: str) -> None:
    """A command whose delivery failed then, and comes now."""
    github = service.github
    github.hook("http://127.0.0.1:9/")
    github.forward(-5 * 3600)
    comment = github.comment("dana", number, words)

    def sent(github: Any) -> Any:
        """Its delivery, once that has failed; a live run's comment is edited meanwhile, which is told too."""
        every = [one for one in github.deliveries("issue_comment") if one["action"] == "created"]
        [mine] = [one for one in every if json.loads(one["raw"])["comment"]["id"] == comment]
        return mine["id"] if mine["status"] != "pending" else None

    delivery = github.wait(sent)
    github.forward(5 * 3600)
    github.hook(f"{service.url}/webhooks/github")
    github.redeliver(delivery)


def test_a_command_that_comes_hours_late_spends_nothing_and_is_answered(service: Service) -> None:
    number = issue(service)
    written_five_hours_ago(service, number, "/agent fix")
    [answer] = answers(service, number)
    assert "5 hours after it was written" in answer
    assert runs(service, number) == []


def test_a_late_stop_ends_no_run_that_was_started_since(service: Service) -> None:
    number = issue(service)
    service.github.comment("dana", number, "/agent fix")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number} AND state = 'running'")
    written_five_hours_ago(service, number, "/agent stop")
    assert "5 hours after it was written" in answers(service, number, 2)[1]
    assert runs(service, number)[0][1] == "running"
    end(service, number)
