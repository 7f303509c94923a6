"""Weeks of an organisation behind the dashboard: thousands of runs, and the names that people really give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from benchmarks.seed import YEAR, seed
from bot.core.reconcile import COSTS
from bot.stores.tables import pulls, runs
from tests.web.dashboard_world import World, dashboard_world

RUNS = 2_000
WEEKS = 8 * 7 * 86_400_000
POLICY = """
caps: {everyone: $200, people: {dana: $40}, installation: $5000, repositories: {acme/calendar: $900}}
lines:
  evals: {monthly: $500, members: [dana]}
  the-line-with-the-longest-name-there-is: {monthly: $50, members: [max]}
viewers: {role: maintain, people: [ren, ada], admins: [ada]}
"""
LINE = "the-line-with-the-longest-name-there-is"
LOGIN = "a-login-that-is-as-long-as-github-lets-"  # 39 characters
PLACES = (
    "acme/b",
    "acme/a-repository-whose-name-is-as-long-as-anybody-ever-made-one-without-a-space-in-it-and-then-some",
    "an-organisation-with-quite-a-long-name/api",
    "acme/web.frontend_2",
)
TITLES = (
    "Mend the leap year",
    "日付の計算を直す、うるう年と月末の処理をまとめて見直し、テストを追加する",
    "إصلاح حساب السنة الكبيسة في التقويم",
    'Fix 🐛 in 👩‍👩‍👧‍👦 emoji handling of `titles` <b>and</b> "quotes" & ampersands',
    "AbstractSingletonProxyFactoryBeanConfigurationPostProcessorRegistryInitializationStrategyHolderImplementation",
)


@contextmanager
def large_world(folder: Path) -> Iterator[World]:
    """`benchmarks.seed` at a moderate size; four in five of its runs are where people may read them."""
    with dashboard_world(folder, POLICY) as world:
        about, database = world.github.about, world.services.database
        # So few come one after the other in the first weeks of the seed's year: let those be the last ones.
        seed(database, 0, RUNS, database.now_ms() + YEAR - WEEKS, lambda said: None)
        readable = [(about["repository_id"], about["repository"])] + [
            world.repository(name) for name in PLACES
        ]
        people = {0: "dana", 1: "max", 2: "ada", 3: LOGIN}
        with database.begin() as tx:
            tx.execute(sa.text("UPDATE runs SET month = strftime('%Y-%m', opened_at / 1000, 'unixepoch')"))
            tx.execute(sa.update(runs).values(installation=about["installation_id"]))
            tx.execute(sa.update(pulls).values(installation=about["installation_id"]))
            for number, login in people.items():
                id = world.number(login) if login != LOGIN else 10**9
                same = runs.c.actor_id % 20 == number
                tx.execute(sa.update(runs).where(same).values(actor=login, actor_id=id))
            longest = sa.and_(runs.c.line == "evals", runs.c.thread % 2 == 0)
            tx.execute(sa.update(runs).where(longest).values(line=LINE))
            for number, title in enumerate(TITLES):
                tx.execute(sa.update(pulls).where(pulls.c.number % len(TITLES) == number).values(title=title))
            _dear(tx)
            for table in ("runs", "pulls", "attributions"):
                _move(tx, table, readable)
        yield world


def _dear(tx: sa.Connection) -> None:
    """One in forty pull requests is an outlier."""
    dear, costs = "SELECT id FROM runs WHERE thread % 40 = 0", ("nanos", *COSTS)
    for table, key, names in (("turns", "run", costs), ("runs", "id", ("spent_nanos", *COSTS))):
        more = ", ".join(f"{name} = {name} * 7" for name in names)
        tx.execute(sa.text(f"UPDATE {table} SET {more} WHERE {key} IN ({dear})"))


def _move(tx: sa.Connection, table: str, readable: list[tuple[int, str]]) -> None:
    """Its repositories, which the seed numbers from 0, to those that GitHub knows; one in six to nowhere."""
    every = len(readable) + 1
    named = table != "attributions"
    for number, (id, name) in enumerate(readable):
        setting = "repository_id = :id" + (", repository = :name" if named else "")
        where = f"repository_id < 1000000 AND repository_id % {every} = {number}"
        values = {"id": id} | ({"name": name} if named else {})
        tx.execute(sa.text(f"UPDATE {table} SET {setting} WHERE {where}"), values)
