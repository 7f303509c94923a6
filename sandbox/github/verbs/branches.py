"""Branches and pull requests: pushes, opening, merging, and what a merge closes."""

from __future__ import annotations

import re

from sandbox.github.access import Refused
from sandbox.github.git import EMPTY_TREE, NO_SHA, GitError, Person
from sandbox.github.hooks import Hooks
from sandbox.github.shapes import repos
from sandbox.github.state import Account, App, Hub, Json, Pull, Repository, Thread
from sandbox.github.verbs import threads

KEYWORD = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+(?:([\w.-]+/[\w.-]+))?#(\d+)\b", re.IGNORECASE
)


def author(hub: Hub, account: Account) -> Person:
    """How this account signs its commits: with its noreply address."""
    name = account.name or account.login
    return Person(name, f"{account.id}+{account.login}@users.noreply.github.com", hub.now())


def closing(hub: Hub, repo: Repository, thread: Thread) -> list[tuple[Repository, Thread]]:
    """The issues that merging this pull request may close: keywords count only towards the default branch."""
    if thread.pull is None or thread.pull.base_ref != repo.default_branch:
        return []
    found = []
    for name, number in KEYWORD.findall(thread.body or ""):
        other = hub.repository(name) if name else repo
        issue = other.threads.get(int(number)) if other else None
        if other and issue and issue.pull is None and (other, issue) not in found:
            found.append((other, issue))
    return found


# -- branches --


def move(hooks: Hooks, repo: Repository, ref: str, sha: str, by: Account, force: bool = False) -> None:
    """Points an existing reference at `sha`. Raises Refused when that is no fast-forward and not forced."""
    before = repo.git.refs(ref).get(ref)
    if before is None:
        raise Refused(422, "Reference does not exist")
    if not force and not repo.git.is_ancestor(before, sha):
        raise Refused(422, "Update is not a fast forward")
    repo.git.set_ref(ref, sha)
    moved(hooks, repo, ref, before, sha, by, forced=not repo.git.is_ancestor(before, sha))


def create(hooks: Hooks, repo: Repository, ref: str, sha: str, by: Account) -> None:
    """A new reference. Raises Refused for a name that is taken or that git will not have."""
    if ref in repo.git.refs(ref):
        raise Refused(422, "Reference already exists")
    try:
        repo.git.set_ref(ref, sha)
    except GitError as error:
        raise Refused(422, f"{ref} is not a valid ref name.") from error
    moved(hooks, repo, ref, NO_SHA, sha, by)


def delete(hooks: Hooks, repo: Repository, ref: str, by: Account) -> None:
    before = repo.git.refs(ref).get(ref)
    if before is None:
        raise Refused(422, "Reference does not exist")
    repo.git.set_ref(ref, None)
    moved(hooks, repo, ref, before, NO_SHA, by)


def moved(
    hooks: Hooks, repo: Repository, ref: str, before: str, after: str, by: Account, forced: bool = False
) -> None:
    """What follows when a reference has moved: the push event, and open pull requests with that head."""
    hub = hooks.hub
    repo.pushed_at = hub.now()
    hooks.emit(repo, "push", None, by, push(hub, repo, ref, before, after, by, forced))
    name = ref.removeprefix("refs/heads/")
    for base in list(hub.repositories.values()):
        for thread in list(base.threads.values()):
            pull = thread.pull
            if not pull or thread.state != "open" or after == NO_SHA:
                continue
            if base is repo and pull.base_ref == name:
                pull.base_sha = after
                hub.touch()
            if pull.head_repo is repo and pull.head_ref == name and pull.head_sha != after:
                if base is not repo:
                    base.git.run("fetch", "--quiet", str(repo.git.path), after)
                base.git.set_ref(f"refs/pull/{thread.number}/head", after)
                old, pull.head_sha = pull.head_sha, after
                thread.updated_at = hub.now()
                ends = {"before": old, "after": after}
                threads.tell_thread(hooks, base, thread, "synchronize", by, ends)


def push(hub: Hub, repo: Repository, ref: str, before: str, after: str, by: Account, forced: bool) -> Json:
    """The body of the push event."""
    gone, new = after == NO_SHA, before == NO_SHA
    made = []
    if not gone:
        since = (
            [before]
            if not new
            else [sha for n, sha in repo.git.branches().items() if f"refs/heads/{n}" != ref]
        )
        commits = repo.git.log(after, *(f"^{sha}" for sha in since), limit=20)
        for commit in reversed(commits):
            parent = commit.parents[0] if commit.parents else EMPTY_TREE
            made.append(repos.hook_commit(hub, repo, commit, repo.git.diff(parent, commit.sha)))
    page = repos.page(hub, repo)
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": new,
        "deleted": gone,
        "forced": forced,
        "base_ref": None,
        "compare": f"{page}/compare/{before[:12]}...{after[:12]}",
        "commits": made,
        "head_commit": made[-1] if made else None,
        "pusher": {"name": by.login, "email": author(hub, by).email},
    }


