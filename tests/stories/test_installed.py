"""The App comes and goes, told by the real engine: whoever dies where, everything is there once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core import onboarding
from sandbox.github.client import Client
from tests.stories import agents
from tests.stories.service import Told, serving
from tests.stories.test_deaths import keep_dying

pytestmark = pytest.mark.slow
STEPS = [f"{step} acme/one" for step in ("labels of", "propose to", "remember", "when to go on after")]


def test_two_repositories_are_set_up_once_by_workers_that_die_on_the_way(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path, database_url, agents.done()) as service:
        github = service.github
        for name in ("one", "two"):
            github.control("repos", full_name=f"acme/{name}")
        github.choose(github.repo)  # what is added later is told of later
        github.choose(github.repo, "acme/one", "acme/two")
        done = "SELECT count(*) = 2 FROM onboardings WHERE state = 'proposed'"
        deaths = keep_dying(service, done, *STEPS)
        assert {death.split(": ")[1] for death in deaths} == set(STEPS)
        for name in ("one", "two"):
            client = Client(github.url, f"acme/{name}")
            proposed = [t for t in client.repository()["threads"] if t["head_ref"] == onboarding.BRANCH]
            assert len(proposed) == 1
            assert len(client.do("ada", "GET", f"/commits?sha={onboarding.BRANCH}")) == 2


def test_who_uninstalls_has_no_live_run_left_and_what_it_cost_stays(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path, database_url, agents.UNTIL_STOPPED) as service:
        service.worker()
        run = Told(service, 2)
        run.fix()
        run.until("state = 'running'")
        service.github.uninstall()
        run.until("finished_at IS NOT NULL")
        state, reason, message = run.row("state, reason, message")
        assert (state, reason) == ("halted", "stopped")
        assert "the App was uninstalled" in message
        assert service.rows("SELECT count(*) FROM runs")[0][0] == 1
