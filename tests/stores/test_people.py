"""Launches side by side cannot overdraw a month together, on either database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.caps import Cap, Reached, Scope
from bot.core.ceilings import CLASSES, Reason
from bot.core.money import ZERO, Usd, total
from bot.core.waiting import Full, Limit
from bot.stores.database import Database
from bot.stores.people import People, Queued
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id
from bot.stores.tables import runs

MONTH = "2026-11"
DANA = Cap(Scope.PERSON, "7", "dana", Usd.parse("200"))


def a_run(usd: str = "5", **given: Any) -> NewRun:
    known: dict[str, Any] = {
        "id": new_id(), "origin": "github", "task_class": "bugfix", "engine": "opus", "price_book": "p",
        "model": "claude-opus-4-7", "actor": "dana", "actor_id": 7, "month": MONTH, "installation": 1,
        "repository_id": 3, "ceilings": replace(CLASSES["bugfix"], usd=Usd.parse(usd)),
    }  # fmt: skip
    return NewRun(**(known | given))


@pytest.fixture
def people(database: Database) -> People:
    return People(database, Runs(database))


def spent(people: People, run: str, usd: str) -> None:
    people.runs.set(run, spent_nanos=Usd.parse(usd).nanos)


def opened(people: People, usd: str, *caps: Cap, **given: Any) -> NewRun:
    new = a_run(usd, **given)
    assert people.open(new, caps) is True
    return new


@pytest.mark.slow
def test_two_hundred_launches_at_once_never_hold_more_than_the_cap_leaves(people: People) -> None:
    first = opened(people, "199", DANA, thread=1000)
    people.runs.end(first.id, "done")
    spent(people, first.id, "199")

    def launch(thread: int) -> object:
        return people.open(a_run("0.75", thread=thread), (DANA,))

    with ThreadPoolExecutor(32) as pool:
        outcomes = list(pool.map(launch, range(200)))
    [standing] = people.standings((DANA,), MONTH)
    assert standing.spent == Usd.parse("199")
    assert standing.held <= Usd.parse("1")
    # One whole, and what was left over was below the least that a launch may get.
    assert outcomes.count(True) == 1
    assert all(isinstance(one, Reached) for one in outcomes if one is not True)


def test_a_launch_is_clamped_to_what_is_left_and_its_run_says_so(people: People) -> None:
    opened(people, "198", DANA, thread=1)
    second = opened(people, "5", DANA, thread=2)
    row = people.runs.get(second.id)
    assert row is not None
    assert row.ceilings.usd == Usd.parse("2")
    assert row.clamps == ("cost: $5.00 is more than what dana's cap for 2026-11 leaves: $2.00 of $200.00",)
    refused = people.open(a_run("5", thread=3), (DANA,))
    assert isinstance(refused, Reached)
    assert people.runs.get(second.id) is not None


@pytest.mark.parametrize(
    ("left", "asked", "starts"),
    [("0.49", "5", False), ("0.50", "5", True), ("0.30", "0.30", True), ("0.29", "0.30", False)],
)
def test_less_than_half_a_dollar_starts_nothing_unless_no_more_was_asked_for(
    people: People, left: str, asked: str, starts: bool
) -> None:
    opened(people, (DANA.usd - Usd.parse(left)).exact, DANA, thread=1)
    assert (people.open(a_run(asked, thread=2), (DANA,)) is True) == starts


def test_what_a_run_does_not_spend_is_free_again_when_it_ends(people: People) -> None:
    first = opened(people, "200", DANA, thread=1)
    spent(people, first.id, "3")
    assert isinstance(people.open(a_run("5", thread=2), (DANA,)), Reached)
    people.runs.end(first.id, "halted", reason=Reason.STOPPED)
    [standing] = people.standings((DANA,), MONTH)
    assert (standing.spent, standing.held) == (Usd.parse("3"), ZERO)
    people.runs.set(first.id, held_nanos=Usd.parse("1").nanos)  # an answer that is still being drained
    [standing] = people.standings((DANA,), MONTH)
    assert (standing.spent, standing.held) == (Usd.parse("3"), Usd.parse("1"))


def test_the_tightest_of_all_caps_holds_and_each_counts_its_own(people: People) -> None:
    repository = Cap(Scope.REPOSITORY, "3", "acme/calendar", Usd.parse("20"))
    installation = Cap(Scope.INSTALLATION, "1", "the whole installation", Usd.parse("30"))
    opened(people, "15", DANA, repository, installation, thread=1)
    max_ = opened(people, "10", repository, installation, thread=2, actor="max", actor_id=8)
    assert people.runs.get(max_.id).ceilings.usd == Usd.parse("5")  # type: ignore[union-attr]
    other = opened(people, "25", DANA, installation, thread=1, repository_id=4)
    assert people.runs.get(other.id).ceilings.usd == Usd.parse("10")  # type: ignore[union-attr]
    stand = people.standings((DANA, repository, installation), MONTH)
    assert [one.held for one in stand] == [Usd.parse("25"), Usd.parse("20"), Usd.parse("30")]
    assert [one.reached for one in stand] == [False, True, True]


def test_a_line_never_touches_its_members_own_cap(people: People) -> None:
    line = Cap(Scope.LINE, "evals", "the line evals", Usd.parse("20"))
    opened(people, "12", line, thread=1, line="evals")
    clamped = opened(people, "12", line, thread=2, line="evals", actor="max", actor_id=8)
    assert people.runs.get(clamped.id).ceilings.usd == Usd.parse("8")  # type: ignore[union-attr]
    assert isinstance(people.open(a_run(thread=3, line="evals"), (line,)), Reached)
    opened(people, "200", DANA, thread=4)
    assert [one.held for one in people.standings((line, DANA), MONTH)] == [
        Usd.parse("20"), Usd.parse("200"),
    ]  # fmt: skip


@pytest.mark.slow
def test_no_more_runs_are_live_on_a_line_than_it_may_have(people: People) -> None:
    line = Cap(Scope.LINE, "evals", "the line evals", Usd.parse("9000"))
    most = Limit(Scope.LINE, "evals", "the line evals", 3)

    def launch(thread: int) -> object:
        # Half of them cannot wait, and a month does not begin anew what is live.
        new = a_run(thread=thread, line="evals", month=f"2026-1{thread % 3}")
        return people.open(new, (line,), limits=(most,), waits=thread % 2 == 0)

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(launch, range(1, 41)))
    assert outcomes.count(True) == 3
    assert all(isinstance(one, Queued | Full) for one in outcomes if one is not True)
    with people.database.read() as tx:
        rows = tx.execute(sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state)).all()
    assert {row[0]: row[1] for row in rows} == {
        "open": 3,
        "queued": sum(isinstance(one, Queued) for one in outcomes),
    }


def test_another_month_and_another_name_of_the_same_person(people: People) -> None:
    opened(people, "200", DANA, thread=1)
    opened(people, "200", DANA, thread=2, month="2026-12")
    renamed = replace(DANA, name="dana-2")
    assert isinstance(people.open(a_run("5", thread=3, actor="dana-2"), (renamed,)), Reached)


def test_a_reached_cap_is_opened_by_a_quarter_once_for_each_comment(people: People) -> None:
    def ack(comment: int) -> Any:
        return people.acknowledge(
            DANA, MONTH, by="dana", reason="release", repository_id=3, comment=("issue_comment", comment)
        )

    assert ack(1) is None  # nothing was reached
    opened(people, "200", DANA, thread=1)
    with ThreadPoolExecutor(8) as pool:
        outcomes = [one for one in pool.map(ack, [2] * 8) if one is not None]
    assert {one.most for one in outcomes} == {Usd.parse("250")}
    assert ack(3) is None  # the slice is not used up yet
    opened(people, "50", DANA, thread=2)
    assert ack(4).most == Usd.parse("300")
    [standing] = people.standings((DANA,), MONTH)
    assert standing.acknowledged == 2


def test_one_comment_opens_two_lines_that_are_reached(people: People) -> None:
    lines = [Cap(Scope.LINE, name, f"the line {name}", Usd.parse("8")) for name in ("evals", "nights")]
    about: dict[str, Any] = {
        "by": "ada", "reason": "", "repository_id": 3, "comment": ("issue_comment", 9)
    }  # fmt: skip
    for thread, line in enumerate(lines, 1):
        opened(people, "8", line, thread=thread, line=line.id)
    for line in lines:
        standing = people.acknowledge(line, MONTH, **about)
        assert standing is not None
        assert standing.most == Usd.parse("10")
    assert [one.acknowledged for one in people.standings(lines, MONTH)] == [1, 1]


def test_a_month_is_told_in_one_report(people: People) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda n: people.tell(DANA, MONTH, f"run{n}"), range(8)))
    assert told.count(True) == 1
    assert people.tell(DANA, MONTH, f"run{told.index(True)}")  # the same story, told again after a crash
    assert not people.tell(DANA, MONTH, f"run{told.index(True)}", 2), "its next attempt has another report"
    assert people.tell(DANA, "2026-12", "another")


def test_a_run_that_goes_on_counts_once_and_is_clamped_like_a_launch(people: People) -> None:
    first = opened(people, "5", DANA, thread=1)
    spent(people, first.id, "5")
    people.runs.end(first.id, "halted", reason=Reason.COST)
    people.runs.finished(first.id, 1)
    opened(people, "190", DANA, thread=2)
    again = replace(first, ceilings=replace(first.ceilings, usd=Usd.parse("20")))
    assert people.reopen(1, again, (DANA,)) is True
    assert people.runs.get(first.id).ceilings.usd == Usd.parse("10")  # type: ignore[union-attr]
    [standing] = people.standings((DANA,), MONTH)
    assert (standing.spent, standing.held, standing.left) == (Usd.parse("5"), Usd.parse("195"), ZERO)
    assert people.reopen(1, again, (DANA,)) is False  # that attempt is over
    people.runs.end(first.id, "halted", reason=Reason.COST)
    people.runs.finished(first.id, 2)
    spent(people, first.id, "10")
    reached = people.reopen(2, again, (DANA,))
    assert isinstance(reached, Reached)
    assert reached.standing.spent == Usd.parse("10"), "what it has spent itself is told too"


def test_the_standing_is_the_sum_of_the_runs(people: People, database: Database) -> None:
    for thread in range(1, 6):
        one = opened(people, "10", DANA, thread=thread)
        spent(people, one.id, f"{thread}.000000001")
        if thread % 2:
            people.runs.end(one.id, "done")
    [standing] = people.standings((DANA,), MONTH)
    with database.read() as tx:
        rows = tx.execute(sa.select(runs.c.spent_nanos, runs.c.ceiling_nanos, runs.c.state)).all()
    assert standing.spent == total(Usd(row[0]) for row in rows)
    assert standing.held == total(Usd(row[1] - row[0]) for row in rows if row[2] == "open")
    assert [share.usd for share in people.dearest(DANA, MONTH, 2)] == [
        Usd(5_000_000_001), Usd(4_000_000_001),
    ]  # fmt: skip


def test_many_peoples_caps_stand_as_each_does_by_itself(people: People) -> None:
    caps = [Cap(Scope.PERSON, str(id), f"p{id}", Usd.parse("10")) for id in (7, 8, 9)]
    for id, usd, line, state in ((7, "4", "", "done"), (7, "1", "", "open"), (8, "2", "evals", "done")):
        run = opened(people, "5", actor_id=id, actor=f"p{id}", line=line, thread=None)
        spent(people, run.id, usd)
        if state != "open":
            people.runs.end(run.id, state)
    full = opened(people, "9.8", actor_id=8, actor="p8", thread=None)
    spent(people, full.id, "9.8")
    people.runs.end(full.id, "done")
    comment = ("issue_comment", 1)
    assert people.acknowledge(caps[1], MONTH, by="p8", reason="", repository_id=3, comment=comment)
    found = people.standings_of_people(caps, MONTH)
    assert found == people.standings(caps, MONTH)
    assert [(one.spent.exact, one.held.exact, one.live, one.acknowledged) for one in found] == [
        ("5", "4", 1, 0), ("9.8", "0", 0, 1), ("0", "0", 0, 0),
    ]  # fmt: skip
    assert people.standings_of_people((), MONTH) == ()
