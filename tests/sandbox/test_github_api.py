"""The sandbox's GitHub, through the real PyGithub: what the product asks of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from github import Auth, Github, GithubException, GithubIntegration, InputGitTreeElement
from github.Repository import Repository

from sandbox.github.client import Refusal
from tests.sandbox.github_fixtures import World, app, world

PULL, ISSUE = 2, 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("github")
    with world(folder, traffic=folder / "traffic.ndjson") as running:
        yield running


@pytest.fixture(scope="module")
def api(made: World) -> Iterator[tuple[Github, Repository]]:
    with app(made) as both:
        yield both


@pytest.fixture
def repo(api: tuple[Github, Repository]) -> Repository:
    return api[1]


@pytest.fixture(scope="module")
def installed(made: World) -> str:
    """A token of the App's installation."""
    about = made.client.about
    auth = Auth.AppAuth(about["app_id"], about["private_key"])
    with GithubIntegration(auth=auth, base_url=made.url) as integration:
        return integration.get_access_token(about["installation_id"]).token


def test_an_app_finds_its_installation_and_gets_a_token_in_the_long_form(made: World) -> None:
    about = made.client.about
    auth = Auth.AppAuth(about["app_id"], about["private_key"])
    with GithubIntegration(auth=auth, base_url=made.url) as integration:
        assert integration.get_app().slug == "tollgate"
        assert [i.id for i in integration.get_installations()] == [about["installation_id"]]
        token = integration.get_access_token(about["installation_id"], permissions={"issues": "write"})
    assert token.token.startswith(f"ghs_{about['app_id']}_")
    assert 400 < len(token.token) < 700
    assert token.permissions == {"issues": "write", "metadata": "read"}


def _jwt(made: World, **changed: Any) -> str:
    about, now = made.client.about, int(time.time())
    claims = {"iss": str(about["app_id"]), "iat": now - 60, "exp": now + 300} | changed
    return jwt.encode(claims, about["private_key"], algorithm="RS256")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        pytest.param({}, 200, id="as it should be"),
        pytest.param({"iss": "77"}, 404, id="another app"),
        pytest.param({"exp": 1_000_000_000}, 401, id="over"),
        pytest.param({"exp": 9_000_000_000}, 401, id="for longer than ten minutes"),
        pytest.param({"iat": 9_000_000_000}, 401, id="from the future"),
    ],
)
def test_a_jwt_is_believed_only_as_far_as_its_claims(made: World, changed: Any, status: int) -> None:
    assert status_of(made, "GET", "/app", _jwt(made, **changed)) == status


def test_a_jwt_of_another_key_is_refused(made: World) -> None:
    from sandbox.github.server import pem, private_key

    now = int(time.time())
    claims = {"iss": str(made.client.about["app_id"]), "iat": now, "exp": now + 60}
    assert (
        status_of(made, "GET", "/app", jwt.encode(claims, pem(private_key(None)), algorithm="RS256")) == 401
    )


def status_of(made: World, method: str, path: str, token: str | None, body: object = None) -> int:
    try:
        made.client.request(method, path, body, token)
    except Refusal as no:
        return no.status
    return 200


def test_a_token_that_is_unknown_gets_401_and_one_without_the_permission_403(made: World) -> None:
    path = f"/repos/{made.client.repo}/issues/{PULL}/comments"
    about = made.client.about
    narrow = {"permissions": {"contents": "read"}}
    url = f"/app/installations/{about['installation_id']}/access_tokens"
    token = made.client.request("POST", url, narrow, _jwt(made))["token"]
    assert status_of(made, "POST", path, "ghs_unknown", {"body": "x"}) == 401
    assert status_of(made, "POST", path, token, {"body": "x"}) == 403
    assert status_of(made, "POST", path, None, {"body": "x"}) == 401
    too_much = {"permissions": {"administration": "write"}}
    assert status_of(made, "POST", url, _jwt(made), too_much) == 422


