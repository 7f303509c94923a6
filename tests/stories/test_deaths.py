"""kill -9 of the worker at every step of a story: nothing lost, nothing twice."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow
# What accepting, discarding and splitting do beside what launch and finish do for every run.
NEW = (
    "take the comment",
    "settle it",
    "commit",
    "keep where it went",
    "remove the branch set aside",
    "drop what is stored",
    "nothing is kept",
    "reply",
    "what came before",
    "price the pieces",
)


def keep_dying(service: Service, query: str, *steps: str) -> list[str]:
    """Workers, one after the other, until a query is true; where each of them died (`steps`: only there)."""
    remembered = service.folder / "deaths"
    for _ in range(120):
        worker = service.worker("-m", "tests.stories.dying_worker", str(remembered), *steps)
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


def test_a_worker_that_dies_at_every_step_resumes_once(tmp_path: Path, database_url: str) -> None:
    files = [{"path": "half.txt", "mode": "100644", "text": "half"}]
    halted = {"talk": "b25l", "files": files, "result": {"outcome": "halted", "reason": "stopped"}}
    with serving(tmp_path, database_url, agents.ATTEMPTS) as service:
        github = service.github
        github.comment("dana", 2, f"/agent fix\n{json.dumps([halted, {'files': files}])}")
        worker = service.worker()
        service.until("SELECT count(*) = 1 FROM runs WHERE finished_at IS NOT NULL")
        worker.kill()
        worker.wait()
        github.comment("dana", 2, "/agent resume cost=$7")
        stories = "workflow_status" if service.database.kind == "sqlite" else "dbos.workflow_status"
        told = "name = 'launch.on_comment' AND status = 'SUCCESS'"
        deaths = keep_dying(service, f"SELECT count(*) = 2 FROM {stories} WHERE {told}")
        service.worker()
        service.until("SELECT count(*) = 1 FROM runs WHERE attempt = 2 AND finished_at IS NOT NULL")
        [(run, state, attempt)] = service.rows("SELECT id, state, attempt FROM runs")
        assert (state, attempt) == ("done", 2)
        died = {death.split(": ")[1] for death in deaths}
        assert {"the run to go on with", "what going on takes", "go on with it", "dispatch"} <= died
        assert len(github.runs()) == 2, "one dispatch for each attempt"
        for number in (1, 2):
            mine = [c for c in github.comments(2) if f"tollgate-run:{run}:{number} " in c["body"]]
            assert len(mine) == 1, "one comment for each attempt"
        log = github.do("dana", "GET", "/commits?sha=faster-dates&per_page=50")
        assert sum(f"Tollgate-Run: {run}.2" in one["commit"]["message"] for one in log) == 1, "one commit"


def test_a_worker_that_dies_at_every_step_accepts_discards_and_splits_once(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path, database_url, agents.TOLD) as service:
        github = service.github
        files = [{"path": "new.txt", "mode": "100644", "text": "new\n"}]
        half = {"files": files, "result": {"outcome": "halted", "reason": "stopped"}}
        other = github.issue("dana", "It is wrong too", "Look.")
        worker = service.worker()
        for number in (2, other):
            github.comment("dana", number, f"/agent fix\n{json.dumps(half)}")
        service.until("SELECT count(*) = 2 FROM runs WHERE finished_at IS NOT NULL", seconds=180)
        worker.kill()
        worker.wait()
        summary = "- [ ] (bugfix) The month\n- [ ] (feature) Weeks"
        github.comment("dana", 2, "/agent accept")
        github.comment("dana", other, "/agent discard")
        github.comment("dana", other, f"/agent split\n{json.dumps({'result': {'summary': summary}})}")
        told = "workflow_status" if database_url.startswith("sqlite") else "dbos.workflow_status"
        deaths = keep_dying(
            service,
            "SELECT count(*) = 3 AND count(settled_as) = 2 FROM runs WHERE finished_at IS NOT NULL AND "
            f"(SELECT count(*) FROM {told} WHERE status IN ('ENQUEUED', 'PENDING')) = 0",
            *NEW,
        )
        assert set(NEW) == {death.split(": ")[1] for death in deaths}, "each of them was died at"
        accepted, discarded, split = (
            service.rows(f"SELECT id, settled_as, published FROM runs WHERE {where}")[0]
            for where in ("thread = 2", f"thread = {other} AND task_class = 'bugfix'", "task_class = 'split'")
        )
        assert (accepted[1], json.loads(accepted[2])["kind"]) == ("accepted", "pushed")
        assert (discarded[1], discarded[2]) == ("discarded", None)
        log = github.do("dana", "GET", "/commits?sha=faster-dates&per_page=50")
        trailer = f"Tollgate-Run: {accepted[0]}.1"
        assert sum(trailer in one["commit"]["message"] for one in log) == 1, "one commit"
        assert not [name for name in github.repository()["branches"] if name.startswith("agent/")]
        for number, said in ((2, "Accepted what run"), (other, "Discarded what run")):
            assert sum(said in comment["body"] for comment in github.comments(number)) == 1, said
        lists = [c["body"] for c in github.comments(other) if split[0] in c["body"]]
        assert len(lists) == 1
        assert "- [ ] (bugfix, at most $5.00) The month" in lists[0]


WAITS = (
    "whether it waits",
    "comment",
    "check run",
    "whether its thread is closed",
    "its check begins",
    "dispatch",
)


def test_a_worker_that_dies_at_every_step_lets_in_once(tmp_path: Path, database_url: str) -> None:
    policy = "concurrency: {person: 1}\n"
    with serving(tmp_path, database_url, agents.UNTIL_STOPPED, service_policy=policy) as service:
        github = service.github
        first = github.issue("dana", "It is wrong", "Look.")
        worker = service.worker()
        github.comment("dana", first, "/agent fix cost=$2")
        service.until("SELECT count(*) = 1 FROM runs WHERE state = 'running'")
        worker.kill()
        worker.wait()
        github.comment("dana", 2, "/agent fix cost=$2")
        stories = "workflow_status" if service.database.kind == "sqlite" else "dbos.workflow_status"
        told = f"SELECT count(*) = 2 FROM {stories} WHERE name = 'launch.on_comment' AND status = 'SUCCESS'"
        deaths = keep_dying(service, told, *WAITS)
        [(run,)] = service.rows(
            "SELECT id FROM runs WHERE state = 'queued' AND report_comment_id IS NOT NULL"
        )
        github.comment("dana", first, "/agent stop")
        deaths = keep_dying(service, f"SELECT state = 'running' FROM runs WHERE id = '{run}'", *WAITS)
        assert set(WAITS) == {death.split(": ")[1] for death in deaths}, "each of them was died at"
        assert len(github.runs()) == 2, "one dispatch for each"
        assert sum(run in comment["body"] for comment in github.comments(2)) == 1, "one comment"
        service.worker()
        github.comment("dana", 2, "/agent stop")
        service.until("SELECT count(*) = 2 FROM runs WHERE finished_at IS NOT NULL", seconds=180)
