"""The thread as it was when the command came: what the agent is to work on, who said what about ceilings.

By GitHub's own word, looked up with the App's token, never by the payload's.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.clients.github import Pull
from bot.core import labels
from bot.core.events import CommentCreated
from bot.core.places import Repo
from bot.core.roles import Role
from bot.services import Services

POLICY = ".github/agent.yml"


@dataclass(frozen=True, slots=True)
class Scene:
    """The thread as it was at the trigger. `head` is what the agent works on."""

    kind: str
    number: int
    title: str
    body: str
    url: str
    head_ref: str
    head_sha: str
    default_branch: str
    policy: bytes | None
    labels: tuple[labels.Applied, ...]
    objection: tuple[str, str] | None = None  # reason and words


def look(services: Services, event: CommentCreated) -> Scene:
    """Only looks: nothing of it is trusted later without the snapshot."""
    github, repo = services.github, event.repo
    default = github.default_branch(repo)
    if event.on_pull:
        pull = github.pull(repo, event.number)
        thread = ("pull", pull.title, pull.body, pull.url, pull.head_ref, pull.head_sha)
        objection = _objection(services, repo, pull)
    else:
        issue = github.issue(repo, event.number)
        sha = github.branch_head(repo, default) or ""
        thread = ("issue", issue.title, issue.body, issue.url, default, sha)
        objection = None if issue.state == "open" else ("closed", "this issue is closed")
    kind, title, body, url, head_ref, head_sha = thread
    return Scene(
        kind=kind,
        number=event.number,
        title=title,
        body=body,
        url=url,
        head_ref=head_ref,
        head_sha=head_sha,
        default_branch=default,
        policy=github.file(repo, POLICY, default),
        labels=_labels(services, event),
        objection=objection,
    )


def _objection(services: Services, repo: Repo, pull: Pull) -> tuple[str, str] | None:
    """Why no run may touch this pull request: a word for the record and a phrase for the reply."""
    if pull.state != "open":
        return "closed", "this pull request is closed"
    if pull.head_repo is None or pull.head_repo.lower() != repo.full_name.lower():
        return "fork", (
            "its branch lives in another repository, where this App may not commit; "
            "this version only runs on branches of this repository"
        )
    if pull.author_type == "Bot":
        # Our own pull requests come from branches that only someone with write permission can make.
        if pull.head_ref.startswith("agent/"):
            return None
        return "author", f"the pull request is by the bot {pull.author}, which nobody here answers for"
    role = services.github.role(repo, pull.author)
    if role < Role.WRITE:
        return "author", (
            f"the author of this pull request ({pull.author}) has no write permission here, "
            "so its code does not run on the word of one person"
        )
    return None


def _labels(services: Services, event: CommentCreated) -> tuple[labels.Applied, ...]:
    """The `agent:` labels with the role of whoever applied each."""
    found = []
    for label in services.github.labels(event.repo, event.number):
        if labels.ours(label.name):
            person = label.actor if label.actor and not label.by_app else None
            role = services.github.role(event.repo, person) if person else Role.NONE
            found.append(labels.Applied(label.name, label.actor or "", role, label.by_app))
    return tuple(found)
