"""The App's commit of an agent's work, through the git-data API: never an overwrite, never twice (L6)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from bot.clients.github.errors import GitHubError
from bot.clients.github.scopes import LOOK, PUSH
from bot.clients.github.shapes import Committed, Json, Repo
from bot.core.changeset import File

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection

CONFLICT = (409, 422)
LOOKED_AT = 3  # pages of a branch's history, newest first


def branch_head(wire: Connection, repo: Repo, branch: str) -> str | None:
    """The SHA that a branch is at; None where there is no such branch."""
    found = wire.find(repo, LOOK, f"/git/ref/heads/{quote(branch)}")
    return None if found is None else str(found["object"]["sha"])


def commit(
    wire: Connection,
    repo: Repo,
    branch: str,
    base_sha: str,
    files: Sequence[File],
    message: str,
    trailer: str,
) -> Committed:
    """One commit on `base_sha`, put at the end of `branch` if that is still its head, else kept aside."""
    tree = _tree(wire, repo, base_sha, files)
    if sha := _made_before(wire, repo, branch, base_sha, tree, trailer):
        return Committed(sha, branch, False)
    kept = f"agent/run-{run_of(trailer)}"
    # What was kept aside before, because the branch had moved or nobody had asked for more, is still good.
    aside = _kept_before(wire, repo, kept, base_sha, tree, trailer)
    sha = aside.sha if aside else _commit(wire, repo, base_sha, tree, message, trailer)
    if branch_head(wire, repo, branch) == base_sha:
        try:
            wire.call(
                repo, PUSH, "PATCH", f"/git/refs/heads/{quote(branch)}", body={"sha": sha, "force": False}
            )
            return Committed(sha, branch, False)
        except GitHubError as error:
            # It moved between the look and the act, or its rules let nobody push: the work is kept anyway.
            if error.status not in CONFLICT:
                raise
    return aside or Committed(sha, _new_branch(wire, repo, kept, sha, trailer), True)


def create_branch_commit(
    wire: Connection,
    repo: Repo,
    branch: str,
    base_sha: str,
    files: Sequence[File],
    message: str,
    trailer: str,
) -> Committed:
    """One commit on `base_sha` at a branch of its own; `moved` when that name was taken."""
    tree = _tree(wire, repo, base_sha, files)
    if known := _kept_before(wire, repo, branch, base_sha, tree, trailer):
        return Committed(known.sha, known.branch, known.branch != branch)
    sha = _commit(wire, repo, base_sha, tree, message, trailer)
    made = _new_branch(wire, repo, branch, sha, trailer)
    return Committed(sha, made, made != branch)


def delete_branch(wire: Connection, repo: Repo, branch: str, sha: str) -> bool:
    """Remove a branch that ends with `sha`; False, and it stays, if somebody has moved it since."""
    head = branch_head(wire, repo, branch)
    if head not in (None, sha):
        return False
    if head is not None:
        try:
            wire.call(repo, PUSH, "DELETE", f"/git/refs/heads/{quote(branch)}")
        except GitHubError as error:
            if error.status not in (404, *CONFLICT) or branch_head(wire, repo, branch) is not None:
                raise
    return True


def run_of(trailer: str) -> str:
    """The run's id in `Tollgate-Run: ID.ATTEMPT`."""
    return trailer.partition(":")[2].strip().partition(".")[0]


def _attempt_branch(branch: str, trailer: str) -> str:
    return f"{branch}-{trailer.rpartition('.')[2].strip()}"


def _tree(wire: Connection, repo: Repo, base_sha: str, files: Sequence[File]) -> str:
    """The tree of `base_sha` with these files: text goes inline, only binary as blobs."""
    if not files:
        raise ValueError("a commit needs at least one file")
    base = wire.call(repo, LOOK, "GET", f"/git/commits/{base_sha}")["tree"]["sha"]
    entries = [_entry(wire, repo, file) for file in files]
    body = {"base_tree": base, "tree": entries}
    return str(wire.call(repo, PUSH, "POST", "/git/trees", body=body)["sha"])


def _entry(wire: Connection, repo: Repo, file: File) -> Json:
    entry: Json = {"path": file.path, "mode": file.mode, "type": "blob"}
    if file.content is None:
        return entry | {"sha": None}
    if file.text is not None:
        return entry | {"content": file.text}
    sent = {"content": base64.b64encode(file.content).decode(), "encoding": "base64"}
    return entry | {"sha": wire.call(repo, PUSH, "POST", "/git/blobs", body=sent)["sha"]}


def _made_before(
    wire: Connection, repo: Repo, branch: str, base_sha: str, tree: str, trailer: str
) -> str | None:
    """The commit of an earlier try: our trailer (anyone could write that), this very tree and parent."""
    if branch_head(wire, repo, branch) in (None, base_sha):
        return None
    for made in wire.pages(repo, LOOK, "/commits", {"sha": branch}, most=LOOKED_AT):
        if made["sha"] == base_sha:
            return None
        lines = made["commit"]["message"].splitlines()
        on_base = [parent["sha"] for parent in made["parents"]] == [base_sha]
        if trailer in lines and on_base and made["commit"]["tree"]["sha"] == tree:
            return str(made["sha"])
    return None


def _kept_before(
    wire: Connection, repo: Repo, branch: str, base_sha: str, tree: str, trailer: str
) -> Committed | None:
    """The same at a branch of its own, under either of the names that `_new_branch` gives it."""
    for place in (branch, _attempt_branch(branch, trailer)):
        if sha := _made_before(wire, repo, place, base_sha, tree, trailer):
            return Committed(sha, place, True)
    return None


def _commit(wire: Connection, repo: Repo, base_sha: str, tree: str, message: str, trailer: str) -> str:
    # No author or committer: only then does GitHub sign for the App, and the commit is verified.
    text = message if trailer in message.splitlines() else f"{message.rstrip()}\n\n{trailer}"
    body = {"message": text, "tree": tree, "parents": [base_sha]}
    return str(wire.call(repo, PUSH, "POST", "/git/commits", body=body)["sha"])


def _new_branch(wire: Connection, repo: Repo, name: str, sha: str, trailer: str) -> str:
    """A branch at the commit; where the name is taken, one that names the attempt too. Raises GitHubError."""
    for place in (name, _attempt_branch(name, trailer)):
        try:
            wire.call(repo, PUSH, "POST", "/git/refs", body={"ref": f"refs/heads/{place}", "sha": sha})
            return place
        except GitHubError as error:
            if error.status not in CONFLICT or branch_head(wire, repo, place) is None:
                raise
    raise GitHubError(f"the branches {name} and {place} of {repo.full_name} are taken", 422)
