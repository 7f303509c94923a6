"""A delivery is recorded once and starts its story once, on both databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.deliveries import Deliveries, Refusals, RefusedAsk
from bot.stores.ledger import Ledger
from bot.stores.queue import Queue, Turn, migrate


@pytest.fixture
def queue(database: Database) -> Iterator[Queue]:
    migrate(database)
    made = Queue(database)
    yield made
    made.close()


@pytest.fixture
def deliveries(database: Database, queue: Queue) -> Iterator[Deliveries]:
    ledger = Ledger(database, "test")
    yield Deliveries(database, queue, ledger.driver)
    ledger.close()


def test_a_delivery_and_its_story_are_there_together(deliveries: Deliveries, queue: Queue) -> None:
    assert deliveries.record("d1", "issue_comment", "created", "launch.on_comment", {"a": 1})
    assert queue.status("d1") == "ENQUEUED"
    assert not deliveries.record("d1", "issue_comment", "created", "launch.on_comment", {"a": 1})
    assert queue.status("d1.2") is None


def over(database: Database, queue: Queue, key: str, status: str, days: int = 0) -> None:
    """Its story came to this, so many days ago."""
    known = queue._stories
    with database.begin() as tx:
        long_ago = database.now - days * 86_400_000 - 1
        mine = sa.update(known).where(known.c.workflow_uuid == key)
        tx.execute(mine.values(status=status, created_at=long_ago))


def come(deliveries: Deliveries) -> bool:
    turn = Turn("a thread", 7)
    return deliveries.record("d1", "issue_comment", "created", "launch.on_comment", {"a": 1}, turn=turn)


def test_a_delivery_whose_story_was_told_and_dropped_starts_nothing_when_it_comes_again(
    database: Database, deliveries: Deliveries, queue: Queue
) -> None:
    assert come(deliveries)
    over(database, queue, "d1", "SUCCESS", days=30)
    assert queue.drop_old(30) == 1
    for _ in range(2):
        assert not come(deliveries)
        assert (queue.status("d1"), queue.status("d1.2")) == (None, None)
    assert queue.waiting().queued == 0


def test_a_delivery_whose_story_failed_is_told_anew_until_that_is_dropped_too(
    database: Database, deliveries: Deliveries, queue: Queue
) -> None:
    assert come(deliveries)
    over(database, queue, "d1", "ERROR", days=30)
    for _ in range(2):
        assert not come(deliveries)
        assert (queue.status("d1.2"), queue.status("d1.3")) == ("ENQUEUED", None)
    over(database, queue, "d1.2", "SUCCESS", days=30)
    assert queue.drop_old(30) == 2
    assert not come(deliveries)
    assert queue.waiting().queued == 0


def test_a_story_that_has_to_be_told_is_put_also_where_it_is_gone(database: Database, queue: Queue) -> None:
    def again() -> list[str | None]:
        queue.again("finish.finish", "k", "a-run", 1)
        return [queue.status(key) for key in ("k", "k.2", "k.3")]

    assert again() == ["ENQUEUED", None, None]
    over(database, queue, "k", "ERROR", days=30)
    assert again() == ["ERROR", "ENQUEUED", None]
    over(database, queue, "k.2", "SUCCESS", days=30)
    assert again() == ["ERROR", "SUCCESS", None]
    assert queue.drop_old(30) == 2
    assert again() == ["ENQUEUED", None, None]


def test_what_is_of_no_interest_is_recorded_once_and_starts_nothing(
    deliveries: Deliveries, queue: Queue
) -> None:
    assert deliveries.note("d1", "star", "created")
    assert not deliveries.note("d1", "star", "created")
    assert deliveries.known(["d1", "d2"]) == {"d1"}
    assert deliveries.received_at("d1") is not None
    assert queue.status("d1") is None


@pytest.mark.parametrize("story", ["launch.on_comment", ""])
def test_the_same_delivery_at_once_is_recorded_once(deliveries: Deliveries, story: str) -> None:
    new = []

    def come() -> None:
        new.append(
            deliveries.record("d", "star", "", story, 1) if story else deliveries.note("d", "star", "")
        )

    threads = [Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False] * 7 + [True]


def test_many_that_come_at_once_are_each_recorded_once(deliveries: Deliveries) -> None:
    ids = [f"d{number}" for number in range(200)] * 2
    with ThreadPoolExecutor(32) as pool:
        new = list(pool.map(lambda id: deliveries.note(id, "star", ""), ids))
    assert sum(new) == 200
    assert deliveries.known(ids) == set(ids)


def test_a_story_is_enqueued_only_if_its_transaction_commits(database: Database, queue: Queue) -> None:
    with database.engine.connect() as tx, tx.begin() as transaction:
        queue.enqueue(tx, "launch.on_comment", "k", 1)
        transaction.rollback()
    assert queue.status("k") is None


def test_a_comment_acts_for_one_story_only(deliveries: Deliveries) -> None:
    assert deliveries.take(1, "issue_comment", 2, "d1")
    assert not deliveries.take(1, "issue_comment", 2, "d2")
    assert deliveries.take(1, "issue_comment", 2, "d1"), "told anew after a crash"
    assert deliveries.take(1, "review_comment", 2, "d3"), "ids are unique within a kind only"
    assert deliveries.take(7, "issue_comment", 2, "d4")


def test_one_of_many_that_ask_at_once_acts_for_a_comment(deliveries: Deliveries) -> None:
    acts = []
    threads = [
        Thread(target=lambda name=name: acts.append(deliveries.take(1, "issue_comment", 2, name)))
        for name in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acts) == [False] * 7 + [True]


def test_the_first_reason_of_a_refusal_stands(database: Database) -> None:
    refusals = Refusals(database)
    about: dict[str, Any] = {
        "repository_id": 1,
        "repository": "o/r",
        "thread": 2,
        "actor": "a",
        "actor_id": 5,
    }
    about |= {"comment_kind": "issue_comment"}
    for reason in ("first", "second"):
        refusals.record(**about, comment_id=3, reason=reason, message="m")
    assert refusals.of(1, "issue_comment", 3) == ("first", "m")
    refusals.record(**about | {"actor": "b", "actor_id": 6}, comment_id=4, reason="first", message="m")
    assert refusals.last(1, 2, "first") == RefusedAsk((6, "b"), None)
    refusals.record(**about, comment_id=5, reason="first", message="m", run="a-run")
    assert refusals.last(1, 2, "first") == RefusedAsk((5, "a"), "a-run")
    assert refusals.last(1, 2, "second") is None
    assert refusals.last(1, 3, "first") is None


def test_of_two_with_the_same_number_the_first_is_the_first(database: Database, queue: Queue) -> None:
    """The engine takes them by number, then by when they were enqueued; the keys are made to mislead it."""
    keys = [f"{letter}-delivery" for letter in "zyxwvu"]
    for key in keys:
        queue.put("launch.on_comment", key, turn=Turn("a thread", 7))
        time.sleep(0.002)
    place = "" if database.kind == "sqlite" else "dbos."
    with database.read() as tx:
        order = tx.exec_driver_sql(
            f"SELECT workflow_uuid FROM {place}workflow_status ORDER BY priority, created_at, workflow_uuid"
        )
        assert list(order.scalars()) == keys