# -- pull requests --


def open_pull(
    hooks: Hooks,
    repo: Repository,
    by: Account,
    head_repo: Repository,
    head_ref: str,
    base_ref: str,
    title: str,
    body: str | None,
    draft: bool = False,
    app: App | None = None,
) -> Thread:
    """A new pull request. Raises Refused as GitHub does: unknown ends, nothing between them, one already."""
    hub = hooks.hub

    def wrong(field: str, message: str | None = None) -> Refused:
        error = {"resource": "PullRequest", "field": field, "code": "custom" if message else "invalid"}
        return Refused(422, "Validation Failed", [error | ({"message": message} if message else {})])

    base_sha, head_sha = repo.git.branch(base_ref), head_repo.git.branch(head_ref)
    if base_sha is None:
        raise wrong("base")
    if head_sha is None:
        raise wrong("head")
    for thread in repo.threads.values():
        pull = thread.pull
        same = pull and (pull.head_repo, pull.head_ref, pull.base_ref) == (head_repo, head_ref, base_ref)
        if same and thread.state == "open":
            raise wrong("head", f"A pull request already exists for {head_repo.owner.login}:{head_ref}.")
    if head_repo is not repo:
        repo.git.run("fetch", "--quiet", str(head_repo.git.path), head_sha)
    if repo.git.is_ancestor(head_sha, base_sha):
        raise wrong("head", f"No commits between {base_ref} and {head_ref}")
    number = threads.next_number(repo)
    repo.git.set_ref(f"refs/pull/{number}/head", head_sha)
    thread = Thread(hub.new_id(), number, title, body, by, hub.now(), hub.now(), app=app)
    thread.pull = Pull(hub.new_id(), head_repo, head_ref, head_sha, base_ref, base_sha, draft)
    repo.threads[number] = thread
    threads.tell_thread(hooks, repo, thread, "opened", by, {})
    return thread


def fork(hooks: Hooks, repo: Repository, owner: Account) -> Repository:
    """The owner's fork, made if there is none."""
    hub = hooks.hub
    known = hub.repository(f"{owner.login}/{repo.name}")
    if known:
        return known
    git = repo.git.clone(repo.git.path, repo.git.path.parent.parent / owner.login / f"{repo.name}.git")
    made = Repository(
        hub.new_repository_id(), owner, repo.name, git, repo.default_branch, hub.now(), parent=repo
    )
    made.roles[owner.login.lower()] = type(repo.role(owner.login)).admin
    made.private, made.description = repo.private, repo.description
    hub.repositories[made.full_name.lower()] = made
    hub.touch()
    return made


def merge(
    hooks: Hooks,
    repo: Repository,
    thread: Thread,
    by: Account,
    method: str = "merge",
    sha: str | None = None,
    title: str | None = None,
    message: str | None = None,
) -> str:
    """Merges an open pull request; the SHA of the merge commit. Raises Refused where GitHub would not."""
    hub, pull = hooks.hub, thread.pull
    if pull is None:
        raise Refused(404, "Not Found")
    if sha and sha != pull.head_sha:
        raise Refused(409, "Head branch was modified. Review and try the merge again.")
    if method not in ("merge", "squash"):
        raise Refused(405, "Rebase merges are not allowed on this repository.")
    base_sha = repo.git.branch(pull.base_ref)
    tree = repo.git.merge_tree(base_sha, pull.head_sha) if base_sha else None
    if thread.state != "open" or pull.draft or base_sha is None or tree is None:
        raise Refused(405, "Pull Request is not mergeable")
    label = f"{(pull.head_repo or repo).owner.login}/{pull.head_ref}"
    if method == "squash":
        head, parents = title or f"{thread.title} (#{thread.number})", [base_sha]
        text = message or "\n\n".join(
            f"* {c.message}" for c in repo.git.log(f"{base_sha}..{pull.head_sha}")[::-1]
        )
    else:
        head, parents = (
            title or f"Merge pull request #{thread.number} from {label}",
            [base_sha, pull.head_sha],
        )
        text = message or thread.title
    made = repo.git.write_commit(tree, parents, f"{head}\n\n{text}\n", author(hub, by))
    repo.git.set_ref(f"refs/heads/{pull.base_ref}", made)
    now = hub.now()
    pull.merged_at, pull.merged_by, pull.merge_commit_sha = now, by, made
    thread.state, thread.closed_at, thread.closed_by = "closed", now, by
    threads.record(hooks, thread, "merged", by, commit_id=made)
    threads.record(hooks, thread, "closed", by)
    threads.tell_thread(hooks, repo, thread, "closed", by, {})
    moved(hooks, repo, f"refs/heads/{pull.base_ref}", base_sha, made, by)
    for other, issue in closing(hub, repo, thread):
        threads.close(hooks, other, issue, by)
    return made
