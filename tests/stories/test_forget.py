"""What is kept of people goes: by the day with what is old, and of one person by a command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.services import Services
from bot.stories import forget
from bot.stories.receive import Received, receive
from tests import samples
from tests.stores.test_people import a_run
from tests.stories import agents
from tests.stories.service import ROOT, Service, serving

DAY_MS = 86_400_000


def test_what_is_old_goes_and_what_is_young_or_under_way_stays(service: Services) -> None:
    services, days = service, service.policy.retention
    new = a_run(thread=1, retention=days)
    assert services.runs.open(new)
    for key in ("old", "young", "waits"):
        services.queue.put("finish.finish", key, new.id, 1)
    known = services.queue._stories
    with services.database.begin() as tx:
        over = sa.update(known).where(known.c.workflow_uuid != "waits").values(status="SUCCESS")
        tx.execute(over)
        long_ago = services.database.now - days * DAY_MS - 1
        tx.execute(sa.update(known).where(known.c.workflow_uuid != "young").values(created_at=long_ago))
    services.sessions.open("cookie", 7, "dana", "sealed", -1, ())
    forget.what_is_old(services)
    assert [services.queue.status(key) for key in ("old", "young", "waits")] == [None, "SUCCESS", "ENQUEUED"]
    assert services.sessions.live() == ()
    with services.database.read() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM sessions")).scalar_one() == 0
    forget.what_is_old(services)


def test_a_delivery_of_somebody_who_was_forgotten_brings_nothing_of_them_back(service: Services) -> None:
    said = samples.payload("issue_comment", "created", on_pull=True, comment="/agent fix it, says dana-k")
    said["comment"]["user"] |= {"login": "dana-k", "id": 4711}
    said["sender"] |= {"login": "dana-k", "id": 4711}
    assert receive(service, "a-delivery", "issue_comment", said).new
    known = service.queue._stories
    with service.database.begin() as tx:
        tx.execute(sa.update(known).values(status="SUCCESS"))
    assert forget.person(service, "dana-k", "ada").deleted["stories"] == 1
    assert receive(service, "a-delivery", "issue_comment", said) == Received("launch.on_comment", False)
    with service.database.read() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(known)).scalar_one() == 0


@pytest.fixture
def serves(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, f"sqlite:///{tmp_path / 'tollgate.db'}", agents.done()) as made:
        made.worker()
        yield made


@pytest.mark.slow
def test_a_person_is_forgotten_with_their_stories_and_what_was_spent_stays(serves: Service) -> None:
    def bot(*words: str) -> str:
        command = [sys.executable, "-m", "bot", *words]
        done = subprocess.run(command, env=serves.env, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    serves.github.comment("dana", 2, "/agent fix cost=$2\nplease, says dana")
    serves.until("SELECT count(*) = 1 FROM runs WHERE finished_at IS NOT NULL")
    spent = serves.rows("SELECT sum(spent_nanos), count(*) FROM runs")
    stories = "SELECT count(*) FROM workflow_status WHERE name IN ('launch.on_comment', 'finish.finish')"
    serves.until(f"SELECT ({stories} AND status = 'SUCCESS') = 2")
    first = bot("forget", "dana")
    assert "Nothing was changed yet" in first
    assert serves.rows("SELECT actor FROM runs") == [("dana",)]
    done = bot("forget", "dana", "--yes")
    assert "deleted  stories" in done
    assert "deleted  blobs" in done
    assert serves.rows("SELECT sum(spent_nanos), count(*) FROM runs") == spent
    [(name, task)] = serves.rows("SELECT actor, task FROM runs")
    assert (f"dana is {name} from here on" in done, task) == (True, "")
    assert serves.rows(stories) == [(0,)]
    assert "Nothing is kept of dana" in bot("forget", "dana", "--yes")
    # A delivery that comes again after its story is gone brings nothing back.
    [delivery] = [one["id"] for one in serves.github.deliveries("issue_comment")][:1]
    [again] = serves.github.redeliver(delivery)
    serves.github.wait(
        lambda c: [one for one in c.deliveries() if one["id"] == again and one["status"] != "pending"]
    )
    assert serves.rows(stories) == [(0,)]
    assert serves.rows("SELECT count(*) FROM runs") == [(1,)]
    assert "Nothing is kept of dana" in bot("forget", "dana", "--yes")
