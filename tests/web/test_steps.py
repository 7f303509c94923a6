"""A step of a workflow opens a run for itself: by what GitHub signed and says, and by nothing of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from bot import services, settings
from bot.clients.oidc import Verifier
from bot.core import policy as policies
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stores.run_rows import STEP
from bot.stories import finish
from bot.stories.durable import Story
from bot.stories.lost import watch
from bot.stories.spend import Spend
from bot.web import runs, steps
from sandbox.github.client import Client
from sandbox.github.server import GitHub, Options
from sandbox.github.verbs import runs as run_verbs
from tests.contracts.checker import contract
from tests.web.test_runs import ISSUER, KEY, SERVICE, keys

MINE = ".github/workflows/nightly.yml"
WORKFLOW = "on: {workflow_dispatch: {}}\njobs: {x: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n"
ASKED = {"number": 7, "task": "refresh the data", "class": "bugfix", "cost": "2", "steps": 9, "wall": 300}


@dataclass
class World:
    hub: GitHub
    github: Client
    service: Services
    door: FlaskClient
    run: int

    def token(self, **claims: Any) -> str:
        """As GitHub signs it for a job of the nightly workflow that Dana started, but for `claims`."""
        now, repo = int(time.time()), self.hub.repository
        actor = claims.get("actor", "dana")
        known = {
            "iss": ISSUER, "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
            "repository": repo.full_name, "repository_id": str(repo.id), "repository_owner_id": "2",
            "run_id": str(self.run), "run_attempt": "1", "check_run_id": "77", "event_name": "schedule",
            "ref": "refs/heads/main", "sha": "b" * 40, "actor": actor,
            "actor_id": str(self.hub.hub.account(actor).id),
            "workflow_ref": f"{repo.full_name}/{MINE}@refs/heads/main",
        }  # fmt: skip
        return jwt.encode(known | claims, KEY, algorithm="RS256", headers={"kid": "k"})

    def open(self, bearer: str | None = None, **asked: Any) -> tuple[int, Any]:
        answer = self.door.post(
            "/api/runs/open",
            data=json.dumps(ASKED | asked),
            headers={"Authorization": f"Bearer {bearer or self.token()}"},
        )
        return answer.status_code, answer.get_json()

    def ask(self, brief: Any, path: str, content: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {brief['token']}"}
        data = json.dumps(content).encode() if content is not None else None
        method = "POST" if data else "GET"
        answer = self.door.open(f"/api/runs/{brief['run']}{path}", method=method, data=data, headers=headers)
        return answer.status_code, answer.get_json()

    def rows(self) -> list[Any]:
        with self.service.database.read() as tx:
            query = "SELECT id, state, origin, thread, actor, workflow_run_id FROM runs"
            return list(tx.exec_driver_sql(query).all())

    def rule(self, policy: str) -> None:
        """From now on the service's own policy is this one."""
        service = replace(self.service, policy=policies.parse(policy, service=True))
        roof, verifier = Flask(__name__), Verifier(ISSUER, SERVICE, keys)
        roof.register_blueprint(steps.door(service, lambda: verifier))
        self.door = roof.test_client()

    def refused(self, number: int = 7) -> tuple[str, str] | None:
        return self.service.refusals.of(self.hub.repository.id, STEP, number)