@pytest.mark.parametrize(
    ("login", "permission", "role"),
    [
        ("ada", "admin", "admin"),
        ("max", "write", "maintain"),
        ("dana", "write", "write"),
        ("tri", "read", "triage"),
        ("ren", "read", "read"),
        pytest.param("eve", "read", "read", id="an outsider of a public repository"),
    ],
)
def test_a_role_has_a_name_that_the_permission_does_not_tell(
    repo: Repository, login: str, permission: str, role: str
) -> None:
    assert repo.get_collaborator_permission(login) == permission
    assert repo.get_collaborator_role_name(login) == role


def test_an_unknown_person_has_no_role(repo: Repository) -> None:
    with pytest.raises(GithubException) as no:
        repo.get_collaborator_permission("nobody")
    assert no.value.status == 404


def test_a_pull_request_says_where_it_comes_from_and_what_it_changes(repo: Repository) -> None:
    pull = repo.get_pull(PULL)
    assert (pull.state, pull.merged, pull.mergeable, pull.user.login) == ("open", False, True, "dana")
    assert (pull.head.ref, pull.base.ref, pull.head.repo.full_name) == (
        "faster-dates",
        "main",
        repo.full_name,
    )
    assert pull.changed_files == 3
    files = list(pull.get_files())
    assert {f.filename for f in files} == {f"acme_calendar/{n}.py" for n in ("years", "months", "business")}
    assert all(f.patch.startswith("@@ ") for f in files)
    assert [c.commit.message for c in pull.get_commits()] == ["Dates without loops"]
    assert [p.number for p in repo.get_pulls(state="open", head="acme:faster-dates")] == [PULL]


def test_a_comment_is_made_found_edited_and_reacted_to(made: World, repo: Repository) -> None:
    asked = made.client.comment("dana", PULL, "/agent fix")
    issue = repo.get_issue(PULL)
    seen = issue.get_comment(asked)
    assert (seen.user.login, seen.body) == ("dana", "/agent fix")
    seen.create_reaction("eyes")
    seen.create_reaction("eyes")
    told = issue.create_comment("<!-- mark -->\nworking")
    told.edit("<!-- mark -->\ndone")
    bodies = {c.id: c.body for c in issue.get_comments()}
    assert bodies[told.id] == "<!-- mark -->\ndone"
    state = {c["id"]: c for c in made.client.comments(PULL)}
    assert state[asked]["reactions"] == [{"user": "tollgate[bot]", "content": "eyes"}]
    assert (state[told.id]["user"], state[told.id]["app"]) == ("tollgate[bot]", "tollgate")
    with pytest.raises(GithubException, match="Resource not accessible"):
        seen.edit("not mine")
    with pytest.raises(GithubException):
        issue.create_comment("x" * 65_537)


def test_a_review_comment_is_read_and_reacted_to(made: World, repo: Repository) -> None:
    id = made.client.review_comment("dana", PULL, "acme_calendar/years.py", 8, "/agent fix this")
    comment = repo.get_pull(PULL).get_review_comment(id)
    assert (comment.path, comment.body) == ("acme_calendar/years.py", "/agent fix this")
    assert comment.create_reaction("eyes").content == "eyes"


def test_a_long_list_comes_in_pages(made: World, repo: Repository) -> None:
    number = made.client.issue("dana", "Many")
    for n in range(65):
        made.client.comment("ren", number, f"comment {n}")
    bodies = [c.body for c in repo.get_issue(number).get_comments()]
    assert bodies == [f"comment {n}" for n in range(65)]


def test_a_label_knows_who_put_it_on(made: World, repo: Repository) -> None:
    made.client.label("ada", PULL, "agent:cost=$10")
    made.client.label("tri", PULL, "bug")
    repo.get_issue(PULL).add_to_labels("enhancement")
    made.client.unlabel("tri", PULL, "bug")
    labeled = [e for e in repo.get_issue(PULL).get_events() if e.event == "labeled"]
    by = {e.label.name: (e.actor.login, e.raw_data["performed_via_github_app"]) for e in labeled}
    assert by["agent:cost=$10"] == ("ada", None)
    assert by["enhancement"][0] == "tollgate[bot]"
    assert by["enhancement"][1]["slug"] == "tollgate"
    assert {label.name for label in repo.get_issue(PULL).labels} == {"agent:cost=$10", "enhancement"}
    assert {"labeled", "unlabeled"} <= {e.event for e in repo.get_issue(PULL).get_timeline()}


