"""After a time in which no worker was there: what GitHub never told us of is looked for where it was written.

The log of deliveries reaches three days back, and has only what GitHub tried to send. So every repository's
comments since then are read, and its merged pull requests. A command that is found so starts no run, for what
its thread said when it was written is not known any more: it is answered, and may be written again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from bot.clients.github import Repo
from bot.core import commands, events
from bot.core.events import ISSUE_COMMENT, CommentCreated, Malformed, PullClosed
from bot.core.times import DAY_MS
from bot.services import Services
from bot.stories import launch, merge
from bot.stories.asides import UNSENT
from bot.stories.durable import Story, name_of
from bot.stories.receive import turn_of

GAP_MS = 600_000  # without any worker: so long may a restart take
BACK_MS = 7 * DAY_MS  # further back nothing is looked for
OVERLAP_MS = 300_000
MOST_REPOSITORIES = 1_000  # of an installation; what it has more is said in the story's outcome


def enqueue(services: Services) -> None:
    """Have it done if no worker was there for a while. To be called before this one counts as one."""
    now, seen = services.database.now_ms(), services.processes.last_seen("worker")
    if seen is not None and now - seen > GAP_MS:
        since = max(seen - OVERLAP_MS, now - BACK_MS)
        services.queue.put(name_of(gather), f"unsent-{seen}", since)


def gather(story: Story, since: int) -> str:
    """Receive what is found; a sentence of how much that was."""
    github = story.services.github
    repos: list[Repo] = []
    left_out = 0
    for installation in story.step("the installations", github.installations):
        seen = story.attempt(f"repositories of {installation}", github.repositories, installation) or ()
        repos += seen[:MOST_REPOSITORIES]
        left_out += len(seen[MOST_REPOSITORIES:])
    found = 0
    for repo in repos:
        found += story.attempt(f"comments in {repo.id}", _comments, story.services, repo, since) or 0
        found += story.attempt(f"merges in {repo.id}", _merges, story.services, repo, since) or 0
    return f"{found} found in {len(repos)} repositories, {left_out} repositories left out"


def _comments(services: Services, repo: Repo, since: int) -> int:
    """The commands among a repository's comments that nothing has acted on; how many."""
    found = 0
    kinds: tuple[Literal["issue_comment", "review_comment"], ...] = ("issue_comment", "review_comment")
    for kind in kinds:
        for raw in services.github.comments(repo, kind, since):
            event = _event(repo, kind, raw)
            if event is None or event.at < since or commands.parse(event.body) is None:
                continue
            if services.deliveries.taken(repo.id, kind, event.comment_id):
                continue
            id = f"{UNSENT}{repo.id}-{kind}-{event.comment_id}"
            story = name_of(launch.on_comment)
            found += services.deliveries.record(id, kind, "created", story, event, turn=turn_of(event))
    return found


def _event(repo: Repo, kind: str, raw: dict[str, Any]) -> CommentCreated | None:
    """A comment as it would have been told; None if it was edited, or would have started nothing."""
    if raw.get("updated_at") != raw.get("created_at"):
        return None  # what it said when it was written is not known
    url = str(raw.get("issue_url") or raw.get("pull_request_url") or "")
    number = url.rpartition("/")[2]
    if not (number.isascii() and number.isdigit()):
        return None
    thread: dict[str, Any] = {"number": int(number)}
    if "/pull/" in str(raw.get("html_url")):
        thread["pull_request"] = {}
    payload = {
        "action": "created",
        "comment": raw,
        "issue": thread,
        "pull_request": thread,
        "repository": {"id": repo.id, "full_name": repo.full_name},
        "installation": {"id": repo.installation},
        "sender": raw.get("user"),
    }
    name = "issue_comment" if kind == ISSUE_COMMENT else "pull_request_review_comment"
    try:
        event = events.parse(name, payload)
    except Malformed:
        return None
    return replace(event, title=None, about=None) if isinstance(event, CommentCreated) else None


def _merges(services: Services, repo: Repo, since: int) -> int:
    """The pull requests that were merged; to be told of one again changes nothing."""
    found = 0
    for number in services.github.merged_since(repo, since):
        event, id = PullClosed(repo, number, merged=True), f"{UNSENT}{repo.id}-merge-{number}"
        found += services.deliveries.record(id, "pull_request", "closed", name_of(merge.on_closed), event)
    return found
