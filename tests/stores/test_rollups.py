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


def spent_runs(people: People, *rows: tuple[str, int, str, int, str, str]) -> None:
    """Ended runs: who, their number, dollars, repository, line, launched at (UTC)."""
    for thread, (actor, number, usd, repository, line, at) in enumerate(rows, 1):
        new = a_run(
            thread=thread, actor=actor, actor_id=number, line=line,
            repository_id=repository, repository=f"acme/{repository}",
        )  # fmt: skip
        people.runs.open(new)
        opened = round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
        people.runs.set(new.id, spent_nanos=Usd.parse(usd).nanos, steps=1, opened_at=opened)
        people.runs.end(new.id, "done")


def test_every_split_of_a_month_sums_up_to_it_whoever_and_wherever_is_asked_for(database: Database) -> None:
    people, store = People(database, Runs(database)), Rollups(database)
    spent_runs(
        people,
        ("dana", 7, "4.000000001", 3, "", "2026-11-01T00:10:00"),
        ("dana", 7, "2", 4, "evals", "2026-11-02T12:00:00"),
        ("max", 8, "9", 4, "", "2026-11-02T12:10:00"),
        ("eve", 9, "0", 4, "", "2026-11-03T12:10:00"),
    )
    asked: list[tuple[int | None, set[int] | None, str]] = [
        (None, None, "15.000000001"), (7, None, "6.000000001"), (None, {4}, "11"), (7, {3}, "4.000000001"),
        (7, set(), "0"), (None, {99}, "0"),
    ]  # fmt: skip
    for actor, where, whole in asked:
        splits = (
            total(one.usd for one in store.read(MONTH, NOW, "UTC", actor, where).people),
            total(one.usd for one in store.by_repository(MONTH, actor, where)),
            total(one.usd for one in store.by_line(MONTH, actor, where)),
            total(store.by_day(MONTH, "UTC", actor, where).values()),
        )
        assert {one.exact for one in splits} == {whole}, (actor, where)
    assert [(one.name, one.usd.exact, one.tasks) for one in store.by_line(MONTH, 7)] == [
        ("", "4.000000001", 1), ("evals", "2", 1),
    ]  # fmt: skip
    assert [task.usd.exact for task in store.tasks(MONTH, 9)] == ["0"], "also what cost nothing"


def test_a_day_is_one_where_people_live(database: Database) -> None:
    people, store = People(database, Runs(database)), Rollups(database)
    spent_runs(
        people, ("dana", 7, "1", 3, "", "2026-11-01T23:50:00"), ("dana", 7, "2", 3, "", "2026-11-02T10:00:00")
    )
    assert {day: usd.exact for day, usd in store.by_day(MONTH, "UTC").items()} == {1: "1", 2: "2"}
    assert {day: usd.exact for day, usd in store.by_day(MONTH, "Asia/Kathmandu").items()} == {2: "3"}
    assert store.by_day(MONTH, "UTC", line="evals") == {}


def test_a_person_is_found_by_the_name_that_they_had_last_and_where_one_may_look(database: Database) -> None:
    people, store = People(database, Runs(database)), Rollups(database)
    spent_runs(
        people,
        ("dana", 7, "1", 3, "", "2026-11-01T10:00:00"),
        ("dana-b", 7, "1", 3, "", "2026-11-02T10:00:00"),
        ("dana", 8, "1", 4, "", "2026-11-03T10:00:00"),  # somebody else has the name now
    )
    assert store.person("DANA") == (8, "dana")
    assert store.person("dana-b") == (7, "dana-b")
    assert store.person("dana", {3}) == (7, "dana-b")
    assert store.person("dana", set()) is None
    assert store.person("nobody") is None
