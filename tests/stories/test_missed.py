"""What GitHub could not deliver is found in its log and received once, in its order, whatever went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.core import events
from bot.services import Services
from bot.stores.looks import DELIVERIES, Looks
from bot.stores.processes import Process
from bot.stores.tables import deliveries, looks
from bot.stories import missed
from bot.stories.durable import Aside, Story
from bot.stories.receive import receive
from sandbox.github.client import Client
from sandbox.processes import start
from sandbox.world_up import free_port
from tests.contracts.checker import contract
from tests.stories.doors import door

ISSUE = 1


@pytest.fixture
def github(tmp_path: Path) -> Iterator[Client]:
    """The sandbox's GitHub, whose webhook goes nowhere; every exchange is held to the published contract."""
    traffic = tmp_path / "traffic.ndjson"
    with start("github", traffic=traffic, data=tmp_path / "data", app_key=tmp_path / "app.pem") as running:
        yield Client(running.url)
    lines = [json.loads(line) for line in traffic.read_text(encoding="utf-8").splitlines()]
    assert [violation for line in lines for violation in contract().exchange(line)] == []


@pytest.fixture
def service(migrated_url: str, github: Client, tmp_path: Path) -> Iterator[Services]:
    """Services before that GitHub, which have looked once: what comes from now on is theirs to answer."""
    told = settings.read(
        {
            "DATABASE_URL": migrated_url,
            "PUBLIC_URL": "https://tollgate.example",
            "GITHUB_APP_ID": str(github.about["app_id"]),
            "GITHUB_APP_PRIVATE_KEY": str(tmp_path / "app.pem"),
            "GITHUB_WEBHOOK_SECRET": "s",
            "GITHUB_API_URL": github.url,
            "ANTHROPIC_API_KEY": "sk-ant-test",
        }
    )
    with services.opened(told, "worker") as opened:
        missed.look(opened)
        yield opened


def tried(github: Client, event: str = "issue_comment") -> Any:
    """The deliveries, once the last one was attempted."""
    return github.wait(
        lambda c: (found := c.deliveries(event)) and found[-1]["status"] != "pending" and found
    )


def looked(service: Services) -> list[missed.Missed]:
    found: list[missed.Missed] = []
    assert missed.look(service, found.append)
    return found


def rows(service: Services) -> list[tuple[str, str | None]]:
    with service.database.read() as tx:
        return [
            (row.id, row.story)
            for row in tx.execute(sa.select(deliveries).order_by(deliveries.c.received_at))
        ]


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(502, id="answered with an error"),
        pytest.param(None, id="timed out, which GitHub's own filter for failures leaves out"),
        pytest.param(200, id="answered by a proxy in our place"),
        pytest.param(0, id="no connection"),
    ],
)
def test_what_did_not_come_is_received_from_githubs_log(
    github: Client, service: Services, status: int | None
) -> None:
    with door(status or None if status != 0 else 500) as url:
        github.hook(url if status != 0 else f"http://127.0.0.1:{free_port()}", patience=0.3)
        github.comment("dana", ISSUE, "/agent help")
        [sent] = tried(github)
    [found] = looked(service)
    assert (found.guid, found.outcome) == (sent["guid"], "started launch.on_comment")
    assert service.queue.status(sent["guid"]) == "ENQUEUED"
    assert rows(service) == [(sent["guid"], "launch.on_comment")]
    assert looked(service) == [], "once"
    assert service.looks.standing(DELIVERIES)[1] == 1, "and counted once"


def test_what_came_and_what_starts_nothing_is_left_alone(github: Client, service: Services) -> None:
    with door(500) as url:
        github.hook(url)
        github.comment("dana", ISSUE, "/agent help")
        github.close("ada", ISSUE)
        [sent] = tried(github)
        tried(github, "issues")
    service.deliveries.note(sent["guid"], "issue_comment", "created")
    assert looked(service) == []


def test_more_than_a_page_is_received_in_the_order_in_which_it_was_sent(
    github: Client, service: Services
) -> None:
    github.hook(f"http://127.0.0.1:{free_port()}")
    for number in range(130):
        github.comment("dana", ISSUE, f"/agent help\n{number}")
    sent = [one["guid"] for one in tried(github)]
    assert [found.guid for found in looked(service)] == sent
    assert [row[0] for row in rows(service)] == sent
    place = "" if service.database.kind == "sqlite" else "dbos."
    with service.database.read() as tx:
        turns = tx.exec_driver_sql(
            f"SELECT workflow_uuid FROM {place}workflow_status ORDER BY priority, created_at, workflow_uuid"
        ).scalars()
        assert len(set(turns)) == 130


def test_a_redelivery_of_what_was_received_meanwhile_starts_nothing(
    github: Client, service: Services
) -> None:
    github.hook(f"http://127.0.0.1:{free_port()}")
    github.comment("dana", ISSUE, "/agent help")
    [sent] = tried(github)
    assert len(looked(service)) == 1
    github.redeliver(sent["id"])
    tried(github)
    assert looked(service) == []


def test_a_log_that_breaks_off_is_read_again_and_nothing_is_received_twice(
    github: Client, service: Services
) -> None:
    github.hook(f"http://127.0.0.1:{free_port()}")
    for number in range(6):
        github.comment("dana", ISSUE, f"/agent help\n{number}")
    sent = tried(github)
    github.fault("GET", f"/app/hook/deliveries/{sent[3]['id']}$", 503)
    found: list[missed.Missed] = []
    with pytest.raises(Exception, match="503"):
        missed.look(service, found.append)
    assert [one.guid for one in found] == [one["guid"] for one in sent[:3]]
    assert [one.guid for one in looked(service)] == [one["guid"] for one in sent[3:]]


