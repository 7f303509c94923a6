"""Repositories: who may do what there, branches, commits, files, comparisons."""

from __future__ import annotations

import base64
import binascii

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.git import EMPTY_TREE, Change, Commit
from sandbox.github.shapes import people, repos
from sandbox.github.state import Json, Repository, Role
from sandbox.github.verbs import branches

routes = Table()
REPO = "/repos/<owner>/<repo>"


@routes("GET", REPO, "metadata:read")
def get_repo(call: Call) -> Answer:
    viewer = call.caller.account if call.caller.kind == "user" else None
    return 200, repos.full(call.hub, call.repo, viewer)


@routes("GET", "/repositories/<int:id>", "any")
def get_repo_by_id(call: Call, id: int) -> Answer:
    for repo in call.hub.repositories.values():
        if repo.id == id and call.caller.sees(repo):
            return 200, repos.full(call.hub, repo, None)
    raise Refused(404, "Not Found")


@routes("GET", f"{REPO}/collaborators/<login>/permission", "metadata:read")
def permission(call: Call, login: str) -> Answer:
    known = call.hub.accounts.get(login.lower())
    if known is None or known.type == "Organization":
        raise Refused(404, f"{login} is not a user")
    return 200, people.collaborator(call.hub, call.repo, known)


@routes("GET", f"{REPO}/collaborators/<login>", "metadata:read")
def is_collaborator(call: Call, login: str) -> Answer:
    if call.repo.roles.get(login.lower(), Role.none) is Role.none:
        raise Refused(404, "Not Found")
    return 204, None


# -- branches and commits --


@routes("GET", f"{REPO}/branches", "contents:read")
def list_branches(call: Call) -> Paged:
    pairs = sorted(call.repo.git.branches().items())
    return Paged(pairs, lambda pair: repos.short_branch(call.hub, call.repo, *pair))


@routes("GET", f"{REPO}/branches/<path:branch>", "contents:read")
def get_branch(call: Call, branch: str) -> Answer:
    sha = call.repo.git.branch(branch)
    if sha is None:
        raise Refused(404, "Branch not found")
    return 200, repos.branch(call.hub, call.repo, branch, call.repo.git.commit(sha))


def commit_named(repo: Repository, name: str) -> Commit:
    """The commit of a branch, tag or SHA. Raises Refused as GitHub does for none."""
    sha = repo.git.branch(name) or repo.git.resolve(name)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {name}")
    return repo.git.commit(sha)


@routes("GET", f"{REPO}/commits", "contents:read")
def list_commits(call: Call) -> Paged:
    git = call.repo.git
    start = call.query.get("sha") or call.repo.default_branch
    sha = git.branch(start) or git.resolve(start)
    if sha is None:
        raise Refused(404, "Not Found")
    path = call.query.get("path")
    found = git.log(sha, *(["--", path] if path else []))
    return Paged(found, lambda made: repos.commit(call.hub, call.repo, made))


@routes("GET", f"{REPO}/commits/<path:ref>", "contents:read")
def get_commit(call: Call, ref: str) -> Answer:
    made = commit_named(call.repo, ref)
    files = call.repo.git.diff(made.parents[0] if made.parents else EMPTY_TREE, made.sha)
    return 200, repos.commit(call.hub, call.repo, made, files)


