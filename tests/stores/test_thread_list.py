"""Pull requests and issues with what was spent on each: every run once, page after page."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest

from bot.core.money import Usd
from bot.core.signals import EVERYTHING, Only
from bot.core.thread_list import HAVING, SORTS, STATES, ThreadCost, Wanted
from bot.stores.database import Database
from bot.stores.run_rows import LAPTOP
from bot.stores.thread_list import ThreadList
from tests.stores.ledgers import HOUR, START, Rows, random_rows
from tests.stores.test_signals import CENT, World

LATER = START + 100 * 24 * HOUR


def ledger(random: Random, database: Database) -> Rows:
    """A random one, whose runs share some threads, pull requests and issues."""
    rows = random_rows(random, 40)
    for run in rows.runs:
        if run["thread"] is not None and run["state"] != "running":
            run["thread"] = random.randint(11, 19)  # no pull request of the ledger
        run["thread_kind"] = None if run["thread"] is None else ("issue", "pull")[run["thread"] % 2]
    rows.put(database)
    return rows


def plain(rows: Rows, since: int, until: int, only: Only) -> dict[tuple[int, int], int]:
    """Nano-dollars by place, counted by a loop."""
    belongs = {one["run"]: (one["repository_id"], one["number"]) for one in rows.attributions}
    merged = {(pull["repository_id"], pull["number"]): pull["merged_at"] for pull in rows.pulls}
    found: dict[tuple[int, int], int] = defaultdict(int)
    last: dict[tuple[int, int], int] = defaultdict(int)
    for run in rows.runs:
        to = belongs.get(run["id"])
        place = to or (run["repository_id"], run["thread"])
        if None in place or (only.visible is not None and place[0] not in only.visible):
            continue
        if to is None and only.visible is not None and run["repository_id"] not in only.visible:
            continue
        if only.task_class and run["task_class"] != only.task_class:
            continue
        found[place] += run["spent_nanos"]
        last[place] = merged[place] if to else max(last[place], run["opened_at"])
    return {place: nanos for place, nanos in found.items() if since <= last[place] < until}


def pages(database: Database, wanted: Wanted, size: int) -> list[ThreadCost]:
    store, found = ThreadList(database), list[ThreadCost]()
    while True:
        some = store.read(wanted, size)
        found += some
        if len(some) < size:
            return found
        wanted = Wanted(
            wanted.only, wanted.since, wanted.until, wanted.state, wanted.having, wanted.sort,
            some[-1].mark(wanted.sort),
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_every_run_counts_once_and_every_page_goes_on_where_the_last_ended(
    database: Database, seed: int
) -> None:
    random = Random(seed)
    rows = ledger(random, database)
    since = START + random.randrange(40 * 24) * HOUR
    for window in ((0, LATER), (since, since + 9 * 24 * HOUR)):
        for only in (EVERYTHING, Only(visible=frozenset({1})), Only(task_class="bugfix")):
            counted = plain(rows, *window, only)
            for sort in SORTS:
                found = pages(database, Wanted(only, *window, sort=sort), 3)
                assert {(one.repository_id, one.number): one.usd.nanos for one in found} == counted
                values = [one.mark(sort) for one in found]
                assert values == sorted(
                    values, key=lambda mark: (mark.value, mark.repository, mark.number), reverse=True
                )
                parts = [one for state in STATES for one in pages(database, Wanted(only, *window, state), 3)]
                assert sorted(parts, key=str) == sorted(found, key=str), "each stands in one way"
            for having in HAVING:
                some = pages(database, Wanted(only, *window, having=having), 3)
                whole = pages(database, Wanted(only, *window), 100)
                assert some == [one for one in whole if getattr(one, having)]
                apart = [
                    one
                    for state in STATES
                    for one in pages(database, Wanted(only, *window, state, having), 9)
                ]
                assert sorted(apart, key=str) == sorted(some, key=str)


def test_each_is_told_as_github_and_its_last_run_have_it(database: Database) -> None:
    world, now = World(database), Database.now_ms(database)
    snapshot = {"thread": {"title": "Ünï <b>"}}
    world.run(1, Usd(0), thread_kind="issue", snapshot={"thread": {"title": "as it was called before"}})
    world.run(1, CENT, thread_kind="issue", snapshot=snapshot)
    world.run(2, CENT * 2, thread_kind="pull", snapshot=snapshot)
    world.run(3, CENT * 3, thread_kind="pull", reason="cost_ceiling")
    world.run(4, CENT * 4, thread_kind="pull")
    world.run(5, CENT * 5, thread_kind="pull", origin=LAPTOP)
    world.close(3)
    world.merge(4)
    world.merge(6, reverts=4)
    found = ThreadList(database).read(Wanted(EVERYTHING, 0, now + 10**9), 50)
    told = {one.number: (one.state, one.title, one.author, one.usd, one.halted) for one in found}
    assert told == {
        1: ("issue", "Ünï <b>", "", CENT, Usd(0)),
        2: ("open", "Ünï <b>", "", CENT * 2, Usd(0)),
        3: ("closed", "PR 3", "ann", CENT * 3, CENT * 3),
        4: ("merged", "PR 4", "ann", CENT * 4, Usd(0)),
        5: ("open", "", "", CENT * 5, Usd(0)),
    }
    assert [one.number for one in found if one.reverted] == [4]
