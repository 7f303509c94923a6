"""Who looked is kept: each page of each day once, by whom, and no longer than was said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from bot.core.times import DAY_MS, MINUTE_MS
from bot.stores.database import NOW, Database
from bot.stores.views import KEPT_DAYS, LONGEST, Views


class Later:
    """A database whose clock is put forward."""

    def __init__(self, database: Database) -> None:
        with database.begin() as tx:
            tx.execute(sa.text("CREATE TABLE later (ms BIGINT)"))
            # The middle of a day: some minutes more are still the same one.
            off = DAY_MS // 2 - database.own_ms() % DAY_MS
            tx.execute(sa.text(f"INSERT INTO later VALUES ({off})"))
        self.database = Database(database.url, f"({NOW[database.kind]} + (SELECT ms FROM later))")

    def forward(self, ms: int) -> None:
        with self.database.begin() as tx:
            tx.execute(sa.text(f"UPDATE later SET ms = ms + {ms}"))


@pytest.fixture
def later(database: Database) -> Iterator[Later]:
    made = Later(database)
    yield made
    made.database.close()


def test_looks_within_a_minute_are_one_and_those_after_it_are_counted(later: Later) -> None:
    views = Views(later.database)
    for _ in range(3):
        views.record(7, "dana", "/people")
    later.forward(MINUTE_MS)
    views.record(7, "dana-new", "/people")
    views.record(8, "max", "/people")
    views.record(7, "dana-new", "/people/max")
    found = {(one.login, one.what): one.looks for one in views.read()}
    assert found == {("dana-new", "/people"): 2, ("max", "/people"): 1, ("dana-new", "/people/max"): 1}
    (page,) = [one for one in views.read(login="DANA-new") if one.what == "/people"]
    assert page.last_at - page.first_at >= MINUTE_MS


def test_the_latest_look_is_first_and_a_new_day_is_a_new_row(later: Later) -> None:
    views = Views(later.database)
    views.record(7, "dana", "/people")
    later.forward(DAY_MS)
    views.record(7, "dana", "/people")
    later.forward(1)
    views.record(8, "max", "/people")
    assert [(one.login, one.looks) for one in views.read()] == [("max", 1), ("dana", 1), ("dana", 1)]
    assert len(views.read(most=1)) == 1


def test_what_is_older_than_was_said_is_forgotten(later: Later) -> None:
    views = Views(later.database)
    views.record(7, "dana", "/people/max")
    later.forward(KEPT_DAYS * DAY_MS)
    views.record(7, "dana", "/people")
    assert len(views.read()) == 2
    later.forward(DAY_MS)
    views.record(8, "max", "/people")
    assert {one.what for one in views.read()} == {"/people"}


def test_a_path_of_any_length_is_kept_as_far_as_it_goes(later: Later) -> None:
    views = Views(later.database)
    views.record(7, "dana", "/people/" + "ü" * 2_000)
    assert [len(one.what) for one in views.read()] == [LONGEST]
