"""What was spent follows the merge, with the real service before the sandbox's GitHub (R17)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.attribution import ATTEMPT, ISSUE, MADE, ON
from bot.core.money import Usd
from bot.stores.tables import runs, turns
from tests.stories import agents
from tests.stories.service import ROOT, Service, Told, serving

pytestmark = pytest.mark.slow
ONE = [{"path": "new.txt", "mode": "100644", "text": "new\n"}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all of these; each law has threads of its own."""
    folder = tmp_path_factory.mktemp("merge")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", agents.TOLD) as made:
        made.worker()
        yield made


@pytest.fixture
def issue(service: Service) -> Told:
    return Told(service, service.github.issue("dana", "It is wrong", "Look."))


@pytest.fixture
def pull(service: Service, request: pytest.FixtureRequest) -> Told:
    branch = request.node.name.replace("test_", "")[:60]
    service.github.commit("dana", branch, {f"{branch}.md": branch}, from_="main")
    return Told(service, service.github.pull("dana", branch, branch))


def spend(told: Told, usd: str) -> str:
    """What the gateway would have booked on the thread's run."""
    [run] = told.row("id")
    nanos, at = Usd.parse(usd).nanos, told.service.database.now_ms()
    with told.service.database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.id == run).values(spent_nanos=runs.c.spent_nanos + nanos))
        tx.execute(
            sa.insert(turns).values(
                run=run, attempt=1, state="settled", hold_nanos=0, hold_tokens=0, held_at=at,
                lease_until_at=at, owner="t", max_tokens=1, model_asked="m", settled_at=at, nanos=nanos,
            )
        )  # fmt: skip
    return str(run)


def belongs(service: Service, number: int, *runs: str) -> dict[str, str]:
    """Why each run belongs to it, once these do."""
    service.until(f"SELECT count(*) = {len(runs)} FROM attributions WHERE number = {number}")
    found = service.rows(f"SELECT run, because FROM attributions WHERE number = {number}")
    assert {row[0] for row in found} == set(runs)
    return {row[0]: row[1] for row in found}


def cost(told: Told, number: int) -> str:
    """What `/agent cost` answers there."""
    asked = told.github.comment("dana", number, "/agent cost")

    def answer(_: Any) -> Any:
        marked = f"<!-- tollgate-reply:cost:{asked} -->"
        return [c["body"] for c in told.github.comments(number) if c["body"].startswith(marked)]

    return str(told.github.wait(answer, 30, "the answer to /agent cost")[0])


def metrics(service: Service) -> Any:
    command = [sys.executable, "-m", "bot", "metrics", "--json"]
    done = subprocess.run(command, env=service.env, cwd=ROOT, check=True, capture_output=True)
    return json.loads(done.stdout)


def test_a_merge_takes_the_issue_and_the_attempt_before_it_and_all_doors_say_the_same(issue: Told) -> None:
    service, github = issue.service, issue.github
    issue.fix(files=ONE)
    issue.ended()
    first = spend(issue, "2.50")
    [attempt] = issue.row("published_pull")
    tried = Told(service, attempt)
    tried.fix(files=[{"path": "more.txt", "mode": "100644", "text": "more\n"}])
    tried.ended()
    second = spend(tried, "1.25")
    assert "| not merged |" in cost(issue, issue.number)
    github.close("dana", attempt)
    branch = f"by-hand-{issue.number}"
    github.commit("dana", branch, {f"{branch}.txt": "x"}, from_="main")
    number = github.pull("dana", branch, "By hand", f"Fixes #{issue.number}")
    github.merge("dana", number)
    why = belongs(service, number, first, second)
    assert why == {first: ISSUE, second: ATTEMPT}
    answer = cost(issue, number)
    assert "It has cost **$3.75** in 2 runs" in answer
    assert f"for `#{number}`" in cost(issue, issue.number)
    told = metrics(service)
    (merged,) = [one for one in told["merged"] if one["number"] == number]
    assert (merged["usd"], merged["runs"]) == ("3.75", 2)
    spent = {name: Usd.parse(told["spend"][f"{name}_usd"]) for name in ("attributed", "unattributed")}
    assert spent["attributed"] + spent["unattributed"] == Usd.parse(told["spend"]["usd"])