@pytest.fixture
def world(tmp_path: Path, migrated_url: str, private_key: str) -> Iterator[World]:
    traffic = tmp_path / "traffic.ndjson"
    made = GitHub(Options(data=tmp_path / "github", actions={}, workflow=None, traffic=traffic))
    with made as hub:
        github = Client(hub.url)
        github.commit("ada", "main", {MINE: WORKFLOW})
        repo = hub.repository
        with hub.hub.lock:
            file = run_verbs.workflow(hub.hooks, repo, "nightly.yml")
            run, _ = run_verbs.dispatch(hub.hooks, repo, file, hub.hub.account("dana"), "main", {})
        told = settings.read(
            {
                "DATABASE_URL": migrated_url,
                "PUBLIC_URL": SERVICE,
                "GITHUB_APP_ID": str(github.about["app_id"]),
                "GITHUB_APP_PRIVATE_KEY": github.about["private_key"],
                "GITHUB_WEBHOOK_SECRET": "x",
                "GITHUB_API_URL": hub.url,
                "ANTHROPIC_API_KEY": "sk-ant-test",
            }
        )
        with services.opened(told, "web") as opened:
            verifier = Verifier(ISSUER, SERVICE, keys)
            roof = Flask(__name__)
            roof.register_blueprint(runs.door(opened, lambda: verifier, Spend(opened.ledger, opened.prices)))
            roof.register_blueprint(steps.door(opened, lambda: verifier))
            yield World(hub, github, opened, roof.test_client(), run.id)
    assert contract().check_traffic(traffic) == []


def policy(world: World, text: str) -> None:
    world.github.commit("ada", "main", {".github/agent.yml": text})


def test_a_step_gets_a_run_under_the_policy_of_the_default_branch_with_its_brief(world: World) -> None:
    policy(world, "classes: {bugfix: {tokens: 90k}}\nmax: {write: {steps: 5}}\npaths: {forbidden: [x/**]}\n")
    status, brief = world.open()
    assert status == 200
    assert brief["token"].startswith("run_")
    assert brief["ceilings"] == {"usd": "2", "tokens": 90_000, "steps": 5, "seconds": 300}
    assert (brief["task"], brief["class"], brief["engine"]) == ("refresh the data", "bugfix", "opus")
    assert brief["head"] == {"ref": "refs/heads/main", "sha": "b" * 40}
    assert "x/**" in brief["forbidden_paths"]
    run = world.service.runs.get(brief["run"])
    assert run is not None
    assert (run.state, run.origin, run.actor, run.thread) == ("running", STEP, "dana", None)
    assert run.workflow_url.endswith(f"/actions/runs/{world.run}")
    assert run.sources == {"usd": "input", "tokens": "class bugfix", "steps": "input", "seconds": "input"}
    assert run.clamps == ("steps: 9 (input) is above 5, the most for write",)


@pytest.mark.parametrize(
    ("claims", "reason", "said"),
    [
        pytest.param(
            {"workflow_ref": f"acme/calendar/{MINE}@refs/pull/2/merge", "event_name": "pull_request"},
            "workflow", "default branch", id="the workflow that a pull request brings",
        ),
        pytest.param(
            {"workflow_ref": f"acme/calendar/{MINE}@refs/heads/topic"},
            "workflow", "default branch", id="a workflow of another branch",
        ),
        pytest.param(
            {"workflow_ref": f"acme/calendar/{MINE}@refs/tags/main"},
            "workflow", "default branch", id="a tag that is called as the branch",
        ),
        pytest.param(
            {"workflow_ref": f"evil/calendar/{MINE}@refs/heads/main"},
            "workflow", "default branch", id="a workflow of another repository",
        ),
        pytest.param({"workflow_ref": "no-ref"}, "workflow", "default branch", id="no workflow at all"),
        pytest.param({"actor": "ren"}, "not_entitled", "role read", id="a reader"),
        pytest.param({"actor": "tri"}, "not_entitled", "role triage", id="a triager"),
        pytest.param({"actor": "eve"}, "not_entitled", "role", id="an outsider"),
        pytest.param({"actor": "helpful[bot]"}, "not_entitled", "no bot", id="a bot"),
        pytest.param({"actor_id": ""}, "not_entitled", "by number", id="nobody in particular"),
    ],
)  # fmt: skip
def test_only_a_workflow_of_the_default_branch_started_by_a_writer_opens_runs_and_the_refusal_is_recorded(
    world: World, claims: dict[str, str], reason: str, said: str
) -> None:
    status, answer = world.open(world.token(**claims))
    assert status == 403
    assert said in answer["error"]
    assert "Nothing was spent." in answer["error"]
    assert world.rows() == []
    recorded = world.refused()
    assert recorded is not None
    assert recorded[0] == reason


