"""Between a runner and its last report: leases, one result, one decision, one editor of the comment."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest
import sqlalchemy as sa

from bot.core.ceilings import CLASSES, Reason
from bot.core.times import DAY_MS
from bot.stores.blobs import Blobs
from bot.stores.database import Database
from bot.stores.handover import CHANGESET, TRANSCRIPT, Handover, finish_key
from bot.stores.queue import Queue, migrate
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, token_hash
from bot.stores.tables import blobs, runs


class World:
    def __init__(self, database: Database, queue: Queue) -> None:
        self.database, self.queue, self.runs = database, queue, Runs(database)
        self.handover = Handover(database, queue, Blobs(database))

    def running(self, thread: int = 7) -> str:
        new = NewRun(
            id=new_id(), origin="github", ceilings=CLASSES["bugfix"], task_class="bugfix", engine="opus",
            model="m", price_book="p", repository_id=1, thread=thread, comment_kind="issue_comment",
            comment_id=int(new_id(), 16),
        )  # fmt: skip
        assert self.runs.open(new)
        assert self.runs.claim(new.id, 1, token_hash(new.id), 100)
        return new.id

    def set(self, run: str, **columns: object) -> None:
        with self.database.begin() as tx:
            tx.execute(sa.update(runs).where(runs.c.id == run).values(columns))

    def aged(self, days: int) -> None:
        """So much time goes by for all that is kept."""
        with self.database.begin() as tx:
            tx.execute(sa.update(blobs).values(stored_at=blobs.c.stored_at - days * DAY_MS))

    def take(self, run: str, body: bytes = b"{}", attempt: int = 1) -> bool:
        return self.handover.take(run, attempt, body, "finish.finish")


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    migrate(database)
    queue = Queue(database)
    yield World(database, queue)
    queue.close()


def test_a_result_is_taken_once_and_has_the_run_finished(world: World) -> None:
    run = world.running()
    assert world.take(run)
    assert world.queue.status(finish_key(run, 1)) == "ENQUEUED"
    assert world.take(run), "the same again, because its answer was lost"
    assert not world.take(run, b"another")
    assert not world.take(run, attempt=2)
    assert world.handover.result(run, 1) == b"{}"


def test_after_the_decision_no_result_is_taken(world: World) -> None:
    run = world.running()
    world.handover.decide(run, 1)
    assert not world.take(run)
    assert world.handover.result(run, 1) is None


def test_of_two_results_at_once_one_is_taken(world: World) -> None:
    run, taken = world.running(), []
    threads = [Thread(target=lambda n=n: taken.append(world.take(run, b"%d" % n))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 5 + [True]


def test_work_so_far_is_kept_in_the_place_of_what_was_there_and_the_newest_attempts_counts(
    world: World,
) -> None:
    run = world.running()
    assert world.handover.latest(run, TRANSCRIPT) is None
    assert world.handover.keep(run, 1, {TRANSCRIPT: b"one turn", CHANGESET: b"{}"})
    assert world.handover.keep(run, 1, {TRANSCRIPT: b"two turns"})
    assert world.handover.latest(run, TRANSCRIPT) == (1, b"two turns")
    assert world.handover.latest(run, CHANGESET) == (1, b"{}")
    assert not world.handover.keep(run, 2, {TRANSCRIPT: b"of an attempt that there is not"})
    world.set(run, attempt=2)
    assert world.handover.keep(run, 2, {TRANSCRIPT: b"three turns"})
    assert world.handover.latest(run, TRANSCRIPT) == (2, b"three turns")
    assert world.handover.latest(run, CHANGESET) == (1, b"{}")
    world.handover.decide(run, 2)
    assert not world.handover.keep(run, 2, {TRANSCRIPT: b"too late"})
    assert world.handover.latest(run, TRANSCRIPT) == (2, b"three turns")


def test_what_is_kept_of_an_ended_run_goes_when_its_retention_is_over(world: World) -> None:
    old, live, short = world.running(1), world.running(2), world.running(3)
    for run in (old, live, short):
        assert world.handover.keep(run, 1, {TRANSCRIPT: b"talk", CHANGESET: b"{}"})
    world.set(short, retention_days=2)
    for run in (old, short):
        world.runs.end(run, "halted", reason=Reason.COST)
        world.runs.finished(run, 1)
    assert world.handover.drop_old(30) == 0
    world.aged(5)
    assert world.handover.drop_old(30) == 2
    kept = [world.handover.latest(run, TRANSCRIPT) is not None for run in (old, live, short)]
    assert kept == [True, True, False]
    assert world.handover.drop_old(4) == 2, "the service's own word bounds every run's"
    assert world.handover.latest(live, TRANSCRIPT) is not None


def test_tool_calls_only_grow_and_a_beat_extends_the_lease(world: World) -> None:
    run = world.running()
    world.set(run, lease_until_at=0)
    assert [found.run for found in world.handover.overdue()] == [run]
    for calls in (5, 3, None):
        world.handover.beat(run, calls)
    found = world.runs.get(run)
    assert found is not None
    assert found.spent.tool_calls == 5
    assert world.handover.overdue() == ()


def test_what_nobody_ends_any_more_is_overdue(world: World) -> None:
    halted = world.running(1)
    world.runs.end(halted, "halted", reason=Reason.COST)
    assert world.handover.overdue() == (), "its runner still has the time to hand in what it made"
    world.set(halted, ended_at=1)
    assert [found.run for found in world.handover.overdue()] == [halted]
    world.handover.decide(halted, 1)
    assert world.handover.overdue() == ()
    assert world.handover.unfinished() == ()
    world.set(halted, finishing_at=1)
    assert [found.run for found in world.handover.unfinished()] == [halted]
    world.runs.finished(halted, 1)
    assert world.handover.unfinished() == ()


def test_a_run_past_its_deadline_is_found(world: World) -> None:
    run = world.running()
    assert world.handover.past_deadline() == ()
    world.set(run, deadline_at=1)
    assert world.handover.past_deadline() == (run,)


def test_one_at_a_time_edits_a_live_comment_and_nobody_after_the_end(world: World) -> None:
    run, every = world.running(), 60_000
    assert world.handover.to_report(every) == (), "it has no comment yet"
    world.runs.set(run, report_comment_id=9)
    assert [found.id for found in world.handover.to_report(every)] == [run]
    assert world.handover.begin_report(run, every)
    assert not world.handover.begin_report(run, every)
    assert world.handover.being_reported(run)
    world.handover.end_report(run, "digest")
    assert not world.handover.being_reported(run)
    assert world.handover.digest(run) == "digest"
    assert world.handover.to_report(every) == (), "it was edited just now"
    world.set(run, reported_at=1)
    world.handover.decide(run, 1)
    assert not world.handover.begin_report(run, every)


@pytest.mark.parametrize(("ago", "may"), [(0, False), (1_000, False), (19_000, False), (20_500, True)])
def test_a_live_comment_is_edited_at_most_once_in_twenty_seconds(world: World, ago: int, may: bool) -> None:
    run, every = world.running(), 20_000
    world.runs.set(run, report_comment_id=9)
    assert world.handover.begin_report(run, every)
    world.handover.end_report(run, "digest")
    world.set(run, reported_at=world.database.now_ms() - ago)
    assert world.handover.begin_report(run, every) is may
    assert not world.handover.begin_report(run, every), "not by two at once either"


def test_a_result_that_knows_of_no_changes_hides_none_that_were_uploaded(world: World) -> None:
    run = world.running()
    world.handover.keep(run, 1, {CHANGESET: b'{"base": "a"}'})
    world.take(run, b'{"changeset": null}')
    assert world.handover.changes(run) == b'{"base": "a"}'
    other = world.running(8)
    world.handover.keep(other, 1, {CHANGESET: b'{"base": "a"}'})
    world.take(other, b'{"changeset": {"base": "b"}}')
    assert world.handover.changes(other) == b'{"base": "b"}'
