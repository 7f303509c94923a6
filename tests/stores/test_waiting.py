"""Runs in line are let in once each, as there is room and money, whoever looks, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.caps import Cap, Scope
from bot.core.ceilings import Reason
from bot.core.money import Usd
from bot.core.waiting import Concurrency, Limit, Waiting, admissible, limits
from bot.stores import queue
from bot.stores.blobs import Blobs
from bot.stores.database import Database
from bot.stores.deliveries import Refusals, RefusedAsk
from bot.stores.fitting import Under
from bot.stores.handover import Handover
from bot.stores.people import People, Queued
from bot.stores.queue import Queue
from bot.stores.run_rows import NewRun, Run
from bot.stores.runs import Runs
from bot.stores.switch import Paused, Switch
from bot.stores.tables import LIVE, STARTED, runs
from bot.stores.waiting import Asked, Stories, WaitingLine, counted
from tests.stores.test_people import DANA, MONTH, a_run

MOST = Concurrency(person=2, repository=3)
STORIES = Stories("admit.admitted", "finish.finish")


class World:
    """Launches and looks under one policy, as the stories do them."""

    def __init__(self, database: Database, caps: tuple[Cap, ...] = ()) -> None:
        queue.migrate(database)
        self.database, self.queue, self.caps = database, Queue(database), caps
        self.people = People(database, Runs(database))
        self.line = WaitingLine(database, self.queue)

    def launch(self, thread: int, person: int = 7, *, usd: str = "5", **given: Any) -> object:
        new = a_run(usd, thread=thread, actor_id=person, actor=f"p{person}", **given)
        return self.people.open(new, self.caps, limits=self.limits(new))

    @staticmethod
    def limits(run: NewRun | Run) -> tuple[Limit, ...]:
        return limits(MOST, (run.actor_id or 0, run.actor), (run.repository_id or 0, run.repository))

    def look(self, why: str = "", month: str = MONTH) -> frozenset[str]:
        """One look; `why`: nobody may start any more."""
        known = {run.id: run for run in self.line.all()}
        line = [Waiting(counted(run), self.limits(run), run.queued_at or 0) for run in known.values()]
        asked = [
            Asked(run, why or Under(self.caps, self.limits(run), month))
            for run in (known[one.one.run] for one in admissible(line, self.line.live()))
        ]
        return self.line.admit(asked, STORIES)

    def end(self, thread: int, spent: str = "0") -> None:
        run = self.of(thread)
        self.people.runs.set(run.id, spent_nanos=Usd.parse(spent).nanos)
        assert self.people.runs.end(run.id, "done")

    def of(self, thread: int) -> Run:
        with self.database.read() as tx:
            id = tx.execute(sa.select(runs.c.id).where(runs.c.thread == thread)).scalar_one()
        found = self.people.runs.get(id)
        assert found is not None
        return found

    def states(self) -> dict[str, int]:
        with self.database.read() as tx:
            rows = tx.execute(sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state)).all()
        return {row[0]: row[1] for row in rows}

    def told(self, run: Run) -> str | None:
        return self.queue.status(f"admit-{run.id}-{run.attempt}")


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = World(database)
    yield made
    made.queue.close()


def test_who_finds_no_room_waits_for_nothing_and_is_let_in_once(world: World) -> None:
    assert [world.launch(thread) for thread in (1, 2, 3)] == [True, True, Queued()]
    waits = world.of(3)
    assert (waits.state, waits.live, waits.lease_until_at, waits.dispatched_at) == (
        "queued",
        True,
        None,
        None,
    )
    assert world.launch(3, 8) is False, "it is its thread's one run (L3)"
    world.look()
    assert world.of(3).state == "queued"
    assert world.told(waits) is None
    world.end(1)
    world.look()
    world.look()
    let_in = world.of(3)
    assert let_in.state == "open"
    assert let_in.lease_until_at is not None
    assert world.told(let_in) == "ENQUEUED"


def test_a_new_one_does_not_overtake_those_who_wait(world: World) -> None:
    assert [world.launch(thread, person) for thread, person in ((1, 7), (2, 8), (3, 9), (4, 10))][
        3
    ] == Queued()
    world.end(1)
    assert world.launch(5, 11) == Queued(), "there is room, and somebody waits for it"
    world.look()
    assert (world.of(4).state, world.of(5).state) == ("open", "queued")


def test_what_cannot_wait_is_refused_and_leaves_no_row(world: World) -> None:
    for thread in (1, 2):
        world.launch(thread)
    new = a_run(thread=3)
    full = world.people.open(new, (), limits=world.limits(new), waits=False)
    assert str(full) == "dana has 2 runs at once, as many as it may have"
    assert world.people.runs.get(new.id) is None


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_what_ends_in_line_costs_nothing_and_is_finished_at_once(
    world: World, database: Database, how: str
) -> None:
    for thread in (1, 2, 3):
        world.launch(thread)
    run = world.of(3)
    if how == "stop":
        world.end(1)
        world.people.runs.end(run.id, "halted", reason=Reason.STOPPED)
    else:
        Switch(database).pause("", "ada", "")
    world.look()
    ended = world.of(3)
    assert (ended.state, ended.reason, ended.spent.usd) == ("halted", Reason.STOPPED, Usd(0))
    assert world.told(ended) is None
    overdue = Handover(database, world.queue, Blobs(database)).overdue()
    assert [one.run for one in overdue] == [run.id]


def test_a_switch_that_was_thrown_meanwhile_holds_at_the_admission(world: World, database: Database) -> None:
    for thread in (1, 2, 3):
        world.launch(thread)
    Switch(database).pause("", "ada", "an audit")
    # As if its launch had begun before: the switch's own statement did not see it.
    with database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.thread == 3).values(state="queued", reason=None))
    world.look()
    ended = world.of(3)
    assert ended.state == "refused"
    assert "paused everywhere by ada: an audit" in ended.message
    assert isinstance(world.people.open(a_run(thread=9), ()), Paused)


def test_who_may_not_start_any_more_is_refused_with_the_reason(world: World) -> None:
    for thread in (1, 2, 3):
        world.launch(thread)
    world.end(1)
    world.look(why="dana is not a member of the budget line `evals`")
    ended = world.of(3)
    assert (ended.state, ended.message) == ("refused", "dana is not a member of the budget line `evals`")
    assert world.queue.status(f"finish-{ended.id}-1") == "ENQUEUED"


def test_money_is_taken_at_the_admission_in_its_month(database: Database) -> None:
    world = World(database, (replace(DANA, usd=Usd.parse("12")),))
    for thread in (1, 2, 3, 4):
        world.launch(thread)
    [standing] = world.people.standings(world.caps, MONTH)
    assert standing.held == Usd.parse("10"), "what waits holds nothing"
    world.end(1, spent="5")
    world.look()
    third = world.of(3)
    assert third.ceilings.usd == Usd.parse("2")
    assert third.clamps == ("cost: $5.00 is more than what dana's cap for 2026-11 leaves: $2.00 of $12.00",)
    world.end(2, spent="4.80")
    assert world.look() == {world.of(4).id}, "a live run holds what it lacks: it waits on"
    world.end(3, spent="2")
    world.look()
    ended = world.of(4)
    assert (ended.state, ended.reason) == ("refused", Reason.CAP_REACHED)
    assert "dana's cap for 2026-11 is reached: $11.80 of $12.00 spent" in ended.message
    refused = Refusals(database).last(3, 4, "cap_reached")
    assert refused == RefusedAsk((7, "p7"), None), "an acknowledgement there is for this person"
    world.launch(5, month="2026-12")
    world.launch(6, month="2026-12")
    assert world.launch(7, month="2026-11", usd="0.10") == Queued()
    world.end(5)
    world.look(month="2026-12")
    assert world.of(7).month == "2026-12"
    world.queue.close()


def test_a_sweep_lines_up_all_of_its_items_and_has_so_many_at_once(database: Database) -> None:
    world = World(database)
    most = Limit(Scope.SWEEP, "s1", "sweep s1", 2)
    total = Cap(Scope.SWEEP, "s1", "sweep s1", Usd.parse("12"))
    for _ in range(5):
        with database.begin() as tx:
            item = a_run("5", thread=None, sweep="s1", line="evals")
            assert world.people.runs.open_in(tx, item, queued=True)
    for _ in range(2):
        asked = [Asked(run, Under((total,), (most,), MONTH)) for run in world.line.all()]
        world.line.admit(asked, STORIES)
    assert world.states() == {"open": 2, "queued": 3}
    [standing] = world.people.standings((total,), "2027-01")
    assert standing.held == Usd.parse("10"), "its total knows no month"
    world.queue.close()


@pytest.mark.slow
def test_many_who_look_at_once_let_in_each_once_and_never_too_many(database: Database) -> None:
    world = World(database)
    # Each with connections of its own, as other processes have.
    others = [World(Database(database.url)) for _ in range(2)]
    for thread in range(1, 25):
        world.launch(thread, person=thread % 4)
    with ThreadPoolExecutor(6) as pool:
        for _ in range(24):
            list(pool.map(lambda n: (world, *others)[n % 3].look(), range(6)))
            with database.read() as tx:
                rows = tx.execute(sa.select(runs.c.actor_id, runs.c.thread).where(runs.c.state.in_(STARTED)))
                live = [tuple(row) for row in rows.all()]
            assert len(live) <= MOST.repository
            assert all(sum(who == person for who, _ in live) <= MOST.person for person in range(4))
            left = world.states().get("queued", 0)
            assert len(live) == min(MOST.repository, left + len(live)), "nobody waits beside room"
            if not live:
                break
            world.end(live[0][1])
    assert world.states() == {"done": 24}
    for one in (world, *others):
        one.queue.close()
    for one in others:
        one.database.close()


@pytest.mark.slow
def test_a_pause_while_many_are_let_in_leaves_nobody_live(world: World, database: Database) -> None:
    switch = Switch(database)
    for start in range(0, 40, 10):
        for thread in range(start, start + 10):
            world.launch(thread, person=thread)
        first = [thread for thread in range(start, start + 10) if world.of(thread).state == "open"]
        for thread in first:
            world.end(thread)
        with ThreadPoolExecutor(4) as pool:
            looks = [pool.submit(world.look) for _ in range(2)]
            pool.submit(switch.pause, "", "ada", "").result()
            for look in looks:
                look.result()
        assert set(world.states()) <= {"done", "halted", "refused"}
        switch.unpause("", "ada")


@pytest.mark.slow
def test_launches_and_looks_side_by_side_keep_every_limit(database: Database) -> None:
    world = World(database)
    most = 0

    def act(number: int) -> None:
        if number % 3:
            world.launch(number, person=number % 5)
        else:
            world.look()

    with ThreadPoolExecutor(8) as pool:
        for start in range(0, 60, 12):
            list(pool.map(act, range(start, start + 12)))
            with database.read() as tx:
                started = sa.select(sa.func.count()).where(runs.c.state.in_(STARTED))
                most = max(most, tx.execute(started).scalar_one())
            live = sa.select(runs.c.thread).where(runs.c.state.in_(STARTED)).order_by(runs.c.thread).limit(1)
            with database.read() as tx:
                first = tx.execute(live).scalar_one()
            world.end(first)
    assert most == MOST.repository
    assert sum(world.states().values()) == 40
    assert set(world.states()) <= {*LIVE, "done"}
    world.queue.close()
