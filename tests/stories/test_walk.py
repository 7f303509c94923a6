"""Walk one and two with real processes and real HTTP: a comment becomes a commit, a report, a merged cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow
RUNS = "SELECT count(*) = {count} FROM runs WHERE finished_at IS NOT NULL"


@pytest.fixture
def service(tmp_path: Path, database_url: str) -> Iterator[Service]:
    with serving(tmp_path, database_url, agents.done()) as made:
        made.worker()
        yield made


def test_a_comment_becomes_a_commit_a_report_and_the_cost_of_a_merged_pull_request(service: Service) -> None:
    github = service.github
    github.comment("dana", 2, "/agent fix cost=$2\nplease")
    first = github.wait(lambda hub: hub.deliveries("issue_comment"), what="the delivery")[0]["id"]
    github.redeliver(first, times=20, fresh=True)
    service.until(RUNS.format(count=1))
    github.redeliver(first, times=3, fresh=True)
    service.until("SELECT count(*) >= 24 FROM deliveries WHERE story = 'launch.on_comment'")
    assert service.rows("SELECT count(*) FROM runs")[0][0] == 1, "one body, one run, also after its end"
    assert len(github.runs()) == 1
    [(run, state, reason, ceiling)] = service.rows("SELECT id, state, reason, ceiling_nanos FROM runs")
    assert (state, reason, ceiling) == ("done", None, 2_000_000_000)
    assert github.file("fixed.txt", "faster-dates") == f"by {run}\n".encode()
    reports = [c for c in github.comments(2) if f"tollgate-run:{run}:1" in c["body"]]
    assert len(reports) == 1
    assert "I fixed it." in reports[0]["body"]
    github.merge("dana", 2)
    service.until("SELECT count(*) = 1 FROM attributions")
