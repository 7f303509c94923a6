"""Issues, comments, reactions and labels: what people and Apps do on a thread."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.hooks import Hooks
from sandbox.github.shapes import threads as shapes
from sandbox.github.state import (
    Account,
    App,
    Comment,
    Event,
    Json,
    Label,
    Reaction,
    Repository,
    Review,
    Thread,
)

LONGEST = 65_536  # characters of a body; longer ones get 422
COLORS = ("d73a4a", "0075ca", "a2eeef", "7057ff", "008672", "e4e669", "d876e3", "0e8a16", "b60205", "5319e7")


def check_body(body: object) -> str:
    """The text of a comment. Raises Refused (422) as GitHub does for none, or for too much."""
    wrong = {"resource": "IssueComment", "field": "body"}
    if not isinstance(body, str) or not body.strip():
        raise Refused(422, "Validation Failed", [wrong | {"code": "missing_field"}])
    if len(body) > LONGEST:
        text = f"body is too long (maximum is {LONGEST} characters)"
        raise Refused(422, "Validation Failed", [wrong | {"code": "custom", "message": text}])
    return body


def next_number(repo: Repository) -> int:
    return max(repo.threads, default=0) + 1


def tell_thread(hooks: Hooks, repo: Repository, thread: Thread, action: str, by: Account, more: Json) -> None:
    """`pull_request` or `issues`, as the thread is."""
    if thread.pull:
        body = {"number": thread.number, "pull_request": shapes.pull_whole(hooks.hub, repo, thread)}
        hooks.emit(repo, "pull_request", action, by, body | more)
    else:
        hooks.emit(repo, "issues", action, by, {"issue": shapes.issue(hooks.hub, repo, thread)} | more)


def record(
    hooks: Hooks,
    thread: Thread,
    event: str,
    by: Account,
    app: App | None = None,
    label: Label | None = None,
    commit_id: str | None = None,
    more: Json | None = None,
) -> None:
    hub = hooks.hub
    thread.events.append(Event(hub.new_id(), event, by, hub.now(), app, label, commit_id, more or {}))
    thread.updated_at = hub.now()


def open_issue(
    hooks: Hooks, repo: Repository, by: Account, title: str, body: str | None, app: App | None = None
) -> Thread:
    hub = hooks.hub
    number = next_number(repo)
    thread = Thread(hub.new_id(), number, title, body, by, hub.now(), hub.now(), app=app)
    repo.threads[number] = thread
    tell_thread(hooks, repo, thread, "opened", by, {})
    return thread


def close(hooks: Hooks, repo: Repository, thread: Thread, by: Account, reason: str = "completed") -> None:
    """Closes a thread that is open."""
    if thread.state == "closed":
        return
    thread.state, thread.closed_at, thread.closed_by = "closed", hooks.hub.now(), by
    thread.state_reason = None if thread.pull else reason
    record(hooks, thread, "closed", by)
    tell_thread(hooks, repo, thread, "closed", by, {})


def reopen(hooks: Hooks, repo: Repository, thread: Thread, by: Account) -> None:
    """Opens a closed thread again. Raises Refused for what was merged."""
    if thread.state == "open":
        return
    if thread.pull and thread.pull.merged_at is not None:
        raise Refused(
            422, "Validation Failed", [{"resource": "PullRequest", "code": "invalid", "field": "state"}]
        )
    thread.state, thread.closed_at, thread.closed_by = "open", None, None
    thread.state_reason = None if thread.pull else "reopened"
    record(hooks, thread, "reopened", by)
    tell_thread(hooks, repo, thread, "reopened", by, {})


def edit(
    hooks: Hooks, repo: Repository, thread: Thread, by: Account, title: str | None, body: str | None
) -> None:
    """A new title or body."""
    changes: Json = {}
    if title is not None and title != thread.title:
        changes["title"] = {"from": thread.title}
        record(hooks, thread, "renamed", by, more={"rename": {"from": thread.title, "to": title}})
        thread.title = title
    if body is not None and body != thread.body:
        changes["body"] = {"from": thread.body or ""}
        thread.body = body
    if changes:
        thread.updated_at = hooks.hub.now()
        tell_thread(hooks, repo, thread, "edited", by, {"changes": changes})


# -- comments --


def comment(
    hooks: Hooks, repo: Repository, thread: Thread, by: Account, body: str, app: App | None = None
) -> Comment:
    hub = hooks.hub
    made = Comment(hub.new_id(), by, check_body(body), hub.now(), hub.now(), app)
    thread.comments.append(made)
    thread.updated_at = hub.now()
    tell_comment(hooks, repo, thread, made, "created", by, {})
    return made


def review_comment(
    hooks: Hooks,
    repo: Repository,
    thread: Thread,
    by: Account,
    body: str,
    at: Review,
    app: App | None = None,
) -> Comment:
    hub = hooks.hub
    at.review_id = at.review_id or hub.new_id()
    made = Comment(hub.new_id(), by, check_body(body), hub.now(), hub.now(), app, review=at)
    thread.reviews.append(made)
    thread.updated_at = hub.now()
    tell_comment(hooks, repo, thread, made, "created", by, {})
    return made


def edit_comment(
    hooks: Hooks, repo: Repository, thread: Thread, made: Comment, by: Account, body: str
) -> None:
    before, made.body = made.body, check_body(body)
    made.edits += 1
    made.updated_at = thread.updated_at = hooks.hub.now()
    tell_comment(hooks, repo, thread, made, "edited", by, {"changes": {"body": {"from": before}}})


def delete_comment(hooks: Hooks, repo: Repository, thread: Thread, made: Comment, by: Account) -> None:
    (thread.reviews if made.review else thread.comments).remove(made)
    thread.updated_at = hooks.hub.now()
    tell_comment(hooks, repo, thread, made, "deleted", by, {})


def tell_comment(
    hooks: Hooks, repo: Repository, thread: Thread, made: Comment, action: str, by: Account, more: Json
) -> None:
    hub = hooks.hub
    if made.review:
        whole = shapes.pull(hub, repo, thread)
        body = {"comment": shapes.review_comment(hub, repo, thread, made), "pull_request": whole}
        hooks.emit(repo, "pull_request_review_comment", action, by, body | more)
    else:
        body = {
            "issue": shapes.issue(hub, repo, thread),
            "comment": shapes.comment(hub, repo, thread, made),
        }
        hooks.emit(repo, "issue_comment", action, by, body | more)


def react(hooks: Hooks, reactions: list[Reaction], by: Account, content: object) -> tuple[Reaction, bool]:
    """Their reaction, and whether it is new: the same one twice is one."""
    if content not in shapes.CONTENTS:
        wrong = {"resource": "Reaction", "field": "content", "code": "invalid"}
        raise Refused(422, "Validation Failed", [wrong])
    for known in reactions:
        if known.user is by and known.content == content:
            return known, False
    made = Reaction(hooks.hub.new_id(), by, str(content), hooks.hub.now())
    reactions.append(made)
    hooks.hub.touch()
    return made, True


# -- labels --


def repo_label(
    hooks: Hooks, repo: Repository, name: str, color: str = "", description: str | None = None
) -> Label:
    """The repository's label of this name, made if there is none: names differ by more than case."""
    known = repo.labels.get(name.lower())
    if known is None:
        if not name.strip() or len(name) > 50:
            wrong = {"resource": "Label", "field": "name", "code": "invalid"}
            raise Refused(422, "Validation Failed", [wrong])
        shade = color or COLORS[len(repo.labels) % len(COLORS)]
        known = Label(hooks.hub.new_id(), name, shade, description)
        repo.labels[name.lower()] = known
    return known


def add_label(
    hooks: Hooks,
    repo: Repository,
    thread: Thread,
    by: Account,
    name: str,
    app: App | None = None,
    intent: Json | None = None,
) -> None:
    label = repo_label(hooks, repo, name)
    if label in thread.labels:
        return
    thread.labels.append(label)
    record(hooks, thread, "labeled", by, app, label, more={"intent": intent} if intent else None)
    tell_thread(hooks, repo, thread, "labeled", by, {"label": shapes.label(hooks.hub, repo, label)})


def remove_label(
    hooks: Hooks, repo: Repository, thread: Thread, by: Account, name: str, app: App | None = None
) -> None:
    """Takes a label off. Raises Refused (404) if it is not on."""
    label = repo.labels.get(name.lower())
    if label is None or label not in thread.labels:
        raise Refused(404, "Label does not exist")
    thread.labels.remove(label)
    record(hooks, thread, "unlabeled", by, app, label)
    tell_thread(hooks, repo, thread, "unlabeled", by, {"label": shapes.label(hooks.hub, repo, label)})
