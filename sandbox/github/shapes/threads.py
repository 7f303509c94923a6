"""Issues, pull requests, comments, reactions and events as GitHub's API shows them."""

from __future__ import annotations

from sandbox.github.shapes import repos
from sandbox.github.shapes.people import app, node_id, user
from sandbox.github.state import (
    Account,
    Comment,
    Event,
    Hub,
    Json,
    Label,
    Pull,
    Reaction,
    Repository,
    Role,
    Thread,
    iso,
    iso_or_none,
)

CONTENTS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


def association(repo: Repository, account: Account) -> str:
    """author_association: computed late and wrong for private members on GitHub; never decide by it."""
    if account is repo.owner:
        return "OWNER"
    held = repo.roles.get(account.login.lower(), Role.none)
    return "MEMBER" if held else "NONE"


def label(hub: Hub, repo: Repository, made: Label) -> Json:
    return {
        "id": made.id,
        "node_id": node_id("Label", made.id),
        "url": f"{repos.api(hub, repo)}/labels/{made.name}".replace(" ", "%20"),
        "name": made.name,
        "color": made.color,
        "default": False,
        "description": made.description or "",
    }


def rollup(url: str, reactions: list[Reaction]) -> Json:
    """reaction-rollup."""
    counts = {content: sum(1 for r in reactions if r.content == content) for content in CONTENTS}
    return {"url": f"{url}/reactions", "total_count": len(reactions), **counts}


def reaction(hub: Hub, made: Reaction) -> Json:
    return {
        "id": made.id,
        "node_id": node_id("Reaction", made.id),
        "user": user(hub, made.user),
        "content": made.content,
        "created_at": iso(made.created_at),
    }


def page(hub: Hub, repo: Repository, thread: Thread) -> str:
    return f"{repos.page(hub, repo)}/{'pull' if thread.pull else 'issues'}/{thread.number}"


def issue(hub: Hub, repo: Repository, thread: Thread) -> Json:
    """issue: every pull request is one too."""
    url = f"{repos.api(hub, repo)}/issues/{thread.number}"
    shape: Json = {
        "url": url,
        "repository_url": repos.api(hub, repo),
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": page(hub, repo, thread),
        "id": thread.id,
        "node_id": node_id("Issue", thread.id),
        "number": thread.number,
        "title": thread.title,
        "user": user(hub, thread.user),
        "labels": [label(hub, repo, made) for made in thread.labels],
        "state": thread.state,
        "state_reason": thread.state_reason,
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": len(thread.comments),
        "created_at": iso(thread.created_at),
        "updated_at": iso(thread.updated_at),
        "closed_at": iso_or_none(thread.closed_at),
        "author_association": association(repo, thread.user),
        "active_lock_reason": None,
        "body": thread.body,
        "reactions": rollup(url, thread.reactions),
        "timeline_url": f"{url}/timeline",
        "performed_via_github_app": app(hub, thread.app) if thread.app else None,
    }
    if thread.pull:
        pulls = f"{repos.api(hub, repo)}/pulls/{thread.number}"
        shape["draft"] = thread.pull.draft
        shape["pull_request"] = {
            "url": pulls,
            "html_url": page(hub, repo, thread),
            "diff_url": f"{page(hub, repo, thread)}.diff",
            "patch_url": f"{page(hub, repo, thread)}.patch",
            "merged_at": iso_or_none(thread.pull.merged_at),
        }
    return shape


def issue_whole(hub: Hub, repo: Repository, thread: Thread) -> Json:
    """issue, at its own address: with who closed it."""
    return issue(hub, repo, thread) | {"closed_by": user(hub, thread.closed_by) if thread.closed_by else None}


def side(hub: Hub, repo: Repository | None, ref: str, sha: str, fallback: Repository) -> Json:
    """One side of a pull request: `repo` is null when the fork is gone."""
    owner = (repo or fallback).owner
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user(hub, owner),
        "repo": repos.repository(hub, repo) if repo else None,
    }


def pull(hub: Hub, repo: Repository, thread: Thread) -> Json:
    """pull-request-simple: as it stands in a list."""
    made = of(thread)
    url = f"{repos.api(hub, repo)}/pulls/{thread.number}"
    as_issue = f"{repos.api(hub, repo)}/issues/{thread.number}"
    html = page(hub, repo, thread)
    statuses = f"{repos.api(hub, repo)}/statuses/{made.head_sha}"
    review_comment = f"{repos.api(hub, repo)}/pulls/comments{{/number}}"
    return {
        "url": url,
        "id": made.id,
        "node_id": node_id("PullRequest", made.id),
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "issue_url": as_issue,
        "number": thread.number,
        "state": thread.state,
        "locked": False,
        "title": thread.title,
        "user": user(hub, thread.user),
        "body": thread.body,
        "created_at": iso(thread.created_at),
        "updated_at": iso(thread.updated_at),
        "closed_at": iso_or_none(thread.closed_at),
        "merged_at": iso_or_none(made.merged_at),
        "merge_commit_sha": made.merge_commit_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [label(hub, repo, one) for one in thread.labels],
        "milestone": None,
        "draft": made.draft,
        "commits_url": f"{url}/commits",
        "review_comments_url": f"{url}/comments",
        "review_comment_url": review_comment,
        "comments_url": f"{as_issue}/comments",
        "statuses_url": statuses,
        "head": side(hub, made.head_repo, made.head_ref, made.head_sha, repo),
        "base": side(hub, repo, made.base_ref, made.base_sha, repo),
        "_links": {
            "self": {"href": url},
            "html": {"href": html},
            "issue": {"href": as_issue},
            "comments": {"href": f"{as_issue}/comments"},
            "review_comments": {"href": f"{url}/comments"},
            "review_comment": {"href": review_comment},
            "commits": {"href": f"{url}/commits"},
            "statuses": {"href": statuses},
        },
        "author_association": association(repo, thread.user),
        "auto_merge": None,
        "active_lock_reason": None,
    }


