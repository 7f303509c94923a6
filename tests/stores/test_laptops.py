"""A laptop's token: shown once, kept as its hash, good until it ends or is ended (P7)."""

from __future__ import annotations

import sqlalchemy as sa

from bot.core.ceilings import CLASSES
from bot.core.places import Repo
from bot.core.times import DAY_MS
from bot.stores.database import Database
from bot.stores.laptops import DAYS, Laptops
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id
from bot.stores.switch import Switch
from bot.stores.tables import laptops

DANA, HOME = (7, "dana"), Repo(9, 1, "acme/calendar")


def test_a_token_is_good_for_ninety_days_and_not_a_day_more(database: Database) -> None:
    store = Laptops(database)
    secret, made = store.make(DANA, "desk", HOME)
    assert store.of(secret) == made
    assert (made.actor_id, made.actor, made.machine, made.home) == (7, "dana", "desk", HOME)
    assert made.expires_at - made.made_at == DAYS * DAY_MS == 90 * 86_400_000
    with database.begin() as tx:
        tx.execute(sa.update(laptops).values(expires_at=database.now - 1))
    assert store.of(secret) is None
    assert store.all() == ()


def test_the_database_keeps_no_token(database: Database) -> None:
    secret, _ = Laptops(database).make(DANA, "desk", HOME)
    with database.read() as tx:
        kept = [str(cell) for row in tx.execute(sa.select(laptops)) for cell in row]
    assert secret not in kept
    assert Laptops(database).of(next(cell for cell in kept if len(cell) == 64)) is None


def test_who_ends_a_login_ends_it_for_good_and_is_told_what_it_still_runs(database: Database) -> None:
    store, runs = Laptops(database), Runs(database)
    secret, made = store.make(DANA, "desk", HOME)
    _, other = store.make((8, "max"), "desk", HOME)
    for n, laptop in enumerate((made, other, made)):
        run = NewRun(
            f"{n:012x}", "laptop", CLASSES["default"], "default", "claude", "", "p",
            comment_kind="laptop", comment_id=n, opened_by=laptop.opener,
        )  # fmt: skip
        assert runs.open(run)
    runs.end(f"{2:012x}", "done")
    assert store.revoke(made.id, "max", 8) is None, "it is not theirs"
    assert store.revoke(made.id, "dana", 7) == (f"{0:012x}",)
    assert store.of(secret) is None
    assert store.revoke(made.id, "dana", 7) is None
    assert [one.id for one in store.all()] == [other.id]
    assert [(one.by, one.action) for one in Switch(database).log()] == [
        ("dana", "revoked"), ("max", "logged in"), ("dana", "logged in"),
    ]  # fmt: skip


def test_what_a_laptop_asks_twice_is_one_run(database: Database) -> None:
    runs, opener = Runs(database), "laptop:a"
    asked = [
        NewRun(
            new_id(), "laptop", CLASSES["default"], "default", "claude", "", "p",
            comment_kind="laptop", comment_id=5, opened_by=opened_by,
        )
        for opened_by in (opener, opener, "laptop:b")
    ]  # fmt: skip
    assert [runs.open(one) for one in asked] == [True, False, True]
