"""The nouns of the sandbox's GitHub, in memory: people, repositories, threads, runs, tokens, deliveries."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from sandbox.github.git import Git

Json = dict[str, Any]


class Role(IntEnum):
    """What a person may do in a repository; the API's `permission` knows fewer words."""

    none = 0
    read = 1
    triage = 2
    write = 3
    maintain = 4
    admin = 5

    @property
    def permission(self) -> str:
        return {"maintain": "write", "triage": "read"}.get(self.name, self.name)


@dataclass
class Account:
    """A user, a bot or an organisation."""

    id: int
    login: str
    type: str = "User"
    name: str = ""


@dataclass
class App:
    """A GitHub App; `keys` are the PEMs of its public keys, the newest last."""

    id: int
    slug: str
    name: str
    owner: Account
    bot: Account
    client_id: str
    keys: list[str]
    permissions: dict[str, str]
    events: list[str]
    created_at: float
    client_secret: str = ""
    hook_url: str | None = None  # nothing is sent while there is none
    hook_secret: str = ""
    manifest: Json = field(default_factory=dict)  # what it was registered from


@dataclass
class Installation:
    """An App on an account, with what it was granted there."""

    id: int
    app: App
    account: Account
    permissions: dict[str, str]
    created_at: float
    suspended_at: float | None = None
    repositories: set[int] | None = None  # the chosen ones; None: all, also those to come

    def covers(self, repo: Repository) -> bool:
        return self.account is repo.owner and (self.repositories is None or repo.id in self.repositories)


@dataclass
class Label:
    id: int
    name: str
    color: str
    description: str | None = None


@dataclass
class Reaction:
    id: int
    user: Account
    content: str
    created_at: float


@dataclass
class Comment:
    """A comment on a thread; `review` is set for one on a line of a pull request's diff."""

    id: int
    user: Account
    body: str
    created_at: float
    updated_at: float
    app: App | None = None
    reactions: list[Reaction] = field(default_factory=list)
    review: Review | None = None
    edits: int = 0


@dataclass
class Review:
    """Where in the diff a review comment stands."""

    path: str
    line: int
    side: str
    commit_id: str
    diff_hunk: str
    in_reply_to: int | None = None
    review_id: int = 0


@dataclass
class Event:
    """Something that happened to a thread: labeled, closed, merged …"""

    id: int
    event: str
    actor: Account
    created_at: float
    app: App | None = None
    label: Label | None = None
    commit_id: str | None = None
    more: Json = field(default_factory=dict)


@dataclass
class Pull:
    """What makes a thread a pull request. `head_repo` is None when the fork was deleted."""

    id: int
    head_repo: Repository | None
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool = False
    merged_at: float | None = None
    merged_by: Account | None = None
    merge_commit_sha: str | None = None


@dataclass
class Thread:
    """An issue, or a pull request where `pull` is set: on GitHub they share numbers, comments and labels."""

    id: int
    number: int
    title: str
    body: str | None
    user: Account
    created_at: float
    updated_at: float
    state: str = "open"
    state_reason: str | None = None
    closed_at: float | None = None
    closed_by: Account | None = None
    app: App | None = None
    labels: list[Label] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    reviews: list[Comment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    pull: Pull | None = None


@dataclass
class CheckRun:
    id: int
    suite_id: int
    app: App
    head_sha: str
    name: str
    status: str
    conclusion: str | None
    started_at: float
    completed_at: float | None
    external_id: str
    details_url: str | None
    output: Json
    actions: list[Json]
    annotations: list[Json]


@dataclass
class Step:
    """One step of a job, as far as its log tells."""

    name: str
    number: int
    status: str = "in_progress"
    conclusion: str | None = None
    started_at: float | None = None
    completed_at: float | None = None


@dataclass
class Workflow:
    id: int
    path: str
    created_at: float


@dataclass
class WorkflowRun:
    """One run of a workflow file; `log` is what a person reads on its page."""

    id: int
    number: int
    workflow: Workflow
    name: str
    title: str
    head_branch: str
    head_sha: str
    actor: Account
    inputs: dict[str, str]
    created_at: float
    updated_at: float
    job_id: int
    suite_id: int
    app: App | None = None
    status: str = "queued"
    conclusion: str | None = None
    started_at: float | None = None
    attempt: int = 1
    log: list[str] = field(default_factory=list)
    summary: str = ""  # Markdown
    steps: list[Step] = field(default_factory=list)
    secrets: Json = field(default_factory=dict)  # its own tokens: never shown


@dataclass
class Repository:
    """A repository and everything on it."""

    id: int
    owner: Account
    name: str
    git: Git
    default_branch: str
    created_at: float
    private: bool = False
    archived: bool = False
    description: str | None = None
    parent: Repository | None = None
    pushed_at: float = 0.0
    roles: dict[str, Role] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    threads: dict[int, Thread] = field(default_factory=dict)
    checks: dict[int, CheckRun] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)  # commits that an App made in its own name
    workflows: dict[str, Workflow] = field(default_factory=dict)
    runs: dict[int, WorkflowRun] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def role(self, login: str) -> Role:
        """What this person may do here; a public repository may be read by anyone."""
        held = self.roles.get(login.lower(), Role.none)
        return held if held or self.private else Role.read