def test_what_was_before_the_first_look_is_not_ours_to_answer(github: Client, service: Services) -> None:
    github.hook(f"http://127.0.0.1:{free_port()}")
    github.comment("dana", ISSUE, "/agent fix")
    tried(github)
    time.sleep(1)  # the log knows whole seconds
    with service.database.begin() as tx:
        tx.execute(sa.delete(looks))
    assert looked(service) == []


def test_one_process_looks_at_a_time(service: Services) -> None:
    assert service.looks.begin(DELIVERIES) is not None
    assert not missed.look(service)
    service.looks.end(DELIVERIES, None)
    assert missed.look(service)


def test_what_a_dead_worker_was_looking_at_is_looked_at_as_soon_as_it_is_known_to_be_dead(
    service: Services,
) -> None:
    dead = Process("worker-dead", "worker", "elsewhere", 1)
    service.processes.start(dead)
    theirs = Looks(service.database, dead.id)
    assert theirs.begin(DELIVERIES) is not None
    assert not missed.look(service)
    service.processes.stop(dead.id)  # as whoever takes its stories over does
    assert service.looks.begin(DELIVERIES) is not None
    before = service.looks.looked_at(DELIVERIES)
    theirs.end(DELIVERIES, 1)  # it was only slow: what it has read is older than who looks now
    assert service.looks.looked_at(DELIVERIES) == before
    assert theirs.begin(DELIVERIES) is None, "and it ends nobody else's look"


def test_who_goes_on_with_a_dead_worker_s_story_ends_its_look(service: Services) -> None:
    dead = Process("worker-dead", "worker", "elsewhere", 1)
    service.processes.start(dead)
    assert Looks(service.database, dead.id).begin("reconciled", -1) is not None
    assert service.looks.begin("reconciled") is None, "the story goes on all the same"
    service.processes.stop(dead.id)
    now = service.database.now_ms() + 1
    service.looks.end("reconciled", now)
    assert service.looks.reached("reconciled") == now


# -- a command waits until nothing before it is missing --


def told(service: Services, guid: str) -> Story:
    return Story(guid, service, lambda name, do: do())


def command(github: Client, service: Services, words: str) -> tuple[str, Any]:
    """A comment that comes through our door now, and its event."""
    github.hook(None)
    github.hook(f"http://127.0.0.1:{free_port()}")
    github.comment("dana", ISSUE, words)
    sent = tried(github)[-1]
    receive(service, sent["guid"], "issue_comment", json.loads(sent["raw"]))
    event = events.parse("issue_comment", json.loads(sent["raw"]))
    return sent["guid"], event


def test_a_command_lets_an_older_one_of_its_thread_go_first_that_was_missed(
    github: Client, service: Services
) -> None:
    github.hook(f"http://127.0.0.1:{free_port()}")
    github.comment("dana", ISSUE, "/agent fix")
    tried(github)
    guid, event = command(github, service, "/agent stop")
    later = replace(event, at=event.at + 5_000)
    with service.database.begin() as tx:
        place = "" if service.database.kind == "sqlite" else "dbos."
        mine = f"workflow_uuid = '{guid}'"
        tx.exec_driver_sql(f"UPDATE {place}workflow_status SET priority = priority + 5 WHERE {mine}")
    with pytest.raises(Aside):
        missed.nothing_before(told(service, guid), later)
    assert len(rows(service)) == 2, "the older one is there now"


def test_a_command_goes_on_at_once_when_nothing_was_missed(github: Client, service: Services) -> None:
    guid, event = command(github, service, "/agent status")
    missed.nothing_before(told(service, guid), event)
    github.fault("GET", "/app/hook/deliveries", 503, times=99)
    missed.nothing_before(told(service, guid), event)  # and does not look twice


def test_a_command_does_not_wait_for_ever_for_a_log_that_cannot_be_read(
    github: Client, service: Services
) -> None:
    guid, event = command(github, service, "/agent status")
    github.fault("GET", "/app/hook/deliveries", 503, times=99)
    with pytest.raises(Aside):
        missed.nothing_before(told(service, guid), event)
    with service.database.begin() as tx:
        tx.execute(sa.update(deliveries).values(received_at=deliveries.c.received_at - missed.BLIND_MS - 1))
    missed.nothing_before(told(service, guid), event)


def test_words_that_are_no_command_wait_for_nothing(github: Client, service: Services) -> None:
    guid, event = command(github, service, "LGTM")
    github.fault("GET", "/app/hook/deliveries", 503, times=99)
    missed.nothing_before(told(service, guid), event)


def test_the_command_line_receives_what_was_missed_without_an_admin_key(
    github: Client, service: Services, tmp_path: Path
) -> None:
    github.hook(f"http://127.0.0.1:{free_port()}")
    github.comment("dana", ISSUE, "/agent help")
    [sent] = tried(github)
    env = settings.environment() | {
        "DATABASE_URL": service.database.url.replace("+psycopg", ""),
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": str(github.about["app_id"]),
        "GITHUB_APP_PRIVATE_KEY": str(tmp_path / "app.pem"),
        "GITHUB_WEBHOOK_SECRET": "s",
        "GITHUB_API_URL": github.url,
        "ANTHROPIC_API_KEY": "sk-ant-test",
    }
    env.pop("ANTHROPIC_ADMIN_KEY", None)
    asked = [sys.executable, "-m", "bot", "reconcile", "--deliveries"]
    told, again = (
        subprocess.run(asked, env=env, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert json.loads(told.stdout)["guid"] == sent["guid"]
    assert (again.stdout, again.stderr) == ("", "nothing else was missed\n")
