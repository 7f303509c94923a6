"""After a time without a worker, what GitHub never told us of is found where it was written, and answered."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bot.core.events import CommentCreated
from bot.core.places import Repo
from bot.services import Services
from bot.stores.processes import Process
from bot.stores.tables import deliveries, processes
from bot.stories import asides, unsent
from bot.stories.durable import Story
from sandbox.github.client import Client
from tests.stories.test_missed import ISSUE, github, service

__all__ = ["github", "service"]  # the fixtures
HOUR = 3_600_000


def told(services: Services) -> Story:
    return Story("unsent-1", services, lambda name, do: do())


def found(service: Services) -> dict[str, str]:
    """Everything that was received: the id and its story."""
    with service.database.read() as tx:
        return {row.id: row.story for row in tx.execute(sa.select(deliveries))}


def gather(service: Services) -> str:
    return unsent.gather(told(service), service.database.now_ms() - HOUR)


def test_commands_that_were_never_sent_are_received_once_and_nothing_else_is(
    github: Client, service: Services
) -> None:
    github.hook(None)  # deactivated: GitHub sends nothing, and its log has nothing
    command = github.comment("dana", ISSUE, "/agent fix")
    review = github.review_comment("dana", 2, "acme_calendar/years.py", 5, "/agent fix this line")
    github.comment("dana", ISSUE, "LGTM")
    github.comment("helpful[bot]", ISSUE, "/agent fix")
    innocent = github.comment("dana", ISSUE, "Nothing")
    github.forward(2)
    github.edit_comment("dana", innocent, "/agent fix")
    github.forward(-2)
    acted = github.comment("dana", ISSUE, "/agent status")
    repo = github.about["repository_id"]
    service.deliveries.take(repo, "issue_comment", acted, "a delivery")
    github.merge("dana", 2)
    assert gather(service).startswith("3 found in 1 repositories")
    assert found(service) == {
        f"unsent-{repo}-issue_comment-{command}": "launch.on_comment",
        f"unsent-{repo}-review_comment-{review}": "launch.on_comment",
        f"unsent-{repo}-merge-2": "merge.on_closed",
    }
    assert gather(service).startswith("0 found"), "once"


def test_what_was_written_before_is_not_looked_for(github: Client, service: Services) -> None:
    github.hook(None)
    github.forward(-2 * 3600)
    old = github.comment("dana", ISSUE, "/agent fix")
    github.forward(2 * 3600)
    github.edit_comment("dana", old, "/agent fix, please")
    assert gather(service).startswith("0 found")


@pytest.mark.parametrize(("delivery", "late"), [("unsent-1", 0), ("d-1", None)])
def test_a_command_that_was_found_is_late_however_young_it_is(
    service: Services, delivery: str, late: int | None
) -> None:
    at = service.database.now_ms()
    young = CommentCreated(
        Repo(1, 2, "o/r"), "issue_comment", 9, 7, False, "/agent fix", "a", "User", False, "", at
    )
    assert asides.late(Story(delivery, service, lambda name, do: do()), young) == late


@pytest.mark.parametrize(
    ("silent_ms", "asked"),
    [(None, False), (60_000, False), (unsent.GAP_MS + 60_000, True)],
    ids=["the first start of all", "a restart", "a gap"],
)
def test_only_a_gap_without_any_worker_asks_for_it(
    service: Services, silent_ms: int | None, asked: bool
) -> None:
    before = Process.this("worker")
    if silent_ms is not None:
        service.processes.start(before)
        with service.database.begin() as tx:
            tx.execute(sa.update(processes).values(seen_at=processes.c.seen_at - silent_ms))
    unsent.enqueue(service)
    seen = service.processes.last_seen("worker")
    assert (service.queue.status(f"unsent-{seen}") == "ENQUEUED") is asked
