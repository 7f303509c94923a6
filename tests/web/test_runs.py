"""The runners' door: only the workflow run that was dispatched claims, and its token is for its run alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask.testing import FlaskClient
from jwt.algorithms import RSAAlgorithm

from bot.clients.oidc import Verifier
from bot.core import reports
from bot.core.ceilings import CLASSES, Reason
from bot.core.run_tokens import for_agent
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id
from bot.stories.spend import NoRun, Spend
from bot.web import runs

ISSUER, SERVICE = "https://issuer.example", "https://tollgate.example"
KEY, STRANGER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
SNAPSHOT = {
    "thread": {"kind": "pull", "number": 7, "title": "T", "body": "B", "url": "https://x/o/r/pull/7"},
    "head": {"ref": "topic", "sha": "a" * 40},
    "default_branch": "main",
    "check": "make test",
    "context": 80_000,
    "forbidden_paths": [".github/workflows/**"],
}


def keys(url: str) -> bytes:
    if url.endswith("openid-configuration"):
        return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}).encode()
    public = RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [public | {"kid": "k", "use": "sig", "alg": "RS256"}]}).encode()


def token(key: rsa.RSAPrivateKey = KEY, **claims: Any) -> str:
    """An OIDC token as GitHub would sign it for the dispatched run, but for `claims`."""
    now = int(time.time())
    known = {
        "iss": ISSUER, "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
        "repository": "o/r", "repository_id": "1", "repository_owner_id": "2", "run_id": "500",
        "run_attempt": "1", "event_name": "workflow_dispatch", "ref": "refs/heads/main", "sha": "b" * 40,
        "workflow_ref": "o/r/.github/workflows/agent.yml@refs/heads/main", "actor": "tollgate[bot]",
    }  # fmt: skip
    return jwt.encode(known | claims, key, algorithm="RS256", headers={"kid": "k"})


@dataclass
class Door:
    client: FlaskClient
    service: Services

    def open(
        self, dispatched: bool = True, workflow_run: int | None = 500, thread: int = 7, **more: Any
    ) -> str:
        new = NewRun(
            id=new_id(), origin="github", ceilings=CLASSES["bugfix"], task_class="bugfix", engine="opus",
            model="claude-opus-4-7", price_book="p", effort="high", task="fix it", installation=9,
            repository_id=1, repository="o/r", thread=thread, thread_kind="pull",
            comment_kind="issue_comment", comment_id=int(new_id(), 16), snapshot=SNAPSHOT, **more,
        )  # fmt: skip
        assert self.service.runs.open(new)
        if dispatched:
            self.service.runs.dispatched(new.id, workflow_run, None)
        return new.id

    def ask(self, method: str, path: str, bearer: str | None, content: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = self.client.open(f"/api/runs/{path}", method=method, data=data, headers=headers)
        return answer.status_code, answer.get_json()

    def post(self, path: str, bearer: str | None, content: Any) -> tuple[int, Any]:
        return self.ask("POST", path, bearer, content)

    def claim(self, run: str, bearer: str | None = None, attempt: int = 1) -> tuple[int, Any]:
        return self.post("claim", bearer or token(), {"run": run, "attempt": attempt})


@pytest.fixture
def door(service: Services) -> Door:
    roof = Flask(__name__)
    spend = Spend(service.ledger, service.prices)
    verifier = Verifier(ISSUER, SERVICE, keys)
    roof.register_blueprint(runs.door(service, lambda: verifier, spend))
    return Door(roof.test_client(), service)


def test_the_dispatched_workflow_run_claims_and_gets_its_brief(door: Door) -> None:
    run = door.open()
    status, brief = door.claim(run)
    assert status == 200
    assert brief.pop("token").startswith("run_")
    assert brief == {
        "run": run,
        "attempt": 1,
        "base_url": f"{SERVICE}/anthropic",
        "task": "fix it",
        "class": "bugfix",
        "engine": "opus",
        "model": "claude-opus-4-7",
        "effort": "high",
        "context": 80_000,
        "thread": SNAPSHOT["thread"],
        "repository": {"full_name": "o/r", "id": 1, "default_branch": "main"},
        "head": SNAPSHOT["head"],
        "base_ref": "main",
        "ceilings": {"usd": "5", "tokens": 500_000, "steps": 20, "seconds": 600},
        "seconds_left": brief["seconds_left"],
        "check": "make test",
        "resumed": None,
        "before": None,
        "forbidden_paths": [".github/workflows/**"],
    }
    assert 590 <= brief["seconds_left"] <= 600


@pytest.mark.parametrize(
    ("bearer", "status", "said"),
    [
        pytest.param(lambda: "nonsense", 401, "not a signed", id="no token at all"),
        pytest.param(lambda: token(STRANGER), 401, "signature", id="signed by another key"),
        pytest.param(lambda: token(iss="https://evil.example"), 401, "not from", id="another issuer"),
        pytest.param(lambda: token(aud="https://other"), 401, "not meant for", id="another audience"),
        pytest.param(lambda: token(exp=1_600_000_000), 401, "expired", id="expired"),
        pytest.param(lambda: token(repository_id="2"), 403, "repository_id", id="another repository"),
        pytest.param(
            lambda: token(workflow_ref="o/r/.github/workflows/own.yml@refs/heads/main"),
            403,
            "workflow_ref",
            id="another workflow",
        ),
        pytest.param(
            lambda: token(workflow_ref="o/r/.github/workflows/agent.yml@refs/heads/topic"),
            403,
            "workflow_ref",
            id="the workflow of another branch",
        ),
        pytest.param(lambda: token(event_name="push"), 403, "event_name", id="not dispatched"),
        pytest.param(lambda: token(run_id="501"), 403, "run_id", id="another workflow run"),
    ],
)
def test_any_other_identity_is_refused_and_told_what_differs(
    door: Door, bearer: Callable[[], str], status: int, said: str
) -> None:
    run = door.open()
    got, answer = door.claim(run, bearer())
    assert got == status
    assert said in answer["error"]
    found = door.service.runs.get(run)
    assert found is not None
    assert found.state == "open"


def test_a_claim_before_the_dispatch_is_known_may_come_again(door: Door) -> None:
    assert door.claim("0" * 12)[0] == 404
    run = door.open(dispatched=False)
    assert door.claim(run)[0] == 404
    assert door.claim(run, attempt=2)[0] == 404
    door.service.runs.dispatched(run, None, None)
    assert door.claim(run)[0] == 200


def test_the_same_workflow_run_may_repeat_its_claim_and_its_old_token_dies(door: Door) -> None:
    run = door.open(workflow_run=None)
    first, second = door.claim(run)[1]["token"], door.claim(run)[1]["token"]
    assert door.post(f"{run}/events", first, {"events": []})[0] == 401
    assert door.post(f"{run}/events", second, {"events": []})[0] == 200
    assert door.claim(run, token(run_id="501"))[0] == 403, "it is bound now"


def test_a_run_that_has_ended_is_not_claimed(door: Door) -> None:
    run = door.open()
    door.service.runs.end(run, "halted", reason=Reason.STOPPED, message="stopped by ann")
    status, answer = door.claim(run)
    assert (status, "stopped by ann" in answer["error"]) == (409, True)


def test_a_run_that_slipped_past_a_pause_is_halted_at_its_claim(door: Door) -> None:
    switch = door.service.switch
    switch.pause("o/r", "ada", "the bill")
    run = door.open()  # its launch had looked before the pause, and wrote after it
    status, said = door.claim(run)
    assert status == 409
    assert "paused in o/r by ada: the bill" in said["error"]
    row = door.service.runs.get(run)
    assert row is not None
    assert (row.state, row.reason) == ("halted", "stopped")
    switch.unpause("o/r", "ada")
    assert door.claim(door.open(thread=8))[0] == 200


def test_a_token_opens_its_own_run_only(door: Door) -> None:
    one, other = door.open(), door.open(workflow_run=501, thread=8)
    secret = door.claim(one)[1]["token"]
    for bearer in (secret, None, "run_x"):
        assert door.post(f"{other}/events", bearer, {"events": []})[0] == 401
        assert door.post(f"{other}/result", bearer, {"outcome": "done"})[0] == 401


def test_what_an_agent_is_given_asks_the_model_and_speaks_for_no_runner(door: Door) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    given = for_agent(secret)
    assert (len(given), given[:4]) == (len(secret), "run_")
    spend = Spend(door.service.ledger, door.service.prices)
    assert spend.account(given).run == spend.account(secret).run == run
    for method, path in (
        ("GET", ""),
        ("POST", "/events"),
        ("POST", "/result"),
        ("GET", "/work"),
        ("PUT", "/work"),
    ):
        assert door.ask(method, run + path, given, {} if method != "GET" else None)[0] == 401, path
    assert door.ask("GET", run, secret)[0] == 200
    with pytest.raises(NoRun):
        spend.account(for_agent(given))


def test_a_look_says_where_a_run_stands_and_does_not_say_that_its_runner_lives(door: Door) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    before = door.service.runs.get(run)
    assert door.ask("GET", run, secret)[1]["state"] == "running"
    assert door.ask("GET", run, "run_x")[0] == 401
    assert door.service.runs.get(run) == before


def test_events_say_what_is_left_and_whether_to_go_on(door: Door) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    told = {"events": [{"type": "turn", "tool_calls": 3}, {"type": "heartbeat", "tool_calls": 2}]}
    status, answer = door.post(f"{run}/events", secret, told)
    assert status == 200
    assert answer["state"] == "running"
    assert {**answer["remaining"], "seconds": 0} == {
        "usd": "5",
        "tokens": 500_000,
        "steps": 20,
        "seconds": 0,
    }
    found = door.service.runs.get(run)
    assert found is not None
    assert found.spent.tool_calls == 3
    door.service.runs.end(run, "halted", reason=Reason.STOPPED, message="stopped by ann")
    answer = door.post(f"{run}/events", secret, {"events": []})[1]
    assert (answer["state"], answer["reason"], answer["message"]) == ("halted", "stopped", "stopped by ann")


def test_an_agent_that_is_told_to_wrap_up_opens_what_is_kept_back_for_that(door: Door) -> None:
    run = door.open(keeps_back=True)
    secret = door.claim(run)[1]["token"]
    for kind, kept in (("turn", True), ("wrap_up", False), ("turn", False)):
        assert door.post(f"{run}/events", secret, {"events": [{"type": kind, "text": "x"}]})[0] == 200
        assert door.service.ledger.account_of(run).kept_back is kept


CHANGES = {"base": "a" * 40, "files": [{"path": "x", "mode": "100644", "text": "new"}]}


def test_work_so_far_is_left_with_the_service_and_found_again(door: Door) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    assert door.ask("GET", f"{run}/work", secret) == (200, {"transcript": None, "changeset": None})
    for talk, changes in (("b25l", CHANGES), ("dHdv", None)):
        sent = {"transcript": talk} | ({"changeset": changes} if changes else {})
        assert door.ask("PUT", f"{run}/work", secret, sent)[0] == 200
    assert door.ask("GET", f"{run}/work", secret) == (200, {"transcript": "dHdv", "changeset": CHANGES})
    door.service.runs.end(run, "halted", reason=Reason.COST, message="halted")
    assert door.ask("PUT", f"{run}/work", secret, {"transcript": "dGhyZWU="})[0] == 200, "the last turn's"
    door.service.handover.decide(run, 1)
    assert door.ask("PUT", f"{run}/work", secret, {"transcript": "bGF0ZQ=="})[0] == 409


def test_work_is_its_own_runs_and_no_others(door: Door) -> None:
    one, other = door.open(), door.open(workflow_run=501, thread=8)
    secret = door.claim(one)[1]["token"]
    for method, content in (("PUT", {"transcript": "b25l"}), ("GET", None)):
        for bearer in (secret, None, "run_x"):
            assert door.ask(method, f"{other}/work", bearer, content)[0] == 401


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        ({}, 400),
        ({"transcript": 1}, 400),
        ({"transcript": "not base64!"}, 400),
        ({"transcript": "b25l", "changeset": {"base": "x", "files": []}}, 400),
        (b"x" * (32 * 1024 * 1024 + 1), 413),
    ],
    ids=["no JSON", "empty", "a number", "no base64", "no changeset", "too large"],
)
def test_work_that_cannot_be_read_is_refused(door: Door, content: Any, status: int) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    assert door.ask("PUT", f"{run}/work", secret, content)[0] == status


def test_a_result_is_taken_once_and_starts_the_end(door: Door) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    assert [door.post(f"{run}/result", secret, {"outcome": "done"})[0] for _ in range(2)] == [202, 202]
    assert door.service.queue.status(finish_key(run, 1)) == "ENQUEUED"
    assert door.post(f"{run}/result", secret, {"outcome": "failed"})[0] == 409


@pytest.mark.parametrize("content", [b"{", b"[]", {"outcome": "won"}, {"outcome": "done", "changeset": 1}])
def test_a_result_that_cannot_be_read_is_refused_and_may_come_again(door: Door, content: Any) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    assert door.post(f"{run}/result", secret, content)[0] == 400
    assert door.post(f"{run}/result", secret, {"outcome": "done"})[0] == 202


def test_a_result_is_at_most_32_megabytes(door: Door) -> None:
    run = door.open()
    secret = door.claim(run)[1]["token"]
    assert door.post(f"{run}/result", secret, b"x" * (32 * 1024 * 1024 + 1))[0] == 413


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", {"run": 1, "attempt": 1}, {"run": "a", "attempt": "1"}, {"run": "a\0", "attempt": 1},
     {"run": "\ud800", "attempt": 1}, {"run": "", "attempt": 1}],
)  # fmt: skip
def test_a_claim_that_cannot_be_read_is_refused(door: Door, content: Any) -> None:
    assert door.post("claim", token(), content)[0] == 400


def test_a_run_s_report_is_for_its_token_and_for_jobs_of_its_workflow_run_alone(door: Door) -> None:
    run, other = door.open(), door.open(thread=8, workflow_run=501)
    mine = door.claim(run)[1]["token"]
    status, told = door.ask("GET", run, mine)
    assert status == 200
    report = reports.to_json(door.service.runs.report(run))
    assert told.items() >= json.loads(json.dumps(report)).items()
    assert {"state", "remaining"} <= told.keys(), "and where it stands, for its runner"
    assert door.ask("GET", run, token())[1].items() >= report.items(), "a later job of the same workflow run"
    assert door.ask("GET", f"{run}/report", token())[1]["report"] == json.loads(json.dumps(report))
    for bearer in (
        token(run_id="501"),
        token(repository_id="2"),
        token(STRANGER),
        token(aud="https://elsewhere.example"),
        door.claim(other, token(run_id="501"))[1]["token"],
        "run_" + "x" * 43,
    ):
        for path in (run, f"{run}/report"):
            assert door.ask("GET", path, bearer)[0] == 401
    assert door.ask("PUT", f"{run}/work", token(), {})[0] == 401, (
        "looking is all that an identity is good for"
    )
