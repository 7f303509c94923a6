"""A person who is forgotten is in no row any more, and every sum is what it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.caps import Cap, Scope
from bot.core.money import Usd
from bot.core.times import DAY_MS
from bot.stores import forgetting as store
from bot.stores import tables
from bot.stores.database import Database
from bot.stores.forgetting import Forgetting, Lives
from bot.stores.people import People
from bot.stores.rollups import Rollups
from bot.stores.runs import Runs
from bot.stores.signals import SignalStore
from tests.gateways import ROOT
from tests.stores.ledgers import random_rows
from tests.stores.test_people import MONTH, a_run, opened

# Columns of text that never have a person, by table: ids, words of ours, what GitHub calls its things.
NOBODY = {
    "runs": "id origin repository thread_kind comment_kind line key_name sweep month opened_by task_class"
    " engine model effort rules state reason token_hash price_book workflow_url settled_as settled_in"
    " reported_digest",
    "sweeps": "id repository line url each opened_by ticked reported_digest",
    "turns": "run state owner model_asked model key_name request_id price_book stop_reason ending"
    " usage prefix",
    "quarters": "run model",
    "ends": "run repository line task_class engine state reason",
    "days": "run model repository line task_class engine state reason",
    "rolled": "name",
    "pool_corrections": "key_name model price_book",
    "drifts": "report day key_name model kind part runs hint",
    "cursor_events": "model kind month",
    "deliveries": "id event action story",
    "looks": "name holder",
    "handled": "comment_kind story",
    "months": "scope month told_in",
    "acknowledgements": "comment_kind scope month",
    "switches": "repository",
    "policies": "repository branch sha",  # and the file: who is in it is taken out of the file
    "audit": "action repository",
    "labelings": "delivery label",
    "approvals": "sha repository role",
    "refusals": "repository comment_kind reason run",
    "onboardings": "repository state url",
    "pulls": "repository title base",  # what GitHub shows to all who may see it
    "attributions": "run because",
    "processes": "id kind place",
}
OTHERS = {
    ("cursor_events", "email"),
    ("months", "owner"),
    ("acknowledgements", "owner"),
    ("acknowledgements", "name"),
}
EMPTIED = {"task", "last_lines", "result", "branch"}


def texts(table: sa.Table) -> Iterator[str]:
    yield from (column.name for column in table.columns if isinstance(column.type, sa.String | sa.Text))


def test_every_column_of_text_is_taken_care_of_or_known_to_name_nobody() -> None:
    cared = {(table.name, name) for table, _, name in store.NUMBERED}
    cared |= {(table.name, name) for table, name in store.NAMED}
    cared |= {(table.name, name) for table, names in store.MENTIONED for name in names}
    cared |= {("runs", name) for name in EMPTIED} | OTHERS
    gone = {table.name for table, _, _ in store.DELETED} | {"blobs"}
    for table in tables.metadata.sorted_tables:
        if table.name not in gone:
            known = set(NOBODY.get(table.name, "").split())
            assert {name for name in texts(table) if (table.name, name) not in cared} == known, table.name


def everything(database: Database) -> str:
    """All that is in the database, as text in lower case."""
    with database.read() as tx:
        rows = [[*row] for table in tables.metadata.sorted_tables for row in tx.execute(sa.select(table))]
    return json.dumps(rows, default=str).lower()


def mentioned(database: Database) -> None:
    """Dana is spoken of in every place that may."""
    about = {"by": "dana", "role": "write", "who": ["@Dana said so", "danae"], "text": "label by dana."}
    with database.begin() as tx:
        for table, columns in store.MENTIONED:
            if table is not tables.views:
                tx.execute(sa.update(table).values({name: json.dumps(about) for name in columns}))
        tx.execute(sa.update(tables.runs).where(tables.runs.c.actor_id == 7).values(task="I, Dana, ask"))
        now = {"opened_at": 1, "looked_at": 1, "until_at": 1}
        tx.execute(
            sa.insert(tables.sessions).values(id="s", person=7, login="dana", sealed="x", seen="[]", **now)
        )
        values = {"day": 1, "looks": 1, "first_at": 1, "last_at": 1}
        tx.execute(sa.insert(tables.views).values(person=7, login="dana", what="/", **values))
        tx.execute(sa.insert(tables.views).values(person=8, login="max", what="/people/dana", **values))


def known(database: Database, seed: int, count: int) -> None:
    """So many runs, none of them live, and Dana in every place."""
    rows = random_rows(Random(seed), count)
    for row in rows.runs:
        row["state"] = "done" if row["state"] in tables.LIVE else row["state"]
    rows.put(database)
    mentioned(database)


def test_nothing_of_a_person_is_left_and_every_sum_is_what_it_was(database: Database) -> None:
    known(database, seed=4, count=40)
    signals = SignalStore(database)
    signals.roll("UTC")
    before = signals.read(0, 1 << 44)
    by_person = sorted(one.usd.nanos for one in signals.read(0, 1 << 44, by="developer").shares)
    assert "dana" in everything(database)
    store_ = Forgetting(database)
    would = store_.forget("DANA", "ops", really=False)
    assert "dana" in everything(database)
    told = store_.forget("DANA", "ops")
    assert (told.changed, told.deleted) == (would.changed, would.deleted)
    left = everything(database).replace("danae", "")
    assert "dana" not in left, left[max(0, left.find("dana") - 200) :][:300]
    assert told.pseudonym in left
    assert "danae" in everything(database), "who is called something longer stays"
    after = signals.read(0, 1 << 44)
    assert (after.spent, after.estimated, after.unattributed) == (
        before.spent,
        before.estimated,
        before.unattributed,
    )
    assert sorted(one.usd.nanos for one in signals.read(0, 1 << 44, by="developer").shares) == by_person
    with database.read() as tx:
        roles = {json.loads(one)["role"] for one in tx.execute(sa.select(tables.runs.c.snapshot)).scalars()}
        [entry] = tx.execute(sa.select(tables.audit)).all()
    assert roles == {"write"}
    assert (entry.by, entry.action, json.loads(entry.about)["who"]) == ("ops", "forgotten", told.pseudonym)
    again = store_.forget("dana", "ops")
    assert (again.changed, again.deleted) == ({}, {}), "there is nobody of that name"


def test_a_month_stays_what_it_was_under_the_pseudonym(database: Database) -> None:
    people = People(database, Runs(database))
    cap = Cap(Scope.PERSON, "7", "dana", Usd.parse("10"))
    for thread, usd in ((1, "6"), (2, "5")):
        new = opened(people, usd, thread=thread)
        people.runs.set(new.id, spent_nanos=Usd.parse(usd).nanos)
        people.runs.end(new.id, "done")
    assert people.acknowledge(cap, MONTH, by="dana", reason="more", repository_id=3, comment=("c", 1))
    [was] = people.standings((cap,), MONTH)
    told = Forgetting(database).forget("dana", "ops")
    with database.read() as tx:
        [(number, name)] = tx.execute(sa.select(tables.runs.c.actor_id, tables.runs.c.actor).distinct()).all()
    assert (name, number < 0) == (told.pseudonym, True)
    [now] = people.standings((Cap(Scope.PERSON, str(number), name, cap.usd),), MONTH)
    assert (now.spent, now.acknowledged) == (was.spent, was.acknowledged)
    [one] = Rollups(database).read(MONTH, database.utc()).people
    assert (one.name, one.usd) == (told.pseudonym, Usd.parse("11"))


def test_who_has_a_live_run_or_shares_the_name_is_not_forgotten(database: Database) -> None:
    people = People(database, Runs(database))
    live = opened(people, "5", thread=1)
    with pytest.raises(Lives, match=live.id):
        Forgetting(database).forget("dana", "ops")
    people.runs.end(live.id, "done")
    people.runs.open(a_run(thread=2, actor_id=9))
    with pytest.raises(Lives, match="2 people"):
        Forgetting(database).forget("dana", "ops")
    assert "dana" in everything(database)


def test_of_cursor_only_what_no_import_compares_any_more_is_renamed(database: Database) -> None:
    now = database.now_ms()
    values: dict[str, Any] = {"model": "m", "kind": "k", "month": MONTH, "booked_at": now, "nanos": 5}
    with database.begin() as tx:
        for at in (now - 40 * DAY_MS, now - DAY_MS):
            tx.execute(sa.insert(tables.cursor_events).values(at=at, email="d@example.org", **values))
    told = Forgetting(database).forget("dana", "ops", email="D@example.org")
    assert (told.later, told.changed) == (1, {"cursor_events": 1})
    with database.read() as tx:
        emails = tx.execute(
            sa.select(tables.cursor_events.c.email).order_by(tables.cursor_events.c.at)
        ).scalars()
        assert emails.all() == [told.pseudonym, "d@example.org"]


def test_killed_half_way_nothing_is_forgotten_and_the_next_time_all_is(database: Database) -> None:
    known(database, seed=5, count=12)
    before = everything(database)
    dying = [sys.executable, "-m", "tests.stores.dying_forgetting", database.url, "dana"]
    died = int(subprocess.run(dying, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert died > 5
    assert everything(database) == before
    told = Forgetting(database).forget("dana", "ops")
    assert sum([*told.changed.values(), *told.deleted.values()]) > 20
    assert "dana" not in everything(database).replace("danae", "")
