"""Repositories, branches, commits and files as GitHub's API shows them."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from urllib.parse import quote

from sandbox.github.git import NO_SHA, Changed, Commit, Entry, Person
from sandbox.github.shapes.people import grants, node_id, user
from sandbox.github.state import Account, Hub, Json, Repository, iso

MOST_CONTENT = 1024 * 1024  # bytes of a file that GitHub tells as part of its entry

# GitHub's own templates, by key.
TEMPLATES = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def api(hub: Hub, repo: Repository) -> str:
    return f"{hub.url}/repos/{repo.full_name}"


def page(hub: Hub, repo: Repository) -> str:
    return f"{hub.url}/{repo.full_name}"


def minimal(hub: Hub, repo: Repository) -> Json:
    """minimal-repository: as it stands inside a workflow run."""
    return {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "owner": user(hub, repo.owner),
        "html_url": page(hub, repo),
        "description": repo.description,
        "fork": repo.parent is not None,
        "url": api(hub, repo),
        **{key: api(hub, repo) + path for key, path in TEMPLATES.items()},
    }


def repository(hub: Hub, repo: Repository) -> Json:
    """repository: as it stands inside other objects and in webhooks."""
    still_open = sum(1 for thread in repo.threads.values() if thread.state == "open")
    clone = f"{page(hub, repo)}.git"
    return minimal(hub, repo) | {
        "created_at": iso(repo.created_at),
        "updated_at": iso(repo.pushed_at or repo.created_at),
        "pushed_at": iso(repo.pushed_at or repo.created_at),
        "git_url": clone.replace("http://", "git://"),
        "ssh_url": f"git@127.0.0.1:{repo.full_name}.git",
        "clone_url": clone,
        "svn_url": page(hub, repo),
        "homepage": None,
        "size": 12,
        "stargazers_count": 0,
        "watchers_count": 0,
        "watchers": 0,
        "forks_count": 0,
        "forks": 0,
        "language": "Python",
        "has_issues": True,
        "has_projects": False,
        "has_downloads": True,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "mirror_url": None,
        "archived": repo.archived,
        "disabled": False,
        "open_issues_count": still_open,
        "open_issues": still_open,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private" if repo.private else "public",
        "default_branch": repo.default_branch,
        "allow_squash_merge": True,
        "allow_merge_commit": True,
        "allow_rebase_merge": False,
        "allow_auto_merge": False,
        "delete_branch_on_merge": False,
        "allow_update_branch": False,
        "use_squash_pr_title_as_default": False,
        "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
        "squash_merge_commit_message": "COMMIT_MESSAGES",
        "merge_commit_title": "MERGE_MESSAGE",
        "merge_commit_message": "PR_TITLE",
    }


def full(hub: Hub, repo: Repository, viewer: Account | None) -> Json:
    """full-repository: as it stands at its own address."""
    shape = repository(hub, repo) | {"network_count": 0, "subscribers_count": 0}
    if viewer is not None:
        shape["permissions"] = grants(repo, viewer)
    if repo.parent is not None:
        shape |= {"parent": repository(hub, repo.parent), "source": repository(hub, repo.parent)}
    return shape


# -- commits --


def commit_page(hub: Hub, repo: Repository, sha: str) -> str:
    return f"{page(hub, repo)}/commit/{sha}"


def person(someone: Person) -> Json:
    return {"name": someone.name, "email": someone.email, "date": iso(someone.at)}


def account_of(hub: Hub, someone: Person) -> Json | None:
    """The account whose noreply address a commit carries."""
    login = someone.email.partition("@")[0].rpartition("+")[2]
    known = hub.accounts.get(login.lower())
    return user(hub, known) if known else None


def verification(repo: Repository, commit: Commit) -> Json:
    """What GitHub says of a signature: it signs itself what an App commits in its own name."""
    if commit.sha not in repo.signed:
        unsigned = {"verified": False, "reason": "unsigned"}
        return unsigned | dict.fromkeys(("signature", "payload", "verified_at"))
    return {
        "verified": True,
        "reason": "valid",
        "signature": "-----BEGIN PGP SIGNATURE-----\n\nthe sandbox's\n-----END PGP SIGNATURE-----\n",
        "payload": f"tree {commit.tree}\n",
        "verified_at": iso(commit.committer.at),
    }


def git_commit(hub: Hub, repo: Repository, commit: Commit) -> Json:
    """git-commit, of the git-data API."""
    root = f"{api(hub, repo)}/git"
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "url": f"{root}/commits/{commit.sha}",
        "html_url": commit_page(hub, repo, commit.sha),
        "author": person(commit.author),
        "committer": person(commit.committer),
        "tree": {"sha": commit.tree, "url": f"{root}/trees/{commit.tree}"},
        "message": commit.message,
        "parents": [
            {"sha": sha, "url": f"{root}/commits/{sha}", "html_url": commit_page(hub, repo, sha)}
            for sha in commit.parents
        ],
        "verification": verification(repo, commit),
    }


def commit(hub: Hub, repo: Repository, made: Commit, files: list[Changed] | None = None) -> Json:
    """commit; with its files where they are asked for."""
    root = api(hub, repo)
    shape: Json = {
        "sha": made.sha,
        "node_id": f"C_{made.sha}",
        "commit": {
            "author": person(made.author),
            "committer": person(made.committer),
            "message": made.message,
            "tree": {"sha": made.tree, "url": f"{root}/git/trees/{made.tree}"},
            "url": f"{root}/git/commits/{made.sha}",
            "comment_count": 0,
            "verification": verification(repo, made),
        },
        "url": f"{root}/commits/{made.sha}",
        "html_url": commit_page(hub, repo, made.sha),
        "comments_url": f"{root}/commits/{made.sha}/comments",
        "author": account_of(hub, made.author),
        "committer": account_of(hub, made.committer),
        "parents": [
            {"sha": sha, "url": f"{root}/commits/{sha}", "html_url": commit_page(hub, repo, sha)}
            for sha in made.parents
        ],
    }
    if files is not None:
        added, removed = sum(f.additions for f in files), sum(f.deletions for f in files)
        shape["stats"] = {"additions": added, "deletions": removed, "total": added + removed}
        shape["files"] = [diff_entry(hub, repo, made.sha, file) for file in files]
    return shape


def hook_commit(hub: Hub, repo: Repository, made: Commit, files: list[Changed]) -> Json:
    """A commit as the push webhook tells it."""

    def names(someone: Person) -> Json:
        login = someone.email.partition("@")[0].rpartition("+")[2]
        shape = {"name": someone.name, "email": someone.email, "date": iso(someone.at)}
        return shape | ({"username": login} if login.lower() in hub.accounts else {})

    return {
        "id": made.sha,
        "tree_id": made.tree,
        "distinct": True,
        "message": made.message,
        "timestamp": iso(made.committer.at),
        "url": commit_page(hub, repo, made.sha),
        "author": names(made.author),
        "committer": names(made.committer),
        "added": [file.path for file in files if file.status == "added"],
        "removed": [file.path for file in files if file.status == "removed"],
        "modified": [file.path for file in files if file.status not in ("added", "removed")],
    }


def head_commit(made: Commit) -> Json:
    """simple-commit, as a workflow run has it."""
    return {
        "id": made.sha,
        "tree_id": made.tree,
        "message": made.message,
        "timestamp": iso(made.committer.at),
        "author": {"name": made.author.name, "email": made.author.email},
        "committer": {"name": made.committer.name, "email": made.committer.email},
    }


def diff_entry(hub: Hub, repo: Repository, sha: str, file: Changed) -> Json:
    """diff-entry."""
    name = quote(file.path)
    shape: Json = {
        "sha": file.sha if file.sha != NO_SHA else None,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": f"{page(hub, repo)}/blob/{sha}/{name}",
        "raw_url": f"{page(hub, repo)}/raw/{sha}/{name}",
        "contents_url": f"{api(hub, repo)}/contents/{name}?ref={sha}",
    }
    if file.patch is not None:
        shape["patch"] = file.patch
    if file.previous:
        shape["previous_filename"] = file.previous
    return shape


# -- references, trees, files --


def reference(hub: Hub, repo: Repository, name: str, sha: str, kind: str = "commit") -> Json:
    """git-ref."""
    root = f"{api(hub, repo)}/git"
    return {
        "ref": name,
        "node_id": f"REF_{repo.id}_{name}",
        "url": f"{root}/{quote(name)}",
        "object": {"sha": sha, "type": kind, "url": f"{root}/{kind}s/{sha}"},
    }


def tree(hub: Hub, repo: Repository, sha: str, entries: list[Entry]) -> Json:
    """git-tree."""
    root = f"{api(hub, repo)}/git"
    kinds = {"blob": "blobs", "tree": "trees", "commit": "commits"}
    return {
        "sha": sha,
        "url": f"{root}/trees/{sha}",
        "truncated": False,
        "tree": [
            {
                "path": entry.path,
                "mode": entry.mode,
                "type": entry.type,
                "sha": entry.sha,
                **({} if entry.size is None else {"size": entry.size}),
                "url": f"{root}/{kinds[entry.type]}/{entry.sha}",
            }
            for entry in entries
        ],
    }


def blob(hub: Hub, repo: Repository, sha: str, data: bytes) -> Json:
    return {
        "sha": sha,
        "node_id": f"B_{sha}",
        "size": len(data),
        "url": f"{api(hub, repo)}/git/blobs/{sha}",
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }


def entry_at(hub: Hub, repo: Repository, ref: str, entry: Entry) -> Json:
    """One line of content-directory; the beginning of content-file."""
    name = quote(entry.path)
    kind = {"blob": "file", "tree": "dir", "commit": "submodule"}[entry.type]
    self_url = f"{api(hub, repo)}/contents/{name}?ref={quote(ref, safe='')}"
    what = "tree" if kind == "dir" else "blob"
    git_url = f"{api(hub, repo)}/git/{what}s/{entry.sha}"
    html_url = f"{page(hub, repo)}/{what}/{quote(ref)}/{name}"
    return {
        "name": PurePosixPath(entry.path).name,
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size or 0,
        "url": self_url,
        "html_url": html_url,
        "git_url": git_url,
        "download_url": None if kind == "dir" else f"{page(hub, repo)}/raw/{quote(ref)}/{name}",
        "type": kind,
        "_links": {"self": self_url, "git": git_url, "html": html_url},
    }


def content(hub: Hub, repo: Repository, ref: str, entry: Entry, data: bytes) -> Json:
    """content-file; of a larger one GitHub tells all but the content ("Get repository content", Notes)."""
    if len(data) > MOST_CONTENT:
        return entry_at(hub, repo, ref, entry) | {"content": "", "encoding": "none"}
    encoded = base64.encodebytes(data).decode()
    return entry_at(hub, repo, ref, entry) | {"content": encoded, "encoding": "base64"}


def short_branch(hub: Hub, repo: Repository, name: str, sha: str) -> Json:
    return {
        "name": name,
        "commit": {"sha": sha, "url": f"{api(hub, repo)}/commits/{sha}"},
        "protected": False,
    }


def branch(hub: Hub, repo: Repository, name: str, made: Commit) -> Json:
    """branch-with-protection."""
    self_url = f"{api(hub, repo)}/branches/{quote(name, safe='')}"
    return {
        "name": name,
        "commit": commit(hub, repo, made),
        "_links": {"self": self_url, "html": f"{page(hub, repo)}/tree/{quote(name)}"},
        "protected": False,
        "protection": {
            "enabled": False,
            "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
        },
        "protection_url": f"{self_url}/protection",
    }
