"""A sweep through the real doors: a run and a pull request for each item, on a line, in one comment (R23)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving
from tests.stories.test_launch import answers, settled

pytestmark = pytest.mark.slow

POLICY = """
caps: {everyone: $5}
lines:
  refresh: {monthly: $500, members: [dana, ada]}
  evals: {monthly: $9, members: [dana]}
  secret: {monthly: $500, members: [ada]}
approvers: [ada]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("sweep")
    url = f"sqlite:///{folder / 'tollgate.db'}"
    with serving(folder, url, agents.ITEM, service_policy=POLICY) as made:
        made.worker()
        yield made


def told(title: str, **does: Any) -> str:
    """An item whose agent does as it is told."""
    return f"- [ ] {title}\n  {json.dumps(does)}"


def file(name: str) -> dict[str, Any]:
    return {"path": name, "mode": "100644", "text": f"{name}\n"}


def swept(service: Service, number: int) -> Any:
    """The sweep of a thread, once its last word is said."""
    service.until(f"SELECT count(*) = 1 FROM sweeps WHERE thread = {number} AND finished_at IS NOT NULL", 120)
    return service.rows(f"SELECT id, attempt FROM sweeps WHERE thread = {number}")[0]


def summary(service: Service, number: int, attempt: int = 1) -> str:
    found = [c["body"] for c in service.github.comments(number) if "tollgate-sweep" in c["body"]]
    [body] = [body for body in found if f":{attempt} -->" in body]
    return str(body)


def test_each_open_item_is_a_run_and_a_pull_request_and_its_box_is_ticked(service: Service) -> None:
    body = "\r\n".join(
        [
            "Please:\r\n",
            told("Leap years", files=[file("leap.txt")]),
            "- [x] Done before",
            told("Weeks", files=[file("weeks.txt")]),
            told("Nothing to do"),
            told("It breaks", result={"outcome": "failed", "message": "the tests do not start"}),
        ]
    )
    number = service.github.issue("dana", "Refresh", body)
    service.github.comment("dana", number, "/agent sweep parallel=2 line=refresh cost=$2")
    swept(service, number)
    settled(service)
    shown = summary(service, number)
    assert "**Swept: 2 of 4 done**" in shown
    assert "| 1 | Leap years | done |" in shown
    assert "| 3 | Nothing to do | nothing to change |" in shown
    assert "| 4 | It breaks | failed | [report](" in shown
    assert "`/agent resume` goes on with what is not finished (1 item)" in shown
    rows = service.rows(
        f"SELECT item, published_pull, line, comment_kind, ceiling_nanos FROM runs WHERE thread = {number} "
        "ORDER BY item"
    )
    assert [(row[0], row[2], row[3]) for row in rows] == [(n, "refresh", f"sweep.{n}") for n in (1, 2, 3, 4)]
    assert {row[4] for row in rows} == {2_000_000_000}
    leap, weeks = rows[0][1], rows[1][1]
    text = service.github.do("dana", "GET", f"/issues/{number}")["body"]
    assert f"- [x] Leap years ([#{leap}](" in text
    assert f"- [x] Weeks ([#{weeks}](" in text
    assert "- [ ] It breaks\n" in text
    assert "- [x] Done before\r\n" in text
    pull = service.github.do("dana", "GET", f"/pulls/{leap}")
    assert pull["title"] == "Leap years"
    assert f"Part of #{number}: item 1 of 4, `Leap years`." in pull["body"]
    assert "Closes" not in pull["body"]
    [report] = answers(service, leap)
    assert "**Done: " in report
    on_issue = answers(service, number, 3)
    assert len(on_issue) == 3, "the summary, what failed, what changed nothing"