@dataclass
class Token:
    """A bearer token and what it stands for; permissions None: whatever its user may do."""

    kind: str  # installation | user | actions
    user: Account
    expires_at: float
    installation: Installation | None = None
    permissions: dict[str, str] | None = None
    repositories: frozenset[int] | None = None
    app: App | None = None  # in whose name a person signed in
    used: int = 0


@dataclass
class Delivery:
    """One attempt to deliver a webhook; a redelivery is another with the same guid."""

    id: int
    guid: str
    event: str
    action: str | None
    payload: Json
    raw: bytes
    delivered_at: float
    redelivery: bool
    installation_id: int | None
    repository_id: int | None
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""
    app: App | None = None
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0


class Hub:
    """Everything there is. `lock` guards it; `changes` counts what pages want to hear of."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.lock = threading.RLock()
        self.shift = 0.0  # seconds by which tests have moved the clock
        self._next = 2_400_000_000  # past 32 bits, as GitHub's are
        self._next_repository = 1_120_000_000  # within 31 bits, as GraphQL's databaseId needs it
        self.accounts: dict[str, Account] = {}
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.manifest_codes: dict[str, tuple[App, str, float]] = {}  # code: App, private key, made at
        self.repositories: dict[str, Repository] = {}
        self.tokens: dict[str, Token] = {}
        self.deliveries: list[Delivery] = []
        self.changes = 0
        self._changed = threading.Condition()

    def now(self) -> float:
        return time.time() + self.shift

    def new_id(self) -> int:
        with self.lock:
            self._next += 1
            return self._next

    def new_repository_id(self) -> int:
        with self.lock:
            self._next_repository += 1
            return self._next_repository

    def touch(self) -> None:
        """Tells the pages that something changed."""
        with self._changed:
            self.changes += 1
            self._changed.notify_all()

    def wait_change(self, since: int, seconds: float) -> int:
        """The count of changes, once it is past `since` or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self.changes > since, timeout=seconds)
            return self.changes

    def account(self, login: str, type: str = "User") -> Account:
        """The account of this name, made if there is none."""
        with self.lock:
            known = self.accounts.get(login.lower())
            if known is None:
                known = Account(self.new_id(), login, type)
                self.accounts[login.lower()] = known
            return known

    def repository(self, full_name: str) -> Repository | None:
        return self.repositories.get(full_name.lower())

    def installation(self, repo: Repository, app: App | None = None) -> Installation | None:
        """The installation (of this App, or the first) that covers the repository."""
        here = (i for i in self.installations.values() if i.covers(repo) and app in (None, i.app))
        return next(here, None)

    @property
    def first_app(self) -> App | None:
        """The one that the sandbox was started with, else the one that was registered first."""
        return next(iter(self.apps.values()), None)


def iso(seconds: float) -> str:
    """`2026-11-25T02:41:52Z`, as GitHub writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)
