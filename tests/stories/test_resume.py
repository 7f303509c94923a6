"""A run that broke off goes on, once, as the same run; what stands in the way is said, with a way out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving
from tests.stories.test_launch import answers, settled

pytestmark = pytest.mark.slow
HALF = [{"path": "half.txt", "mode": "100644", "text": "half"}]
WHOLE = [{"path": "whole.txt", "mode": "100644", "text": "whole"}]
LINES = "lines: {evals: {monthly: $100, members: [dana]}}\n"
STOPPED = {"talk": "b25l", "files": HALF, "result": {"outcome": "halted", "reason": "stopped"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has an issue of its own."""
    folder = tmp_path_factory.mktemp("resume")
    url = f"sqlite:///{folder / 'tollgate.db'}"
    with serving(folder, url, agents.ATTEMPTS, service_policy=LINES) as made:
        made.worker()
        yield made


class Thread:
    """An issue, and the run on it."""

    def __init__(self, service: Service) -> None:
        self.service, self.github = service, service.github
        self.number = service.github.issue("dana", "It is wrong", "Look.")

    def fix(self, *attempts: Any, options: str = "") -> None:
        self.say(f"/agent fix {options}\n{json.dumps(attempts)}")

    def say(self, words: str, who: str = "dana") -> None:
        self.github.comment(who, self.number, words)

    def row(self, columns: str) -> Any:
        return self.service.rows(f"SELECT {columns} FROM runs WHERE thread = {self.number}")[0]

    def until(self, what: str) -> None:
        self.service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {self.number} AND {what}")

    def reported(self, attempt: int = 1) -> str:
        """The report of an attempt, once it is the last word."""
        self.until(f"attempt = {attempt} AND finished_at IS NOT NULL")
        mark = f"tollgate-run:{self.row('id')[0]}:{attempt} "
        [report] = [c["body"] for c in self.github.comments(self.number) if mark in c["body"]]
        return str(report)

    def set(self, assignment: str) -> None:
        with self.service.database.begin() as tx:
            tx.exec_driver_sql(f"UPDATE runs SET {assignment} WHERE thread = {self.number}")

    def refused(self, words: str, who: str = "dana") -> str:
        """The answer to a command that starts nothing."""
        before = len(answers(self.service, self.number, 0))
        self.say(words, who)
        return answers(self.service, self.number, before + 1)[-1]


@pytest.fixture
def issue(service: Service) -> Thread:
    return Thread(service)


def test_it_goes_on_as_the_same_run_with_its_work_its_counters_and_what_is_said_now(issue: Thread) -> None:
    issue.fix(STOPPED, {"files": [*HALF, *WHOLE]}, options="cost=$3")
    first = issue.reported()
    [run] = issue.row("id")
    issue.set("spent_nanos = 1000000000, steps = 4, input = 10")
    issue.say("/agent resume steps=40 mind the tests")
    second = issue.reported(2)
    assert issue.row("id, attempt, ceiling_nanos, ceiling_steps, spent_nanos, steps") == (
        run, 2, 3_000_000_000, 40, 1_000_000_000, 4,
    )  # fmt: skip
    assert issue.reported(2) != first
    given = json.loads(json.loads(issue.row("result")[0])["summary"])
    assert given["resumed"]["text"] == "mind the tests"
    assert given["resumed"]["why"].startswith("halted at step 0")
    assert given["work"]["transcript"] == "b25l"
    assert given["work"]["changeset"]["files"] == HALF
    assert "attempt 2" in second
    assert issue.github.file("whole.txt", f"agent/issue-{issue.number}-{run}") == b"whole"
    titles = [one["title"] for one in issue.github.runs() if run in one["title"]]
    assert sorted(titles) == [f"Tollgate run {run}.1", f"Tollgate run {run}.2"]


def test_its_comment_says_beforehand_what_reading_the_conversation_anew_costs(
    issue: Thread, tmp_path: Any
) -> None:
    issue.fix(STOPPED, {"wait": str(tmp_path / "go")}, options="cost=$3")
    issue.reported()
    run = issue.row("id")[0]
    turn = (
        "INSERT INTO turns (run, attempt, state, step, hold_nanos, hold_tokens, held_at, lease_until_at, "
        "owner, max_tokens, model_asked, input, cache_read, cache_write_5m, output) "
        f"VALUES ('{run}', 1, 'settled', 1, 0, 0, 0, 0, 'x', 1, 'm', 1000, 30000, 8000, 1000)"
    )
    with issue.service.database.begin() as tx:
        tx.exec_driver_sql(turn)
    issue.set("spent_nanos = 1000000000, steps = 1")
    issue.say("/agent resume")
    issue.until("attempt = 2 AND report_comment_id IS NOT NULL")
    accepted = answers(issue.service, issue.number, 2)[-1]
    # 40,000 tokens at $6.25 a million.
    assert "Resumed by `dana`" in accepted
    assert "40,000 tokens of it anew costs about $0.25, once" in accepted
    assert "$1.00, 0 tokens, 1 step" in accepted
    (tmp_path / "go").touch()
    issue.reported(2)