def test_work_beside_a_moved_head_follows_the_pull_request_that_it_goes_into(
    pull: Told, tmp_path: Path
) -> None:
    service, github = pull.service, pull.github
    go = tmp_path / "go"
    pull.fix(files=ONE, wait=str(go))
    pull.until("state = 'running'")
    github.commit("dana", str(github.thread(pull.number)["head_ref"]), {"other.txt": "other"})
    go.touch()
    pull.ended()
    run = spend(pull, "4")
    [beside] = pull.row("published_pull")
    github.merge("dana", beside)
    service.until(f"SELECT count(*) = 1 FROM pulls WHERE number = {beside}")
    assert service.rows(f"SELECT count(*) FROM attributions WHERE run = '{run}'")[0][0] == 0
    github.merge("dana", pull.number)
    assert belongs(service, pull.number, run) == {run: ON}
    assert "**$4.00** in 1 run" in cost(pull, pull.number)
    before = len(github.comments(pull.number))
    said = f"**Merged**: `#{pull.number}` is merged. It has cost $4.00 in 1 run;"
    github.wait(lambda _: said in pull.ended()[1], 30, "the last report to say what it came to")
    assert len(github.comments(pull.number)) == before, "and nobody was told of it"


def test_a_run_that_ends_after_the_merge_belongs_to_it(issue: Told, tmp_path: Path) -> None:
    service, github = issue.service, issue.github
    go = tmp_path / "go"
    branch = f"late-{issue.number}"
    github.commit("dana", branch, {f"{branch}.txt": "x"}, from_="main")
    late = Told(service, github.pull("dana", branch, "Late"))
    late.fix(files=ONE, wait=str(go))
    late.until("state = 'running'")
    github.merge("dana", late.number)
    [run] = late.row("id")
    assert belongs(service, late.number, run) == {run: ON}
    go.touch()
    assert "**Merged**: " in late.ended()[1]
    spend(late, "0.75")
    assert "**$0.75** in 1 run" in cost(late, late.number)


def test_a_pull_request_that_is_closed_opened_again_and_merged_keeps_its_runs(issue: Told) -> None:
    service, github = issue.service, issue.github
    issue.fix(files=ONE)
    issue.ended()
    run = spend(issue, "1")
    [number] = issue.row("published_pull")
    github.close("dana", number)
    service.until(f"SELECT closed FROM pulls WHERE number = {number}")
    github.do("dana", "PATCH", f"/issues/{number}", {"state": "open"})
    service.until(f"SELECT NOT closed FROM pulls WHERE number = {number}")
    github.merge("dana", number)
    assert belongs(service, number, run) == {run: MADE}


def test_a_merge_of_which_nobody_told_us_is_attributed_when_it_is_told_again(issue: Told) -> None:
    service, github = issue.service, issue.github
    issue.fix(files=ONE)
    issue.ended()
    run = spend(issue, "1")
    [number] = issue.row("published_pull")
    github.hook("http://127.0.0.1:9/nobody")
    github.merge("dana", number)
    missed = github.wait(
        lambda hub: [one for one in hub.deliveries("pull_request") if one["action"] == "closed"], 30, "it"
    )[-1]
    github.hook(f"{service.url}/webhooks/github")
    assert service.rows(f"SELECT count(*) FROM pulls WHERE number = {number}")[0][0] == 0
    github.redeliver(missed["id"], times=2)
    assert belongs(service, number, run) == {run: MADE}


def test_a_reverted_pull_request_is_said_to_be_and_counts_all_the_same(pull: Told) -> None:
    service, github = pull.service, pull.github
    pull.fix(files=ONE)
    pull.ended()
    run = spend(pull, "6")
    github.merge("dana", pull.number)
    belongs(service, pull.number, run)
    branch = f"revert-{pull.number}"
    github.commit("dana", branch, {"new.txt": None}, from_="main")
    back = github.pull("dana", branch, 'Revert "It"', f"Reverts {github.repo}#{pull.number}")
    github.merge("dana", back)
    service.until(f"SELECT reverts = {pull.number} FROM pulls WHERE number = {back}")
    assert "merged and was reverted since. It has cost **$6.00**" in cost(pull, pull.number)
    told = metrics(service)
    assert [one["number"] for one in told["merged"] if one["reverted"]] == [pull.number]
    assert told["cost_per_merged_pr"]["reverted_usd"] == "6"


def test_a_pull_request_that_cost_nothing_is_not_asked_about_when_it_is_closed(service: Service) -> None:
    github = service.github
    github.commit("dana", "free", {"free.txt": "x"}, from_="main")
    number = github.pull("dana", "free", "Nobody ran anything here")
    told = "FROM deliveries WHERE event = 'pull_request' AND action = 'closed'"
    before = service.rows(f"SELECT count(*) {told}")[0][0]
    github.close("dana", number)
    service.until(f"SELECT count(*) = {before + 1} {told}")
    service.until("SELECT count(*) = 0 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING')")
    assert service.rows(f"SELECT count(*) FROM pulls WHERE number = {number}")[0][0] == 0
