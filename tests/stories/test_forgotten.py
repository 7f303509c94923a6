"""However a runner goes, its run is told to its end: the workflow is cancelled, and what it cost is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.events import CommentCreated
from bot.core.places import Repo
from bot.stores.deliveries import Deliveries
from bot.stores.ledger import Ledger
from bot.stores.queue import Queue
from bot.stores.tables import paces, runs
from bot.stories.receive import turn_of
from tests.stories import agents
from tests.stories.service import Service, Told, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has a thread of its own."""
    folder = tmp_path_factory.mktemp("forgotten")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.SILENT) as made:
        made.worker()
        yield made


def started(service: Service, words: str = "/agent fix") -> Told:
    told = Told(service, service.github.issue("dana", "It is wrong", "Look."))
    service.github.comment("dana", told.number, words)
    told.until("state = 'running'")
    return told


def silent(service: Service, told: Told) -> None:
    """As if nothing had been heard of its runner for long."""
    with service.database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.thread == told.number).values(lease_until_at=1))


def workflow(service: Service, told: Told) -> Any:
    id = told.row("workflow_run_id")[0]
    return next(run for run in service.github.runs() if run["id"] == id)


def ended(service: Service, told: Told) -> str:
    state, report = told.ended()
    assert state == "lost"
    assert "$0" in report, "what was spent is said, also when it is nothing"
    return report


def test_a_runner_that_fell_silent_is_lost_and_its_workflow_is_cancelled(service: Service) -> None:
    told = started(service)
    silent(service, told)
    assert "fell silent" in ended(service, told)
    service.github.wait(lambda _: workflow(service, told)["conclusion"] == "cancelled")


def test_a_workflow_that_a_person_cancelled_ends_its_run(service: Service) -> None:
    told = started(service)
    service.github.do("dana", "POST", f"/actions/runs/{told.row('workflow_run_id')[0]}/cancel")
    assert "cancelled" in ended(service, told)


def test_a_run_whose_workflow_is_gone_is_reported_all_the_same(service: Service) -> None:
    told = started(service)
    gone = f"/actions/runs/{told.row('workflow_run_id')[0]}"
    service.github.fault("*", gone, 404, times=99)
    silent(service, told)
    ended(service, told)
    service.github.clear_faults()
    service.github.do("dana", "POST", f"{gone}/cancel")


def test_a_github_that_is_away_when_a_run_is_lost_is_waited_for(service: Service) -> None:
    told = started(service)
    service.github.fault("*", r"^/(app|repos/.+)", 503, times=12)
    silent(service, told)
    ended(service, told)
    service.github.wait(lambda _: workflow(service, told)["conclusion"] == "cancelled")


def test_an_installation_that_has_to_wait_holds_up_no_other(service: Service) -> None:
    """A hundred of its stories are put aside, GitHub is not asked, and the other one is answered."""
    queue = Queue(service.database)
    ledger = Ledger(service.database, "test")
    deliveries = Deliveries(service.database, queue, ledger.driver)
    with service.database.begin() as tx:
        until = service.database.now + 3_600_000
        tx.execute(sa.insert(paces).values(installation=999, limited_until_at=until))
    for number in range(100):
        event = CommentCreated(
            Repo(999, 998, "other/place"), "issue_comment", number, number, False, "/agent status", "dana",
            "User", False, "", int(time.time() * 1000),
        )  # fmt: skip
        deliveries.record(
            f"other-{number}", "issue_comment", "created", "launch.on_comment", event, turn=turn_of(event)
        )
    number = service.github.issue("dana", "Mine", "Look.")
    service.github.comment("dana", number, "/agent status")
    service.github.wait(lambda c: any("No run is live" in one["body"] for one in c.comments(number)), 60)
    service.until("SELECT count(*) = 100 FROM workflow_status WHERE executor_id = 'aside'")
    ledger.close()
    queue.close()  # had GitHub been asked, it would have said that it knows no such installation: their end
