"""Every method of the client, called in a way that reaches every operation it has.

A row prepares the sandbox as people would and gives back the call, which must not have been made before:
what the client looks for first is not there yet. A new method of `GitHub` needs its rows here, as many as it
has operations (see `test_client.py`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from bot.clients.github import GitHub, Repo
from bot.core import manifest, onboarding
from bot.core.changeset import File
from bot.core.marks import Annotation, Output
from sandbox.github.client import Client
from tests.browser import Browser
from tests.clients.conftest import World

Act = Callable[[GitHub], object]
Row = Callable[[World], Act]

ISSUE, PULL = 1, 2
SLOW = """
name: slow
on: {workflow_dispatch: {inputs: {run: {required: true}}}}
jobs:
  slow: {runs-on: ubuntu-latest, steps: [{run: "sleep 60"}]}
"""
BINARY = [File("data.bin", "100644", b"\0\1"), File("text.txt", "100644", b"text\n")]
_ids = itertools.count(1)


def new(what: str) -> str:
    """A name that no other row has."""
    return f"{what}-{next(_ids)}"


def marker() -> str:
    return f"<!-- tollgate-run:{next(_ids):012x}:1 -->"


def trailer() -> str:
    return f"Tollgate-Run: d{next(_ids):011x}.1"


def a_large_file(w: World) -> Act:
    branch = new("large")
    w.client.commit("dana", branch, {"large.txt": "x" * 1_200_000})
    return lambda g: g.file(w.repo, "large.txt", branch)


def labels_of_a_thread(w: World) -> Act:
    number = w.client.issue("dana", "Labels")
    w.client.label("ada", number, "bug")
    return lambda g: g.labels(w.repo, number)


def react_to_a_comment(w: World) -> Act:
    id = w.client.comment("dana", ISSUE, "/agent fix")
    return lambda g: g.react(w.repo, "issue_comment", id)


def react_to_a_review_comment(w: World) -> Act:
    id = w.client.review_comment("dana", PULL, "acme_calendar/years.py", 1, "/agent fix")
    return lambda g: g.react(w.repo, "review_comment", id)


def an_answer_to_a_review_comment(w: World) -> Act:
    id = w.client.review_comment("dana", PULL, "acme_calendar/years.py", 1, "/agent fix")
    return lambda g: g.answer_review(w.repo, PULL, id, "Started.", marker())


def files_at_a_commit(w: World) -> Act:
    sha = w.branch(new("files"))
    return lambda g: g.files_at(w.repo, sha, ["README.md"])


def find_among_a_bots_comments(w: World) -> Act:
    mark, number = marker(), w.client.issue("dana", "A bot talks")
    w.client.comment("helpful[bot]", number, f"{mark}\nAll yours.")
    return lambda g: g.find_comment(w.repo, number, mark)


def a_new_comment(w: World) -> Act:
    number = w.client.issue("dana", "Talk")
    return lambda g: g.comment(w.repo, number, "Hello", marker())


def our_comment(w: World) -> int:
    github = w.app()
    try:
        return github.comment(w.repo, ISSUE, "Hello", marker())
    finally:
        github.close()


def edit_our_comment(w: World) -> Act:
    id = our_comment(w)
    return lambda g: g.edit_comment(w.repo, id, "Changed")


def the_text_of_an_issue(w: World) -> Act:
    number = w.client.issue("dana", "A list", "- [ ] one")
    return lambda g: g.edit_issue(w.repo, number, "- [x] one")


def a_pull_request(w: World) -> Act:
    branch = new("proposed")
    w.branch(branch)
    return lambda g: g.create_pull(w.repo, branch, "main", "Work", "Closes #1")


def started_check(g: GitHub, w: World, sha: str) -> int:
    details = ("https://tollgate.example/runs/1", "In progress", "Ceilings: $5.00")
    return g.start_check(w.repo, sha, "Tollgate", new("run"), *details)


def a_check(w: World) -> Act:
    sha = w.branch(new("checked"))
    return lambda g: started_check(g, w, sha)


def a_check_that_waits(w: World) -> Act:
    sha, details = w.branch(new("checked")), ("https://tollgate.example/runs/1", "Queued", "1st in line")
    return lambda g: g.start_check(w.repo, sha, "Tollgate", new("run"), *details, queued=True)


def the_start_of_a_check(w: World) -> Act:
    github, sha = w.app(), w.branch(new("checked"))
    try:
        id = started_check(github, w, sha)
    finally:
        github.close()
    return lambda g: g.begin_check(w.repo, id)


def the_end_of_a_check(w: World) -> Act:
    github, sha = w.app(), w.branch(new("checked"))
    try:
        id = started_check(github, w, sha)
    finally:
        github.close()
    noted = Output("Halted", "halted at step 3", annotations=(Annotation("a.py", 1, "look here"),))
    return lambda g: g.finish_check(w.repo, id, "neutral", noted)


def a_check_that_is_over(w: World) -> Act:
    sha = w.branch(new("checked"))
    done = Output("Wrong", "Line 3 is wrong")
    return lambda g: g.conclude_check(w.repo, sha, "Policy", new("policy"), "failure", done)


def a_dispatch(w: World) -> Act:
    name = new("run")
    inputs = {"run": name, "attempt": "1"}
    return lambda g: g.dispatch(w.repo, "agent.yml", "main", inputs, f"Tollgate run {name}.1")


def a_slow_run(w: World) -> int:
    """A workflow run that does not end by itself within this test."""
    if w.client.repository()["default_branch"] == "main":
        w.client.commit("dana", "main", {".github/workflows/slow.yml": SLOW})
    sent = {"ref": "main", "inputs": {"run": new("slow")}, "return_run_details": True}
    made = w.client.do("dana", "POST", "/actions/workflows/slow.yml/dispatches", sent)
    return int(made["workflow_run_id"])


def a_workflow_run(w: World) -> Act:
    id = a_slow_run(w)
    w.client.do("dana", "POST", f"/actions/runs/{id}/cancel")
    return lambda g: g.workflow_run(w.repo, id)


def the_end_of_a_workflow_run(w: World) -> Act:
    id = a_slow_run(w)
    return lambda g: g.cancel(w.repo, id)


def a_commit_at_the_head(w: World) -> Act:
    branch = new("head")
    base = w.branch(branch)
    return lambda g: g.commit(w.repo, branch, base, BINARY, "Fix it", trailer())


def a_commit_where_the_head_has_moved(w: World) -> Act:
    branch = new("moved")
    base = w.branch(branch)
    w.client.commit("dana", branch, {"more.txt": "more\n"})
    return lambda g: g.commit(w.repo, branch, base, BINARY, "Fix it", trailer())


def a_commit_at_a_branch_of_its_own(w: World) -> Act:
    base = w.branch(new("base"))
    return lambda g: g.create_branch_commit(w.repo, new("own"), base, BINARY, "Fix it", trailer())


def a_branch_removed(w: World) -> Act:
    branch = new("gone")
    sha = w.branch(branch)
    return lambda g: g.delete_branch(w.repo, branch, sha)


def an_app_of_a_manifest(w: World) -> Act:
    asked = manifest.manifest("https://tollgate.example", w.url)
    sent = {"manifest": json.dumps(asked), "name": new("app")}
    landed = Browser().open(f"{w.url}/settings/apps", sent).url
    [code] = parse_qs(urlsplit(landed).query)["code"]
    return lambda g: g.register(code)


def a_repository_to_set_up(w: World) -> Repo:
    name = f"acme/{new('fresh')}"
    made = w.client.control("repos", full_name=name)
    return Repo(w.repo.installation, int(made["id"]), name)


def a_look_at_a_repository(w: World) -> Act:
    return lambda g: g.standing(w.repo, ".github/workflows/agent.yml")


def an_onboarding(w: World) -> Act:
    repo = a_repository_to_set_up(w)
    sha = Client(w.url, repo.full_name).repository()["branches"]["main"]
    return lambda g: g.propose(repo, "main", sha, {onboarding.WORKFLOW: "on: push\n"}, "Set up", "Body")


def an_onboarding_that_broke_off(w: World) -> Act:
    """Its branch is there, its pull request is not."""
    repo = a_repository_to_set_up(w)
    client = Client(w.url, repo.full_name)
    sha = client.repository()["branches"]["main"]
    message = f"{onboarding.MESSAGE}\n\n{onboarding.TRAILER}"
    client.commit("ada", onboarding.BRANCH, {"new.txt": "new\n"}, message, from_="main")
    return lambda g: g.propose(repo, "main", sha, {"new.txt": "new\n"}, "Set up", "Body")


def labels_that_are_there_in_part(w: World) -> Act:
    repo = a_repository_to_set_up(w)
    Client(w.url, repo.full_name).do("ada", "POST", "/labels", {"name": onboarding.LABELS[0].name})
    return lambda g: g.create_labels(repo, onboarding.LABELS)


def an_attempt(w: World) -> int:
    """The log's id of a delivery that failed."""
    w.client.hook("http://127.0.0.1:9/nobody")
    w.client.issue("dana", "Tell the App")
    tried = w.client.wait(lambda c: [one for one in c.deliveries("issues") if one["status"] != "pending"])
    w.client.hook(None)
    return int(tried[-1]["id"])


