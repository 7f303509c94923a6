"""What GitHub tells us, as values: only the fields that the stories use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.core.places import Repo as Repo

Json = Any


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request. `head_repo` is None when its fork is gone; `merged_at` is ms since the epoch.

    `head_owner` is who owns the repository of its head: for a fork, whose commits they are.
    """

    number: int
    title: str
    body: str
    author: str
    author_type: str  # "User", "Bot", "Organization"
    head_ref: str
    head_sha: str
    head_repo: str | None
    head_owner: str
    base_ref: str
    state: str
    merged: bool
    merged_at: int | None
    updated_at: int  # ms since the epoch
    url: str


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue; GitHub counts a pull request as one too."""

    number: int
    title: str
    body: str
    author: str
    state: str
    url: str


@dataclass(frozen=True, slots=True)
class AppliedLabel:
    """A label on a thread and who put it there last; `actor` is None where the history does not tell.

    `by_app`: an App, a bot or nobody known did it, so it speaks for no person. `at` is ms since the epoch.
    """

    name: str
    actor: str | None
    by_app: bool
    at: int = 0


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A workflow that was started; both None when GitHub did not say which run it became."""

    workflow_run_id: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run of GitHub Actions; `conclusion` is None until it ends."""

    id: int
    status: str
    conclusion: str | None
    url: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit and the branch that holds it. `moved`: not the branch that was asked for."""

    sha: str
    branch: str
    moved: bool


def milliseconds(stamp: str | None) -> int | None:
    """GitHub's time as ms since the epoch."""
    return None if stamp is None else round(datetime.fromisoformat(stamp).timestamp() * 1000)


def pull(raw: Json) -> Pull:
    """A Pull from GitHub's `pull-request`."""
    return Pull(
        number=raw["number"],
        title=raw["title"],
        body=raw["body"] or "",
        author=_login(raw["user"]),
        author_type=(raw["user"] or {}).get("type", "User"),
        head_ref=raw["head"]["ref"],
        head_sha=raw["head"]["sha"],
        head_repo=(raw["head"]["repo"] or {}).get("full_name"),
        head_owner=_login(raw["head"].get("user")),
        base_ref=raw["base"]["ref"],
        state=raw["state"],
        merged=raw["merged"],
        merged_at=milliseconds(raw["merged_at"]),
        updated_at=milliseconds(raw["updated_at"]) or 0,
        url=raw["html_url"],
    )


def issue(raw: Json) -> Issue:
    """An Issue from GitHub's `issue`."""
    return Issue(
        number=raw["number"],
        title=raw["title"],
        body=raw.get("body") or "",
        author=_login(raw["user"]),
        state=raw["state"],
        url=raw["html_url"],
    )


def workflow_run(raw: Json) -> WorkflowRun:
    """A WorkflowRun from GitHub's `workflow-run`."""
    return WorkflowRun(raw["id"], raw["status"] or "", raw["conclusion"], raw["html_url"])


def applied_labels(names: list[str], events: list[Json]) -> tuple[AppliedLabel, ...]:
    """Who last put each of these labels on, by the issue's events, oldest first. Names fold case."""
    last: dict[str, AppliedLabel] = {}
    for event in events:
        name = (event.get("label") or {}).get("name")
        if event.get("event") not in ("labeled", "unlabeled") or not isinstance(name, str):
            continue
        if event["event"] == "unlabeled":
            last.pop(name.casefold(), None)
            continue
        actor = event.get("actor") or {}
        # An agent gives its intent with a label: a person may have let it through, but it is not theirs.
        machine = (
            event.get("performed_via_github_app") is not None
            or event.get("intent") is not None
            or actor.get("type", "Bot") != "User"
        )
        last[name.casefold()] = AppliedLabel(
            name, actor.get("login"), machine, milliseconds(event.get("created_at")) or 0
        )
    # A label without an event (renamed since, or put on this second) speaks for nobody.
    nobody = {name: AppliedLabel(name, None, True) for name in names}
    found = {name: last.get(name.casefold(), nobody[name]) for name in names}
    return tuple(replace(one, name=name) for name, one in found.items())


def _login(user: Json) -> str:
    # "ghost" is how GitHub itself shows an account that is gone.
    return "ghost" if user is None else str(user["login"])
