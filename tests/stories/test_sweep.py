"""A sweep through the real doors: a run and a pull request for each item, on a line, in one comment (R23)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bot.core.money import Usd
from bot.stores.switch import Switch
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


def spent(service: Service, number: int, item: int, usd: str) -> None:
    """As if the model had answered: through the gateway it is tested elsewhere."""
    nanos = Usd.parse(usd).nanos
    service.write(f"UPDATE runs SET spent_nanos = {nanos} WHERE thread = {number} AND item = {item}")


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


def test_a_total_that_is_reached_lets_nothing_more_begin_and_a_greater_one_goes_on(service: Service) -> None:
    github = service.github
    number = github.issue("dana", "Refresh", gated(service, "b1", "b2", "b3"))
    github.comment("dana", number, "/agent sweep line=refresh parallel=3 cost=$2 total=$3")
    running(service, number, 1)
    settled(service)
    assert states(service, number) == ["running", "queued", "queued"], (
        "the second waits for its whole ceiling"
    )
    spent(service, number, 1, "1.8")
    release(service, "b1")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number} AND item = 2 AND state = 'running'")
    [(ceiling, clamps)] = service.rows(
        f"SELECT ceiling_nanos, clamps FROM runs WHERE thread = {number} AND item = 2"
    )
    assert ceiling == Usd.parse("1.2").nanos, "what is left, once nobody can give anything back"
    assert "cost: $2.00 is more than what the cap of this sweep leaves: $1.20 of $3.00" in json.loads(clamps)
    spent(service, number, 2, "0.9")
    release(service, "b2")
    swept(service, number)
    shown = summary(service, number)
    assert "**Halted: $3.00 total ceiling reached; 2 of 3 done** · $2.70 of $3.00" in shown
    assert "| 3 | b3 | not begun |" in shown
    assert "`/agent resume total=$6` goes on with what is not finished (1 item)" in shown
    github.comment("dana", number, "/agent resume")
    said = answers(service, number, 2)[-1]
    assert "it has spent $2.70 of its total of $3.00" in said
    release(service, "b3")
    github.comment("ada", number, "/agent resume total=$6")
    service.until(f"SELECT count(*) = 1 FROM sweeps WHERE thread = {number} AND attempt = 2")
    swept(service, number)
    assert "**Swept: 3 of 3 done** · $2.70 of $6.00" in summary(service, number, 2)


def test_a_line_whose_month_is_spent_ends_what_has_not_begun(service: Service) -> None:
    github = service.github
    number = github.issue("dana", "Refresh", gated(service, "c1", "c2"))
    github.comment("dana", number, "/agent sweep line=evals parallel=1 cost=$5")
    running(service, number, 1)
    spent(service, number, 1, "8.7")
    release(service, "c1")
    swept(service, number)
    shown = summary(service, number)
    assert "**Halted: the cap of the line evals for 20" in shown
    assert "is reached: $8.70 of $9.00 spent; 1 of 2 done**" in shown
    assert "| 2 | c2 | not begun |" in shown


def test_an_issue_that_is_deleted_lets_nothing_more_of_its_list_begin(service: Service) -> None:
    github = service.github
    number = github.issue("dana", "Refresh", gated(service, "d1", "d2", "d3"))
    github.comment("dana", number, "/agent sweep line=refresh parallel=1 cost=$2")
    running(service, number, 1)
    github.fault("GET", f"/issues/{number}$", 410, times=1_000)
    release(service, "d1", "d2", "d3")
    swept(service, number)
    github.clear_faults()
    assert states(service, number) == ["done", "halted", "halted"]
    dispatched = f"SELECT count(dispatched_at) FROM runs WHERE thread = {number}"
    assert service.rows(dispatched) == [(1,)]


def test_the_switch_ends_what_waits_and_the_sweep_goes_on_after_it(service: Service) -> None:
    github, switch = service.github, Switch(service.database)
    number = github.issue("dana", "Refresh", gated(service, "d1", "d2"))
    github.comment("dana", number, "/agent sweep line=refresh parallel=1 cost=$2")
    running(service, number, 1)
    switch.pause("", "root", "an incident")
    try:
        swept(service, number)
        assert states(service, number) == ["halted", "halted"]
        assert "**Halted: " in summary(service, number)
        assert "an incident" in summary(service, number)
        github.comment("dana", number, "/agent resume")
        assert "an incident" in answers(service, number, 3)[-1]
    finally:
        switch.unpause("", "root")
    release(service, "d1", "d2")
    github.comment("dana", number, "/agent resume")
    service.until(f"SELECT count(*) = 1 FROM sweeps WHERE thread = {number} AND attempt = 2")
    swept(service, number)
    assert "**Swept: 2 of 2 done**" in summary(service, number, 2)


def test_what_an_item_was_halted_with_is_accepted_on_the_issue_and_its_box_ticked(service: Service) -> None:
    github, halted = service.github, {"outcome": "halted", "reason": "stopped"}
    body = "\n".join([told("Half", files=[file("half.txt")], result=halted), told("No use", result=halted)])
    number = github.issue("dana", "Refresh", body)
    github.comment("dana", number, "/agent sweep line=refresh cost=$2")
    swept(service, number)
    assert "**Swept: 0 of 2 done**" in summary(service, number)
    github.comment("max", number, "/agent accept")
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number} AND published_pull IS NOT NULL")
    settled(service)
    swept(service, number)
    assert "**Swept: 1 of 2 done**" in summary(service, number)
    text = github.do("dana", "GET", f"/issues/{number}")["body"]
    assert text.startswith("- [x] Half ([#")
    assert "- [ ] No use" in text


def test_a_sweep_of_one_item_closes_its_issue(service: Service) -> None:
    github = service.github
    number = github.issue("dana", "Refresh", told("(bugfix, about $0.42) Alone", files=[file("alone.txt")]))
    github.comment("dana", number, "/agent sweep line=refresh")
    swept(service, number)
    [(pull, ceiling, sources)] = service.rows(
        f"SELECT published_pull, ceiling_nanos, sources FROM runs WHERE thread = {number}"
    )
    opened = github.do("dana", "GET", f"/pulls/{pull}")
    assert (opened["title"], f"Closes #{number}" in opened["body"]) == ("Alone", True)
    assert ceiling == Usd.parse("5").nanos
    assert json.loads(sources)["usd"] == "class bugfix, which the list names"
    github.merge("dana", pull)
    service.until(f"SELECT count(*) = 1 FROM attributions WHERE number = {pull}")
    assert service.rows(f"SELECT because FROM attributions WHERE number = {pull}")[0][0] == (
        "made the pull request"
    )