def the_log_of_deliveries(w: World) -> Act:
    an_attempt(w)
    return lambda g: list(g.attempts(0))


def a_delivery(w: World) -> Act:
    id = an_attempt(w)
    return lambda g: g.delivered(id)


def a_redelivery(w: World) -> Act:
    id = an_attempt(w)
    return lambda g: g.redeliver(id)


def whoever_signed_in(w: World) -> Act:
    token = w.client.app_token("dana")
    return lambda g: g.user(token)


def what_they_see(w: World) -> Act:
    token = w.client.app_token("dana")
    return lambda g: g.access(token)


CALLS: dict[str, tuple[Row, ...]] = {
    "standing": (a_look_at_a_repository,),
    "propose": (an_onboarding, an_onboarding_that_broke_off),
    "create_labels": (labels_that_are_there_in_part,),
    "register": (an_app_of_a_manifest,),
    "app": (lambda w: lambda g: g.app(),),
    "hook": (lambda w: lambda g: g.hook(),),
    "set_hook_secret": (lambda w: lambda g: g.set_hook_secret("another secret"),),
    "attempts": (the_log_of_deliveries,),
    "delivered": (a_delivery,),
    "redeliver": (a_redelivery,),
    "installations": (lambda w: lambda g: g.installations(),),
    "repositories": (lambda w: lambda g: g.repositories(w.repo.installation),),
    "comments": (
        lambda w: lambda g: list(g.comments(w.repo, "issue_comment", 0)),
        lambda w: lambda g: list(g.comments(w.repo, "review_comment", 0)),
    ),
    "merged_since": (lambda w: lambda g: g.merged_since(w.repo, 0),),
    "user": (whoever_signed_in,),
    "access": (what_they_see,),
    "role": (lambda w: lambda g: g.role(w.repo, "dana"),),
    "bot": (lambda w: lambda g: g.bot(),),
    "pull": (lambda w: lambda g: g.pull(w.repo, PULL),),
    "issue": (lambda w: lambda g: g.issue(w.repo, ISSUE),),
    "labels": (labels_of_a_thread,),
    "file": (lambda w: lambda g: g.file(w.repo, "README.md", "main"), a_large_file),
    "changes_file": (lambda w: lambda g: g.changes_file(w.repo, PULL, "README.md"),),
    "files_at": (files_at_a_commit,),
    "installation": (lambda w: lambda g: g.installation(w.repo.full_name),),
    "default_branch": (lambda w: lambda g: g.default_branch(w.repo),),
    "place": (lambda w: lambda g: g.place(w.repo.installation, w.repo.full_name),),
    "branch_head": (lambda w: lambda g: g.branch_head(w.repo, "main"),),
    "closing_issues": (lambda w: lambda g: g.closing_issues(w.repo, PULL),),
    "react": (react_to_a_comment, react_to_a_review_comment),
    "find_comment": (find_among_a_bots_comments,),
    "comment": (a_new_comment,),
    "answer_review": (an_answer_to_a_review_comment,),
    "edit_comment": (edit_our_comment,),
    "edit_issue": (the_text_of_an_issue,),
    "create_pull": (a_pull_request,),
    "start_check": (a_check, a_check_that_waits),
    "begin_check": (the_start_of_a_check,),
    "finish_check": (the_end_of_a_check,),
    "conclude_check": (a_check_that_is_over,),
    "dispatch": (a_dispatch,),
    "workflow_run": (a_workflow_run,),
    "cancel": (the_end_of_a_workflow_run,),
    "commit": (a_commit_at_the_head, a_commit_where_the_head_has_moved),
    "create_branch_commit": (a_commit_at_a_branch_of_its_own,),
    "delete_branch": (a_branch_removed,),
}
