"""The git-data API: references, commits, trees and blobs of the real repository behind it."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.git import EMPTY_TREE, Change, GitError, Person
from sandbox.github.routes.repos import guard_workflows
from sandbox.github.shapes import repos
from sandbox.github.state import Json
from sandbox.github.verbs import branches

routes = Table()
GIT = "/repos/<owner>/<repo>/git"
MODES = {"100644": "blob", "100755": "blob", "120000": "blob", "040000": "tree", "160000": "commit"}


@routes("GET", f"{GIT}/ref/<path:ref>", "contents:read")
def get_ref(call: Call, ref: str) -> Answer:
    sha = call.repo.git.refs(f"refs/{ref}").get(f"refs/{ref}")
    if sha is None:
        raise Refused(404, "Not Found")
    return 200, repos.reference(call.hub, call.repo, f"refs/{ref}", sha, call.repo.git.kind(sha) or "commit")


@routes("GET", f"{GIT}/matching-refs/<path:ref>", "contents:read")
def matching_refs(call: Call, ref: str) -> Answer:
    found = sorted(call.repo.git.refs(f"refs/{ref}").items())
    return 200, [repos.reference(call.hub, call.repo, name, sha) for name, sha in found]


@routes("POST", f"{GIT}/refs", "contents:write")
def create_ref(call: Call) -> Answer:
    name, sha = call.required("ref", "Reference"), call.required("sha", "Reference")
    if not name.startswith("refs/") or name.count("/") < 2:
        raise Refused(422, "Reference name must start with 'refs/' and have at least two slashes.")
    if call.repo.git.kind(sha) != "commit":
        raise Refused(422, "Object does not exist")
    branches.create(call.hooks, call.repo, name, sha, call.by)
    return 201, repos.reference(call.hub, call.repo, name, sha)


@routes("PATCH", f"{GIT}/refs/<path:ref>", "contents:write")
def update_ref(call: Call, ref: str) -> Answer:
    sha = call.required("sha", "Reference")
    if call.repo.git.kind(sha) != "commit":
        raise Refused(422, "Object does not exist")
    branches.move(call.hooks, call.repo, f"refs/{ref}", sha, call.by, bool(call.field("force", False)))
    return 200, repos.reference(call.hub, call.repo, f"refs/{ref}", sha)


@routes("DELETE", f"{GIT}/refs/<path:ref>", "contents:write")
def delete_ref(call: Call, ref: str) -> Answer:
    branches.delete(call.hooks, call.repo, f"refs/{ref}", call.by)
    return 204, None


@routes("GET", f"{GIT}/commits/<sha>", "contents:read")
def get_commit(call: Call, sha: str) -> Answer:
    if call.repo.git.kind(sha) != "commit":
        raise Refused(404, "Not Found")
    return 200, repos.git_commit(call.hub, call.repo, call.repo.git.commit(sha))


@routes("POST", f"{GIT}/commits", "contents:write")
def create_commit(call: Call) -> Answer:
    git = call.repo.git
    message, tree = call.required("message", "Commit"), call.required("tree", "Commit")
    parents = [str(parent) for parent in call.field("parents") or []]
    if git.kind(tree) != "tree":
        raise Refused(422, "Tree SHA does not exist")
    if any(git.kind(parent) != "commit" for parent in parents):
        raise Refused(422, "Parent SHA does not exist or is not a commit object")
    own = branches.author(call.hub, call.by)
    author = signed(call.field("author"), own)
    made = git.write_commit(tree, parents, message, author, signed(call.field("committer"), author))
    # Source: docs.github.com, about-commit-signature-verification: no author, no committer, no signature.
    if call.caller.kind == "installation" and not any(map(call.field, ("author", "committer", "signature"))):
        call.repo.signed.add(made)
    return 201, repos.git_commit(call.hub, call.repo, git.commit(made))


def signed(given: Json | None, default: Person) -> Person:
    """The person a caller names, or the default."""
    if not given:
        return default
    at = default.at
    if given.get("date"):
        at = datetime.fromisoformat(str(given["date"]).replace("Z", "+00:00")).timestamp()
    return Person(str(given.get("name")), str(given.get("email")), at)


@routes("GET", f"{GIT}/trees/<path:sha>", "contents:read")
def get_tree(call: Call, sha: str) -> Answer:
    git = call.repo.git
    commit = git.branch(sha) or git.resolve(sha)
    tree = git.commit(commit).tree if commit else sha
    if tree != EMPTY_TREE and git.kind(tree) != "tree":
        raise Refused(404, "Not Found")
    entries = git.tree(tree, recursive="recursive" in call.query)
    return 200, repos.tree(call.hub, call.repo, tree, entries)


@routes("POST", f"{GIT}/trees", "contents:write")
def create_tree(call: Call) -> Answer:
    git = call.repo.git
    entries, base = call.field("tree"), call.field("base_tree")
    if not isinstance(entries, list) or not entries:
        raise Refused(422, "Invalid tree info")
    if base is not None and git.kind(str(base)) not in ("tree", "commit"):
        raise Refused(422, "base_tree is not a valid tree oid")
    guard_workflows(call, [str(entry.get("path", "")) for entry in entries])
    changes = []
    for entry in entries:
        path, mode = str(entry.get("path", "")), str(entry.get("mode", ""))
        if not sound(path):
            raise Refused(422, "tree.path contains a malformed path component")
        if mode not in MODES:
            raise Refused(422, f"Must supply a valid tree.mode, not {mode!r}")
        if entry.get("content") is not None:
            sha: str | None = git.write_blob(str(entry["content"]).encode())
        else:
            sha = entry.get("sha")
            if "sha" not in entry:
                raise Refused(422, "Must supply either tree.sha or tree.content")
            if sha is not None and mode != "160000" and git.kind(sha) != MODES[mode]:
                raise Refused(422, f"tree.sha {sha} is not a valid {MODES[mode]}")
        changes.append(Change(path, mode, sha))
    try:
        made = git.write_tree(str(base) if base else None, changes)
    except GitError as error:
        raise Refused(422, f"GitRPC::BadObjectState: {error}") from error
    return 201, repos.tree(call.hub, call.repo, made, git.tree(made))


def sound(path: str) -> bool:
    """Whether git would have this path."""
    parts = path.split("/")
    return bool(path) and not any(p in ("", ".", "..") or p.lower() == ".git" for p in parts)


@routes("GET", f"{GIT}/blobs/<sha>", "contents:read")
def get_blob(call: Call, sha: str) -> Answer:
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise Refused(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    if call.repo.git.kind(sha) != "blob":
        raise Refused(404, "Not Found")
    return 200, repos.blob(call.hub, call.repo, sha, call.repo.git.blob(sha))


@routes("POST", f"{GIT}/blobs", "contents:write")
def create_blob(call: Call) -> Answer:
    content = call.field("content")
    if not isinstance(content, str):
        raise Refused(
            422, "Validation Failed", [{"resource": "Blob", "field": "content", "code": "missing_field"}]
        )
    data = content.encode()
    if call.field("encoding", "utf-8") == "base64":
        try:
            data = base64.b64decode(content)
        except binascii.Error as error:
            raise Refused(422, "content is not valid Base64") from error
    sha = call.repo.git.write_blob(data)
    return 201, {"sha": sha, "url": f"{repos.api(call.hub, call.repo)}/git/blobs/{sha}"}


@routes("GET", "/repos/<owner>/<repo>/tags", "contents:read")
def list_tags(call: Call) -> Paged:
    pairs = sorted(call.repo.git.refs("refs/tags/").items())

    def shape(pair: tuple[str, str]) -> Json:
        name = pair[0].removeprefix("refs/tags/")
        root, page = repos.api(call.hub, call.repo), repos.page(call.hub, call.repo)
        return {
            "name": name,
            "commit": {"sha": pair[1], "url": f"{root}/commits/{pair[1]}"},
            "zipball_url": f"{page}/zipball/{name}",
            "tarball_url": f"{page}/tarball/{name}",
            "node_id": f"REF_{name}",
        }

    return Paged(pairs, shape)
