"""The sandbox's GitHub keeps GitHub's published contract: its routes, its answers, its webhooks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sandbox.github.client import Client, Refusal
from sandbox.github.routes import apps, comments, gitdata, graphql, hooks, repos, runs, threads
from sandbox.processes import start
from tests.clients.conftest import WORKFLOW
from tests.contracts.checker import contract
from tests.contracts.operations import OPERATIONS

# What GitHub has and does not publish, with the reason.
UNPUBLISHED = {
    ("POST", "/graphql"): "GraphQL is described by its own schema",
    ("GET", "/repositories/{}"): "where GitHub redirects a renamed repository to",
    ("GET", "/repos/{}/{}/contents"): "the root folder, as `contents/{path}` with nothing for a path",
    ("GET", "/repos/{}/{}/contents/"): "the root folder, as `contents/{path}` with nothing for a path",
}


def test_every_route_of_the_sandbox_is_a_published_operation() -> None:
    published = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, methods in OPERATIONS.items()
        for method in methods.split()
    }
    served = {
        (route.method, re.sub(r"<[^>]+>", "{}", route.path))
        for table in (apps, comments, gitdata, graphql, hooks, repos, runs, threads)
        for route in table.routes
    }
    assert served - published - UNPUBLISHED.keys() == set()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    folder = tmp_path_factory.mktemp("github")
    (folder / "agent.yml").write_text(WORKFLOW, encoding="utf-8")
    traffic = folder / "traffic.ndjson"
    workflow = folder / "agent.yml"
    with start("github", traffic=traffic, data=folder / "data", workflow=workflow) as running:
        client = Client(running.url)
        client.hook("http://127.0.0.1:9/nobody", ping=True)
        yield client, traffic


def sent_all(c: Client) -> list[Any]:
    """Every delivery, once none is still to be sent: before that it has no headers."""
    found = c.deliveries()
    return [] if any(one["status"] == "pending" for one in found) else found


def a_bot_comments(c: Client) -> None:
    c.comment("helpful[bot]", 2, "Have you considered a bot?")


def a_fork_is_proposed_and_closed(c: Client) -> None:
    number = c.fork_pull("eve", {"README.md": "Hello from outside\n"})
    c.close("ada", number)


def a_pull_request_is_merged(c: Client) -> None:
    c.commit("dana", "merge-me", {"merge.txt": "x\n"})
    c.merge("ada", c.pull("dana", "merge-me", "Merge me", "Closes #1"))


def a_workflow_runs(c: Client) -> None:
    sent = {"ref": "main", "inputs": {"run": "a", "attempt": "1"}}
    c.do("dana", "POST", "/actions/workflows/agent.yml/dispatches", sent)
    c.wait(lambda c: [run for run in c.runs() if run["status"] == "completed"], 60, "a run's end")


def comments_come_change_and_go(c: Client) -> None:
    id = c.comment("dana", 2, "/agent fix")
    c.edit_comment("dana", id, "/agent fix cost=$100")
    c.delete_comment("dana", id)
    c.review_comment("dana", 2, "acme_calendar/years.py", 1, "/agent fix this")


def labels_come_and_go(c: Client) -> None:
    c.label("ada", 1, "agent:cost=$2")
    c.label("ada", 2, "agent:cost=$10", "bug")
    c.unlabel("ada", 2, "bug")


def people_ask_for_what_they_may_not(c: Client) -> None:
    for login, method, path in [
        ("eve", "PUT", "/pulls/2/merge"),
        ("ren", "POST", "/issues/2/labels"),
        ("dana", "GET", "/issues/999"),
    ]:
        with suppress(Refusal):
            c.do(login, method, path, {"labels": ["bug"]} if path.endswith("labels") else None)


def people_read(c: Client) -> None:
    for path in (
        "",
        "/branches",
        "/branches/main",
        "/commits",
        "/commits/main",
        "/commits/main/check-runs",
        "/compare/main...faster-dates",
        "/contents/README.md",
        "/contents/acme_calendar",
        "/git/matching-refs/heads",
        "/git/trees/main?recursive=1",
        "/issues?state=all",
        "/issues/1",
        "/issues/2/timeline",
        "/issues/2/events",
        "/issues/2/comments",
        "/labels",
        "/pulls?state=all",
        "/pulls/2",
        "/pulls/2/files",
        "/pulls/2/commits",
        "/pulls/2/comments",
        "/actions/workflows",
        "/actions/runs",
        "/collaborators/dana/permission",
    ):
        c.do("ada", "GET", path)


@pytest.mark.parametrize(
    "story",
    [
        a_bot_comments,
        comments_come_change_and_go,
        labels_come_and_go,
        people_ask_for_what_they_may_not,
        a_fork_is_proposed_and_closed,
        a_workflow_runs,
        a_pull_request_is_merged,
        people_read,
    ],
)
def test_what_the_sandbox_answers_and_tells_keeps_the_contract(
    log: tuple[Client, Path], story: Callable[[Client], None]
) -> None:
    client, traffic = log
    before = len(traffic.read_text(encoding="utf-8").splitlines())
    told = len(client.deliveries())
    story(client)
    lines = [json.loads(line) for line in traffic.read_text(encoding="utf-8").splitlines()[before:]]
    assert [violation for line in lines for violation in contract().exchange(line)] == []
    wrong = []
    for one in client.wait(sent_all, what="its deliveries")[told:]:
        sent = one["request"]
        wrong += contract().webhook(one["event"], one["action"], sent["headers"], sent["payload"])
    assert wrong == []


def test_the_first_deliveries_of_an_installation_keep_the_contract(log: tuple[Client, Path]) -> None:
    client, _ = log
    first = [one for one in client.deliveries() if one["event"] in ("ping", "installation")]
    assert {one["event"] for one in first} == {"ping", "installation"}
    for one in first:
        sent = one["request"]
        assert contract().webhook(one["event"], one["action"], sent["headers"], sent["payload"]) == []
