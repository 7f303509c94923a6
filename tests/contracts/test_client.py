"""Every operation that the client can ask GitHub for is asked, and checked against GitHub's own contract.

`python -m tests.contracts` prints the list.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import bot
from bot.clients.github import GitHub
from tests.clients.conftest import World, running
from tests.contracts import coverage, source
from tests.contracts.calls import CALLS
from tests.contracts.coverage import Checked

# Who else speaks HTTP, and with whom. GitHub's API is spoken to by its client only.
SPEAK_HTTP = {
    "clients/anthropic.py": "Anthropic",
    "clients/cursor.py": "Cursor",
    "clients/github/connection.py": "GitHub",
    "clients/github/oauth.py": "GitHub's pages for signing in: no published schema has them",
    "clients/patient.py": "whoever its callers speak with",
    "clients/oidc.py": "the issuer of GitHub Actions' identities: not an API, its documents are its own",
    "clients/usage_api.py": "Anthropic",
    "exam/scripted.py": "the sandbox's Claude",
    "exports/otel.py": "a collector of OpenTelemetry",
    "runner/engines/claude.py": "the gateway",
    "runner/engines/foreign.py": "the gateway, for how the run stands",
    "runner/runner.py": "the service",
    "runner/service.py": "the service",
    "web/serve.py": "itself, to see that it is up",
    "web/wire.py": "only names the statuses",
}
HTTP = {"requests", "authlib", "github", "httpx", "httpx2", "http.client", "urllib.request", "urllib3", "h11"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("contract")) as world:
        yield world


@pytest.fixture(scope="module")
def checked(own: World) -> dict[str, Checked]:
    return coverage.drive(own)


def test_every_method_of_the_client_is_called() -> None:
    methods = {name for name, _ in inspect.getmembers(GitHub, callable) if not name.startswith("_")}
    missing = methods - {"close"} - CALLS.keys()
    assert not missing, f"give {missing} rows in tests/contracts/calls.py: one for each operation it has"
    assert CALLS.keys() <= methods


def test_every_operation_in_the_source_is_asked_and_keeps_the_contract(checked: dict[str, Checked]) -> None:
    unasked = source.operations() - checked.keys()
    assert not unasked, f"no row in tests/contracts/calls.py reaches {unasked}: add one that does"
    unseen = checked.keys() - source.operations()
    assert not unseen, f"{unseen} was asked past the source: tests/contracts/source.py cannot see how"
    assert [violation for one in checked.values() for violation in one.violations] == []
    assert [one.operation for one in checked.values() if not one.requests] == []
    print("\n" + coverage.listing(checked))  # noqa: T201 - the list is to be seen with -s


@pytest.mark.slow
def test_whatever_error_github_answers_is_an_error_of_the_clients_and_none_is_taken_for_an_answer(
    own: World, checked: dict[str, Checked]
) -> None:
    """Each operation with each status that its published list has, and 403, 404, 422, 429 and 503."""
    wrong = [said for one in checked.values() for said in coverage.drive_errors(own, one)]
    assert wrong == []
    for one in checked.values():
        assert one.errors <= one.statuses, one.operation
        assert one.violations == [], one.operation


def test_nobody_else_speaks_to_github() -> None:
    root = Path(bot.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
            if any(name == http or name.startswith(f"{http}.") for name in names for http in HTTP):
                found.add(str(path.relative_to(root)))
    # errors.py names PyGithub's exception for the type checker only.
    assert found - {"clients/github/errors.py"} == SPEAK_HTTP.keys(), (
        "say in SPEAK_HTTP with whom it speaks; GitHub is spoken to through bot/clients/github/connection.py"
    )


# -- the look at the source sees what it must --


def seen(tmp_path: Path, code: str, name: str = "client.py") -> set[str]:
    """What is seen in a package of our connection and one other module."""
    (tmp_path / source.WIRE).write_text((source.PACKAGE / source.WIRE).read_text(encoding="utf-8"))
    before = source.operations(tmp_path)
    (tmp_path / name).write_text(code, encoding="utf-8")
    return source.operations(tmp_path) - before


SEEN = [
    pytest.param(
        'def f(wire, repo):\n    wire.call(repo, LOOK, "PUT", f"/pulls/{number}/merge")',
        {"PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge"},
        id="an f-string",
    ),
    pytest.param(
        'def f(w):\n    path = "/labels"\n    w.pages(r, L, path)\n    w.find(r, L, path + f"/{x}")',
        {"GET /repos/{owner}/{repo}/labels", "GET /repos/{owner}/{repo}/labels/{name}"},
        id="a name and more",
    ),
    pytest.param(
        'def f(w):\n    path, more = f"/issues/{n}", None\n    w.find(r, L, path)',
        {"GET /repos/{owner}/{repo}/issues/{issue_number}"},
        id="two names at once",
    ),
    pytest.param(
        'KIND = {"a": "issues", "b": "pulls"}\ndef f(w):\n    w.find(r, L, f"/{KIND[k]}/comments/{i}")',
        {
            "GET /repos/{owner}/{repo}/issues/comments/{comment_id}",
            "GET /repos/{owner}/{repo}/pulls/comments/{comment_id}",
        },
        id="a look-up: each of its values",
    ),
    pytest.param(
        'def f(w):\n    w.call(r, L, "DELETE" if gone else "PUT", f"/collaborators/{who}")',
        {
            "DELETE /repos/{owner}/{repo}/collaborators/{username}",
            "PUT /repos/{owner}/{repo}/collaborators/{username}",
        },
        id="one or the other",
    ),
    pytest.param(
        'def f(w):\n    [w.as_app(path="/app/hook/config", verb="PATCH") for _ in range(2)]',
        {"PATCH /app/hook/config"},
        id="by name, inside of something",
    ),
    pytest.param(
        'DOC = "query { viewer { login } }"\nclass C:\n    def f(self):\n        self.w.graphql(r, DOC, {})',
        {"GRAPHQL DOC"},
        id="a document",
    ),
    pytest.param('def f(text):\n    return text.find("x")', set(), id="another function of the name"),
]


@pytest.mark.parametrize(("code", "operations"), SEEN)
def test_a_call_is_seen_however_its_path_is_written(tmp_path: Path, code: str, operations: set[str]) -> None:
    assert seen(tmp_path, code) == operations


@pytest.mark.parametrize(
    "code",
    [
        pytest.param('def f(w, verb):\n    w.call(r, L, verb, "/labels")', id="a verb from elsewhere"),
        pytest.param('def f(w):\n    w.call(r, L, "GET", where())', id="a path from elsewhere"),
        pytest.param("def f(w, path):\n    w.find(r, L, path)", id="a path that was handed in"),
        pytest.param('def f(w):\n    w.as_app("GET", "/app/invented")', id="what GitHub does not publish"),
        pytest.param("def f(w, doc):\n    w.graphql(r, doc, {})", id="a document from elsewhere"),
    ],
)
def test_a_call_that_cannot_be_told_is_an_error(tmp_path: Path, code: str) -> None:
    with pytest.raises(source.Untold):
        seen(tmp_path, code)