@pytest.mark.parametrize(
    ("who", "words", "body", "said"),
    [
        pytest.param(
            "dana", "/agent sweep", "- [ ] a",
            ["none is named", "dana may use `line=refresh`, `line=evals`"], id="no line",
        ),
        pytest.param("max", "/agent sweep", "- [ ] a", ["max may use none"], id="no line to use"),
        pytest.param(
            "dana", "/agent sweep line=secret", "- [ ] a",
            ["dana is not a member of the budget line", "dana may use `line=refresh`"], id="no member",
        ),
        pytest.param(
            "dana", "/agent sweep line=nothing", "- [ ] a", ["there is no budget line"], id="an unknown line"
        ),
        pytest.param(
            "dana", "/agent sweep line=refresh", "- [x] a\n```\n- [ ] b\n```",
            ["no unchecked item"], id="no item",
        ),
        pytest.param(
            "dana", "/agent sweep line=refresh", "- [ ] a\n" * 51,
            ["has 51 unchecked items, more than the 50"], id="too many items",
        ),
        pytest.param(
            "dana", "/agent sweep line=refresh parallel=21", "- [ ] a", ["at most 20"], id="too many at once"
        ),
        pytest.param("dana", "/agent fix total=$5", "- [ ] a", ["belongs to `/agent sweep`"], id="no sweep"),
    ],
)  # fmt: skip
def test_a_sweep_that_does_not_begin_says_why(
    service: Service, who: str, words: str, body: str, said: list[str]
) -> None:
    number = service.github.issue("dana", "Refresh", body)
    service.github.comment(who, number, words)
    [answer] = answers(service, number)
    for words in (*said, "Nothing was started and nothing was spent."):
        assert words in answer
    assert service.rows(f"SELECT count(*) FROM runs WHERE thread = {number}")[0][0] == 0


def test_a_pull_request_is_not_swept(service: Service) -> None:
    service.github.comment("dana", 2, "/agent sweep line=refresh")
    assert "this is a pull request" in answers(service, 2)[-1]


def gated(service: Service, *names: str) -> str:
    """A list whose items run until files of their names are there."""
    return "\n".join(
        told(name, wait=str(service.folder / name), files=[file(f"{name}.txt")]) for name in names
    )


def release(service: Service, *names: str) -> None:
    for name in names:
        (service.folder / name).touch()


def states(service: Service, number: int) -> list[str]:
    rows = service.rows(f"SELECT state FROM runs WHERE thread = {number} ORDER BY item")
    return [row[0] for row in rows]


def running(service: Service, number: int, count: int) -> None:
    service.until(
        f"SELECT count(*) = {count} FROM runs WHERE thread = {number} AND state = 'running'", seconds=60
    )


def test_the_sweep_is_its_threads_one_live_thing_and_stops_and_goes_on_as_a_whole(service: Service) -> None:
    github = service.github
    number = github.issue("dana", "Refresh", gated(service, "a1", "a2", "a3", "a4"))
    github.comment("dana", number, "/agent sweep line=refresh parallel=2 cost=$2 total=$6")
    running(service, number, 2)
    assert states(service, number) == ["running", "running", "queued", "queued"]
    # What the issue says by now, and the comment, change nothing of it.
    github.do("dana", "PATCH", f"/issues/{number}", {"body": "- [ ] something else\n- [ ] a1"})
    for words in ("/agent fix", "/agent sweep line=refresh", "/agent resume", "/agent status"):
        github.comment("dana", number, words)
    said = answers(service, number, 5)[1:]
    assert all("Sweep [`" in one and "0 of 4 done · 2 running · 2 waiting" in one for one in said)
    assert all("Wait for its end, or halt all of it with `/agent stop`" in one for one in said[:3])
    github.comment("dana", number, "/agent stop")
    swept(service, number)
    settled(service)
    shown = summary(service, number)
    assert "**Halted: stopped by dana; 0 of 4 done** · $0.00 of $6.00" in shown
    assert "2 stopped · 2 not begun" in shown
    reports = [body for body in answers(service, number) if "<!-- tollgate-run:" in body]
    assert len(reports) == 2, "of what had begun, and of nothing else"
    release(service, "a1", "a2", "a3", "a4")
    github.comment("dana", number, "/agent resume parallel=4 total=$7")
    service.until(f"SELECT count(*) = 1 FROM sweeps WHERE thread = {number} AND attempt = 2")
    swept(service, number)
    settled(service)
    shown = summary(service, number, 2)
    assert "**Swept: 4 of 4 done** · $0.00 of $7.00" in shown
    assert "Resumed by `dana`." in shown
    attempts = service.rows(f"SELECT attempt FROM runs WHERE thread = {number}")
    assert {row[0] for row in attempts} == {2}
    text = github.do("dana", "GET", f"/issues/{number}")["body"]
    assert text.startswith("- [ ] something else\n- [x] a1 ([#"), "of the others only the comment tells"
    assert text.count("\n") == 1
