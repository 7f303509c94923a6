"""The list of runs: each once, in order, whatever is asked for; nobody sees more than `Sight.run` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from bot.core.run_list import Listed, Mark, Wanted
from bot.core.signals import Only
from bot.core.visibility import HIDDEN, Sight
from bot.stores.database import Database
from bot.stores.run_list import RunList
from tests.stores.ledgers import HOUR, START, Row, Rows, random_rows

EVERYTHING = Sight(0, everyone=True, readable=frozenset({1, 2}))
SIGHTS = [
    pytest.param(Sight(7), id="their own"),
    pytest.param(Sight(9), id="none of their own"),
    pytest.param(
        Sight(8, people_in=frozenset({1}), readable=frozenset({1, 2})), id="theirs and a repository"
    ),
    pytest.param(Sight(8, everyone=True, readable=frozenset({2})), id="everyone"),
]


@pytest.fixture
def rows(database: Database) -> Rows:
    """Random runs, of which some were launched in the same millisecond."""
    made = random_rows(Random(5), 120)
    for row in made.runs[::3]:
        row["opened_at"] = START + HOUR
    made.put(database)
    return made


def pages(store: RunList, asked: Wanted, sight: Sight, most: int) -> list[Listed]:
    """All of them, page by page."""
    found: list[Listed] = []
    while True:
        before = found[-1].mark if found else None
        page = store.read(replace(asked, before=before), sight, most)
        found += page
        if len(page) < most:
            return found


@pytest.mark.parametrize("sight", SIGHTS)
def test_a_run_is_listed_where_it_may_be_seen_and_nowhere_else(
    database: Database, rows: Rows, sight: Sight
) -> None:
    found = RunList(database).read(Wanted(), sight, 1_000)
    may = {row["id"] for row in rows.runs if sight.run(row["repository_id"], row["actor_id"])}
    assert {one.run for one in found} == may
    for one in found:
        hidden = not sight.name(one.repository_id, one.actor_id)
        assert (one.repository == HIDDEN, one.thread is None or not hidden) == (hidden, True)


@pytest.mark.parametrize("most", [1, 7, 50])
def test_pages_have_every_run_once_newest_first(database: Database, rows: Rows, most: int) -> None:
    found = pages(RunList(database), Wanted(), EVERYTHING, most)
    assert sorted(one.run for one in found) == sorted(row["id"] for row in rows.runs)
    assert all((a.opened_at, a.run) > (b.opened_at, b.run) for a, b in pairwise(found))


ASKED = [
    pytest.param(Wanted(state="halted"), lambda row: row["state"] == "halted", id="a state"),
    pytest.param(Wanted(state="live"), lambda row: row["state"] == "running", id="live"),
    pytest.param(Wanted(reason="stuck_loop"), lambda row: row["reason"] == "stuck_loop", id="a reason"),
    pytest.param(Wanted(engine="aider"), lambda row: False, id="an engine"),
    pytest.param(Wanted(Only(task_class="bugfix")), lambda row: row["task_class"] == "bugfix", id="a class"),
    pytest.param(Wanted(Only(line="")), lambda row: row["line"] == "", id="no line"),
    pytest.param(Wanted(Only(line="evals")), lambda row: row["line"] == "evals", id="a line"),
    pytest.param(Wanted(Only(developer="DANA-new")), lambda row: row["actor_id"] == 7, id="an old name"),
    pytest.param(Wanted(Only(repository="o/API")), lambda row: row["repository_id"] == 1, id="a repository"),
    pytest.param(
        Wanted(since=START + HOUR, until=START + 9 * HOUR),
        lambda row: START + HOUR <= row["opened_at"] < START + 9 * HOUR,
        id="a time",
    ),
]


@pytest.mark.parametrize(("asked", "right"), ASKED)
def test_filters_leave_what_is_right_on_every_page(
    database: Database, rows: Rows, asked: Wanted, right: Callable[[Row], bool]
) -> None:
    expected = {row["id"] for row in rows.runs if right(row)}
    assert {one.run for one in pages(RunList(database), asked, EVERYTHING, 9)} == expected


def test_who_asks_for_a_repository_that_is_hidden_from_them_learns_nothing(
    database: Database, rows: Rows
) -> None:
    sight = Sight(8, everyone=True, readable=frozenset({2}))
    found = RunList(database).read(Wanted(Only(repository="o/api")), sight, 1_000)
    own = {row["id"] for row in rows.runs if row["repository_id"] == 1 and row["actor_id"] == 8}
    assert {one.run for one in found} == own


def test_one_run_is_found_as_the_list_has_it_or_not_at_all(database: Database, rows: Rows) -> None:
    store, sight = RunList(database), Sight(7)
    listed = {one.run: one for one in store.read(Wanted(), sight, 1_000)}
    for row in rows.runs:
        assert store.one(row["id"], sight) == listed.get(row["id"])
    assert store.one("no such run", sight) is None


def test_a_place_in_the_list_is_read_back_and_nothing_else_is_one() -> None:
    mark = Mark(1_790_000_000_000, "0123456789ab")
    assert Mark.parse(str(mark)) == mark
    for told in (
        "1",
        "-1-0123456789ab",
        "1-0123456789ab ",
        f"{10**16}-0123456789ab",
        "1-0123456789AB",
        "\u0661-0123456789ab",
    ):
        assert Mark.parse(told) is None, told