@pytest.mark.parametrize(
    ("claims", "status", "said"),
    [
        pytest.param({"aud": "https://other.example"}, 401, "not meant for", id="a token for somebody else"),
        pytest.param({"iss": "https://evil.example"}, 401, "not from", id="a token of another issuer"),
        pytest.param({"exp": 1_600_000_000}, 401, "expired", id="a token of yesterday"),
        pytest.param(
            {"repository": "somebody/elses"}, 403, "not installed", id="a repository without the App"
        ),
        pytest.param(
            {"repository_id": "1"}, 403, "GitHub", id="the name of one repository, the id of another"
        ),
        pytest.param({"run_id": "999999"}, 403, "GitHub", id="a workflow run that is none of its"),
    ],
)
def test_an_identity_that_does_not_fit_opens_nothing(
    world: World, claims: dict[str, Any], status: int, said: str
) -> None:
    got, answer = world.open(world.token(**claims))
    assert (got, world.rows(), world.refused()) == (status, [], None)
    assert said in answer["error"]


def timed(world: World) -> list[float]:
    """The door by a clock that only the test moves."""
    now = [1000.0]
    roof, verifier = Flask(__name__), Verifier(ISSUER, SERVICE, keys)
    roof.register_blueprint(steps.door(world.service, lambda: verifier, lambda: now[0]))
    world.door = roof.test_client()
    return now


def test_github_is_asked_where_the_app_is_once_a_minute_for_each_repository(
    world: World, tmp_path: Path
) -> None:
    now = timed(world)

    def asked(name: str) -> int:
        return (tmp_path / "traffic.ndjson").read_text().count(f"/repos/{name}/installation")

    ours = world.hub.repository.full_name
    strange = world.token(repository="somebody/elses", repository_id="4711")
    renamed = world.token(repository="somebody/renamed", repository_id="4711")
    for bearer in (strange, strange, renamed):
        status, answer = world.open(bearer)
        assert (status, "not installed" in answer["error"]) == (403, True)
    assert (asked("somebody/elses"), asked("somebody/renamed")) == (1, 0)
    for number in (1, 2, 3):
        assert world.open(world.token(check_run_id=str(number)), number=number)[0] == 200
    assert asked(ours) == 1
    now[0] += steps.FRESH_SECONDS
    world.open(strange)
    world.open(world.token(check_run_id="4"), number=4)
    assert (asked("somebody/elses"), asked(ours)) == (2, 2)


def test_the_memory_of_repositories_is_bounded() -> None:
    installations, turnstiles = steps.Installations(len, lambda: 0.0), steps.Turnstiles(lambda: 0.0)
    first = turnstiles.of(0)
    for repository in range(steps.MOST_REPOSITORIES + 1):
        assert installations.of(repository, "acme") == 4
        turnstiles.of(repository)
    assert installations.known(0) is None
    assert all(installations.known(one) == (4,) for one in range(1, steps.MOST_REPOSITORIES + 1))
    assert turnstiles.of(0) is not first


def test_a_repository_that_asks_in_vain_has_github_asked_so_often_in_a_minute_and_no_more(
    world: World, tmp_path: Path
) -> None:
    now, ours = timed(world), world.hub.repository.full_name
    _, first = world.open()
    own = world.token(workflow_ref=f"{ours}/{MINE}@refs/heads/mine", check_run_id="99")

    def asked() -> int:
        return len((tmp_path / "traffic.ndjson").read_text().splitlines())

    def vain(numbers: range) -> list[int]:
        return [world.open(own, number=number)[0] for number in numbers]

    assert vain(range(100, 100 + steps.MOST_IN_VAIN)) == [403] * steps.MOST_IN_VAIN
    before = asked()
    assert vain(range(200, 400)) == [429] * 200
    answer = world.door.post(
        "/api/runs/open", data=json.dumps(ASKED | {"number": 9}), headers={"Authorization": f"Bearer {own}"}
    )
    assert (answer.headers["Retry-After"], "Nothing was spent." in answer.get_json()["error"]) == ("5", True)
    assert (asked(), world.refused(200)) == (before, None)
    assert world.open()[1]["run"] == first["run"], "a step that has its run is given it all the same"
    assert world.open(world.token(repository="a/b", repository_id="4711"))[0] == 403, "another repository"
    now[0] += 60
    assert vain(range(400, 402)) == [403, 403]
    assert world.open(world.token(check_run_id="78"), number=8)[0] == 200


