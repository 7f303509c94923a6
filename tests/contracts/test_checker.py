"""The checker finds what breaks GitHub's published contract, and passes what keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import samples
from tests.contracts.checker import WAIVERS, contract

REPO = "/repos/acme/widgets"
DISPATCH = f"{REPO}/actions/workflows/agent.yml/dispatches"
CHECK = {"name": "Tollgate", "head_sha": "f" * 40}
ERROR = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}

KEEPS = [
    pytest.param("GET", f"{REPO}/contents/docs/a%20file.md", {"ref": "main"}, None, id="a path with slashes"),
    pytest.param("GET", f"{REPO}/git/ref/heads/agent/run-1", {}, None, id="a ref with slashes"),
    pytest.param("GET", f"{REPO}/issues/7/comments", {"per_page": "100", "page": "2"}, None, id="paging"),
    pytest.param("POST", DISPATCH, {}, {"ref": "main", "inputs": {"run": "1"}}, id="dispatch"),
    pytest.param(
        "POST", DISPATCH, {}, {"ref": "main", "return_run_details": True}, id="dispatch, with details"
    ),
    pytest.param("POST", f"{REPO}/check-runs", {}, CHECK | {"status": "in_progress"}, id="check started"),
    pytest.param(
        "POST",
        f"{REPO}/check-runs",
        {},
        CHECK | {"status": "completed", "conclusion": "neutral"},
        id="check done",
    ),
    pytest.param(
        "POST", f"{REPO}/issues/7/labels", {}, ["agent:cost=$5"], id="labels as a bare array: waived"
    ),
    pytest.param("PUT", f"{REPO}/pulls/7/merge", {}, None, id="a body that may be left out"),
]

BREAKS = [
    pytest.param(
        "POST",
        DISPATCH,
        {},
        {"ref": "m", "inputs": {str(n): "" for n in range(26)}},
        "25 properties",
        id="26 inputs",
    ),
    pytest.param("POST", DISPATCH, {}, {"inputs": {}}, '"ref" is a required', id="dispatch without ref"),
    pytest.param("POST", DISPATCH, {}, {"ref": "m", "input": {}}, "'input'", id="a misspelt field"),
    pytest.param(
        "POST", f"{REPO}/issues/comments/1/reactions", {}, {"content": "tada"}, "tada", id="unknown reaction"
    ),
    pytest.param("POST", f"{REPO}/check-runs", {}, CHECK | {"status": "done"}, "done", id="check status"),
    pytest.param(
        "POST", f"{REPO}/check-runs", {}, CHECK | {"externalId": "1"}, "externalId", id="check field"
    ),
    pytest.param(
        "POST", f"{REPO}/git/trees", {}, {"tree": [{"path": "a", "mode": "100600"}]}, "100600", id="file mode"
    ),
    pytest.param("POST", f"{REPO}/git/trees", {}, {"tree": [{"name": "a"}]}, "name", id="field of an item"),
    pytest.param(
        "POST",
        "/app/installations/1/access_tokens",
        {},
        {"permissions": {"contents": "admin"}},
        "admin",
        id="contents: admin",
    ),
    pytest.param("GET", f"{REPO}/issues/7/comments", {"sort": "new"}, None, "sort", id="unknown parameter"),
    pytest.param("GET", f"{REPO}/actions/runs", {"page": "two"}, None, "two", id="a page that is no number"),
    pytest.param("GET", f"{REPO}/issues/seven", {}, None, "seven", id="an issue that is no number"),
    pytest.param("GET", f"{REPO}/issue/7", {}, None, "no such operation", id="unknown path"),
    pytest.param("DELETE", f"{REPO}/pulls/7", {}, None, "no such operation", id="unknown method"),
    pytest.param("POST", f"{REPO}/pulls", {}, None, "head", id="a missing body"),
    pytest.param("GET", REPO, {}, {"a": 1}, "takes none", id="a body where none is taken"),
]


@pytest.mark.parametrize(("method", "path", "query", "body"), KEEPS)
def test_requests_as_documented_pass(method: str, path: str, query: dict[str, str], body: Any) -> None:
    assert contract().request(method, path, query, body) == []


@pytest.mark.parametrize(("method", "path", "query", "body", "named"), BREAKS)
def test_requests_that_github_would_refuse_or_misread_are_named(
    method: str, path: str, query: dict[str, str], body: Any, named: str
) -> None:
    found = contract().request(method, path, query, body)
    assert found
    assert named in " ".join(found)


def reaction(**changed: Any) -> dict[str, Any]:
    user = samples.payload("ping")["sender"]
    made = {"id": 1, "node_id": "x", "user": user, "content": "eyes", "created_at": "2026-11-20T12:00:00Z"}
    return made | changed


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param({}, None, id="as documented"),
        pytest.param({"user": None}, None, id="null where OpenAPI 3.0 says nullable"),
        pytest.param({"content": "tada"}, "tada", id="a value out of the enumeration"),
        pytest.param({"created_at": "yesterday"}, "yesterday", id="a time that is none"),
        pytest.param({"created_at": None}, "created_at", id="null where it may not be"),
        pytest.param({"emoji": "x"}, "emoji", id="a field that GitHub does not send"),
    ],
)
def test_answers_are_checked_to_the_last_field(changed: dict[str, Any], named: str | None) -> None:
    path = f"{REPO}/issues/comments/1/reactions"
    found = contract().response("POST", path, 201, reaction(**changed))
    assert (named is None) == (found == [])
    assert named is None or named in " ".join(found)


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "wrong"),
    [
        pytest.param("POST", DISPATCH, 204, None, False, id="204 without a body"),
        pytest.param("POST", DISPATCH, 204, {"a": 1}, True, id="204 with a body"),
        pytest.param("POST", DISPATCH, 200, None, True, id="200 without its body"),
        pytest.param("POST", DISPATCH, 200, {"workflow_run_id": 1}, True, id="200 with half of its body"),
        pytest.param("POST", DISPATCH, 201, {}, True, id="a status that GitHub does not use here"),
        pytest.param("GET", f"{REPO}/pulls/7", 404, ERROR, False, id="an error as documented"),
        pytest.param("POST", DISPATCH, 403, ERROR, False, id="an error that any operation may give"),
        pytest.param("GET", f"{REPO}/pulls/7", 404, {"error": "gone"}, True, id="an error of another shape"),
        pytest.param("GET", f"{REPO}/nothing", 200, {}, True, id="unknown path"),
    ],
)
def test_statuses_and_bodies_belong_together(
    method: str, path: str, status: int, body: Any, wrong: bool
) -> None:
    assert bool(contract().response(method, path, status, body)) is wrong


def test_a_merged_that_is_a_word_is_found() -> None:
    headers, body = samples.delivery(
        "pull_request", "closed", patch={"pull_request": {"merged": "yes"}}, check=False
    )
    found = contract().webhook("pull_request", "closed", headers, json.loads(body))
    assert any("merged" in violation and "yes" in violation for violation in found)


@pytest.mark.parametrize(
    ("event", "action", "missing", "named"),
    [
        pytest.param("issue_comment", "created", "X-Hub-Signature-256", "x-hub-signature-256", id="unsigned"),
        pytest.param("issue_comment", "shouted", "", "no such webhook", id="unknown action"),
    ],
)
def test_deliveries_lack_nothing(event: str, action: str, missing: str, named: str) -> None:
    headers, body = samples.delivery("issue_comment", "created")
    headers.pop(missing, None)
    assert named in " ".join(contract().webhook(event, action, headers, json.loads(body)))


CLOSES = """query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    closingIssuesReferences(first: 50) { nodes { number repository { nameWithOwner } } } } } }"""


@pytest.mark.parametrize(
    ("query", "variables", "named"),
    [
        pytest.param(CLOSES, {"owner": "a", "name": "b", "number": 7}, None, id="as documented"),
        pytest.param(CLOSES.replace("closing", "closed"), None, "closedIssuesReferences", id="unknown field"),
        pytest.param(CLOSES.replace("first:", "top:"), None, "top", id="unknown argument"),
        pytest.param(
            CLOSES, {"owner": "a", "name": "b", "number": "7"}, "Int", id="variable of another type"
        ),
        pytest.param("query {", None, "Syntax Error", id="no query at all"),
    ],
)
def test_graphql_is_checked_against_the_published_types(
    query: str, variables: dict[str, Any] | None, named: str | None
) -> None:
    found = contract().graphql(query, variables)
    assert (named is None) == (found == [])
    assert named is None or named in " ".join(found)


NODE = {"number": 1, "repository": {"nameWithOwner": "acme/widgets"}}


def closes(*nodes: Any, **more: Any) -> Any:
    linked = {"nodes": list(nodes)} | more
    return {"data": {"repository": {"pullRequest": {"closingIssuesReferences": linked}}}}


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        pytest.param(closes(NODE, None), None, id="as the schema says"),
        pytest.param({"data": {"repository": None}}, None, id="nothing there"),
        pytest.param({"data": None, "errors": [{"message": "Not found"}]}, None, id="an error"),
        pytest.param({"message": "Bad credentials", "status": "401"}, None, id="an error of REST"),
        pytest.param({}, "neither", id="nothing at all"),
        pytest.param(closes(NODE | {"number": "one"}), "Int cannot", id="another type"),
        pytest.param(closes(NODE | {"repository": None}), "non-nullable", id="null where none may be"),
        pytest.param(closes(NODE | {"state": "OPEN"}), "nobody asked", id="a field that nobody asked for"),
    ],
)
def test_the_data_of_graphql_is_what_the_schema_makes_of_the_query(answer: Any, named: str | None) -> None:
    found = contract().graphql_data(CLOSES, {"owner": "a", "name": "b", "number": 7}, answer)
    assert (named is None) == (found == [])
    assert named is None or named in " ".join(found)


def test_a_log_of_traffic_is_checked_line_by_line(tmp_path: Path) -> None:
    headers, body = samples.delivery("issue_comment", "created")
    good = {"kind": "api", "method": "POST", "path": DISPATCH, "query": {}, "request": {"ref": "main"}}
    hook = {"kind": "webhook", "event": "issue_comment", "action": "created", "headers": headers}
    lines = [
        good | {"status": 204, "response": None},
        good | {"status": 200, "response": {"workflow_run_id": "1"}},
        hook | {"payload": json.loads(body), "status": 202},
        {
            "kind": "api",
            "method": "POST",
            "path": "/graphql",
            "query": {},
            "request": {"query": "{ nothing }"},
        }
        | {"status": 200, "response": {}},
    ]
    log = tmp_path / "traffic.ndjson"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = contract().check_traffic(log)
    assert {violation.split(":")[0] for violation in found} == {"line 2", "line 4"}


def test_every_waiver_says_why() -> None:
    assert all(len(waiver.reason) > 20 for waiver in WAIVERS)