@pytest.mark.parametrize(
    ("login", "name", "status"),
    [
        pytest.param("ren", "bug", 403, id="reading is not enough"),
        pytest.param("eve", "bug", 403, id="an outsider"),
        pytest.param("tri", "brand-new", 403, id="triage may not make labels"),
        pytest.param("tri", "bug", 200, id="triage may apply them"),
    ],
)
def test_labels_are_for_those_with_a_role(made: World, login: str, name: str, status: int) -> None:
    path = f"/repos/{made.client.repo}/issues/{ISSUE}/labels"
    assert status_of(made, "POST", path, made.client.token(login), {"labels": [name]}) == status


def test_a_check_run_is_started_found_and_finished(repo: Repository) -> None:
    sha = repo.get_pull(PULL).head.sha
    check = repo.create_check_run(
        "Tollgate", sha, details_url="http://127.0.0.1/run", external_id="run1", status="in_progress",
        output={"title": "Working", "summary": "…"},
    )  # fmt: skip
    found = [c for c in repo.get_commit(sha).get_check_runs() if c.external_id == "run1"]
    assert [c.id for c in found] == [check.id]
    check.edit(status="completed", conclusion="success", output={"title": "Done", "summary": "ok"})
    assert repo.get_check_run(check.id).conclusion == "success"


def test_a_tree_keeps_its_modes_and_a_commit_moves_the_branch(made: World, repo: Repository) -> None:
    made.client.commit("dana", "modes", {"run.sh": "#!/bin/sh\necho hi\n"}, from_="main")
    head = repo.get_git_ref("heads/modes").object.sha
    base = repo.get_git_commit(head)
    blob = repo.create_git_blob("AAEC/w==", "base64")
    tree = repo.create_git_tree(
        [
            InputGitTreeElement("new/text.txt", "100644", "blob", content="grüße\n"),
            InputGitTreeElement("new/raw.bin", "100644", "blob", sha=blob.sha),
            InputGitTreeElement("README.md", "100644", "blob", sha=None),
        ],
        base.tree,
    )
    commit = repo.create_git_commit("A change\n\nTollgate-Run: abc.1", tree, [base])
    repo.get_git_ref("heads/modes").edit(commit.sha, force=False)
    entries = {e.path: e.mode for e in repo.get_git_tree(commit.sha, recursive=True).tree}
    assert entries["run.sh"] == "100755"
    assert entries["new/text.txt"] == "100644"
    assert "README.md" not in entries
    assert made.client.file("new/raw.bin", "modes") == b"\x00\x01\x02\xff"
    assert repo.get_contents("new/text.txt", ref="modes").decoded_content == "grüße\n".encode()  # type: ignore[union-attr]
    assert repo.get_commits(sha="modes")[0].commit.message.endswith("Tollgate-Run: abc.1")
    assert repo.get_branch("modes").commit.sha == commit.sha


def test_a_branch_that_moved_is_not_overwritten(made: World, repo: Repository) -> None:
    old = made.client.commit("dana", "moving", {"a": "1"}, from_="main")
    made.client.commit("dana", "moving", {"a": "2"})
    parent = repo.get_git_commit(old)
    late = repo.create_git_commit("late", parent.tree, [parent])
    with pytest.raises(GithubException, match="not a fast forward"):
        repo.get_git_ref("heads/moving").edit(late.sha, force=False)
    repo.create_git_ref("refs/heads/agent/run-1", late.sha)
    with pytest.raises(GithubException, match="already exists"):
        repo.create_git_ref("refs/heads/agent/run-1", late.sha)


