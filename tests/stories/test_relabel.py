"""Labels while a thread lives: whose word they are, and what they do to a run that is live."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bot import services, settings
from bot.core.events import CommentCreated
from bot.core.places import Repo
from bot.stories import launch
from bot.stories.durable import Story
from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow
DOLLAR = 1_000_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has an issue of its own."""
    folder = tmp_path_factory.mktemp("relabel")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.UNTIL_STOPPED) as made:
        made.worker()
        yield made


class Issue:
    """An issue, and the run on it."""

    def __init__(self, service: Service) -> None:
        self.service, self.github = service, service.github
        self.number = service.github.issue("dana", "It is wrong")

    def label(self, who: str, name: str) -> None:
        """Put it on, and wait until the service has been told."""
        self.github.label(who, self.number, name)
        self.recorded(name)

    def recorded(self, name: str, added: bool = True) -> None:
        said = f"label = '{name.casefold()}' AND added = {str(added).lower()}"
        self.service.until(f"SELECT count(*) > 0 FROM labelings WHERE thread = {self.number} AND {said}")

    def fix(self, words: str = "/agent fix") -> None:
        self.github.comment("dana", self.number, words)
        self.service.until(
            f"SELECT count(*) = 1 FROM runs WHERE thread = {self.number} AND state = 'running'"
        )

    def dollars(self) -> float:
        return int(self.row("ceiling_nanos")) / DOLLAR

    def row(self, column: str) -> Any:
        return self.service.rows(f"SELECT {column} FROM runs WHERE thread = {self.number}")[0][0]

    def clamps(self, part: str) -> str:
        """The note with these words, once there is one; it also stands in the live comment."""
        said = f"thread = {self.number} AND clamps LIKE '%{part}%'"
        found = json.loads(self.service.until(f"SELECT clamps FROM runs WHERE {said}")[0])
        note = next(str(clamp) for clamp in found if part in clamp)

        def shown(github: Any) -> bool:
            return any(part in comment["body"] for comment in github.comments(self.number))

        self.github.wait(shown, 30, f"{part!r} in the live comment")
        return note

    def end(self) -> None:
        self.github.comment("dana", self.number, "/agent stop")
        where = f"thread = {self.number} AND finished_at IS NULL"
        self.service.until(f"SELECT count(*) = 0 FROM runs WHERE {where}")


@pytest.fixture
def issue(service: Service) -> Iterator[Issue]:
    made = Issue(service)
    yield made
    if service.rows(f"SELECT 1 FROM runs WHERE thread = {made.number} AND finished_at IS NULL"):
        made.end()


def test_a_label_alone_starts_no_run(issue: Issue) -> None:
    issue.label("ada", "agent:class=feature")
    issue.label("ada", "agent:cost=$2")
    assert issue.service.rows(f"SELECT count(*) FROM runs WHERE thread = {issue.number}") == [(0,)]
    assert issue.github.comments(issue.number) == []


def test_a_lower_label_on_a_live_run_holds_from_the_next_request_on_and_names_who(issue: Issue) -> None:
    issue.fix()
    assert issue.dollars() == 5
    issue.label("tri", "agent:cost=$2")
    assert issue.clamps("lowered") == "cost: lowered from $5.00 to $2.00 while it ran: label by tri (triage)"
    assert issue.dollars() == 2
    assert json.loads(issue.row("sources"))["usd"] == "label by tri (triage)"


def test_a_higher_label_on_a_live_run_raises_nothing_and_says_what_does(issue: Issue) -> None:
    issue.fix()
    issue.label("ada", "agent:cost=$10")
    note = issue.clamps("no live run is raised")
    assert "`agent:cost=$10` it would be $10.00" in note
    assert "`/agent resume`" in note
    assert issue.dollars() == 5


def test_taking_off_a_label_that_had_lowered_raises_nothing_and_one_that_had_raised_lowers(
    issue: Issue,
) -> None:
    issue.label("ada", "agent:cost=$2")
    issue.fix()
    assert issue.dollars() == 2
    issue.github.unlabel("ada", issue.number, "agent:cost=$2")
    assert "without `agent:cost=$2` it would be $5.00" in issue.clamps("no live run is raised")
    assert issue.dollars() == 2
    issue.end()
    other = Issue(issue.service)
    other.label("ada", "agent:cost=$10")
    other.fix()
    assert other.dollars() == 10
    other.github.unlabel("ada", other.number, "agent:cost=$10")
    assert other.clamps("lowered") == "cost: lowered from $10.00 to $5.00 while it ran: class bugfix"
    assert other.dollars() == 5
    other.end()


