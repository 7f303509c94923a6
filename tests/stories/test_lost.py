"""No run is forgotten: the watchdog ends what nobody ends, and a dead worker's stories are taken over."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.ceilings import CLASSES
from bot.core.events import WorkflowCompleted
from bot.core.onboarding import WORKFLOW
from bot.core.places import Repo
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stores.processes import Process, Processes
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id, token_hash
from bot.stores.tables import processes, runs
from bot.stories import lost
from bot.stories.durable import Story


def running(services: Services, thread: int = 7) -> str:
    new = NewRun(
        id=new_id(), origin="github", ceilings=CLASSES["bugfix"], task_class="bugfix", engine="opus",
        model="m", price_book="p", installation=9, repository_id=1, repository="o/r", thread=thread,
        comment_kind="issue_comment", comment_id=int(new_id(), 16),
    )  # fmt: skip
    assert services.runs.open(new)
    assert services.runs.claim(new.id, 1, token_hash(new.id), 500)
    return new.id


def put(services: Services, run: str, **columns: Any) -> None:
    with services.database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.id == run).values(columns))


def finishing(services: Services, run: str) -> bool:
    return services.queue.status(finish_key(run, 1)) == "ENQUEUED"


def test_a_silent_runner_is_a_lost_run_and_a_talking_one_is_not(service: Services) -> None:
    silent, talking = running(service, 1), running(service, 2)
    put(service, silent, lease_until_at=1)
    lost.watch(service)
    lost.watch(service)
    assert (finishing(service, silent), finishing(service, talking)) == (True, False)


def test_a_run_past_its_deadline_is_halted_even_if_it_asks_for_nothing(service: Services) -> None:
    run = running(service)
    put(service, run, deadline_at=1)
    lost.watch(service)
    found = service.runs.get(run)
    assert found is not None
    assert (found.state, found.reason, found.message) == (
        "halted", "wall_clock_ceiling", "halted at step 0: 10m wall-clock ceiling reached",
    )  # fmt: skip
    assert not finishing(service, run), "its runner still has time to hand in what it made"


def ended(run: str) -> WorkflowCompleted:
    """Its own workflow has ended."""
    return WorkflowCompleted(Repo(9, 1, "o/r"), 500, f"Tollgate run {run}.1", "failure", WORKFLOW)


def story(services: Services) -> Story:
    return Story("d", services, lambda name, do: do())


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({}, True),
        ({"title": "CI"}, False),
        ({"repo": Repo(9, 2, "o/other")}, False),
        ({"run_id": 501}, False),
        ({"title": "Tollgate run {run}.2"}, False),
        ({"workflow": ""}, False),
        ({"workflow": ".github/workflows/ci.yml"}, False),
    ],
    ids=[
        "its own", "another workflow", "another repository", "another workflow run", "another attempt",
        "one that nobody dispatched", "another file that was dispatched",
    ],
)  # fmt: skip
def test_only_the_end_of_its_own_workflow_ends_a_run(
    service: Services, change: dict[str, Any], ends: bool
) -> None:
    run = running(service)
    event = ended(run)
    changed: dict[str, Any] = {k: v.format(run=run) if isinstance(v, str) else v for k, v in change.items()}
    lost.on_workflow_completed(story(service), replace(event, **changed))
    assert finishing(service, run) is ends


def test_no_workflow_that_ends_is_the_one_of_a_run_in_line(service: Services) -> None:
    """It has none yet, and anybody who may dispatch workflows can give one its name."""
    run = running(service)
    put(service, run, state="queued", workflow_run_id=None)
    lost.on_workflow_completed(story(service), ended(run))
    assert not finishing(service, run)
    put(service, run, state="open")
    lost.on_workflow_completed(story(service), ended(run))
    assert finishing(service, run), "one that was just sent off, and is not kept yet"


def test_a_worker_whose_process_is_gone_is_dead_at_once_and_a_silent_one_after_a_while(
    service: Services,
) -> None:
    known, here = Processes(service.database), Process.this("worker")
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    gone = Process("gone", "worker", here.place, child.pid)
    elsewhere = Process("elsewhere", "worker", "another machine", child.pid)
    for process in (here, gone, elsewhere):
        known.start(process)
    assert known.dead("worker", here) == ("gone",)
    assert known.alive("worker") == 3
    with service.database.begin() as tx:
        tx.execute(sa.update(processes).values(seen_at=1))
    assert set(known.dead("worker", here)) == {"gone", "elsewhere"}
    known.stop("gone")
    known.seen(elsewhere)
    assert known.dead("worker", here) == ()