def test_a_token_without_the_permission_writes_no_workflow(made: World) -> None:
    about = made.client.about
    auth = Auth.AppAuth(about["app_id"], about["private_key"])
    pushes = auth.get_installation_auth(about["installation_id"], {"contents": "write", "metadata": "read"})
    element = InputGitTreeElement(".github/workflows/evil.yml", "100644", "blob", content="on: push")
    with (
        Github(auth=pushes, base_url=made.url, retry=None) as api,
        pytest.raises(GithubException) as no,
    ):
        api.get_repo(about["repository"]).create_git_tree([element])
    assert no.value.status == 403


def test_a_missing_file_or_branch_is_404(repo: Repository) -> None:
    for ask in (lambda: repo.get_contents("nothing.txt"), lambda: repo.get_git_ref("heads/nothing")):
        with pytest.raises(GithubException) as no:
            ask()
        assert no.value.status == 404


def test_a_pull_request_is_opened_once(made: World, repo: Repository) -> None:
    made.client.commit("dana", "once", {"once.txt": "1"}, from_="main")
    pull = repo.create_pull("main", "once", title="Once", body="Closes #1")
    assert (pull.user.login, pull.commits) == ("tollgate[bot]", 1)
    with pytest.raises(GithubException, match="already exists"):
        repo.create_pull("main", "once", title="Twice", body="")
    repo.create_git_ref("refs/heads/same", repo.get_git_ref("heads/main").object.sha)
    with pytest.raises(GithubException, match="No commits between"):
        repo.create_pull("main", "same", title="Same", body="")


def test_what_a_merge_will_close_is_told_by_graphql(api: tuple[Github, Repository]) -> None:
    github, repo = api
    query = """query($o: String!, $r: String!, $n: Int!) { viewer { login } repository(owner: $o, name: $r) {
      pullRequest(number: $n) { closingIssuesReferences(first: 50) {
        nodes { number repository { nameWithOwner } } } } } }"""
    _, answer = github.requester.graphql_query(query, {"o": "acme", "r": "calendar", "n": PULL})
    data = answer["data"]
    assert data["viewer"]["login"] == "tollgate[bot]"
    nodes = data["repository"]["pullRequest"]["closingIssuesReferences"]["nodes"]
    assert nodes == [{"number": ISSUE, "repository": {"nameWithOwner": repo.full_name}}]


def test_a_merge_closes_the_pull_request_and_its_issue(tmp_path: Path) -> None:
    with world(tmp_path) as fresh, app(fresh) as (_, repo):
        sha = fresh.client.merge("dana", PULL)
        pull = repo.get_pull(PULL)
        assert (pull.merged, pull.merge_commit_sha, pull.merged_by.login) == (True, sha, "dana")
        assert pull.merged_at is not None
        assert repo.get_issue(ISSUE).state == "closed"
        assert repo.get_branch("main").commit.sha == sha
        with pytest.raises(Refusal, match="not mergeable"):
            fresh.client.merge("dana", PULL)


def test_an_outsider_opens_a_pull_request_from_a_fork_and_merges_nothing(tmp_path: Path) -> None:
    with world(tmp_path) as fresh, app(fresh) as (_, repo):
        number = fresh.client.fork_pull("eve", {"README.md": "mine\n"})
        pull = repo.get_pull(number)
        assert (pull.head.repo.full_name, pull.user.login) == ("eve/calendar", "eve")
        assert [f.filename for f in pull.get_files()] == ["README.md"]
        with pytest.raises(Refusal) as no:
            fresh.client.merge("eve", number)
        assert no.value.status == 403


def test_numbers_stay_when_people_and_repositories_are_renamed(tmp_path: Path) -> None:
    with world(tmp_path) as fresh, app(fresh) as (_, repo):
        before = repo.get_issue(ISSUE).user.id
        fresh.client.rename_user("ada", "ada-lovelace")
        fresh.client.rename_repository("almanac")
        number = fresh.client.issue("ada-lovelace", "Again")
        assert fresh.client.repository()["id"] == repo.id
        assert fresh.client.repository()["roles"]["ada-lovelace"] == "admin"
        told = fresh.client.do("dana", "GET", f"/issues/{number}")
        assert (told["user"]["login"], told["user"]["id"]) == ("ada-lovelace", before)
        assert fresh.client.repo == "acme/almanac"
        with pytest.raises(Refusal):
            fresh.client.token("ada")


