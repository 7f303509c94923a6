"""The webhook's door: only what GitHub signed starts something, and the same body starts it once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from bot.services import Services
from bot.stores.handover import finish_key
from bot.stores.tables import deliveries
from bot.web import webhook
from tests import samples

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


@pytest.fixture
def door(service: Services) -> FlaskClient:
    roof = Flask(__name__)
    roof.register_blueprint(webhook.door(service))
    return roof.test_client()


def post(door: FlaskClient, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
    answer = door.post("/webhooks/github", data=body, headers=headers)
    return answer.status_code, answer.get_json()


def enqueued(service: Services) -> list[tuple[str, str]]:
    """Every story in the queue: name and key."""
    place = "" if service.database.kind == "sqlite" else "dbos."
    with service.database.read() as tx:
        rows = tx.exec_driver_sql(f"SELECT name, workflow_uuid FROM {place}workflow_status").all()
    return [(row[0], row[1]) for row in rows]


def comment(**facts: Any) -> tuple[dict[str, str], bytes]:
    return samples.delivery("issue_comment", "created", on_pull=True, comment="/agent fix", **facts)


@pytest.mark.parametrize(
    ("event", "action", "story", "facts"),
    [
        ("issue_comment", "created", "launch.on_comment", {"on_pull": True, "comment": "/agent fix"}),
        ("issue_comment", "created", "launch.on_comment", {"on_pull": False, "comment": "/agent fxi"}),
        ("pull_request_review_comment", "created", "launch.on_comment", {"comment": "Please:\n/agent fix"}),
        ("issues", "labeled", "relabel.on_changed", {}),
        ("issues", "unlabeled", "relabel.on_changed", {}),
        ("pull_request", "labeled", "relabel.on_changed", {}),
        ("pull_request", "unlabeled", "relabel.on_changed", {}),
        ("pull_request", "closed", "merge.on_closed", {"merged": True}),
        ("pull_request", "reopened", "merge.on_closed", {}),
        (
            "workflow_run",
            "completed",
            "lost.on_workflow_completed",
            {"run_title": "Tollgate run 0123456789ab.1"},
        ),
    ],
)
def test_what_github_signed_starts_its_story(
    door: FlaskClient, service: Services, event: str, action: str, story: str, facts: dict[str, Any]
) -> None:
    headers, body = samples.delivery(event, action, guid=GUID, **facts)
    status, answer = post(door, headers, body)
    assert (status, answer["started"]) == (202, story)
    assert enqueued(service) == [(story, GUID)]


def unsigned(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {k: v for k, v in headers.items() if k != "X-Hub-Signature-256"}, body


def signed_with_another_secret(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return samples.headers("issue_comment", body, secret="another"), body


def changed_after_signing(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return headers, body.replace(b"/agent fix", b"/agent run")


def signed_with_sha1_only(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    bare, _ = unsigned(headers, body)
    return bare | {"X-Hub-Signature": "sha1=" + "0" * 40}, body


def signature_without_its_prefix(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return headers | {"X-Hub-Signature-256": headers["X-Hub-Signature-256"].removeprefix("sha256=")}, body


def not_json(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return samples.headers("issue_comment", body[:-1]), body[:-1]


def a_list(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return samples.headers("issue_comment", b"[]"), b"[]"


def a_form(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    form = b"payload=%7B%7D"
    return samples.headers("issue_comment", form) | {
        "Content-Type": "application/x-www-form-urlencoded"
    }, form


def a_comment_without_a_body(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    payload = json.loads(body)
    del payload["comment"]["body"]
    broken = json.dumps(payload).encode()
    return samples.headers("issue_comment", broken), broken


@pytest.mark.parametrize(
    "id",
    [
        finish_key("0123456789ab", 1), "reconcile-2026-11-28", "cursor-490000", "admit-0123456789ab-1",
        f"{GUID}-rest-x", GUID[:-1], "",
    ],
)  # fmt: skip
def test_no_delivery_has_the_key_of_a_story_of_ours(door: FlaskClient, service: Services, id: str) -> None:
    """The id is not under the signature: whoever has one signed body could keep a run from being told."""
    headers, body = comment()
    status, answer = post(door, headers | {"X-GitHub-Delivery": id}, body)
    assert (status, enqueued(service)) == (400, [])
    assert "X-GitHub-Delivery" in answer["error"]


def without_a_delivery_id(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {k: v for k, v in headers.items() if k != "X-GitHub-Delivery"}, body


@pytest.mark.parametrize(
    ("spoil", "status", "said"),
    [
        (unsigned, 401, "not signed"),
        (signed_with_another_secret, 401, "does not fit"),
        (changed_after_signing, 401, "does not fit"),
        (signed_with_sha1_only, 401, "not signed"),
        (signature_without_its_prefix, 401, "does not fit"),
        (not_json, 400, "not JSON"),
        (a_list, 400, "a JSON object"),
        (a_form, 400, "application/json"),
        (a_comment_without_a_body, 400, "cannot be read"),
        (without_a_delivery_id, 400, "X-GitHub-Delivery"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_anything_else_starts_nothing_and_says_why(
    door: FlaskClient, service: Services, spoil: Any, status: int, said: str
) -> None:
    got, answer = post(door, *spoil(*comment()))
    assert got == status
    assert said in answer["error"]
    assert enqueued(service) == []
    with service.database.read() as tx:
        assert tx.execute(sa.select(deliveries)).first() is None


@pytest.mark.parametrize(
    ("event", "action", "facts"),
    [
        pytest.param("issue_comment", "edited", {"comment": "/agent fix"}, id="an edited comment"),
        pytest.param("issue_comment", "deleted", {"comment": "/agent fix"}, id="a deleted comment"),
        pytest.param(
            "issue_comment", "created", {"comment": "/agent fix", "sender_type": "Bot"}, id="by a bot"
        ),
        pytest.param(
            "issue_comment", "created", {"comment": "/agent fix", "installation": None}, id="not installed"
        ),
        pytest.param("issue_comment", "created", {"comment": "Say `/agent fix`"}, id="without a command"),
        pytest.param("pull_request_review_comment", "created", {}, id="nor on a line"),
        pytest.param("workflow_run", "completed", {"run_title": "CI"}, id="a workflow that is no run's"),
        pytest.param(
            "workflow_run",
            "completed",
            {"run_title": "Tollgate run 0123456789ab.1", "run_event": "pull_request"},
            id="a pull request with a run's name for its title",
        ),
        pytest.param("issues", "labeled", {"label": "bug"}, id="a label that is not ours"),
        pytest.param("pull_request", "labeled", {"label": "bug"}, id="nor on a pull request"),
        pytest.param("check_run", "created", {}, id="a check run"),
    ],
)
def test_what_is_of_no_interest_is_recorded_and_starts_nothing(
    door: FlaskClient, service: Services, event: str, action: str, facts: dict[str, Any]
) -> None:
    status, answer = post(door, *samples.delivery(event, action, guid=GUID, **facts))
    assert (status, answer["started"]) == (202, None)
    assert enqueued(service) == []
    with service.database.read() as tx:
        assert tx.execute(sa.select(deliveries.c.id)).scalars().all() == [GUID]


def test_a_redelivery_starts_nothing_twice(door: FlaskClient, service: Services) -> None:
    headers, body = comment(guid=GUID)
    answers = [post(door, headers, body) for _ in range(3)]
    assert [status for status, _ in answers] == [202, 202, 202]
    assert [answer["seen_before"] for _, answer in answers] == [False, True, True]
    assert enqueued(service) == [("launch.on_comment", GUID)]


def test_a_ping_is_answered(door: FlaskClient, service: Services) -> None:
    status, answer = post(door, *samples.delivery("ping"))
    assert status == 200
    assert answer["pong"]
    assert enqueued(service) == []


def test_a_body_that_is_too_large_is_not_read(door: FlaskClient) -> None:
    assert post(door, comment()[0], b"x" * (webhook.MAX_BODY + 1))[0] == 413
