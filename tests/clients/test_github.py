"""GitHub through our client, against the sandbox; every request and answer is checked by the contract."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from bot.clients.github import AppliedLabel, GitHub, GitHubError, Unavailable
from bot.core.changeset import File
from bot.core.marks import Annotation, Button, Output
from bot.core.roles import Role
from sandbox.github.client import Client
from tests.clients.conftest import World

ISSUE, PULL = 1, 2
_ids = itertools.count(1)


def marker() -> str:
    """A marker that no other test has used."""
    return f"<!-- tollgate-run:{next(_ids):012x}:1 -->"


# -- people, threads, files --


@pytest.mark.parametrize(
    ("login", "role"),
    [
        ("ada", Role.ADMIN),
        ("max", Role.MAINTAIN),
        ("dana", Role.WRITE),
        ("tri", Role.TRIAGE),
        ("ren", Role.READ),
        ("nobody-of-that-name", Role.NONE),
        ("helpful[bot]", Role.READ),
    ],
)
def test_roles_are_the_fine_ones_and_a_stranger_has_none(
    world: World, github: GitHub, login: str, role: Role
) -> None:
    assert github.role(world.repo, login) == role


def test_a_name_that_is_somebody_elses_by_now_has_no_role(world: World, github: GitHub) -> None:
    dana = github.user(world.client.app_token("dana"))
    assert github.role(world.repo, "dana", dana.id) == Role.WRITE
    assert github.role(world.repo, "dana", dana.id + 1) == Role.NONE


def test_a_repository_is_found_by_its_name(world: World, github: GitHub) -> None:
    assert github.place(world.repo.installation, world.repo.full_name.upper()) == (world.repo, "main")


def test_a_role_that_github_cannot_tell_is_an_error_not_a_role(world: World, github: GitHub) -> None:
    world.client.fault("GET", "/permission", 500)
    with pytest.raises(Unavailable):
        github.role(world.repo, "ada")


def test_a_pull_request_has_its_ends_and_its_author(world: World, github: GitHub) -> None:
    pull = github.pull(world.repo, PULL)
    assert (pull.number, pull.author, pull.author_type, pull.state) == (PULL, "dana", "User", "open")
    assert (pull.head_ref, pull.base_ref) == (world.client.thread(PULL)["head_ref"], "main")
    assert pull.head_sha == github.branch_head(world.repo, pull.head_ref)
    assert pull.head_repo == world.repo.full_name
    assert (pull.merged, pull.merged_at) == (False, None)
    assert "Closes #1" in pull.body


def test_a_merged_pull_request_says_when(world: World, github: GitHub) -> None:
    world.branch("to-merge")
    number = world.client.pull("dana", "to-merge", "Merge me")
    world.client.merge("ada", number)
    pull = github.pull(world.repo, number)
    assert (pull.merged, pull.state) == (True, "closed")
    assert pull.merged_at is not None
    assert 1_500_000_000_000 < pull.merged_at < 5_000_000_000_000


def test_an_issue_is_no_pull_request(world: World, github: GitHub) -> None:
    with pytest.raises(GitHubError, match="404"):
        github.pull(world.repo, ISSUE)


def test_a_pull_request_from_a_fork_names_the_fork(world: World, github: GitHub) -> None:
    number = world.client.fork_pull("eve", {"a.txt": "from outside\n"})
    pull = github.pull(world.repo, number)
    assert (pull.author, pull.head_repo) == ("eve", "eve/calendar")


def test_a_label_is_the_word_of_whoever_put_it_there_last(world: World, github: GitHub) -> None:
    number = world.client.issue("dana", "Labels")
    world.client.label("ada", number, "agent:cost=$10", "bug")
    world.client.label("max", number, "agent:class=feature")
    world.client.unlabel("ada", number, "bug")
    world.client.label("tri", number, "bug")
    machine = {"repo": world.repo.full_name, "number": number, "name": "agent:cost=$2"}
    world.client.request("POST", "/_sandbox/suggest-label", machine)
    world.client.unlabel("ada", number, "agent:class=feature")
    found = github.labels(world.repo, number)
    assert {replace(label, at=0) for label in found} == {
        AppliedLabel("agent:cost=$10", "ada", False),
        AppliedLabel("bug", "tri", False),
        AppliedLabel("agent:cost=$2", "tollgate[bot]", True),
    }
    assert all(label.at > 1_500_000_000_000 for label in found)
    assert [label.name for label in github.labels(world.repo, number, "bug".__eq__)] == ["bug"]
    assert github.labels(world.repo, world.client.issue("dana", "No labels")) == ()


def test_where_the_app_is_installed_is_known_and_elsewhere_it_is_not(world: World, github: GitHub) -> None:
    assert github.installation(world.repo.full_name) == world.repo.installation
    assert github.installation("somebody/elses") is None


def test_a_suggested_label_is_none_and_one_that_an_agent_gave_its_reasons_for_speaks_for_nobody(
    world: World, github: GitHub
) -> None:
    number = world.client.issue("dana", "Suggestions")
    suggested = {"name": "agent:cost=$90", "suggest": True, "rationale": "It is large.", "confidence": "high"}
    reasoned = {"name": "agent:cost=$80", "rationale": "It is large.", "confidence": "high"}
    for one in (suggested, reasoned):
        world.client.do("ada", "POST", f"/issues/{number}/labels", {"labels": [one]})
    [label] = github.labels(world.repo, number)
    assert (label.name, label.actor, label.by_app) == ("agent:cost=$80", "ada", True)


def test_more_labels_than_any_thread_has_are_an_error_after_bounded_work(
    world: World, github: GitHub
) -> None:
    number = world.client.issue("dana", "Labels without end")
    names = [f"label {n}" for n in range(10_000)]
    world.client.control("many-labels", repo=world.repo.full_name, number=number, names=names)
    before = len(world.lines())
    with pytest.raises(GitHubError, match="more than 5000 entries"):
        github.labels(world.repo, number)
    assert len(world.lines()) - before <= 52


def test_files_come_as_bytes_and_what_is_no_file_is_nothing(world: World, github: GitHub) -> None:
    png, big = bytes(range(256)), b"x" * 1_200_000
    encoded = {"base64": base64.b64encode(png).decode()}
    large = {"base64": base64.b64encode(big).decode()}
    files = {"a b/#1 ü.bin": encoded, "big.txt": large, "empty": ""}
    sha = world.client.commit("dana", "files", files)
    assert github.file(world.repo, "a b/#1 ü.bin", "files") == png
    assert github.file(world.repo, "big.txt", sha) == big
    assert github.file(world.repo, "empty", sha) == b""
    assert github.file(world.repo, "a b", sha) is None
    assert github.file(world.repo, "missing", sha) is None
    assert github.file(world.repo, "README.md", "no-such-branch") is None


def test_branches_have_heads_or_are_not_there(world: World, github: GitHub) -> None:
    sha = world.branch("feature/one")
    assert github.branch_head(world.repo, "feature/one") == sha
    assert github.branch_head(world.repo, "feature") is None
    assert github.default_branch(world.repo) == "main"


def test_a_pull_request_names_the_issues_that_it_closes(world: World, github: GitHub) -> None:
    assert github.closing_issues(world.repo, PULL) == ((world.repo.id, ISSUE),)
    world.branch("closes-nothing")
    number = world.client.pull("dana", "closes-nothing", "Nothing")
    assert github.closing_issues(world.repo, number) == ()


@pytest.mark.parametrize("private", [True, False])
def test_issues_of_a_private_repository_are_not_seen_from_another(
    world: World, github: GitHub, private: bool
) -> None:
    """A pull request names an issue elsewhere; a token for its own repository sees what everybody may."""
    name = f"acme/tracker-{next(_ids)}"
    other = world.client.control("repos", full_name=name, private=private)
    issue = Client(world.url, name).issue("ada", "Elsewhere")
    branch = f"elsewhere-{next(_ids)}"
    world.branch(branch)
    number = world.client.pull("ada", branch, "Across", f"Closes {name}#{issue}\n\nFixes #{ISSUE}")
    seen = () if private else ((other["id"], issue),)
    assert github.closing_issues(world.repo, number) == (*seen, (world.repo.id, ISSUE))


# -- talking --


def test_a_reaction_is_there_once_however_often_it_is_given(world: World, github: GitHub) -> None:
    id = world.client.comment("dana", PULL, "/agent fix")
    review = world.client.review_comment("dana", PULL, "acme_calendar/years.py", 1, "/agent fix this")
    for _ in range(2):
        github.react(world.repo, "issue_comment", id)
        github.react(world.repo, "review_comment", review)
    (comment,) = [c for c in world.client.comments(PULL) if c["id"] == id]
    assert comment["reactions"] == [{"user": "tollgate[bot]", "content": "eyes"}]
    with pytest.raises(GitHubError, match="422"):
        github.react(world.repo, "issue_comment", id, "tada")


def bodies(world: World, mark: str) -> list[str]:
    return [comment["body"] for comment in world.client.comments(PULL) if mark in comment["body"]]


def test_a_comment_is_written_once_and_edited_after(world: World, github: GitHub) -> None:
    mark = marker()
    first = github.comment(world.repo, PULL, "Working on it.", mark)
    assert github.comment(world.repo, PULL, "Working on it.", mark) == first
    assert github.find_comment(world.repo, PULL, mark) == first
    assert [c["body"] for c in world.client.comments(PULL) if mark in c["body"]] == [
        f"{mark}\nWorking on it."
    ]
    github.edit_comment(world.repo, first, f"{mark}\nDone.")
    assert bodies(world, mark) == [f"{mark}\nDone."]


def test_an_issues_text_is_replaced_to_the_byte_and_nothing_else_of_it(world: World, github: GitHub) -> None:
    number = world.client.issue("dana", "A list", "- [ ] one\r\n- [ ] two \r\n")
    world.client.label("ada", number, "bug")
    github.edit_issue(world.repo, number, "- [x] one\r\n- [ ] two \r\n")
    issue = github.issue(world.repo, number)
    assert (issue.title, issue.body, issue.state) == ("A list", "- [x] one\r\n- [ ] two \r\n", "open")
    assert [label.name for label in github.labels(world.repo, number)] == ["bug"]
    with pytest.raises(GitHubError, match="404"):
        github.edit_issue(world.repo, 999_999, "x")


def test_a_marker_in_someone_elses_comment_is_not_ours(world: World, github: GitHub) -> None:
    mark = marker()
    forged = world.client.comment("dana", PULL, f"{mark}\nAll yours.")
    bots = world.client.comment("helpful[bot]", PULL, f"{mark}\nAll yours.")
    quoted = github.comment(world.repo, PULL, f"It said {mark}", marker())
    made = github.comment(world.repo, PULL, f"{mark}\nMine.", mark)
    assert made not in (forged, bots, quoted)
    assert github.find_comment(world.repo, PULL, mark) == made


def test_a_comment_is_found_beyond_the_first_page(world: World, github: GitHub) -> None:
    number = world.client.issue("dana", "A long thread")
    for n in range(105):
        world.client.comment("dana", number, f"comment {n}")
    mark = marker()
    made = github.comment(world.repo, number, "Last", mark)
    assert github.comment(world.repo, number, "Last", mark) == made


def test_a_pull_request_of_ours_is_opened_once(world: World, github: GitHub) -> None:
    world.branch("agent-work")
    made = github.create_pull(world.repo, "agent-work", "main", "Work of an agent", "Closes #1")
    assert github.create_pull(world.repo, "agent-work", "main", "Work of an agent", "Closes #1") == made
    assert made[1].endswith(f"/pull/{made[0]}")
    assert github.pull(world.repo, made[0]).author == "tollgate[bot]"


# -- checks and workflow runs --


def test_a_check_run_is_started_once_for_a_run_and_ends_with_its_conclusion(
    world: World, github: GitHub
) -> None:
    sha = world.branch("checked")
    details = ("https://tollgate.example/runs/1", "In progress", "Ceilings: $5.00")
    made = github.start_check(world.repo, sha, "Tollgate", "run-1", *details)
    assert github.start_check(world.repo, sha, "Tollgate", "run-1", *details) == made
    other = github.start_check(world.repo, sha, "Tollgate", "run-2", *details)
    assert other != made
    # The older of two with one name is found too: "latest" would hide it.
    assert github.start_check(world.repo, sha, "Tollgate", "run-1", *details) == made
    github.finish_check(world.repo, made, "neutral", Output("Halted", "halted at step 3"))
    with pytest.raises(GitHubError, match="422"):
        github.finish_check(world.repo, made, "halted", Output("Halted", "not a conclusion"))


def check_of(world: World, sha: str) -> Any:
    """The newest check run on a commit, with what only people see of it."""
    found = [one for one in world.client.repository()["checks"] if one["head_sha"] == sha]
    return max(found, key=lambda one: int(one["id"]))


def test_annotations_are_added_once_and_buttons_go_when_they_are_done(world: World, github: GitHub) -> None:
    sha = world.branch("annotated")
    made = github.start_check(world.repo, sha, "Tollgate", "run-3", "https://t.example/3", "t", "s")
    marks = tuple(Annotation(f"src/{n}.py", n, "because", "Held") for n in range(1, 61))
    held = Output("Held", "look", "text", marks, (Button("Publish anyway", "as it is", "accept"),))
    github.finish_check(world.repo, made, "action_required", held)
    assert [one["label"] for one in check_of(world, sha)["actions"]] == ["Publish anyway"]
    page = world.client.request("GET", f"/{world.repo.full_name}/runs/{made}")
    assert b"Publish anyway" in page
    assert b"src/7.py:7" in page
    github.finish_check(world.repo, made, "action_required", held)
    assert len(check_of(world, sha)["annotations"]) == 50, "as many as one request may bring, and not twice"
    github.finish_check(world.repo, made, "success", Output("Done", "fine"))
    assert check_of(world, sha)["actions"] == []
    assert len(check_of(world, sha)["annotations"]) == 50


def test_a_check_that_is_over_as_it_begins_is_made_once_and_has_a_page(world: World, github: GitHub) -> None:
    sha = world.branch("concluded")
    wrong = Output("Wrong", "line 3", annotations=(Annotation(".github/agent.yml", 3, "no"),))
    page = github.conclude_check(world.repo, sha, "Tollgate policy", f"policy:{sha}", "failure", wrong)
    again = github.conclude_check(world.repo, sha, "Tollgate policy", f"policy:{sha}", "failure", wrong)
    assert (again, page.rpartition("/")[2]) == (page, str(check_of(world, sha)["id"]))
    listed = world.client.do("dana", "GET", f"/check-runs/{check_of(world, sha)['id']}/annotations")
    assert [(one["path"], one["start_line"], one["annotation_level"]) for one in listed] == [
        (".github/agent.yml", 3, "failure")
    ]


def test_a_pull_request_says_whether_it_changes_a_file(world: World, github: GitHub) -> None:
    world.client.commit("dana", "with-policy", {".github/agent.yml": "{}\n", "a.txt": "a"}, from_="main")
    number = world.client.pull("dana", "with-policy", "A policy")
    assert github.changes_file(world.repo, number, ".github/agent.yml")
    assert not github.changes_file(world.repo, number, "b.txt")
    assert not github.changes_file(world.repo, PULL, ".github/agent.yml")


def test_a_workflow_is_dispatched_once_for_a_run_name(world: World, github: GitHub) -> None:
    inputs = {"run": "abc", "attempt": "1", "service": "http://127.0.0.1:1"}
    made = github.dispatch(world.repo, "agent.yml", "main", inputs, "Tollgate run abc.1")
    assert made.workflow_run_id is not None
    assert github.dispatch(world.repo, "agent.yml", "main", inputs, "Tollgate run abc.1") == made
    other = github.dispatch(world.repo, "agent.yml", "main", inputs | {"attempt": "2"}, "Tollgate run abc.2")
    assert other != made
    run = github.workflow_run(world.repo, made.workflow_run_id)
    assert (run.id, run.url) == (made.workflow_run_id, made.url)
    assert run.status in ("queued", "in_progress", "completed")
    ended = world.client.wait(
        lambda c: [r for r in c.runs() if r["status"] == "completed"], 60, "a run's end"
    )
    github.cancel(world.repo, ended[0]["id"])  # too late, and no error


def test_a_workflow_that_is_not_there_is_said_so(world: World, github: GitHub) -> None:
    with pytest.raises(GitHubError) as caught:
        github.dispatch(world.repo, "other.yml", "main", {}, "x")
    assert caught.value.status == 404
    assert not isinstance(caught.value, Unavailable)


# -- what had been done when the answer was lost --

LOST: list[Any] = [
    pytest.param(
        "POST",
        "/comments$",
        lambda g, w: g.comment(w.repo, PULL, "Lost", "<!-- tollgate-run:10570:1 -->"),
        id="comment",
    ),
    pytest.param(
        "POST",
        "/check-runs$",
        lambda g, w: g.start_check(
            w.repo, g.branch_head(w.repo, "main"), "Tollgate", "lost", w.url, "title", "summary"
        ),
        id="check",
    ),
    pytest.param(
        "POST",
        "/dispatches$",
        lambda g, w: (
            g.dispatch(
                w.repo, "agent.yml", "main", {"run": "lost", "attempt": "1"}, "Tollgate run lost.1"
            ).workflow_run_id
        ),
        id="dispatch",
    ),
    pytest.param(
        "POST",
        "/pulls$",
        lambda g, w: g.create_pull(w.repo, w.client.thread(PULL)["head_ref"], "lost-base", "Lost", "")[0],
        id="pull request",
    ),
]


@pytest.mark.parametrize(("method", "path", "act"), LOST)
def test_what_was_made_before_the_answer_was_lost_is_not_made_again(
    world: World, github: GitHub, method: str, path: str, act: Callable[[GitHub, World], int]
) -> None:
    world.client.commit("dana", "lost-base", {"lost.txt": path}, from_="main")
    start = len(world.lines())
    world.client.fault(method, path, 502, when="after")
    with pytest.raises(Unavailable):
        act(github, world)
    first = act(github, world)
    assert act(github, world) == first
    sent = [line for line in world.lines()[start:] if line.get("method") == method]
    assert len([line for line in sent if line["path"].endswith(path.rstrip("$"))]) == 1


# -- commits --

TRAILER = "Tollgate-Run: {}.1"
FILES = (
    File("src/text ü.py", "100644", "print('ü')\r\n".encode()),
    File("run.sh", "100755", b"#!/bin/sh\n"),
    File("link", "120000", b"run.sh"),
    File("data.bin", "100644", bytes(range(256))),
    File("zeros", "100644", b"a\0b"),
    File("empty", "100644", b""),
)


def trailer() -> str:
    return TRAILER.format(f"c{next(_ids):011x}")


def test_a_commit_keeps_every_byte_mode_and_deletion(world: World, github: GitHub) -> None:
    base = world.branch("whole")
    gone = File("whole.txt", "100644", None)
    made = github.commit(world.repo, "whole", base, [*FILES, gone], "Fix it", trailer())
    assert (made.branch, made.moved) == ("whole", False)
    assert github.branch_head(world.repo, "whole") == made.sha
    listed = world.git("ls-tree", "-r", "-z", made.sha).split("\0")
    modes = {line.split("\t")[1]: line.split()[0] for line in listed if line}
    assert {file.path: modes.get(file.path) for file in FILES} == {file.path: file.mode for file in FILES}
    assert "whole.txt" not in modes
    assert "README.md" in modes
    for file in FILES:
        if file.mode != "120000":
            assert github.file(world.repo, file.path, made.sha) == file.content
    assert world.git("cat-file", "blob", f"{made.sha}:link") == "run.sh"


def test_a_file_whose_mode_alone_has_changed_is_committed_so(world: World, github: GitHub) -> None:
    world.client.commit("dana", "modes", {"tool.sh": "echo\n", "to": "tool.sh"}, from_="main")
    base = github.branch_head(world.repo, "modes") or ""
    files = [File("tool.sh", "100755", b"echo\n"), File("to", "120000", b"tool.sh")]
    made = github.commit(world.repo, "modes", base, files, "Make it run", trailer())
    changed = [line.split() for line in world.git("diff-tree", "-r", base, made.sha).splitlines()]
    modes = {path: (was, now) for was, now, _, _, _, path in changed}
    assert modes == {"tool.sh": (":100644", "100755"), "to": (":100644", "120000")}
    assert all(before == after for _, _, before, after, _, _ in changed), "the same bytes"


def test_the_app_s_commits_are_verified_for_they_name_no_author(world: World, github: GitHub) -> None:
    base = world.branch("signed")
    made = github.commit(world.repo, "signed", base, FILES[:1], "Fix it", trailer())
    told = world.client.do("dana", "GET", f"/commits/{made.sha}")
    assert told["commit"]["verification"]["verified"]
    assert told["author"]["login"] == "tollgate[bot]"
    assert not world.client.do("dana", "GET", f"/commits/{base}")["commit"]["verification"]["verified"]


def test_text_travels_inside_the_tree_and_only_binary_as_blobs(world: World, github: GitHub) -> None:
    base = world.branch("inline")
    start = len(world.lines())
    github.commit(world.repo, "inline", base, FILES, "Fix it", trailer())
    paths = [line["path"].rsplit("/", 1)[1] for line in world.lines()[start:] if line["method"] == "POST"]
    assert paths.count("blobs") == 2
    assert paths.count("trees") == 1
    assert paths.count("commits") == 1


def test_a_commit_carries_its_trailer_and_is_signed_for_the_app(world: World, github: GitHub) -> None:
    base, line = world.branch("trailer"), trailer()
    made = github.commit(world.repo, "trailer", base, FILES, "Fix it\n\nBecause.", line)
    assert world.git("log", "-1", "--format=%B", made.sha).strip() == f"Fix it\n\nBecause.\n\n{line}"
    assert world.git("log", "-1", "--format=%P", made.sha).strip() == base
    (sent,) = [one for one in world.lines() if one.get("path", "").endswith("/git/commits")][-1:]
    assert not sent["request"].keys() & {"author", "committer", "signature"}


@pytest.mark.parametrize("path", ["/git/refs/", "/git/commits$", "/git/trees$"])
def test_a_commit_is_made_once_whichever_answer_was_lost(world: World, github: GitHub, path: str) -> None:
    name, line = f"once-{next(_ids)}", trailer()
    base = world.branch(name)
    world.client.fault("*", path, 502, when="after")
    if path == "/git/commits$":
        world.client.clear_faults()
        world.client.fault("POST", path, 502, when="after")
    with pytest.raises(Unavailable):
        github.commit(world.repo, name, base, FILES, "Fix it", line)
    made = github.commit(world.repo, name, base, FILES, "Fix it", line)
    assert github.commit(world.repo, name, base, FILES, "Fix it", line) == made
    assert (made.branch, made.moved) == (name, False)
    assert world.git("rev-list", "--count", f"{base}..{name}").strip() == "1"


def test_a_branch_that_moved_is_never_overwritten(world: World, github: GitHub) -> None:
    base, line = world.branch("moving"), trailer()
    theirs = world.client.commit("dana", "moving", {"moving.txt": "meanwhile\n"})
    made = github.commit(world.repo, "moving", base, FILES, "Fix it", line)
    id = line.removeprefix("Tollgate-Run: ").removesuffix(".1")
    assert (made.branch, made.moved) == (f"agent/run-{id}", True)
    assert github.branch_head(world.repo, "moving") == theirs
    assert github.branch_head(world.repo, made.branch) == made.sha
    assert github.commit(world.repo, "moving", base, FILES, "Fix it", line) == made


def test_a_branch_that_moves_between_the_look_and_the_act_is_not_overwritten(
    world: World, github: GitHub
) -> None:
    base = world.branch("racing")
    world.client.fault("PATCH", "/git/refs/heads/racing", 422)
    made = github.commit(world.repo, "racing", base, FILES, "Fix it", trailer())
    assert made.moved
    assert github.branch_head(world.repo, "racing") == base


def test_a_commit_that_a_person_made_on_top_does_not_hide_ours(world: World, github: GitHub) -> None:
    base, line = world.branch("on-top"), trailer()
    made = github.commit(world.repo, "on-top", base, FILES, "Fix it", line)
    world.client.commit("dana", "on-top", {"more.txt": "more\n"})
    assert github.commit(world.repo, "on-top", base, FILES, "Fix it", line) == made


def test_a_trailer_that_someone_else_wrote_does_not_pass_for_our_commit(world: World, github: GitHub) -> None:
    base, line = world.branch("forged"), trailer()
    forged = world.client.commit("dana", "forged", {"evil.txt": "evil\n"}, f"Mine\n\n{line}")
    made = github.commit(world.repo, "forged", base, FILES, "Fix it", line)
    assert made.sha != forged
    assert made.moved


def test_a_branch_that_is_gone_does_not_lose_the_work(world: World, github: GitHub) -> None:
    base = world.branch("short-lived")
    made = github.commit(world.repo, "no-such-branch", base, FILES, "Fix it", trailer())
    assert made.moved
    assert github.branch_head(world.repo, made.branch) == made.sha


def test_a_second_attempt_does_not_overwrite_what_the_first_kept(world: World, github: GitHub) -> None:
    base, line = world.branch("attempts"), trailer()
    world.client.commit("dana", "attempts", {"attempts.txt": "meanwhile\n"})
    first = github.commit(world.repo, "attempts", base, FILES, "Fix it", line)
    second = github.commit(world.repo, "attempts", base, FILES[:1], "Fix it", line.removesuffix(".1") + ".2")
    assert (second.branch, second.moved) == (f"{first.branch}-2", True)
    assert github.branch_head(world.repo, first.branch) == first.sha


def test_work_on_an_issue_gets_a_branch_of_its_own_once(world: World, github: GitHub) -> None:
    base, line = github.branch_head(world.repo, "main"), trailer()
    assert base is not None
    made = github.create_branch_commit(world.repo, "agent/run-issue", base, FILES, "Fix it", line)
    assert (made.branch, made.moved) == ("agent/run-issue", False)
    assert github.create_branch_commit(world.repo, "agent/run-issue", base, FILES, "Fix it", line) == made
    other = trailer()
    moved = github.create_branch_commit(world.repo, "agent/run-issue", base, FILES, "Fix it", other)
    assert (moved.branch, moved.moved) == ("agent/run-issue-1", True)


def test_what_was_kept_aside_moves_on_to_its_branch_without_a_second_commit(
    world: World, github: GitHub
) -> None:
    name, line = f"accepted-{next(_ids)}", trailer()
    base, id = world.branch(name), line.removeprefix("Tollgate-Run: ").removesuffix(".1")
    kept = github.create_branch_commit(world.repo, f"agent/run-{id}", base, FILES, "Fix it", line)
    made = github.commit(world.repo, name, base, FILES, "Fix it", line)
    assert (made.sha, made.branch, made.moved) == (kept.sha, name, False)
    assert github.branch_head(world.repo, name) == kept.sha


def test_what_was_kept_aside_stays_there_where_its_branch_has_moved(world: World, github: GitHub) -> None:
    name, line = f"moved-on-{next(_ids)}", trailer()
    base, id = world.branch(name), line.removeprefix("Tollgate-Run: ").removesuffix(".1")
    kept = github.create_branch_commit(world.repo, f"agent/run-{id}", base, FILES, "Fix it", line)
    theirs = world.client.commit("dana", name, {"other.txt": "meanwhile\n"})
    made = github.commit(world.repo, name, base, FILES, "Fix it", line)
    assert (made.sha, made.branch, made.moved) == (kept.sha, kept.branch, True)
    assert github.branch_head(world.repo, name) == theirs


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_branch_is_removed_once_and_only_while_nobody_has_moved_it(
    world: World, github: GitHub, when: str
) -> None:
    name = f"kept-{next(_ids)}"
    sha = world.branch(name)
    world.client.fault("DELETE", f"/git/refs/heads/{name}", 502, when=when)
    with pytest.raises(Unavailable):
        github.delete_branch(world.repo, name, sha)
    assert github.delete_branch(world.repo, name, sha)
    assert github.branch_head(world.repo, name) is None
    assert github.delete_branch(world.repo, name, sha), "gone is gone"
    sha = world.branch(name)
    theirs = world.client.commit("dana", name, {"theirs.txt": "x"})
    assert not github.delete_branch(world.repo, name, sha)
    assert github.branch_head(world.repo, name) == theirs


def test_a_commit_of_nothing_is_not_made(world: World, github: GitHub) -> None:
    with pytest.raises(ValueError, match="at least one file"):
        github.commit(world.repo, "main", "0" * 40, [], "Nothing", trailer())


# -- at once --


def test_threads_that_share_the_client_get_their_own_answers(world: World, github: GitHub) -> None:
    numbers = [world.client.issue("dana", f"Issue for thread {n}") for n in range(8)]

    def ask(number: int) -> list[int]:
        return [github.issue(world.repo, number).number for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, numbers))
    assert answers == [[number] * 5 for number in numbers]
