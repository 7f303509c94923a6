"""What GitHub tells us, read once at the door into a closed set of values.

Source of the shapes: the webhook payloads of @octokit/openapi-webhooks 12.1.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.core import labels
from bot.core.places import Repo
from bot.core.untrusted import storable

ISSUE_COMMENT, REVIEW_COMMENT = "issue_comment", "review_comment"
MAX_BODY = 1_000_000  # characters of a comment that are looked at; GitHub allows far fewer


class Malformed(Exception):
    """The payload is not what GitHub documents; says which field."""


@dataclass(frozen=True, slots=True)
class CommentCreated:
    """Somebody wrote a comment. `kind` is issue_comment or review_comment; the id is unique within a kind.

    `title` and `about` are the thread's own words at that moment; None where nobody has told them.
    """

    repo: Repo
    kind: str
    comment_id: int
    number: int
    on_pull: bool
    body: str
    actor: str
    actor_type: str  # User | Bot | Organization | Mannequin
    by_app: bool  # performed_via_github_app: an App wrote it for somebody
    url: str
    at: int = 0  # ms since the epoch, by GitHub's clock; 0: not known
    path: str = ""  # of a review comment: the file, its lines, and the piece of the diff it hangs on
    lines: str = ""  # "12" or "10-12"; "" where GitHub names none
    hunk: str = ""
    actor_id: int = 0  # GitHub's number of the person: their name may change
    answers: int = 0  # the review comment whose thread it is in; 0: it begins one
    title: str | None = None
    about: str | None = None

    @property
    def by_person(self) -> bool:
        return self.actor_type == "User" and not self.by_app


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """Somebody pressed a button of one of the App's check runs; `external_id` is what we called that."""

    repo: Repo
    check_id: int
    external_id: str
    identifier: str
    actor: str


@dataclass(frozen=True, slots=True)
class PullChanged:
    """A pull request was opened, or its head has moved to `sha`."""

    repo: Repo
    number: int
    sha: str


@dataclass(frozen=True, slots=True)
class PullClosed:
    """A pull request was closed, merged or not, or opened again."""

    repo: Repo
    number: int
    merged: bool


@dataclass(frozen=True, slots=True)
class LabelChanged:
    """A label of ours was put on a thread or taken off; `at` is ms since the epoch, by GitHub's clock."""

    repo: Repo
    number: int
    label: str
    added: bool
    actor: str
    by_person: bool
    at: int