def test_time_and_suspension_end_a_token(tmp_path: Path) -> None:
    with world(tmp_path) as fresh, app(fresh) as (_, repo):
        fresh.client.suspend()
        with pytest.raises(GithubException) as no:
            repo.get_pull(PULL)
        assert no.value.status == 403
        fresh.client.suspend(False)
        token = fresh.client.token("dana")
        fresh.client.forward(9 * 3600)
        assert status_of(fresh, "GET", "/user", token) == 401


def test_git_is_served_to_whom_it_may_concern(made: World, installed: str, tmp_path: Path) -> None:
    def git(*args: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        import base64

        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        auth = ["-c", f"http.extraHeader=Authorization: Basic {basic}"] if token else []
        return subprocess.run(["git", *auth, *args], capture_output=True, text=True, check=False, timeout=60)

    url, there = f"{made.url}/{made.client.repo}.git", tmp_path / "there"
    assert git("clone", "--quiet", url, str(there)).returncode == 0
    assert (there / "acme_calendar" / "years.py").exists()
    head = made.client.thread(PULL)["head_sha"]
    assert (
        git("-C", str(there), "fetch", "--quiet", "--depth=1", "origin", head, token=installed).returncode
        == 0
    )
    assert git("-C", str(there), "fetch", "--quiet", "origin", f"pull/{PULL}/head").returncode == 0
    change = [
        "-c",
        "user.name=d",
        "-c",
        "user.email=d@example.org",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "x",
    ]
    assert git("-C", str(there), *change).returncode == 0
    refused = git(
        "-C", str(there), "push", "--quiet", "origin", "HEAD:pushed", token=made.client.token("eve")
    )
    assert "403" in refused.stderr
    assert git("-C", str(there), "push", "--quiet", "origin", "HEAD:pushed", token=installed).returncode == 0
    assert "pushed" in made.client.repository()["branches"]


def test_a_private_repository_exists_for_its_people_only(tmp_path: Path) -> None:
    with world(tmp_path, private=True) as fresh:
        path = f"/repos/{fresh.client.repo}"
        assert status_of(fresh, "GET", path, None) == 404
        assert status_of(fresh, "GET", path, fresh.client.token("eve")) == 404
        assert status_of(fresh, "GET", path, fresh.client.token("ren")) == 200
        with app(fresh) as (_, repo):
            assert repo.get_collaborator_role_name("eve") == "none"


def test_a_fault_strikes_once_before_or_after_the_deed(made: World) -> None:
    client = made.client
    number = client.issue("dana", "Faulty")
    client.fault("POST", f"/issues/{number}/comments", 502)
    with pytest.raises(Refusal) as no:
        client.comment("dana", number, "never made")
    assert no.value.status == 502
    client.fault("POST", f"/issues/{number}/comments", 500, when="after")
    with pytest.raises(Refusal):
        client.comment("dana", number, "made all the same")
    assert [c["body"] for c in client.comments(number)] == ["made all the same"]


def test_the_beginning_is_a_red_branch_on_a_green_main(made: World, tmp_path: Path) -> None:
    there = tmp_path / "there"
    subprocess.run(["git", "clone", "-q", f"{made.url}/{made.client.repo}.git", str(there)], check=True)

    def tests() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["python3", "-m", "unittest"], cwd=there, capture_output=True, text=True, check=False
        )

    assert tests().returncode == 0
    subprocess.run(["git", "-C", str(there), "checkout", "-q", "faster-dates"], check=True)
    red = tests()
    assert red.returncode == 1
    assert "test_centuries_are_leap_years_only_every_400_years" in red.stderr
    assert red.stderr.count("FAIL:") == 1
