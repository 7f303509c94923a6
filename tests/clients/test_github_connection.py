"""Tokens are narrow and stay secret, errors are sentences, what may have been done is not done again."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.clients.github import (
    AppliedLabel,
    Dispatched,
    GitHub,
    GitHubError,
    Repo,
    Unavailable,
    Unrecognized,
)
from bot.clients.github.connection import UNRECOGNIZED_WAIT
from bot.clients.github.shapes import applied_labels
from bot.core.changeset import File
from bot.core.roles import Role
from sandbox.github.verbs.apps import new_key
from tests.clients.conftest import World

ISSUE, PULL = 1, 2

# -- tokens, against the sandbox --


def asked_for(world: World, start: int) -> list[Any]:
    """The installation tokens that were asked for since that line of the traffic."""
    lines = world.lines()[start:]
    return [line for line in lines if line.get("path", "").endswith("/access_tokens")]


def test_tokens_are_for_one_repository_and_one_purpose_and_are_kept(world: World, github: GitHub) -> None:
    start = len(world.lines())
    head = github.branch_head(world.repo, "main") or ""
    for _ in range(2):
        github.issue(world.repo, ISSUE)
        github.comment(world.repo, ISSUE, "Hello", "<!-- tollgate-run:70000:1 -->")
    asked = [line["request"] for line in asked_for(world, start)]
    assert [one["repository_ids"] for one in asked] == [[world.repo.id]] * 2
    assert all(level == "read" for level in asked[0]["permissions"].values())
    assert {name for name, level in asked[1]["permissions"].items() if level == "write"} == {
        "issues",
        "pull_requests",
    }
    line = "Tollgate-Run: 70001.1"
    github.create_branch_commit(world.repo, "narrow", head, [File("a", "100644", b"a")], "A", line)
    (push,) = [line["request"] for line in asked_for(world, start)][2:]
    assert push["permissions"] == {"contents": "write", "metadata": "read"}


def test_a_token_that_ended_early_is_replaced(world: World, github: GitHub) -> None:
    start = len(world.lines())
    github.issue(world.repo, ISSUE)
    (made,) = asked_for(world, start)
    world.client.request("DELETE", "/installation/token", token=made["response"]["token"])
    start = len(world.lines())
    assert github.issue(world.repo, ISSUE).number == ISSUE
    assert [line["status"] for line in world.lines()[start:] if line["kind"] == "api"] == [401, 201, 200]


def test_what_the_app_signs_is_dated_by_the_clock_that_it_is_given(world: World) -> None:
    about, given = world.client.about, [time.time() + 3600]
    client = GitHub(about["app_id"], about["private_key"], world.url, now=lambda: given[0])
    with pytest.raises(GitHubError, match="'exp'"):
        client.app()
    given[0] = time.time()
    assert client.app().id == about["app_id"]
    client.close()


def test_a_key_that_github_does_not_know_is_no_answer_and_is_not_shown_again_and_again(world: World) -> None:
    about, clock = world.client.about, [time.time()]
    _, strange = new_key()
    client = GitHub(about["app_id"] + 1, strange, world.url)
    with pytest.raises(GitHubError, match="404") as unknown:
        client.app()
    assert not isinstance(unknown.value, Unavailable), "there is no such App"
    client.close()
    client = GitHub(about["app_id"], strange, world.url, now=lambda: clock[0])
    start = len(world.lines())
    for _ in range(3):
        with pytest.raises(
            Unrecognized, match=r"does not know App \d+ by its private key: GitHub answered 401"
        ):
            client.issue(world.repo, ISSUE)
    assert [line["status"] for line in world.lines()[start:] if line["kind"] == "api"] == [401]
    clock[0] += UNRECOGNIZED_WAIT
    with pytest.raises(Unrecognized) as caught:
        client.issue(world.repo, ISSUE)
    assert caught.value.retry_after == UNRECOGNIZED_WAIT
    assert len([line for line in world.lines()[start:] if line["kind"] == "api"]) == 2
    client.close()


def test_a_key_that_cannot_sign_is_no_answer(world: World) -> None:
    client = GitHub(1, "-----BEGIN RSA PRIVATE KEY-----", world.url)
    with pytest.raises(Unrecognized, match="does not know App 1 by its private key: it cannot sign"):
        client.app()
    client.close()


def test_no_token_reaches_a_log_or_an_error(
    world: World, github: GitHub, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        github.issue(world.repo, ISSUE)
        with pytest.raises(GitHubError) as caught:
            github.issue(world.repo, 99_999)
    (token,) = {line["response"]["token"] for line in asked_for(world, 0)[-1:]}
    assert token not in caplog.text
    assert "ghs_" not in caplog.text
    assert "Bearer ey" not in caplog.text
    assert token not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("level", [None, "read"])
def test_a_permission_that_was_not_granted_is_said_so(
    world: World, github: GitHub, level: str | None
) -> None:
    granted = world.client.control("installation", suspended=False)["permissions"]
    less = {name: value for name, value in granted.items() if name != "checks"}
    try:
        world.client.grant(less | ({"checks": level} if level else {}))
        with pytest.raises(GitHubError, match="permissions requested are not granted") as caught:
            github.start_check(world.repo, "f" * 40, "Tollgate", "x", "https://x.example", "t", "s")
    finally:
        world.client.grant(granted)
    assert caught.value.status == 422
    assert not isinstance(caught.value, Unavailable)


def test_a_suspended_installation_is_a_no(world: World, github: GitHub) -> None:
    world.client.suspend()
    try:
        with pytest.raises(GitHubError, match="suspended"):
            github.issue(world.repo, ISSUE)
    finally:
        world.client.suspend(False)


@pytest.mark.parametrize(
    ("status", "retry_after", "waits"),
    [(403, 7, 7.0), (429, 7, 7.0), (429, None, 60.0), (502, None, None), (503, 3, 3.0)],
)
def test_what_github_cannot_do_now_says_when_to_come_back(
    world: World, github: GitHub, status: int, retry_after: int | None, waits: float | None
) -> None:
    more = {} if retry_after is None else {"retry_after": retry_after}
    world.client.fault("GET", f"/issues/{ISSUE}$", status, **more)
    start = len(world.lines())
    with pytest.raises(Unavailable, match=f"GitHub answered {status} to GET") as caught:
        github.issue(world.repo, ISSUE)
    assert (caught.value.status, caught.value.retry_after) == (status, waits)
    assert len([line for line in world.lines()[start:] if line["status"] == status]) == 1


def test_a_403_without_a_wait_is_a_no(world: World, github: GitHub) -> None:
    world.client.fault("GET", f"/issues/{ISSUE}$", 403)
    with pytest.raises(GitHubError) as caught:
        github.issue(world.repo, ISSUE)
    assert not isinstance(caught.value, Unavailable)


def test_errors_survive_being_stored(world: World, github: GitHub) -> None:
    for error in (GitHubError("GitHub said no", 422), Unavailable("GitHub is out", 503, 3.0)):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


# -- what the sandbox's GitHub never says, from a few lines that do --

Answer = tuple[int, dict[str, str], Any]
TOKEN = "ghs_" + "a1B2" * 10 + ".x_-y"


@dataclass
class Odd:
    """A GitHub that gives one answer to everything but the token; None: it hangs up."""

    answer: Answer | None = (200, {}, {})
    posted: Answer | None = None  # to a POST, where that differs
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def key(sandbox: World) -> str:
    return str(sandbox.client.about["private_key"])


@pytest.fixture
def odd(key: str) -> Iterator[Odd]:
    made = Odd()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(f"{self.command} {self.path}")
            answer = (made.posted if self.command == "POST" else None) or made.answer
            if self.path.endswith("/access_tokens"):
                answer = (201, {}, {"token": TOKEN, "expires_at": "2100-01-01T00:00:00Z"})
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            raw = b"" if status == 204 else raw
            self.send_response_only(status)  # without a Date of its own
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PATCH = serve

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def client(odd: Odd, key: str) -> Iterator[GitHub]:
    made = GitHub(7, key, odd.url)
    yield made
    made.close()


REPO = Repo(1, 2, "acme/widgets")


@pytest.mark.parametrize(
    ("permission", "role_name", "role"),
    [
        pytest.param("write", "maintain", Role.MAINTAIN, id="maintain, which permission calls write"),
        pytest.param("read", "triage", Role.TRIAGE, id="triage, which permission calls read"),
        pytest.param("write", "security-lead", Role.WRITE, id="a custom role counts as its base"),
        pytest.param("read", None, Role.READ, id="no fine role"),
        pytest.param("none", "none", Role.NONE, id="none"),
        pytest.param("owner", "owner", Role.NONE, id="words that we do not know"),
    ],
)
def test_a_role_is_never_more_than_github_said(
    odd: Odd, client: GitHub, permission: str, role_name: str | None, role: Role
) -> None:
    odd.answer = (200, {}, {"permission": permission, "role_name": role_name})
    assert client.role(REPO, "dana") == role


def test_an_exhausted_rate_limit_waits_until_githubs_own_reset(odd: Odd, client: GitHub) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4102444890"}
    headers["Date"] = "Fri, 01 Jan 2100 00:00:00 GMT"
    odd.answer = (403, headers, {"message": "API rate limit exceeded for installation"})
    with pytest.raises(Unavailable) as caught:
        client.issue(REPO, 1)
    assert caught.value.retry_after == 90.0


def test_a_dispatch_that_tells_no_run_is_still_a_dispatch(odd: Odd, client: GitHub) -> None:
    odd.answer = (200, {}, {"total_count": 0, "workflow_runs": []})
    odd.posted = (204, {}, "")
    assert client.dispatch(REPO, "agent.yml", "main", {}, "x") == Dispatched(None, None)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda g: g.edit_comment(REPO, 1, "x"), id="an edit"),
        pytest.param(lambda g: g.react(REPO, "issue_comment", 1), id="a reaction"),
        pytest.param(lambda g: g.cancel(REPO, 1), id="a cancellation"),
    ],
)
def test_a_write_whose_answer_never_came_is_not_sent_again(
    odd: Odd, client: GitHub, act: Callable[[GitHub], None]
) -> None:
    odd.answer = None
    with pytest.raises(Unavailable, match="did not answer"):
        act(client)
    assert len([line for line in odd.asked if not line.endswith("/access_tokens")]) == 1


def test_a_read_whose_answer_never_came_is_asked_once_more(odd: Odd, client: GitHub) -> None:
    odd.answer = None
    with pytest.raises(Unavailable):
        client.issue(REPO, 1)
    assert odd.asked.count("GET /repos/acme/widgets/issues/1") == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((200, {}, "{not JSON"), id="half of an answer"),
        pytest.param((301, {"Location": "http://evil.example/x"}, ""), id="sent elsewhere"),
        pytest.param((502, {}, "<html>Bad gateway</html>"), id="a proxy's page"),
    ],
)
def test_what_is_no_answer_of_githubs_is_unavailable(odd: Odd, client: GitHub, answer: Answer) -> None:
    odd.answer = answer
    with pytest.raises(Unavailable):
        client.issue(REPO, 1)


def test_an_error_that_echoes_a_token_is_redacted(odd: Odd, client: GitHub) -> None:
    odd.answer = (422, {}, {"message": f"what is {TOKEN}?", "errors": [{"message": TOKEN}]})
    with pytest.raises(GitHubError) as caught:
        client.issue(REPO, 1)
    assert "a1B2" not in str(caught.value)
    assert "(token)" in str(caught.value)


def test_graphql_errors_are_errors(odd: Odd, client: GitHub) -> None:
    odd.answer = (200, {}, {"data": None, "errors": [{"message": "Could not resolve to a Repository"}]})
    with pytest.raises(GitHubError, match="Could not resolve"):
        client.closing_issues(REPO, 1)


@pytest.mark.parametrize(
    ("id", "name", "found"),
    [
        pytest.param(5, "acme/tracker", ((5, 3),), id="another repository"),
        pytest.param(None, "Acme/Widgets", ((2, 3),), id="a number past 32 bits, of this one"),
        pytest.param(None, "acme/tracker", (), id="a number past 32 bits, of another: nobody knows which"),
    ],
)
def test_an_issue_is_known_by_the_number_of_its_repository(
    odd: Odd, client: GitHub, id: int | None, name: str, found: tuple[tuple[int, int], ...]
) -> None:
    node = {"number": 3, "repository": {"databaseId": id, "nameWithOwner": name}}
    linked = {"nodes": [None, node], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    data = {"repository": {"pullRequest": {"closingIssuesReferences": linked}}}
    odd.answer = (200, {}, {"data": data})
    assert client.closing_issues(REPO, 1) == found


def test_nobody_on_the_port_is_unavailable(key: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = GitHub(7, key, f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match="did not answer"):
        client.issue(REPO, 1)
    client.close()


# -- whose word a label is --


def labeled(
    name: str, login: str | None, *, event: str = "labeled", app: bool = False, type: str = "User"
) -> Any:
    actor = None if login is None else {"login": login, "type": type}
    via = {"id": 1} if app else None
    return {"event": event, "label": {"name": name}, "actor": actor, "performed_via_github_app": via}


@pytest.mark.parametrize(
    ("events", "applied"),
    [
        pytest.param([labeled("a", "ada")], AppliedLabel("a", "ada", False), id="a person"),
        pytest.param(
            [labeled("a", "ada"), labeled("a", "ada", event="unlabeled"), labeled("a", "tri")],
            AppliedLabel("a", "tri", False),
            id="the last one counts",
        ),
        pytest.param(
            [labeled("a", "ada"), labeled("a", "ada", event="unlabeled")],
            AppliedLabel("a", None, True),
            id="taken off and, unseen, put on again: nobody's word",
        ),
        pytest.param([labeled("b", "ada")], AppliedLabel("a", None, True), id="renamed since: nobody's word"),
        pytest.param([labeled("A", "ada")], AppliedLabel("a", "ada", False), id="case is GitHub's"),
        pytest.param([labeled("a", "ada", app=True)], AppliedLabel("a", "ada", True), id="by an App for Ada"),
        pytest.param([labeled("a", "x[bot]", type="Bot")], AppliedLabel("a", "x[bot]", True), id="by a bot"),
        pytest.param([labeled("a", None)], AppliedLabel("a", None, True), id="by an account that is gone"),
        pytest.param([{"event": "closed"}], AppliedLabel("a", None, True), id="no event at all"),
    ],
)
def test_a_label_speaks_for_a_person_only_if_the_history_says_so(
    events: list[Any], applied: AppliedLabel
) -> None:
    assert applied_labels(["a"], events) == (applied,)
