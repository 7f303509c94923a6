"""A sweep's row and its runs on both databases: opened whole, one a thread, ended when all of it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.core.ceilings import CLASSES
from bot.core.money import Usd
from bot.stores.database import Database
from bot.stores.people import People
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs
from bot.stores.sweeps import Again, NewSweep, Sweep, Sweeps
from bot.stores.switch import Paused, Switch
from bot.stores.threads import Threads

REPO = 11


@pytest.fixture
def sweeps(database: Database) -> Sweeps:
    return Sweeps(database, Runs(database))


def new(id: str = "5e0000000001", thread: int = 7, comment: int = 100) -> NewSweep:
    return NewSweep(
        id=id,
        installation=9,
        repository_id=REPO,
        repository="acme/calendar",
        thread=thread,
        comment_id=comment,
        actor="dana",
        actor_id=3,
        line="refresh",
        parallel=2,
        total=Usd.parse("6.000000001"),
        each=CLASSES["sweep"],
        url="https://github.com/acme/calendar/issues/7",
        opened_by="d1",
        clamps=("total: less",),
    )


def items(sweep: NewSweep, count: int = 3) -> list[NewRun]:
    return [run(sweep, number) for number in range(1, count + 1)]


def run(sweep: NewSweep, number: int) -> NewRun:
    return NewRun(
        id=f"{sweep.id[:10]}{number:02d}",
        origin="github",
        ceilings=sweep.each,
        task_class="sweep",
        engine="opus",
        model="m",
        price_book="p",
        actor="dana",
        actor_id=3,
        month="2026-11",
        line="refresh",
        installation=9,
        repository_id=REPO,
        repository="acme/calendar",
        thread=sweep.thread,
        sweep=sweep.id,
        item=number,
        comment_kind=f"sweep.{number}",
        comment_id=sweep.comment_id,
        opened_by="d1",
    )


def plain(thread: int = 7, comment: int = 200, id: str = "aaaaaaaaaaaa") -> NewRun:
    bare = replace(run(new(), 1), sweep="", item=None, line="", comment_kind="issue_comment")
    return replace(bare, id=id, thread=thread, comment_id=comment)


def as_it_is(sweeps: Sweeps, id: str) -> Sweep:
    found = sweeps.get(id)
    assert found is not None
    return found


def ended(sweeps: Sweeps, ids: Sequence[str], state: str = "done") -> None:
    for id in ids:
        sweeps.runs.end(id, state)
        sweeps.runs.finished(id, 1)


def test_it_is_opened_with_all_of_its_items_once(sweeps: Sweeps) -> None:
    asked = new()
    assert sweeps.open(asked, items(asked)) is True
    assert sweeps.open(replace(asked, id="5e0000000002"), []) is False, "of its comment there is one"
    known = sweeps.of_comment(REPO, 100)
    assert known is not None
    assert (known.id, known.parallel, known.total, known.each) == (asked.id, 2, asked.total, asked.each)
    assert (known.clamps, known.live, known.attempt, known.ticked) == (("total: less",), True, 1, frozenset())
    assert [(one.item, one.state) for one in sweeps.items(asked.id)] == [
        (1, "queued"), (2, "queued"), (3, "queued")
    ]  # fmt: skip


def test_a_thread_has_one_live_thing_a_run_or_a_sweep(sweeps: Sweeps) -> None:
    people, threads, asked = People(sweeps.database, sweeps.runs), Threads(sweeps.database), new()
    assert people.open(plain(), ()) is True
    assert sweeps.open(asked, items(asked)) is False
    sweeps.runs.end("aaaaaaaaaaaa", "done")
    assert sweeps.open(asked, items(asked)) is True
    assert sweeps.open(new("5e0000000002", comment=101), []) is False
    assert people.open(plain(comment=201, id="bbbbbbbbbbbb"), ()) is False
    assert people.open(plain(thread=8, comment=202, id="cccccccccccc"), ()) is True, "another thread"
    assert threads.live(REPO, 7) is None, "its items are not the thread's run"
    assert len(threads.all(REPO, 7)) == 4


def test_it_is_over_when_every_item_has_ended_and_been_reported(sweeps: Sweeps) -> None:
    asked = new()
    sweeps.open(asked, items(asked))
    one, two, three = (each.id for each in items(asked))
    ended(sweeps, [one, two])
    assert not sweeps.over(asked.id)
    sweeps.runs.end(three, "failed")
    assert not sweeps.over(asked.id), "its report does not stand yet"
    sweeps.runs.finished(three, 1)
    assert sweeps.over(asked.id)
    assert not sweeps.over(asked.id)
    assert sweeps.live(REPO, 7) is None
    assert sweeps.to_tell(0) == (asked.id,), "its last word is not said"
    sweeps.told(as_it_is(sweeps, asked.id), "digest")
    assert sweeps.to_tell(0) == ()
    sweeps.touch(asked.id)
    assert sweeps.to_tell(0) == (asked.id,), "something has changed since"


def test_a_stop_halts_what_has_not_ended_and_only_that(sweeps: Sweeps) -> None:
    asked = new()
    sweeps.open(asked, items(asked))
    one, two, three = (each.id for each in items(asked))
    sweeps.runs.end(one, "done")
    said = dict.fromkeys((one, two, three), "halted: stopped by ada")
    assert sweeps.stop(asked.id, "ada", said) == (two, three)
    assert [(each.state, each.message) for each in sweeps.items(asked.id)] == [
        ("done", ""), ("halted", "halted: stopped by ada"), ("halted", "halted: stopped by ada")
    ]  # fmt: skip
    known = sweeps.get(asked.id)
    assert known is not None
    assert known.stopped_by == "ada"


def test_it_goes_on_once_with_what_is_not_finished(sweeps: Sweeps) -> None:
    asked = new()
    sweeps.open(asked, items(asked))
    one, two, three = (each.id for each in items(asked))
    ended(sweeps, [one])
    ended(sweeps, [two, three], "halted")
    again = Again(1, 5, Usd.parse("20"), asked.each, "ada", "d2", (), [(1, items(asked)[1], {"by": "ada"})])
    assert sweeps.reopen(asked.id, again) is False, "it is live"
    assert sweeps.over(asked.id)
    assert sweeps.reopen(asked.id, again) is True
    assert sweeps.reopen(asked.id, again) is False, "it has gone on already"
    assert [(each.state, each.attempt) for each in sweeps.items(asked.id)] == [
        ("done", 1), ("queued", 2), ("halted", 1)
    ]  # fmt: skip
    known = sweeps.get(asked.id)
    assert known is not None
    assert (known.attempt, known.parallel, known.total, known.resumed_by) == (2, 5, Usd.parse("20"), "ada")


def test_nothing_is_opened_or_goes_on_where_nothing_runs(sweeps: Sweeps) -> None:
    asked, switch = new(), Switch(sweeps.database)
    sweeps.open(asked, items(asked, 1))
    ended(sweeps, [items(asked)[0].id], "halted")
    sweeps.over(asked.id)
    switch.pause("acme/calendar", "root", "an incident")
    other = new("5e0000000002", thread=8, comment=101)
    assert isinstance(sweeps.open(other, items(other)), Paused)
    assert sweeps.get(other.id) is None
    again = Again(1, 5, asked.total, asked.each, "ada", "d2", (), [(1, items(asked)[0], {})])
    assert isinstance(sweeps.reopen(asked.id, again), Paused)


def test_one_process_tells_at_a_time_and_a_dead_ones_lease_ends(sweeps: Sweeps) -> None:
    asked = new()
    sweeps.open(asked, items(asked))
    assert sweeps.begin_telling(asked.id, 0)
    assert not sweeps.begin_telling(asked.id, 0)
    assert sweeps.to_tell(0) == ()
    sweeps.set(asked.id, reporting_until_at=1)
    assert sweeps.begin_telling(asked.id, 0)
    sweeps.end_telling(asked.id)
    assert not sweeps.begin_telling(asked.id, 60_000), "it was told just now"
    assert sweeps.to_tell(60_000) == ()


def test_a_last_word_is_none_where_an_item_has_changed_or_it_goes_on_since(sweeps: Sweeps) -> None:
    asked = new()
    sweeps.open(asked, items(asked))
    ended(sweeps, [one.id for one in items(asked)], "halted")
    assert sweeps.over(asked.id)
    sweeps.set(asked.id, ended_at=1)
    slow = as_it_is(sweeps, asked.id)
    sweeps.touch(asked.id)  # one of them was accepted while it was told
    sweeps.told(slow, "before")
    assert sweeps.to_tell(0) == (asked.id,)
    sweeps.told(as_it_is(sweeps, asked.id), "now")
    assert sweeps.to_tell(0) == ()
    further: list[tuple[int, NewRun, dict[str, Any]]] = [(1, run(asked, 1), {})]
    again = Again(1, 2, asked.total, asked.each, "ada", "d2", (), further)
    assert sweeps.reopen(asked.id, again) is True
    sweeps.told(slow, "before")
    assert as_it_is(sweeps, asked.id).live
    assert sweeps.to_tell(0) == (asked.id,), "or it would be live for ever"


def test_the_boxes_that_are_ticked_add_up(sweeps: Sweeps) -> None:
    asked = new()
    sweeps.open(asked, items(asked))
    sweeps.tick(asked.id, [2])
    sweeps.tick(asked.id, [1, 2])
    known = sweeps.get(asked.id)
    assert known is not None
    assert known.ticked == {1, 2}
    with sweeps.database.read() as tx:
        assert json.loads(tx.exec_driver_sql("SELECT ticked FROM sweeps").scalar_one()) == [1, 2]
