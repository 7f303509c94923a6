"""The thread as it was when the command came: what the agent is to work on, who said what about ceilings.

By GitHub's own word, looked up with the App's token, never by the payload's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.clients.github import GitHubError, Issue, Pull
from bot.core import labels
from bot.core.events import CommentCreated
from bot.core.places import Repo
from bot.core.roles import Role
from bot.services import Services
from bot.stories import policy_file


@dataclass(frozen=True, slots=True)
class Scene:
    """The thread as it was at the trigger. `head` is what the agent works on.

    `fork` is the repository of the head where that is another one; `outsider` whose commits these are, where
    they may not write here: such a commit runs only once it is approved, which `approved_by` has done.
    """

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
    base_ref: str = ""  # of a pull request: where it is to be merged
    fork: str = ""
    outsider: str = ""
    approved_by: str = ""
    looked_at: int = 0  # ms since the epoch, by the database: before anything was looked at

    @property
    def commit_url(self) -> str:
        """Where a person reads the head, as it is now and will stay."""
        return f"{self.url.rsplit('/', 2)[0]}/commit/{self.head_sha}"


def look(services: Services, event: CommentCreated) -> Scene:
    """Only looks: nothing of it is trusted later without the snapshot."""
    github, repo, now = services.github, event.repo, services.database.now_ms()
    default = github.default_branch(repo)
    policy, labelled = policy_file.read(services, repo, default), labels_on(services, repo, event.number)
    if event.on_pull:
        return replace(_pull(services, event, default, policy, labelled), looked_at=now)
    issue = github.issue(repo, event.number)
    title, body = _words(event, issue)
    return Scene(
        kind="issue",
        number=event.number,
        title=title,
        body=body,
        url=issue.url,
        head_ref=default,
        head_sha=github.branch_head(repo, default) or "",
        default_branch=default,
        policy=policy,
        labels=labelled,
        objection=None if issue.state == "open" else ("closed", "this issue is closed"),
        looked_at=now,
    )


def _pull(
    services: Services,
    event: CommentCreated,
    default: str,
    policy: bytes | None,
    labelled: tuple[labels.Applied, ...],
) -> Scene:
    repo, pull = event.repo, services.github.pull(event.repo, event.number)
    elsewhere = pull.head_repo is not None and pull.head_repo.lower() != repo.full_name.lower()
    objection = _objection(pull)
    outsider = _outsider(services, repo, pull, elsewhere) if objection is None else ""
    approved = services.approvals.of(repo.id, event.number, pull.head_sha) if outsider else None
    title, body = _words(event, pull)
    return Scene(
        kind="pull",
        number=event.number,
        title=title,
        body=body,
        url=pull.url,
        head_ref=pull.head_ref,
        head_sha=pull.head_sha,
        default_branch=default,
        policy=policy,
        labels=labelled,
        objection=objection,
        base_ref=pull.base_ref,
        fork=(pull.head_repo or "") if elsewhere else "",
        outsider=outsider,
        approved_by=approved or "",
    )


def _words(event: CommentCreated, now: Issue | Pull) -> tuple[str, str]:
    """Title and text as the command found them: the author may have other words for it by now."""
    if event.title is None or event.about is None:
        return now.title, now.body
    return event.title, event.about


def _objection(pull: Pull) -> tuple[str, str] | None:
    """Why no run may touch this pull request: a word for the record and a phrase for the reply."""
    if pull.state != "open":
        return "closed", "this pull request is closed"
    if pull.head_repo is None:
        return (
            "fork",
            "the fork that this pull request came from is gone, and with it who answers for its commits",
        )
    return None


def _outsider(services: Services, repo: Repo, pull: Pull, elsewhere: bool) -> str:
    """Whose code it is, of those who may not write here: the author, or whoever owns the fork; "" for nobody.

    Our own pull requests come from branches that only we and people with write permission can make.
    """
    ours = pull.author_type == "Bot" and not elsewhere and pull.author == services.github.bot()
    if not ours and (pull.author_type == "Bot" or services.github.role(repo, pull.author) < Role.WRITE):
        return pull.author
    if (
        elsewhere
        and pull.head_owner != pull.author
        and services.github.role(repo, pull.head_owner) < Role.WRITE
    ):
        return pull.head_owner
    return ""


def labels_on(services: Services, repo: Repo, number: int) -> tuple[labels.Applied, ...]:
    """The labels that set ceilings, each with the role that it counts with. Raises GitHubError."""
    listed = services.github.labels(repo, number, labels.ours)
    if len(listed) > labels.MOST:
        many = f"its list has {len(listed):,} labels that set ceilings"
        raise GitHubError(f"{many}, more than the {labels.MOST} that it allows on a thread")
    now: dict[str, Role] = {}
    found = []
    for label in listed:
        if label.by_app or not label.actor:
            found.append(labels.Applied(label.name, label.actor or "", by_app=True))
            continue
        if label.actor not in now:
            now[label.actor] = services.github.role(repo, label.actor)
        then = services.labelings.role_then(repo.id, number, label.name, label.actor, label.at)
        found.append(labels.Applied.of(label.name, label.actor, then, now[label.actor]))
    return tuple(found)