def test_jobs_that_are_given_their_run_are_not_counted_however_many_they_are(world: World) -> None:
    timed(world)
    for number in range(1, steps.MOST_IN_VAIN + 6):
        status, brief = world.open(world.token(check_run_id=str(1000 + number)), number=number)
        assert status == 200
        world.service.runs.end(brief["run"], "done")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"task": " "}, "task", id="nothing to do"),
        pytest.param({"task": "x" * 60_001}, "task", id="too long a task"),
        pytest.param({"class": "split"}, "class", id="a class for threads"),
        pytest.param({"cost": 2}, "cost", id="dollars as a number"),
        pytest.param({"cost": "0"}, "cost", id="no dollars"),
        pytest.param({"steps": True}, "steps", id="true steps"),
        pytest.param({"steps": 0}, "steps", id="no steps"),
        pytest.param({"wall": 10**9}, "wall", id="years"),
        pytest.param({"number": None}, "number", id="no number of its own"),
        pytest.param({"number": 2**63}, "number", id="a number that is too large"),
    ],
)
def test_what_cannot_be_read_is_refused_and_named(world: World, asked: dict[str, Any], said: str) -> None:
    status, answer = world.open(**asked)
    assert status == 400
    assert said in answer["error"]
    assert world.rows() == []


def test_a_wrong_policy_opens_nothing_and_names_line_and_key(world: World) -> None:
    policy(world, "classes:\n  bugfix: {cost: a lot}\n")
    status, answer = world.open()
    assert status == 403
    assert "line 2" in answer["error"]


def test_asked_again_it_is_the_same_run_and_only_the_newest_token_counts(world: World) -> None:
    _, first = world.open()
    _, second = world.open()
    assert first["run"] == second["run"]
    assert len(world.rows()) == 1
    assert world.ask(first, "")[0] == 401
    assert world.ask(second, "")[0] == 200