def pull_whole(hub: Hub, repo: Repository, thread: Thread) -> Json:
    """pull-request: at its own address and in webhooks, with what only git knows."""
    made = of(thread)
    base = repo.git.merge_base(made.base_sha, made.head_sha) or made.base_sha
    files = repo.git.diff(base, made.head_sha)
    mergeable: bool | None = None
    if thread.state == "open":
        mergeable = repo.git.merge_tree(made.base_sha, made.head_sha) is not None
    return pull(hub, repo, thread) | {
        "merged": made.merged_at is not None,
        "mergeable": mergeable,
        "rebaseable": None if mergeable is None else False,
        "mergeable_state": {True: "clean", False: "dirty", None: "unknown"}[mergeable],
        "merged_by": user(hub, made.merged_by) if made.merged_by else None,
        "comments": len(thread.comments),
        "review_comments": len(thread.reviews),
        "maintainer_can_modify": made.head_repo is not None and made.head_repo is not repo,
        "commits": len(repo.git.log(f"{base}..{made.head_sha}")),
        "additions": sum(file.additions for file in files),
        "deletions": sum(file.deletions for file in files),
        "changed_files": len(files),
    }


def of(thread: Thread) -> Pull:
    if thread.pull is None:
        raise ValueError(f"#{thread.number} is an issue")
    return thread.pull


def comment(hub: Hub, repo: Repository, thread: Thread, made: Comment) -> Json:
    """issue-comment."""
    url = f"{repos.api(hub, repo)}/issues/comments/{made.id}"
    return {
        "url": url,
        "html_url": f"{page(hub, repo, thread)}#issuecomment-{made.id}",
        "issue_url": f"{repos.api(hub, repo)}/issues/{thread.number}",
        "id": made.id,
        "node_id": node_id("IssueComment", made.id),
        "user": user(hub, made.user),
        "created_at": iso(made.created_at),
        "updated_at": iso(made.updated_at),
        "body": made.body,
        "author_association": association(repo, made.user),
        "reactions": rollup(url, made.reactions),
        "performed_via_github_app": app(hub, made.app) if made.app else None,
    }


def review_comment(hub: Hub, repo: Repository, thread: Thread, made: Comment) -> Json:
    """pull-request-review-comment."""
    if made.review is None:
        raise ValueError(f"comment {made.id} is not on a line of the diff")
    at = made.review
    url = f"{repos.api(hub, repo)}/pulls/comments/{made.id}"
    pull_url = f"{repos.api(hub, repo)}/pulls/{thread.number}"
    html = f"{page(hub, repo, thread)}#discussion_r{made.id}"
    shape: Json = {
        "url": url,
        "pull_request_review_id": at.review_id,
        "id": made.id,
        "node_id": node_id("PullRequestReviewComment", made.id),
        "diff_hunk": at.diff_hunk,
        "path": at.path,
        "commit_id": at.commit_id,
        "original_commit_id": at.commit_id,
        "user": user(hub, made.user),
        "body": made.body,
        "created_at": iso(made.created_at),
        "updated_at": iso(made.updated_at),
        "html_url": html,
        "pull_request_url": pull_url,
        "author_association": association(repo, made.user),
        "_links": {"self": {"href": url}, "html": {"href": html}, "pull_request": {"href": pull_url}},
        "reactions": rollup(url, made.reactions),
        "start_line": None,
        "original_start_line": None,
        "start_side": None,
        "line": at.line,
        "original_line": at.line,
        "side": at.side,
        "position": 1,
        "original_position": 1,
        "subject_type": "line",
    }
    if at.in_reply_to:
        shape["in_reply_to_id"] = at.in_reply_to
    return shape


def event(hub: Hub, repo: Repository, made: Event) -> Json:
    """issue-event-for-issue."""
    commit_url = f"{repos.api(hub, repo)}/commits/{made.commit_id}" if made.commit_id else None
    shape: Json = {
        "id": made.id,
        "node_id": node_id("Event", made.id),
        "url": f"{repos.api(hub, repo)}/issues/events/{made.id}",
        "actor": user(hub, made.actor),
        "event": made.event,
        "commit_id": made.commit_id,
        "commit_url": commit_url,
        "created_at": iso(made.created_at),
        "performed_via_github_app": app(hub, made.app) if made.app else None,
        **made.more,
    }
    if made.label:
        shape["label"] = {"name": made.label.name, "color": made.label.color}
    return shape


def event_whole(hub: Hub, repo: Repository, made: Event, thread: Thread) -> Json:
    """issue-event: with the thread that it happened to."""
    return event(hub, repo, made) | {"issue": issue(hub, repo, thread)}


def timeline(hub: Hub, repo: Repository, thread: Thread) -> list[Json]:
    """Events and comments, oldest first."""
    told = [(made.created_at, made.id, event(hub, repo, made)) for made in thread.events]
    for made in thread.comments:
        shape = comment(hub, repo, thread, made)
        by = {"event": "commented", "actor": shape["user"]}
        told.append((made.created_at, made.id, shape | by))
    return [shape for _, _, shape in sorted(told, key=lambda one: one[:2])]
