"""No installation asks GitHub for more than GitHub gives, whatever many processes do, on both databases."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
import sqlalchemy as sa

from bot.clients.github.pace import APP, LIVE, ORDINARY, REPORT, share_of
from bot.stores.database import Database
from bot.stores.pace import LONGEST_WAIT, SECONDARY_WAIT, DatabasePace
from bot.stores.tables import content, paces

A, B = 1, 2


def pass_(database: Database, seconds: float) -> None:
    """Time goes by."""
    ms = round(seconds * 1000)
    with database.begin() as tx:
        tx.execute(sa.update(content).values(made_at=content.c.made_at - ms))
        tx.execute(sa.update(paces).values(limited_until_at=paces.c.limited_until_at - ms))


def granted(pace: DatabasePace, installation: int, share: float, tries: int) -> int:
    return sum(pace.ask(installation, share) == 0 for _ in range(tries))


def test_what_many_take_at_once_is_counted_one_after_the_other(database: Database) -> None:
    """Sixteen threads, each with its own store, as so many processes."""
    got: list[int] = []
    ready = Barrier(16)

    def take() -> None:
        mine = DatabasePace(database, per_minute=40)
        ready.wait()
        got.append(granted(mine, A, REPORT, 5))

    threads = [Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 40


def test_no_minute_and_no_hour_has_more_wherever_it_begins(database: Database) -> None:
    pace = DatabasePace(database, per_minute=10, per_hour=25)
    taken: list[float] = []
    now = 0.0
    while now < 2 * 3600:
        taken += [now] * granted(pace, A, REPORT, 4)
        pass_(database, 20)
        now += 20
    for start in range(0, 2 * 3600, 20):
        assert sum(start <= at < start + 60 for at in taken) <= 10
        assert sum(start <= at < start + 3600 for at in taken) <= 25
    assert len(taken) >= 50, "and what may be had is had"


def test_a_live_comment_gives_way_and_a_report_has_room_left(database: Database) -> None:
    pace = DatabasePace(database, per_minute=80)
    assert granted(pace, A, LIVE, 100) == 40
    assert granted(pace, A, ORDINARY, 100) == 32
    assert granted(pace, A, REPORT, 100) == 8
    assert 0 < pace.ask(A, REPORT) <= 60
    assert pace.ask(A, None) == 0, "reading creates nothing"


def test_one_installation_takes_nothing_from_another(database: Database) -> None:
    pace = DatabasePace(database, per_minute=5)
    assert (granted(pace, A, REPORT, 9), granted(pace, B, REPORT, 9)) == (5, 5)
    pace.limited(A, 600.0)
    assert 0 < pace.ask(A, None) <= 600
    assert (pace.ask(B, None), pace.ask(APP, None)) == (0, 0)


def test_what_github_said_to_one_process_holds_for_all_until_then(database: Database) -> None:
    one, other = DatabasePace(database), DatabasePace(database)
    assert one.limited(A, 1200.0) == 1200.0
    assert 1190 < other.ask(A, REPORT) <= 1200
    one.limited(A, 5.0)
    assert other.ask(A, None) > 1190, "what was said before is not made shorter"
    pass_(database, 1201)
    assert other.ask(A, None) == 0


def test_a_limit_without_a_time_is_a_minute_and_then_longer_and_longer(database: Database) -> None:
    pace = DatabasePace(database)
    waits = []
    for _ in range(7):
        waits.append(pace.limited(A, None))
        assert pace.limited(A, None) <= waits[-1], "said to several requests at once, it is said once"
        pass_(database, waits[-1] + 1)
    assert waits[:3] == [SECONDARY_WAIT, 2 * SECONDARY_WAIT, 4 * SECONDARY_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert pace.ask(A, None) == 0
    pace.answered(A)
    assert pace.limited(A, None) == SECONDARY_WAIT, "once it was well, it begins anew"


@pytest.mark.parametrize(
    ("verb", "path", "share"),
    [
        ("GET", "/repos/o/r/issues/1/comments", None),
        ("POST", "graphql", None),
        ("POST", "/repos/o/r/issues/1/comments", ORDINARY),
        ("POST", "/repos/o/r/issues/comments/1/reactions", ORDINARY),
        ("POST", "/repos/o/r/pulls", ORDINARY),
        ("POST", "/repos/o/r/check-runs", ORDINARY),
        ("POST", "/repos/o/r/actions/workflows/agent.yml/dispatches", ORDINARY),
        ("PATCH", "/repos/o/r/issues/comments/1", REPORT),
        ("PATCH", "/repos/o/r/check-runs/1", REPORT),
        ("POST", "/repos/o/r/git/commits", REPORT),
        ("PATCH", "/repos/o/r/git/refs/heads/x", REPORT),
        ("POST", "/repos/o/r/git/blobs", None),
        ("POST", "/repos/o/r/actions/runs/1/cancel", None),
        ("POST", "/app/installations/1/access_tokens", None),
    ],
)
def test_what_creates_content_is_counted_and_how_a_run_ends_comes_first(
    verb: str, path: str, share: float | None
) -> None:
    assert share_of(verb, path) == share