@dataclass(frozen=True, slots=True)
class WorkflowCompleted:
    """A workflow run has ended. `title` is its display title: our run names carry the run's id.

    `workflow`: the file that was dispatched, "" for a run that something else started: its title may be a
    pull request's, and so anybody's.
    """

    repo: Repo
    run_id: int
    title: str
    conclusion: str
    workflow: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The App may see these repositories from now on; None: nobody said which, so GitHub is asked.

    `everything`: it was given all of the account's.
    """

    installation: int
    repositories: tuple[Repo, ...] | None
    everything: bool


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """The App may see these repositories no more; None: nothing of that installation. `for_good`: there will
    never again be one of its number."""

    installation: int
    repositories: tuple[int, ...] | None
    why: str
    for_good: bool = False


Event = (
    ButtonPressed
    | CommentCreated
    | LabelChanged
    | PullChanged
    | PullClosed
    | WorkflowCompleted
    | Installed
    | Uninstalled
)


def parse(name: str, payload: dict[str, Any]) -> Event | None:
    """The event, or None for what starts nothing. Raises Malformed.

    A comment by a bot or through an App, and an edited or deleted one, starts nothing; neither does anything
    from a repository without an installation, where we could do nothing.
    """
    match (name, payload.get("action")):
        case ("issue_comment", "created"):
            return _comment(payload, ISSUE_COMMENT, _object(payload, "issue"))
        case ("pull_request_review_comment", "created"):
            return _comment(payload, REVIEW_COMMENT, _object(payload, "pull_request"))
        case ("check_run", "requested_action"):
            return _pressed(payload)
        case ("issues", "labeled" | "unlabeled"):
            return _label(payload, _object(payload, "issue"))
        case ("pull_request", "labeled" | "unlabeled"):
            return _label(payload, _object(payload, "pull_request"))
        case ("pull_request", "opened" | "synchronize"):
            return _changed(payload)
        case ("pull_request", "closed" | "reopened"):
            pull = _object(payload, "pull_request")
            repo = _repo(payload)
            merged = pull.get("merged")
            if not isinstance(merged, bool):
                raise Malformed("pull_request.merged must be true or false")
            return PullClosed(repo, _number(pull, "number"), merged) if repo else None
        case ("workflow_run", "completed"):
            run, repo = _object(payload, "workflow_run"), _repo(payload)
            title, conclusion = run.get("display_title"), run.get("conclusion")
            title = title if isinstance(title, str) else ""
            path = run.get("path") if run.get("event") == "workflow_dispatch" else ""
            workflow = path.partition("@")[0] if isinstance(path, str) else ""
            ended = str(conclusion or "")
            return WorkflowCompleted(repo, _number(run, "id"), title, ended, workflow) if repo else None
        case ("installation" | "installation_repositories", _):
            return _installation(name, payload)
        case _:
            return None


def _installation(name: str, payload: dict[str, Any]) -> Installed | Uninstalled | None:
    """Where the App is from now on, and where it is no more."""
    made = _object(payload, "installation")
    id, everything = _number(made, "id"), made.get("repository_selection") == "all"
    match (name, payload.get("action")):
        case ("installation", "created"):
            listed = "repositories" in payload
            return Installed(id, _listed(payload, "repositories", id) if listed else None, everything)
        case ("installation", "unsuspend"):
            return Installed(id, None, everything)
        case ("installation", "deleted"):
            return Uninstalled(id, None, "the App was uninstalled", for_good=True)
        case ("installation", "suspend"):
            return Uninstalled(id, None, "the App was suspended")
        case ("installation_repositories", "added"):
            return Installed(id, _listed(payload, "repositories_added", id), everything)
        case ("installation_repositories", "removed"):
            gone = tuple(repo.id for repo in _listed(payload, "repositories_removed", id))
            return Uninstalled(id, gone, "the App was taken off this repository")
        case _:
            return None


def _listed(payload: dict[str, Any], key: str, installation: int) -> tuple[Repo, ...]:
    found = payload.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(f"{key} must be a list of objects")
    return tuple(Repo(installation, _number(one, "id"), _full_name(one)) for one in found)


def _comment(payload: dict[str, Any], kind: str, thread: dict[str, Any]) -> CommentCreated | None:
    repo, comment = _repo(payload), _object(payload, "comment")
    user = comment.get("user")
    if repo is None:
        return None
    event = CommentCreated(
        repo=repo,
        kind=kind,
        comment_id=_number(comment, "id"),
        number=_number(thread, "number"),
        on_pull=kind == REVIEW_COMMENT or isinstance(thread.get("pull_request"), dict),
        body=_text(comment, "body")[:MAX_BODY],
        actor=_text(user, "login") if isinstance(user, dict) else "",
        actor_type=str(user.get("type") or "") if isinstance(user, dict) else "",
        by_app=bool(comment.get("performed_via_github_app")),
        url=str(comment.get("html_url") or ""),
        title=_optional(thread, "title"),
        about=_optional(thread, "body")[:MAX_BODY],
        at=_stamp(comment, "created_at"),
        actor_id=_number(user, "id") if isinstance(user, dict) else 0,
        path=_optional(comment, "path"),
        lines=_lines(comment),
        hunk=_optional(comment, "diff_hunk"),
        answers=_number(comment, "in_reply_to_id") if comment.get("in_reply_to_id") is not None else 0,
    )
    if not event.actor or not event.by_person or _sender(payload) != event.actor:
        return None
    return event


def _pressed(payload: dict[str, Any]) -> ButtonPressed | None:
    repo, check, actor = _repo(payload), _object(payload, "check_run"), _sender(payload)
    if repo is None or not actor:
        return None
    return ButtonPressed(
        repo=repo,
        check_id=_number(check, "id"),
        external_id=_optional(check, "external_id"),
        identifier=_text(_object(payload, "requested_action"), "identifier"),
        actor=actor,
    )


def _changed(payload: dict[str, Any]) -> PullChanged | None:
    repo, pull = _repo(payload), _object(payload, "pull_request")
    sha = _text(_object(pull, "head"), "sha")
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", sha):
        raise Malformed("pull_request.head.sha must be a commit's")
    return PullChanged(repo, _number(pull, "number"), sha) if repo else None


def _label(payload: dict[str, Any], thread: dict[str, Any]) -> LabelChanged | None:
    repo, label, sender = _repo(payload), payload.get("label"), _object(payload, "sender")
    if repo is None or not isinstance(label, dict) or not labels.ours(_text(label, "name")):
        return None
    return LabelChanged(
        repo=repo,
        number=_number(thread, "number"),
        label=_text(label, "name"),
        added=payload["action"] == "labeled",
        actor=_text(sender, "login"),
        by_person=sender.get("type") == "User",
        at=_stamp(thread, "updated_at"),
    )


def _lines(comment: dict[str, Any]) -> str:
    """The lines of a review comment; what it was made on where they are gone from the present diff."""
    last = comment.get("line") or comment.get("original_line")
    first = comment.get("start_line") or comment.get("original_start_line")
    if not isinstance(last, int):
        return ""
    return f"{first}-{last}" if isinstance(first, int) and first != last else str(last)


def _optional(raw: dict[str, Any], key: str) -> str:
    return _text(raw, key) if isinstance(raw.get(key), str) else ""


def _sender(payload: dict[str, Any]) -> str:
    """Who caused the delivery: for a created comment its author, or the delivery is not what it says."""
    sender = _object(payload, "sender")
    return _text(sender, "login") if sender.get("type") == "User" else ""


def _repo(payload: dict[str, Any]) -> Repo | None:
    repository = _object(payload, "repository")
    installation = payload.get("installation")
    if not isinstance(installation, dict):
        return None
    return Repo(_number(installation, "id"), _number(repository, "id"), _full_name(repository))


def _full_name(repository: dict[str, Any]) -> str:
    """It becomes part of the addresses that we ask GitHub at."""
    name = _text(repository, "full_name")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII) or {".", ".."} & set(name.split("/")):
        raise Malformed("full_name must be owner/name")
    return name


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise Malformed(f"{key} must be an object")
    return value


def _number(raw: dict[str, Any], key: str) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise Malformed(f"{key} must be a number")
    return value


def _stamp(raw: dict[str, Any], key: str) -> int:
    try:
        at = datetime.fromisoformat(_text(raw, key))
    except ValueError as error:
        raise Malformed(f"{key} must be a time") from error
    if at.tzinfo is None:
        raise Malformed(f"{key} must have a time zone")
    return round(at.timestamp() * 1000)


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key} must be text")
    return storable(value)