@routes("GET", f"{REPO}/compare/<path:basehead>", "contents:read")
def compare(call: Call, basehead: str) -> Answer:
    hub, repo, git = call.hub, call.repo, call.repo.git
    left, dots, right = basehead.partition("...")
    ends = [git.resolve(name.rpartition(":")[2]) for name in (left, right)]
    if not dots or ends[0] is None or ends[1] is None:
        raise Refused(404, "Not Found")
    base, head = ends[0], ends[1]
    fork_point = git.merge_base(base, head)
    if fork_point is None:
        raise Refused(404, f"No common ancestor between {left} and {right}.")
    ahead, behind = git.log(f"{base}..{head}"), git.log(f"{head}..{base}")
    state = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    page = f"{repos.page(hub, repo)}/compare/{basehead}"
    return 200, {
        "url": f"{repos.api(hub, repo)}/compare/{basehead}",
        "html_url": page,
        "permalink_url": f"{repos.page(hub, repo)}/compare/{base}...{head}",
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": repos.commit(hub, repo, git.commit(base)),
        "merge_base_commit": repos.commit(hub, repo, git.commit(fork_point)),
        "status": state,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [repos.commit(hub, repo, made) for made in reversed(ahead)],
        "files": [repos.diff_entry(hub, repo, head, file) for file in git.diff(fork_point, head)],
    }


# -- files --


@routes("GET", f"{REPO}/contents/", "contents:read")
@routes("GET", f"{REPO}/contents", "contents:read")
def get_root(call: Call) -> Answer:
    return content_at(call, "")


@routes("GET", f"{REPO}/contents/<path:path>", "contents:read")
def get_content(call: Call, path: str) -> Answer:
    return content_at(call, path)


def content_at(call: Call, path: str) -> Answer:
    """A file, or the entries of a folder."""
    hub, repo, git = call.hub, call.repo, call.repo.git
    ref = call.query.get("ref") or repo.default_branch
    sha = git.resolve(f"refs/heads/{ref}") or git.resolve(ref)
    if sha is None:
        raise Refused(404, f"No commit found for the ref {ref}")
    path = path.strip("/")
    if not path:
        return 200, [repos.entry_at(hub, repo, ref, entry) for entry in git.tree(sha)]
    entry = git.entry(sha, path)
    if entry is None:
        raise Refused(404, "Not Found")
    if entry.type == "tree":
        inside = git.tree(entry.sha)
        prefixed = [type(e)(f"{path}/{e.path}", e.mode, e.type, e.sha, e.size) for e in inside]
        return 200, [repos.entry_at(hub, repo, ref, one) for one in prefixed]
    return 200, repos.content(hub, repo, ref, entry, git.blob(entry.sha))


@routes("PUT", f"{REPO}/contents/<path:path>", "contents:write")
def put_content(call: Call, path: str) -> Answer:
    """Creates or replaces one file in one commit; `sha` must name what is replaced."""
    hub, repo, git = call.hub, call.repo, call.repo.git
    message = call.required("message", "ContentsFile")
    try:
        data = base64.b64decode(call.field("content", ""), validate=False)
    except (binascii.Error, TypeError) as error:
        raise Refused(422, "content is not valid Base64") from error
    branch = call.field("branch") or repo.default_branch
    head = git.branch(branch)
    if head is None:
        raise Refused(404, f"Branch {branch} not found")
    guard_workflows(call, [path])
    before = git.entry(head, path)
    if before is not None and call.field("sha") != before.sha:
        problem = '"sha" wasn\'t supplied' if not call.field("sha") else f"{path} does not match {before.sha}"
        raise Refused(409 if call.field("sha") else 422, f"Invalid request.\n\n{problem}.")
    mode = before.mode if before else "100644"
    tree = git.write_tree(head, [Change(path, mode, git.write_blob(data))])
    made = git.write_commit(tree, [head], message, branches.author(hub, call.by))
    branches.move(call.hooks, repo, f"refs/heads/{branch}", made, call.by)
    entry = git.entry(made, path)
    commit: Json = repos.git_commit(hub, repo, git.commit(made))
    content = repos.entry_at(hub, repo, branch, entry) if entry else None
    return 200 if before else 201, {"content": content, "commit": commit}


def guard_workflows(call: Call, paths: list[str]) -> None:
    """An App without `workflows` may not write under .github/workflows."""
    touched = [path for path in paths if path.startswith(".github/workflows/")]
    if touched and call.caller.kind != "user" and not call.caller.may(call.repo, "workflows", "write"):
        raise Refused(403, "Resource not accessible by integration")
