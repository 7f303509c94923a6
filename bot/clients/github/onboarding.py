"""A repository that the App is new to: how it stands, the pull request that sets it up, its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from bot.clients.github.commits import branch_head
from bot.clients.github.errors import GitHubError
from bot.clients.github.scopes import LOOK, ONBOARD, TALK
from bot.clients.github.shapes import Repo
from bot.core.onboarding import BRANCH, MESSAGE, TRAILER, Label

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection


@dataclass(frozen=True, slots=True)
class Standing:
    """`head` is None for a repository without a commit; `ready`: it has the workflow already."""

    default_branch: str
    head: str | None
    archived: bool
    fork: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """The onboarding pull request, now or ever."""

    number: int
    url: str
    open: bool


def standing(wire: Connection, repo: Repo, workflow: str) -> Standing:
    raw = wire.call(repo, LOOK, "GET", "")
    default = str(raw["default_branch"])
    try:
        head = branch_head(wire, repo, default)
    except GitHubError as error:
        if error.status != 409:  # GitHub's answer about the git data of an empty repository
            raise
        head = None
    there = head is not None and wire.find(repo, LOOK, f"/contents/{quote(workflow)}", {"ref": default})
    shut = bool(raw["archived"] or raw["disabled"])
    return Standing(default, head, shut, bool(raw["fork"]), bool(there))


def propose(
    wire: Connection, repo: Repo, base: str, base_sha: str, files: Mapping[str, str], title: str, body: str
) -> Proposal:
    """Looked for among open and closed ones first: who has closed it has said no. Raises GitHubError."""
    asked = {"head": f"{repo.owner}:{BRANCH}", "state": "all"}
    for known in wire.pages(repo, LOOK, "/pulls", asked, most=1):
        return Proposal(int(known["number"]), str(known["html_url"]), known["state"] == "open")
    _branch(wire, repo, base_sha, files)
    sent = {"head": BRANCH, "base": base, "title": title, "body": body}
    made = wire.call(repo, TALK, "POST", "/pulls", body=sent)
    return Proposal(int(made["number"]), str(made["html_url"]), True)


def _branch(wire: Connection, repo: Repo, base_sha: str, files: Mapping[str, str]) -> None:
    """The branch with the files, in one commit; one that an earlier try has left is as good."""
    head = branch_head(wire, repo, BRANCH)
    if head is not None:
        message = wire.call(repo, LOOK, "GET", f"/git/commits/{head}")["message"]
        if TRAILER not in message.splitlines():
            raise GitHubError(f"the branch {BRANCH} of {repo.full_name} is somebody else's", 422)
        return
    base = wire.call(repo, LOOK, "GET", f"/git/commits/{base_sha}")["tree"]["sha"]
    entries = [
        {"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()
    ]
    tree = wire.call(repo, ONBOARD, "POST", "/git/trees", body={"base_tree": base, "tree": entries})["sha"]
    # No author or committer: only then does GitHub sign for the App, and the commit is verified.
    commit = {"message": f"{MESSAGE}\n\n{TRAILER}", "tree": tree, "parents": [base_sha]}
    sha = wire.call(repo, ONBOARD, "POST", "/git/commits", body=commit)["sha"]
    wire.call(repo, ONBOARD, "POST", "/git/refs", body={"ref": f"refs/heads/{BRANCH}", "sha": sha})


def create_labels(wire: Connection, repo: Repo, labels: Sequence[Label]) -> None:
    """GitHub itself looks whether one of that name is there, in any case of its letters."""
    for label in labels:
        sent = {"name": label.name, "color": label.color, "description": label.description}
        try:
            wire.call(repo, TALK, "POST", "/labels", body=sent)
        except GitHubError as error:
            if error.status != 422 or wire.find(repo, LOOK, f"/labels/{quote(label.name, safe='')}") is None:
                raise