@pytest.mark.parametrize(
    ("then", "now", "dollars", "said"),
    [
        pytest.param("admin", "write", 20, "max (write now)", id="who lost their role keeps no raise"),
        pytest.param("admin", "read", 5, "max (read now)", id="who may not write any more raises nothing"),
        pytest.param("triage", "admin", 5, "max (triage then)", id="who was promoted raises nothing by it"),
    ],
)
def test_a_label_counts_with_the_role_at_that_time_and_no_more_than_the_role_of_now(
    issue: Issue, then: str, now: str, dollars: int, said: str
) -> None:
    github = issue.github
    github.do("ada", "POST", "/labels", {"name": f"agent:cost=$4{issue.number}", "color": "ededed"})
    github.user("max", then)
    try:
        issue.label("max", f"agent:cost=$4{issue.number}")
        github.user("max", now)
        issue.fix()
    finally:
        github.user("max", "maintain")
    assert issue.dollars() == dollars
    assert said in str(issue.row("clamps"))


def test_a_label_by_a_triager_a_bot_or_an_app_raises_nothing(issue: Issue) -> None:
    issue.github.user("helpful[bot]", "admin", "Bot")
    issue.label("tri", "agent:cost=$10")
    issue.github.do("ada", "POST", "/labels", {"name": "agent:steps=70", "color": "ededed"})
    issue.label("helpful[bot]", "agent:steps=70")
    machine = {"repo": issue.github.repo, "number": issue.number, "name": "agent:tokens=900k"}
    issue.github.request("POST", "/_sandbox/suggest-label", machine)
    issue.recorded("agent:tokens=900k")
    issue.fix()
    assert (issue.dollars(), issue.row("ceiling_steps"), issue.row("ceiling_tokens")) == (5, 20, 500_000)
    clamps = json.loads(issue.row("clamps"))
    assert sum("may only lower" in clamp for clamp in clamps) == 3


def test_a_suggested_label_does_not_count(issue: Issue) -> None:
    suggested = {"labels": [{"name": "agent:cost=$2", "suggest": True, "confidence": "high"}]}
    issue.github.do("ada", "POST", f"/issues/{issue.number}/labels", suggested)
    issue.fix()
    assert issue.dollars() == 5
    assert json.loads(issue.row("clamps")) == []


def test_what_changed_between_the_look_and_the_start_is_caught_up_with(issue: Issue) -> None:
    comment = issue.github.comment("dana", issue.number, "Somebody should.")

    def record(name: str, do: Callable[[], Any], /) -> Any:
        if name == "open the run":
            issue.label("max", "agent:cost=$2")
        return do()

    about = issue.github.about
    repo = Repo(about["installation_id"], about["repository_id"], about["repository"])
    event = CommentCreated(
        repo, "issue_comment", comment, issue.number, False, "/agent fix", "dana", "User", False, ""
    )
    with services.opened(settings.read(issue.service.env), "web") as opened:
        launch.on_comment(Story("told-here", opened, record), replace(event, actor_id=7))
    assert issue.dollars() == 2
    assert "while it ran: label by max (maintain)" in str(issue.row("clamps"))


def test_a_thread_with_more_labels_than_can_be_read_starts_nothing_and_says_so(issue: Issue) -> None:
    names = [f"agent:cost=${n}" for n in range(1, 200)]
    issue.github.control("many-labels", number=issue.number, names=names)
    issue.github.comment("dana", issue.number, "/agent fix")
    issue.service.until(f"SELECT count(*) = 1 FROM refusals WHERE thread = {issue.number}")
    [(why,)] = issue.service.rows(f"SELECT message FROM refusals WHERE thread = {issue.number}")
    assert "199 labels that set ceilings, more than the 100" in why
    issue.github.comment("dana", issue.number, "/agent help")
    issue.github.wait(
        lambda g: any("did not tell what would hold" in c["body"] for c in g.comments(issue.number)), 30
    )


def test_a_labels_words_do_nothing_where_they_are_told(issue: Issue) -> None:
    issue.github.do("ada", "POST", "/labels", {"name": "agent:cost=@ada <img src=x> #1", "color": "ededed"})
    issue.label("ada", "agent:cost=@ada <img src=x> #1")
    issue.fix()
    [note] = json.loads(issue.row("clamps"))
    assert "was left out" in note
    assert "@ada" not in note
    assert "<img" not in note
