"""GitHub as the stories need it. What creates looks first, so that a step may run again after a crash."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from bot.clients.github import (
    apps,
    checks,
    closings,
    commits,
    hooks,
    missed,
    onboarding,
    reviews,
    shapes,
    trees,
    users,
    workflows,
)
from bot.clients.github.apps import App, Hook, Registered
from bot.clients.github.errors import GitHubError
from bot.clients.github.hooks import Attempt
from bot.clients.github.onboarding import Proposal, Standing
from bot.clients.github.pace import Pace, Unpaced
from bot.clients.github.scopes import LOOK, TALK
from bot.clients.github.shapes import (
    AppliedLabel,
    Committed,
    Dispatched,
    Issue,
    Json,
    Pull,
    Repo,
    WorkflowRun,
)
from bot.clients.github.users import User
from bot.core.attribution import Place
from bot.core.changeset import File
from bot.core.marks import Output
from bot.core.onboarding import Label
from bot.core.roles import Role
from bot.core.visibility import Access

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection

COMMENTS = {"issue_comment": "issues", "review_comment": "pulls"}


class GitHub:
    """One GitHub App at one GitHub. Threads may share it.

    Every method may raise GitHubError (GitHub said no: `.status`) and its subclass Unavailable (no answer,
    5xx or a rate limit: try again after `.retry_after` seconds). What may have been done is not repeated.
    """

    def __init__(
        self,
        app_id: int,
        private_key: str,
        api_url: str = "https://api.github.com",
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now`: seconds since the epoch; this machine's clock may be wrong."""
        self._as = (app_id, private_key, api_url, pace or Unpaced(), now)
        self._bot: str | None = None

    @cached_property
    def _wire(self) -> Connection:
        # Here and not above: the web process has a GitHub, calls it never, and does without PyGithub.
        from bot.clients.github.connection import Connection

        return Connection(*self._as)

    def close(self) -> None:
        """Closes every connection."""
        if "_wire" in self.__dict__:
            self._wire.close()

    # -- the App itself --

    def register(self, code: str) -> Registered:
        """The App that a manifest made, by the code that came back: once, and with all its credentials."""
        return apps.register(self._wire, code)

    def app(self) -> App:
        """The App as GitHub knows it."""
        return apps.app(self._wire)

    def hook(self) -> Hook:
        """The App's webhook."""
        return apps.hook(self._wire)

    def set_hook_secret(self, secret: str) -> None:
        """What GitHub signs deliveries with from now on."""
        apps.set_hook_secret(self._wire, secret)

    # -- onboarding --

    def repositories(self, installation: int) -> tuple[Repo, ...]:
        """Every repository that this installation covers."""
        found = self._wire.repositories(installation)
        return tuple(Repo(installation, int(one["id"]), str(one["full_name"])) for one in found)

    def standing(self, repo: Repo, workflow: str) -> Standing:
        """Archived, empty, a fork? Its default branch, and whether it has this file there."""
        return onboarding.standing(self._wire, repo, workflow)

    def propose(
        self, repo: Repo, base: str, base_sha: str, files: Mapping[str, str], title: str, body: str
    ) -> Proposal:
        """The onboarding pull request with these new files, once for a repository, whatever became of it."""
        return onboarding.propose(self._wire, repo, base, base_sha, files, title, body)

    def create_labels(self, repo: Repo, labels: Sequence[Label]) -> None:
        """These labels of the repository; one that is there is left alone."""
        onboarding.create_labels(self._wire, repo, labels)

    # -- a person who signed in, by their own token --

    def user(self, token: str) -> User:
        """Whose token it is. Raises GitHubError with status 401 for one that is not good any more."""
        return users.user(self._wire, token)

    def access(self, token: str) -> tuple[Access, ...]:
        """The App's repositories in which this person has a role; of suspended installations none."""
        return users.access(self._wire, token)

    # -- people, threads, files --

    def role(self, repo: Repo, login: str, id: int | None = None) -> Role:
        """What this person may do here; NONE for a stranger. A custom role counts as its base role.

        `id`: the person's number; whoever has the name by now is somebody else, and NONE.
        """
        found = self._wire.find(repo, LOOK, f"/collaborators/{quote(login, safe='')}/permission")
        if found is None or (id is not None and (found.get("user") or {}).get("id") != id):
            return Role.NONE
        for name in (found.get("role_name"), found["permission"]):
            try:
                return Role.parse(name or "")
            except ValueError:
                continue
        return Role.NONE

    def bot(self) -> str:
        """The name under which this App acts: `SLUG[bot]`, which GitHub gives to no one else."""
        if self._bot is None:
            self._bot = f"{self._wire.as_app('GET', '/app')['slug']}[bot]"
        return self._bot

    def pull(self, repo: Repo, number: int) -> Pull:
        """A pull request. Raises GitHubError with status 404 where there is none."""
        return shapes.pull(self._wire.call(repo, LOOK, "GET", f"/pulls/{number}"))

    def issue(self, repo: Repo, number: int) -> Issue:
        """An issue, or a pull request seen as one."""
        return shapes.issue(self._wire.call(repo, LOOK, "GET", f"/issues/{number}"))

    def labels(
        self, repo: Repo, number: int, wanted: Callable[[str], bool] = lambda name: True
    ) -> tuple[AppliedLabel, ...]:
        """The wanted ones of the labels now on the thread, with who last put each there by its own events.

        What was only suggested is not on it: GitHub lists it nowhere here.
        """
        listed = self._wire.pages(repo, LOOK, f"/issues/{number}/labels")
        names = [label["name"] for label in listed if wanted(label["name"])]
        if not names:
            return ()
        return shapes.applied_labels(names, list(self._wire.pages(repo, LOOK, f"/issues/{number}/events")))

    def file(self, repo: Repo, path: str, ref: str) -> bytes | None:
        """A file's bytes at a branch, tag or SHA; None for what is not there or no file."""
        found = self._wire.find(repo, LOOK, f"/contents/{quote(path)}", {"ref": ref})
        if not isinstance(found, dict) or found.get("type") != "file":
            return None
        if found.get("encoding") != "base64":  # over 1 MB: GitHub leaves the content out
            found = self._wire.call(repo, LOOK, "GET", f"/git/blobs/{found['sha']}")
        return base64.b64decode(found["content"])

    def changes_file(self, repo: Repo, number: int, path: str) -> bool:
        """Whether a pull request adds or changes this file, by its first 100 files: they come by path."""
        changes = self._wire.pages(repo, LOOK, f"/pulls/{number}/files", most=1)
        return any(one["filename"] == path and one["status"] != "removed" for one in changes)

    def files_at(self, repo: Repo, sha: str, paths: Collection[str]) -> dict[str, File]:
        """Those of the paths that are files or links at this commit, by path."""
        return trees.files_at(self._wire, repo, sha, paths)

    def installation(self, full_name: str) -> int | None:
        """The App's installation in a repository of that name; None where it is not installed."""
        owner, name = (quote(part, safe="") for part in full_name.split("/", 1))
        try:
            return int(self._wire.as_app("GET", f"/repos/{owner}/{name}/installation")["id"])
        except GitHubError as error:
            if error.status == 404:
                return None
            raise

    def place(self, installation: int, full_name: str) -> tuple[Repo, str]:
        """A repository of an installation by its name, and its default branch."""
        named = Repo(installation, 0, full_name)
        found = self._wire.call(named, {"metadata": "read"}, "GET", "")
        return Repo(installation, int(found["id"]), str(found["full_name"])), str(found["default_branch"])

    def default_branch(self, repo: Repo) -> str:
        """The name of the repository's default branch."""
        return str(self._wire.call(repo, LOOK, "GET", "")["default_branch"])

    def branch_head(self, repo: Repo, branch: str) -> str | None:
        """The SHA that a branch is at; None where there is no such branch."""
        return commits.branch_head(self._wire, repo, branch)

    def closing_issues(self, repo: Repo, number: int) -> tuple[Place, ...]:
        """The issues that merging this pull request closes: (repository id, number).

        Only what a token for this repository sees: issues of other private repositories are left out.
        """
        return closings.closing_issues(self._wire, repo, number)

    # -- talking --

    def react(
        self,
        repo: Repo,
        kind: Literal["issue_comment", "review_comment"],
        comment_id: int,
        content: str = "eyes",
    ) -> None:
        """A reaction to a comment; a second one of the same content is the first (so GitHub)."""
        path = f"/{COMMENTS[kind]}/comments/{comment_id}/reactions"
        self._wire.call(repo, TALK, "POST", path, body={"content": content})

    def find_comment(self, repo: Repo, number: int, marker: str) -> int | None:
        """The App's own comment that begins with the marker; anyone else's with it does not count."""
        for comment in self._wire.pages(repo, TALK, f"/issues/{number}/comments"):
            if (comment.get("body") or "").lstrip().startswith(marker) and self._ours(comment):
                return int(comment["id"])
        return None

    def comment(self, repo: Repo, number: int, body: str, marker: str) -> int:
        """A comment that begins with the marker (put before the body if it is not there): its id, once."""
        if (known := self.find_comment(repo, number, marker)) is not None:
            return known
        text = body if body.startswith(marker) else f"{marker}\n{body}"
        made = self._wire.call(repo, TALK, "POST", f"/issues/{number}/comments", body={"body": text})
        return int(made["id"])

    def answer_review(self, repo: Repo, number: int, first: int, body: str, marker: str) -> int:
        """A comment in the thread that the review comment `first` begins: its id, once for a marker."""
        return reviews.answer(self._wire, repo, number, first, body, marker, self._ours)

    def edit_comment(self, repo: Repo, comment_id: int, body: str, *, live: bool = False) -> None:
        """Replaces the whole text of a comment of ours; `live`: with what is soon replaced again."""
        path = f"/issues/comments/{comment_id}"
        self._wire.call(repo, TALK, "PATCH", path, body={"body": body}, live=live)

    def edit_issue(self, repo: Repo, number: int, body: str) -> None:
        """Replaces the whole text of an issue, whoever wrote it.

        GitHub takes no condition: who changes a part of it has read it just before.
        """
        self._wire.call(repo, TALK, "PATCH", f"/issues/{number}", body={"body": body})

    def create_pull(self, repo: Repo, head: str, base: str, title: str, body: str) -> tuple[int, str]:
        """A pull request from branch `head` of this repository: its number and page, once."""
        asked = {"head": f"{repo.owner}:{head}", "base": base, "state": "open"}
        for known in self._wire.pages(repo, TALK, "/pulls", asked, most=1):
            return int(known["number"]), str(known["html_url"])
        sent = {"head": head, "base": base, "title": title, "body": body}
        made = self._wire.call(repo, TALK, "POST", "/pulls", body=sent)
        return int(made["number"]), str(made["html_url"])

    # -- check runs --

    def start_check(
        self,
        repo: Repo,
        sha: str,
        name: str,
        external_id: str,
        details_url: str,
        title: str,
        summary: str,
        queued: bool = False,
    ) -> int:
        """A check run in progress on a commit, or one that waits; its id, once for an `external_id`."""
        shown = Output(title, summary)
        return checks.start(self._wire, repo, sha, name, external_id, details_url, shown, queued)

    def begin_check(self, repo: Repo, check_id: int) -> None:
        """A check run that has waited is in progress."""
        checks.begin(self._wire, repo, check_id)

    def finish_check(self, repo: Repo, check_id: int, conclusion: str, shown: Output) -> None:
        """Ends a check run: "success", "failure", "neutral", "cancelled", "action_required", …

        Its buttons are those of `shown`; annotations that it has already are not added again.
        """
        checks.finish(self._wire, repo, check_id, conclusion, shown)

    def conclude_check(
        self, repo: Repo, sha: str, name: str, external_id: str, conclusion: str, shown: Output
    ) -> str:
        """A check run that is over as it begins, once for an `external_id`; its page."""
        return checks.conclude(self._wire, repo, sha, name, external_id, conclusion, shown)

    # -- workflow runs --

    def dispatch(
        self, repo: Repo, workflow: str, ref: str, inputs: Mapping[str, str], run_name: str
    ) -> Dispatched:
        """Starts a workflow file of the default branch, unless a run of that name is there already.

        GitHub lists a new run after some seconds: two tries at once may start two, of which one is claimed.
        """
        return workflows.dispatch(self._wire, repo, workflow, ref, inputs, run_name)

    def workflow_run(self, repo: Repo, id: int) -> WorkflowRun:
        """A run of GitHub Actions as it is now."""
        return shapes.workflow_run(self._wire.call(repo, LOOK, "GET", f"/actions/runs/{id}"))

    def cancel(self, repo: Repo, id: int) -> None:
        """Asks for the end of a workflow run; one that has ended already is fine."""
        workflows.cancel(self._wire, repo, id)

    # -- commits --

    def commit(
        self, repo: Repo, branch: str, base_sha: str, files: Sequence[File], message: str, trailer: str
    ) -> Committed:
        """One commit on `base_sha`, at the head of `branch` if that is still there, once for a trailer.

        Otherwise (the branch moved, is gone or is protected) it is kept at `agent/run-ID` and `moved` is
        True; nothing is overwritten. What was kept there before moves on without a second commit. `trailer`
        is `Tollgate-Run: ID.ATTEMPT`. Raises ValueError for no files.
        """
        return commits.commit(self._wire, repo, branch, base_sha, files, message, trailer)

    def create_branch_commit(
        self, repo: Repo, branch: str, base_sha: str, files: Sequence[File], message: str, trailer: str
    ) -> Committed:
        """The same at a new branch; where that name is taken, at `branch-ATTEMPT`, and `moved` is True."""
        return commits.create_branch_commit(self._wire, repo, branch, base_sha, files, message, trailer)

    def delete_branch(self, repo: Repo, branch: str, sha: str) -> bool:
        """Removes a branch that ends with `sha`; False, and it stays, if somebody has moved it since."""
        return commits.delete_branch(self._wire, repo, branch, sha)

    # -- what was delivered to the App --

    def attempts(self, since: int) -> Iterator[Attempt]:
        """GitHub's log of deliveries from `since` (ms) on, newest first; it reaches three days back."""
        return hooks.attempts(self._wire, since)

    def delivered(self, id: int) -> Json | None:
        """The payload of an attempt in that log; None if it is not there."""
        return hooks.payload(self._wire, id)

    def redeliver(self, id: int) -> None:
        """Have GitHub send it to our door again."""
        hooks.redeliver(self._wire, id)

    # -- what was written and merged, whether we were told or not --

    def installations(self) -> tuple[int, ...]:
        """Where the App is installed and not suspended."""
        return missed.installations(self._wire)

    def comments(
        self, repo: Repo, kind: Literal["issue_comment", "review_comment"], since: int
    ) -> Iterator[Json]:
        """Comments written or edited since (ms), oldest first, as GitHub shows them."""
        return missed.comments(self._wire, repo, kind, since)

    def merged_since(self, repo: Repo, since: int) -> tuple[int, ...]:
        """Numbers of the pull requests that were merged since (ms)."""
        return missed.merged(self._wire, repo, since)

    # -- inside --

    def _ours(self, comment: Json) -> bool:
        """Whether this App wrote it: by the App's id, or by its bot's name where GitHub leaves the id out."""
        via = comment.get("performed_via_github_app")
        if via is not None:
            return bool(via["id"] == self._wire.app_id)
        user = comment.get("user") or {}
        if user.get("type") != "Bot":
            return False
        return bool(user.get("login") == self.bot())
