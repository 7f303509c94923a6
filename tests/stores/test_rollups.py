"""The roll-up is the recount of the runs, and agrees with the caps."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.core.caps import Cap, Scope
from bot.core.money import Usd, total
from bot.stores.database import Database
from bot.stores.people import People
from bot.stores.rollups import Rollups
from bot.stores.runs import Runs
from tests.stores.test_people import MONTH, a_run

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_a_months_rollup_is_the_sum_of_its_runs_by_person(database: Database) -> None:
    people = People(database, Runs(database))
    spends = [
        ("dana", 7, "4.000000001", "", "done"), ("ann", 7, "1", "", "halted"),
        ("max", 8, "9", "evals", "done"), ("max", 8, "0.5", "", "open"), ("eve", 9, "0", "", "done"),
    ]  # fmt: skip
    url = {"thread": {"url": "https://github.com/o/r/issues/1"}}
    for thread, (actor, number, usd, line, state) in enumerate(spends, 1):
        new = a_run(thread=thread, actor=actor, actor_id=number, line=line, snapshot=url)
        people.runs.open(new)
        nanos = Usd.parse(usd).nanos
        people.runs.set(new.id, spent_nanos=nanos, steps=3, cost_read_nanos=nanos // 2, opened_at=thread)
        if state != "open":
            people.runs.end(new.id, state)
    people.runs.open(a_run(thread=90, month="2026-10"))
    found = Rollups(database).read(MONTH, NOW)
    assert [(one.name, one.usd.exact, one.tasks) for one in found.people] == [
        ("max", "9.5", 2), ("ann", "5.000000001", 2),
    ]  # fmt: skip
    max_, dana = found.people  # who is called ann now
    assert (max_.lines, dana.halted, dana.context) == (Usd.parse("9"), Usd.parse("1"), Usd(2_500_000_000))
    assert found.usd == total(Usd.parse(usd) for _, _, usd, _, _ in spends)
    assert found.elapsed == 1.0
    assert found.top[0].url == "https://github.com/o/r/issues/1"
    assert [task.usd for task in found.top] == sorted((task.usd for task in found.top), reverse=True)
    # Under a cap the same person has spent the same, but for what is on lines.
    for one, id in ((max_, "8"), (dana, "7")):
        (standing,) = people.standings((Cap(Scope.PERSON, id, one.name, Usd.parse("9")),), MONTH)
        assert standing.spent == one.usd - one.lines
    (own,) = Rollups(database).read(MONTH, NOW, actor_id=7).people
    assert own == dana