def test_many_that_ask_at_once_with_one_number_get_one_run(world: World) -> None:
    found: list[Any] = []
    threads = [Thread(target=lambda: found.append(world.open())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in found} == {200}
    assert len({brief["run"] for _, brief in found}) == len(world.rows()) == 1


def test_a_job_has_one_live_run_and_another_job_its_own(world: World) -> None:
    _, first = world.open()
    status, answer = world.open(number=8)
    assert status == 403
    assert "live run" in answer["error"]
    assert world.open(world.token(check_run_id="78"), number=9)[0] == 200
    assert world.open(world.token(run_attempt="2"), number=10)[0] == 200
    world.service.runs.end(first["run"], "done")
    assert world.open(number=11)[0] == 200


def test_the_number_of_another_job_gives_nobody_its_run(world: World) -> None:
    world.open()
    status, answer = world.open(world.token(check_run_id="78"))
    assert (status, "another step's" in answer["error"]) == (403, True)


def test_a_job_gets_no_more_than_fifty_runs(world: World) -> None:
    for number in range(1, 51):
        status, brief = world.open(number=number)
        assert status == 200
        world.service.runs.end(brief["run"], "done")
    status, answer = world.open(number=51)
    assert (status, "50 runs" in answer["error"]) == (403, True)


def test_a_github_that_is_away_is_not_a_no(world: World) -> None:
    world.github.fault("GET", "/permission", 500)
    status, answer = world.open()
    assert (status, world.rows(), world.refused()) == (503, [], None)
    assert "yet" in answer["error"]
    world.github.clear_faults()
    assert world.open()[0] == 200


RESULT_OF_IT = {
    "outcome": "done",
    "summary": "Refreshed.",
    "check": {"command": "make test", "exit_code": 0, "output": "ok"},
    "changeset": {
        "base": "c" * 40,
        "files": [
            {"path": "data.json", "text": "{}\n"},
            {"path": ".github/workflows/x.yml", "text": "on: push\n"},
        ],
    },
    "isolation": "user",
}


def told(world: World, run: str, attempt: int = 1) -> str:
    story = Story(finish_key(run, attempt), world.service, lambda name, do: do())
    return finish.finish(story, run, attempt)


def test_its_end_is_told_to_its_job_and_published_nowhere(world: World) -> None:
    _, brief = world.open()
    before = world.github.state()
    assert world.ask(brief, "/report")[1]["finished"] is False
    assert world.ask(brief, "/result", RESULT_OF_IT)[0] == 202
    assert told(world, brief["run"]) == "done"
    status, answer = world.ask(brief, "/report")
    assert (status, answer["finished"], answer["settled"]) == (200, True, True)
    assert (answer["report"]["run"], answer["report"]["outcome"]) == (brief["run"], "done")
    for said in ("Done: tests pass", "`patch`", ".github/workflows/x.yml", "A person should look"):
        assert said in answer["summary"]
    assert "/agent" not in answer["summary"]
    assert world.github.state() == before


def test_a_step_that_falls_silent_is_lost_and_its_workflow_goes_on(world: World) -> None:
    _, brief = world.open()
    world.service.runs.set(brief["run"], lease_until_at=1)
    watch(world.service)
    assert told(world, brief["run"]) == "lost"
    run = world.service.runs.get(brief["run"])
    assert run is not None
    assert (run.state, run.published) == ("lost", None)
    assert [one["status"] for one in world.github.runs()] == ["queued"]


def test_a_step_may_be_on_a_budget_line_of_which_its_starter_is_a_member(world: World) -> None:
    rules = "caps: {people: {dana: $0.60}}\nlines: {evals: {monthly: $50, members: [dana]}}\n"
    world.rule(rules)
    status, brief = world.open(cost="1.90", line="evals")
    assert (status, brief["ceilings"]["usd"]) == (200, "1.9")
    run = world.service.runs.get(brief["run"])
    assert run is not None
    assert run.line == "evals"
    status, answer = world.open(world.token(actor="max", check_run_id="78"), number=8, line="evals")
    assert (status, "not a member" in answer["error"]) == (403, True)
    status, answer = world.open(world.token(check_run_id="79"), number=9, line="none")
    assert (status, "no budget line" in answer["error"]) == (403, True)


def test_while_the_switch_is_off_no_step_begins_and_a_live_one_is_halted(world: World) -> None:
    _, brief = world.open()
    world.service.switch.pause("", "ada", "the bill")
    assert world.ask(brief, "")[1]["state"] == "halted"
    status, answer = world.open(world.token(check_run_id="78"), number=8)
    assert (status, "paused" in answer["error"]) == (403, True)
    assert world.refused(8) is not None


def test_a_step_that_finds_no_room_is_told_so_and_waits_in_no_line(world: World) -> None:
    world.rule("concurrency: {person: 1}\n")
    assert world.open()[0] == 200
    other = world.token(check_run_id="78")
    status, answer = world.open(other, number=8)
    assert status == 403
    assert (
        "dana has 1 run at once, as many as it may have; ask again when one of them has ended"
        in answer["error"]
    )
    assert [row[1] for row in world.rows()] == ["running"]
    world.service.runs.end(world.rows()[0][0], "done")
    assert world.open(other, number=8)[0] == 200


def test_what_a_step_spends_counts_against_the_month_of_whoever_started_it(world: World) -> None:
    world.rule("caps: {people: {dana: $2.20}}\n")
    status, brief = world.open(cost="1.90")
    assert (status, brief["ceilings"]["usd"]) == (200, "1.9")
    status, answer = world.open(world.token(check_run_id="78"), number=8)
    assert status == 403
    assert "dana's cap" in answer["error"]
    assert world.open(world.token(actor="max", check_run_id="79"), number=9)[0] == 200
