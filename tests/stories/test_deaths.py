"""kill -9 of the worker at every step of launch, finish and merge: nothing lost, nothing twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow


def keep_dying(service: Service, query: str) -> list[str]:
    """Workers, one after the other, until a query is true; where each of them died."""
    remembered = service.folder / "deaths"
    for _ in range(120):
        worker = service.worker("-m", "tests.stories.dying_worker", str(remembered))
        while worker.poll() is None:
            if (rows := service.rows(query)) and rows[0][0]:
                return remembered.read_text().splitlines()
            time.sleep(0.05)  # the core is needed for dying
        assert worker.returncode == -9, (service.folder / "worker.log").read_text()[-3000:]
    raise AssertionError("it never came to an end")


def test_a_worker_that_dies_at_every_step_does_everything_once(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path, database_url, agents.done()) as service:
        github = service.github
        github.comment("dana", 2, "/agent fix cost=$2\nplease")
        deaths = keep_dying(service, "SELECT count(*) = 1 FROM runs WHERE finished_at IS NOT NULL")
        [(run, state, attempt)] = service.rows("SELECT id, state, attempt FROM runs")
        assert (state, attempt) == ("done", 1)
        told = {death.split(": ")[1] for death in deaths}
        assert {
            "look around",
            "open the run",
            "comment",
            "dispatch",
            "end it",
            "commit",
            "the report",
        } <= told
        assert len(github.runs()) == 1, "one dispatch"
        assert sum(run in comment["body"] for comment in github.comments(2)) == 1, "one comment"
        assert github.file("fixed.txt", "faster-dates") == f"by {run}\n".encode()
        log = github.do("dana", "GET", "/commits?sha=faster-dates&per_page=50")
        assert sum(f"Tollgate-Run: {run}.1" in one["commit"]["message"] for one in log) == 1, "one commit"
        github.merge("dana", 2)
        keep_dying(service, "SELECT count(*) = 1 FROM attributions")
        assert service.rows("SELECT count(*) FROM pulls")[0][0] == 1
