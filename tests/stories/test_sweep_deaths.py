"""kill -9 of the worker at every step of a sweep's own stories: nothing lost, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stories import agents
from tests.stories.service import serving
from tests.stories.test_deaths import keep_dying
from tests.stories.test_sweep import file

pytestmark = pytest.mark.slow
POLICY = "lines: {refresh: {monthly: $100, members: [dana]}}"
STEPS = ("open the sweep", "say what was begun", "let the first in", "halt all of it", "go on with it")


def test_a_worker_that_dies_at_every_step_sweeps_stops_and_goes_on_once(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path, database_url, agents.ITEM, service_policy=POLICY) as service:
        github, gate = service.github, tmp_path / "gate"
        tasks = [{"files": [file("a.txt")]}, {"files": [file("b.txt")], "wait": str(gate)}]
        body = "\n".join(f"- [ ] Item {n}\n  {json.dumps(task)}" for n, task in enumerate(tasks, 1))
        number = github.issue("dana", "Refresh", body)
        deaths: list[str] = []

        def say(words: str, until: str) -> None:
            # A look at GitHub's log that died with its worker would hold up commands for five minutes.
            service.write("UPDATE looks SET lease_until_at = NULL")
            github.comment("dana", number, words)
            deaths[:] = keep_dying(service, until, *STEPS)

        going = "SELECT count(*) = 2 FROM runs WHERE state = 'running' OR published_pull IS NOT NULL"
        say("/agent sweep line=refresh", going)
        say("/agent stop", "SELECT count(*) = 1 FROM sweeps WHERE finished_at IS NOT NULL")
        gate.touch()
        say("/agent resume", "SELECT count(*) = 1 FROM sweeps WHERE attempt = 2 AND finished_at IS NOT NULL")
        assert {death.split(": ")[1] for death in deaths} == set(STEPS), "each of them was died at"
        rows = service.rows("SELECT state, attempt, published_pull FROM runs ORDER BY item")
        assert (rows[1][0], rows[1][1]) == ("done", 2)
        assert len(github.runs()) == sum(row[1] for row in rows), "one dispatch for each attempt"
        bodies = [comment["body"] for comment in github.comments(number)]
        for attempt in (1, 2):
            told = [one for one in bodies if "tollgate-sweep:" in one and f":{attempt} -->" in one]
            assert len(told) == 1, "one comment for each attempt"
        assert github.do("dana", "GET", f"/issues/{number}")["body"].count("- [x]") == 2
        pulls = github.do("dana", "GET", "/pulls?state=all&per_page=100")
        assert sum(pull["title"].startswith("Item ") for pull in pulls) == 2
