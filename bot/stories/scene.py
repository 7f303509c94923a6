"""The thread as it was when the command came: what the agent is to work on, who said what about ceilings.

By GitHub's own word, looked up with the App's token, never by the payload's.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.clients.github import Issue, Pull
from bot.core import labels
from bot.core.events import CommentCreated
from bot.core.onboarding import POLICY
from bot.core.places import Repo
from bot.core.roles import Role
from bot.services import Services


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

    @property
    def commit_url(self) -> str:
        """Where a person reads the head, as it is now and will stay."""
        return f"{self.url.rsplit('/', 2)[0]}/commit/{self.head_sha}"


def look(services: Services, event: CommentCreated) -> Scene:
    """Only looks: nothing of it is trusted later without the snapshot."""
    github, repo = services.github, event.repo
    default = github.default_branch(repo)
    policy, labelled = github.file(repo, POLICY, default), _labels(services, event)
    if event.on_pull:
        return _pull(services, event, default, policy, labelled)
    issue = github.issue(repo, event.number)
    return Scene(
        kind="issue",
        number=event.number,
        **_words(event, issue),
        url=issue.url,
        head_ref=default,
        head_sha=github.branch_head(repo, default) or "",
        default_branch=default,
        policy=policy,
        labels=labelled,
        objection=None if issue.state == "open" else ("closed", "this issue is closed"),
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
    return Scene(
        kind="pull",
        number=event.number,
        **_words(event, pull),
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


def _words(event: CommentCreated, now: Issue | Pull) -> dict[str, str]:
    """What the thread said when the command came: its author may have other words for it by now."""
    if event.title is None or event.about is None:
        return {"title": now.title, "body": now.body}
    return {"title": event.title, "body": event.about}


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


def _labels(services: Services, event: CommentCreated) -> tuple[labels.Applied, ...]:
    """The `agent:` labels with the role of whoever applied each."""
    found = []
    for label in services.github.labels(event.repo, event.number):
        if labels.ours(label.name):
            person = label.actor if label.actor and not label.by_app else None
            role = services.github.role(event.repo, person) if person else Role.NONE
            found.append(labels.Applied(label.name, label.actor or "", role, label.by_app))
    return tuple(found)
