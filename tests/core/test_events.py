"""What a delivery is read as; from the published examples."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.events import (
    ButtonPressed,
    CommentCreated,
    Installed,
    LabelChanged,
    Malformed,
    PullChanged,
    PullClosed,
    Uninstalled,
    WorkflowCompleted,
    parse,
)
from bot.core.places import Repo
from tests import samples

REPO = Repo(99, 4242, "acme/widgets")


def test_a_comment_on_a_pull_request_is_read() -> None:
    event = parse(
        "issue_comment", samples.payload("issue_comment", "created", on_pull=True, comment="/agent fix")
    )
    assert isinstance(event, CommentCreated)
    assert (event.repo, event.kind, event.comment_id, event.number) == (REPO, "issue_comment", 1001, 7)
    assert (event.on_pull, event.body, event.actor, event.by_person) == (True, "/agent fix", "dana", True)


def test_a_comment_on_an_issue_is_told_from_one_on_a_pull_request() -> None:
    event = parse("issue_comment", samples.payload("issue_comment", "created"))
    assert isinstance(event, CommentCreated)
    assert not event.on_pull


def test_a_review_comment_brings_its_file_and_hunk() -> None:
    event = parse("pull_request_review_comment", samples.payload("pull_request_review_comment", "created"))
    assert isinstance(event, CommentCreated)
    assert (event.kind, event.on_pull) == ("review_comment", True)
    assert event.path
    assert event.hunk
    assert event.answers == 0


@pytest.mark.parametrize(
    ("patch", "lines"),
    [
        pytest.param({"line": 12}, "12", id="one line"),
        pytest.param({"line": 12, "start_line": 10}, "10-12", id="several lines"),
        pytest.param(
            {"line": None, "original_line": 7, "original_start_line": 5}, "5-7", id="on a diff that has moved"
        ),
        pytest.param({"line": None, "original_line": None, "subject_type": "file"}, "", id="on a whole file"),
    ],
)
def test_a_review_comment_brings_its_lines_and_the_comment_that_it_answers(
    patch: dict[str, Any], lines: str
) -> None:
    told = {"comment": {"start_line": None, "original_start_line": None, "in_reply_to_id": 55} | patch}
    event = parse(
        "pull_request_review_comment",
        samples.payload("pull_request_review_comment", "created", patch=told, check=False),
    )
    assert isinstance(event, CommentCreated)
    assert (event.lines, event.answers) == (lines, 55)


@pytest.mark.parametrize("event", ["issues", "pull_request"])
@pytest.mark.parametrize(("action", "added"), [("labeled", True), ("unlabeled", False)])
def test_a_label_of_ours_says_who_changed_it_and_when(event: str, action: str, added: bool) -> None:
    thread = {"issue" if event == "issues" else "pull_request": {"updated_at": "2026-11-20T12:00:01Z"}}
    sent = samples.payload(event, action, label="Agent:cost=$3", login="max", patch=thread)
    assert parse(event, sent) == LabelChanged(REPO, 7, "Agent:cost=$3", added, "max", True, 1_795_176_001_000)


@pytest.mark.parametrize("merged", [True, False])
def test_a_closed_pull_request_says_whether_it_merged(merged: bool) -> None:
    event = parse("pull_request", samples.payload("pull_request", "closed", merged=merged))
    assert event == PullClosed(REPO, 7, merged)


@pytest.mark.parametrize("action", ["opened", "synchronize"])
def test_a_pull_request_with_a_new_head_says_which(action: str) -> None:
    sent = samples.payload("pull_request", action, head_sha="a" * 40)
    assert parse("pull_request", sent) == PullChanged(REPO, 7, "a" * 40)
    sent["pull_request"]["head"]["sha"] = "main"
    with pytest.raises(Malformed, match=r"head\.sha"):
        parse("pull_request", sent)


def test_a_pressed_button_says_which_on_what_and_by_whom() -> None:
    patch = {
        "check_run": {"id": 7, "external_id": "0123456789ab.1"},
        "requested_action": {"identifier": "accept"},
    }
    sent = samples.payload("check_run", "requested_action", login="max", patch=patch)
    assert parse("check_run", sent) == ButtonPressed(REPO, 7, "0123456789ab.1", "accept", "max")
    assert parse("check_run", samples.payload("check_run", "requested_action", sender_type="Bot")) is None
    assert parse("check_run", samples.payload("check_run", "completed")) is None


def test_a_finished_workflow_brings_its_title() -> None:
    sent = samples.payload(
        "workflow_run", "completed", run_title="Tollgate run 0123456789ab.1", conclusion="failure"
    )
    assert parse("workflow_run", sent) == WorkflowCompleted(
        REPO, 555, "Tollgate run 0123456789ab.1", "failure", ".github/workflows/agent.yml"
    )


@pytest.mark.parametrize("event", ["pull_request", "push", "issue_comment"])
def test_a_workflow_that_nobody_dispatched_is_no_runs_whatever_it_is_called(event: str) -> None:
    """GitHub shows a pull request's title as that of its workflows, a push's first line likewise."""
    sent = samples.payload(
        "workflow_run", "completed", run_title="Tollgate run 0123456789ab.1", run_event=event
    )
    told = parse("workflow_run", sent)
    assert isinstance(told, WorkflowCompleted)
    assert told.workflow == ""


def test_a_workflow_is_named_by_its_file_with_or_without_its_branch() -> None:
    sent = samples.payload("workflow_run", "completed", run_path=".github/workflows/agent.yml@main")
    told = parse("workflow_run", sent)
    assert isinstance(told, WorkflowCompleted)
    assert told.workflow == ".github/workflows/agent.yml"


def test_an_installation_brings_the_repositories_that_it_covers() -> None:
    sent = samples.payload("installation", "created")
    [listed] = sent["repositories"]
    assert parse("installation", sent) == Installed(99, (Repo(99, listed["id"], listed["full_name"]),), False)
    sent = samples.payload("installation_repositories", "added")
    [listed] = sent["repositories_added"]
    event = parse("installation_repositories", sent)
    assert event == Installed(99, (Repo(99, listed["id"], listed["full_name"]),), False)


@pytest.mark.parametrize("action", ["deleted", "suspend"])
def test_an_installation_that_is_gone_takes_everything_with_it(action: str) -> None:
    event = parse("installation", samples.payload("installation", action))
    assert isinstance(event, Uninstalled)
    assert (event.installation, event.repositories) == (99, None)


def test_a_repository_that_was_taken_off_is_the_only_one_that_is_gone() -> None:
    sent = samples.payload("installation_repositories", "removed")
    event = parse("installation_repositories", sent)
    assert isinstance(event, Uninstalled)
    assert event.repositories == (sent["repositories_removed"][0]["id"],)


def test_an_app_that_may_go_on_is_as_good_as_installed() -> None:
    event = parse("installation", samples.payload("installation", "unsuspend"))
    assert event == Installed(99, None, True)


def test_an_installation_may_list_nothing() -> None:
    sent = samples.payload("installation", "created")
    del sent["repositories"]
    assert parse("installation", sent) == Installed(99, None, False)
    sent["repositories"] = ["acme/widgets"]
    with pytest.raises(Malformed, match="repositories must be"):
        parse("installation", sent)


@pytest.mark.parametrize(
    ("event", "action", "facts"),
    [
        pytest.param("issue_comment", "edited", {}, id="an edited comment"),
        pytest.param("issue_comment", "deleted", {}, id="a deleted comment"),
        pytest.param("issue_comment", "created", {"sender_type": "Bot"}, id="a bot's comment"),
        pytest.param("issue_comment", "created", {"installation": None}, id="no installation"),
        pytest.param("pull_request", "closed", {"installation": None}, id="a merge without an installation"),
        pytest.param("issues", "labeled", {"label": "bug"}, id="another label"),
        pytest.param("issues", "labeled", {"installation": None}, id="a label without an installation"),
        pytest.param("issues", "opened", {}, id="a new issue"),
        pytest.param("workflow_run", "requested", {}, id="a workflow that begins"),
    ],
)
def test_what_starts_nothing(event: str, action: str, facts: dict[str, Any]) -> None:
    assert parse(event, samples.payload(event, action, **facts)) is None


@pytest.mark.parametrize("name", ["", "a", "a/b/c", "../..", "a/..", "a/b?c", "a b/c", "\u202ex/y", "a/b\n"])
@pytest.mark.parametrize(("event", "action"), [("pull_request", "closed"), ("installation", "created")])
def test_a_repository_that_no_address_can_name_is_malformed(event: str, action: str, name: str) -> None:
    told = samples.payload(event, action, check=False)
    for one in [told.get("repository"), *told.get("repositories", [])]:
        if one:
            one["full_name"] = name
    with pytest.raises(Malformed, match="full_name"):
        parse(event, told)


def test_a_comment_through_an_app_starts_nothing() -> None:
    sent = samples.payload("issue_comment", "created", comment="/agent fix")
    sent["comment"]["performed_via_github_app"] = {"id": 1, "slug": "x"}
    assert parse("issue_comment", sent) is None


def test_a_comment_that_somebody_else_delivers_starts_nothing() -> None:
    sent = samples.payload("issue_comment", "created", comment="/agent fix")
    sent["sender"]["login"] = "mallory"
    assert parse("issue_comment", sent) is None


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_a_payload_with_anything_in_any_place_is_read_or_malformed(data: st.DataObject) -> None:
    name, action = data.draw(
        st.sampled_from(
            [
                ("issue_comment", "created"),
                ("installation", "created"),
                ("installation_repositories", "removed"),
                ("issues", "labeled"),
                ("pull_request", "closed"),
                ("pull_request", "unlabeled"),
                ("pull_request", "synchronize"),
                ("check_run", "requested_action"),
                ("workflow_run", "completed"),
            ]
        )
    )
    sent = samples.payload(name, action)
    inside = data.draw(
        st.sampled_from([sent, *(value for value in sent.values() if isinstance(value, dict))])
    )
    inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(json_like)
    sent["action"] = action
    with contextlib.suppress(Malformed):
        parse(name, sent)