def test_a_runner_that_is_lost_has_left_its_last_turn_and_its_run_goes_on(issue: Thread) -> None:
    issue.fix({"talk": "b25l", "files": HALF, "exit": 1}, {"files": [*HALF, *WHOLE]})
    report = issue.reported()
    [run] = issue.row("id")
    assert issue.row("state") == ("lost",)
    assert "this is its work after its last complete turn" in report
    assert issue.github.file("half.txt", f"agent/run-{run}") == b"half"
    issue.say("/agent resume")
    issue.reported(2)
    assert issue.row("state, attempt") == ("done", 2)


@pytest.mark.parametrize(
    ("attempt", "command", "says"),
    [
        ({"files": HALF}, "/agent resume", "no run on this thread that was halted"),
        ({"exit": 1}, "/agent resume", "nothing of run"),
        (STOPPED, "/agent resume engine=aider", "goes on with no other"),
        (STOPPED, "/agent resume steps=0", "steps="),
    ],
    ids=["it was done", "it left nothing", "another engine", "no number"],
)
def test_what_cannot_go_on_says_why(issue: Thread, attempt: Any, command: str, says: str) -> None:
    issue.fix(attempt)
    issue.reported()
    assert says in issue.refused(command)
    assert issue.row("attempt") == (1,)


def test_ceilings_that_leave_nothing_are_refused_with_those_that_would_suffice(issue: Thread) -> None:
    issue.fix(STOPPED, {"files": HALF}, options="cost=$2 steps=10")
    issue.reported()
    issue.set("spent_nanos = 1990000000, spent_tokens = 5000, steps = 10")
    said = issue.refused("/agent resume")
    assert "`/agent resume cost=$2.19 steps=12` would suffice" in said
    issue.say("/agent resume cost=$2.19 steps=12")
    issue.reported(2)
    assert issue.row("ceiling_nanos, ceiling_steps") == (2_190_000_000, 12)


def test_nobody_raises_a_run_past_what_their_role_allows(issue: Thread) -> None:
    issue.fix(STOPPED, {"files": HALF})
    issue.reported()
    issue.set("spent_nanos = 30000000000")
    said = issue.refused("/agent resume cost=$90")
    assert "$20.00, the most for write" in said
    issue.say("/agent resume cost=$90", "ada")
    issue.reported(2)
    assert issue.row("ceiling_nanos") == (90_000_000_000,)


def test_who_is_no_member_of_a_line_has_no_run_on_it_go_on(issue: Thread) -> None:
    issue.fix(STOPPED, {"files": HALF}, options="line=evals")
    issue.reported()
    assert "max is not a member of the budget line `evals`" in issue.refused("/agent resume cost=$15", "max")
    assert issue.row("line, attempt") == ("evals", 1)
    issue.say("/agent resume")
    issue.reported(2)


def test_a_replayed_command_acts_once_and_stops_no_later_attempt(issue: Thread, tmp_path: Any) -> None:
    waiting = {**STOPPED, "wait": str(tmp_path / "never")}
    issue.fix(waiting, {**STOPPED, "wait": str(tmp_path / "go")}, {"files": HALF})
    issue.until("state = 'running'")
    issue.say("/agent stop")
    stop = issue.github.deliveries("issue_comment")[-1]
    issue.reported()
    issue.say("/agent resume")
    resume = issue.github.deliveries("issue_comment")[-1]
    issue.until("attempt = 2 AND state = 'running'")
    for replayed in (stop, resume):
        issue.github.redeliver(replayed["id"], times=3, fresh=True)
    settled(issue.service)
    assert issue.row("state, attempt") == ("running", 2)
    assert "is live on this thread already" in issue.refused("/agent resume")
    (tmp_path / "go").touch()
    issue.reported(2)
    issue.github.redeliver(resume["id"], times=3, fresh=True)
    settled(issue.service)
    assert issue.row("attempt") == (2,)
