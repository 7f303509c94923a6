"""Issues and pull requests: reading, opening, merging, comments, labels, reactions, events."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.shapes import repos
from sandbox.github.shapes import threads as shapes
from sandbox.github.state import Json, Repository, Role, Thread
from sandbox.github.verbs import branches
from sandbox.github.verbs import threads as verbs

routes = Table()
REPO = "/repos/<owner>/<repo>"
ISSUE = f"{REPO}/issues/<int:number>"
PULL = f"{REPO}/pulls/<int:number>"
READ = "issues:read|pull_requests:read"
WRITE = "issues:write|pull_requests:write"


def sifted(call: Call, threads: Iterable[Thread]) -> list[Thread]:
    """Threads of the asked state, in the asked order (newest first unless told)."""
    state = call.query.get("state", "open")
    found = [thread for thread in threads if state in ("all", thread.state)]
    key = "updated_at" if call.query.get("sort") == "updated" else "created_at"
    found.sort(
        key=lambda t: (getattr(t, key), t.number), reverse=call.query.get("direction", "desc") == "desc"
    )
    return found


# -- issues --


@routes("GET", f"{REPO}/issues", READ)
def list_issues(call: Call) -> Paged:
    found = sifted(call, call.repo.threads.values())
    if wanted := call.query.get("labels"):
        names = {name.strip().lower() for name in wanted.split(",")}
        found = [t for t in found if names <= {label.name.lower() for label in t.labels}]
    if creator := call.query.get("creator"):
        found = [t for t in found if t.user.login == creator]
    return Paged(found, lambda thread: shapes.issue(call.hub, call.repo, thread))


@routes("POST", f"{REPO}/issues", "issues:write")
def create_issue(call: Call) -> Answer:
    title = call.required("title", "Issue")
    thread = verbs.open_issue(call.hooks, call.repo, call.by, title, call.field("body"), call.app)
    for name in names_of(call.field("labels") or []):
        verbs.add_label(call.hooks, call.repo, thread, call.by, name, call.app)
    return 201, shapes.issue_whole(call.hub, call.repo, thread)


@routes("GET", ISSUE, READ)
def get_issue(call: Call, number: int) -> Answer:
    return 200, shapes.issue_whole(call.hub, call.repo, call.thread(number, "read"))


@routes("PATCH", ISSUE, WRITE)
def update_issue(call: Call, number: int) -> Answer:
    thread = call.thread(number, "write")
    change_thread(call, thread)
    return 200, shapes.issue_whole(call.hub, call.repo, thread)


def change_thread(call: Call, thread: Thread) -> None:
    """Title, body, state and labels, as far as they were sent."""
    if call.caller.kind == "user" and thread.user is not call.by:
        call.person_needs(Role.triage)
    verbs.edit(call.hooks, call.repo, thread, call.by, call.field("title"), call.field("body"))
    match call.field("state"):
        case "closed":
            reason = call.field("state_reason") or "completed"
            verbs.close(call.hooks, call.repo, thread, call.by, reason)
        case "open":
            verbs.reopen(call.hooks, call.repo, thread, call.by)
        case _:
            pass
    if isinstance(call.field("labels"), list):
        replace_labels(call, thread, names_of(call.field("labels")))


@routes("GET", f"{ISSUE}/events", READ)
def list_events(call: Call, number: int) -> Paged:
    thread = call.thread(number, "read")
    return Paged(thread.events, lambda made: shapes.event(call.hub, call.repo, made))


@routes("GET", f"{REPO}/issues/events", READ)
def list_repo_events(call: Call) -> Paged:
    told = [(made, thread) for thread in call.repo.threads.values() for made in thread.events]
    told.sort(key=lambda pair: pair[0].id, reverse=True)
    return Paged(told, lambda pair: shapes.event_whole(call.hub, call.repo, *pair))


@routes("GET", f"{REPO}/issues/events/<int:id>", READ)
def get_event(call: Call, id: int) -> Answer:
    for thread in call.repo.threads.values():
        for made in thread.events:
            if made.id == id:
                return 200, shapes.event_whole(call.hub, call.repo, made, thread)
    raise Refused(404, "Not Found")


@routes("GET", f"{ISSUE}/timeline", READ)
def list_timeline(call: Call, number: int) -> Paged:
    told = shapes.timeline(call.hub, call.repo, call.thread(number, "read"))
    return Paged(told, lambda shape: shape)


# -- labels --


def names_of(given: object) -> list[str]:
    """The names in a list of labels, in either of the forms that the API takes."""
    if not isinstance(given, list):
        raise Refused(422, "Validation Failed", [{"resource": "Label", "field": "name", "code": "invalid"}])
    return [str(one["name"]) if isinstance(one, dict) else str(one) for one in given]


@routes("GET", f"{REPO}/labels", READ)
def list_repo_labels(call: Call) -> Paged:
    return Paged(list(call.repo.labels.values()), lambda made: shapes.label(call.hub, call.repo, made))


@routes("POST", f"{REPO}/labels", WRITE)
def create_label(call: Call) -> Answer:
    call.person_needs(Role.write)
    name = call.required("name", "Label")
    if name.lower() in call.repo.labels:
        wrong = {"resource": "Label", "field": "name", "code": "already_exists"}
        raise Refused(422, "Validation Failed", [wrong])
    color = str(call.field("color", "")).lstrip("#")
    made = verbs.repo_label(call.hooks, call.repo, name, color, call.field("description"))
    return 201, shapes.label(call.hub, call.repo, made)


@routes("GET", f"{REPO}/labels/<path:name>", READ)
def get_label(call: Call, name: str) -> Answer:
    made = call.repo.labels.get(name.lower())
    if made is None:
        raise Refused(404, "Not Found")
    return 200, shapes.label(call.hub, call.repo, made)


def labels_on(call: Call, thread: Thread) -> list[Json]:
    return [shapes.label(call.hub, call.repo, made) for made in thread.labels]


@routes("GET", f"{ISSUE}/labels", READ)
def list_labels(call: Call, number: int) -> Paged:
    thread = call.thread(number, "read")
    return Paged(thread.labels, lambda made: shapes.label(call.hub, call.repo, made))


@routes("POST", f"{ISSUE}/labels", WRITE)
def add_labels(call: Call, number: int) -> Answer:
    """Takes {"labels": […]} and, as GitHub does, a bare array."""
    call.person_needs(Role.triage)
    thread = call.thread(number, "write")
    given = call.body if isinstance(call.body, list) else call.field("labels", [])
    # What is only suggested waits for a person elsewhere: it is neither listed nor told of.
    applied = [one for one in given if not (isinstance(one, dict) and one.get("suggest"))]
    intents = {one["name"]: intent(one) for one in applied if isinstance(one, dict)}
    for name in names_of(applied):
        if call.caller.kind == "user" and name.lower() not in call.repo.labels:
            call.person_needs(Role.write)  # triage may apply labels, not make them
        verbs.add_label(call.hooks, call.repo, thread, call.by, name, call.app, intents.get(name))
    return 200, labels_on(call, thread)


def intent(given: Json) -> Json | None:
    """Why an agent applies a label, as its event then says."""
    told = {"rationale": given.get("rationale"), "confidence": given.get("confidence")}
    if not any(told.values()):
        return None
    return told | {"confidence": str(told["confidence"]).upper() if told["confidence"] else None}


@routes("PUT", f"{ISSUE}/labels", WRITE)
def set_labels(call: Call, number: int) -> Answer:
    call.person_needs(Role.triage)
    thread = call.thread(number, "write")
    given = call.body if isinstance(call.body, list) else call.field("labels", [])
    replace_labels(call, thread, names_of(given))
    return 200, labels_on(call, thread)


def replace_labels(call: Call, thread: Thread, names: list[str]) -> None:
    wanted = {name.lower() for name in names}
    for label in [made for made in thread.labels if made.name.lower() not in wanted]:
        verbs.remove_label(call.hooks, call.repo, thread, call.by, label.name, call.app)
    for name in names:
        verbs.add_label(call.hooks, call.repo, thread, call.by, name, call.app)


@routes("DELETE", f"{ISSUE}/labels/<path:name>", WRITE)
def remove_label(call: Call, number: int, name: str) -> Answer:
    call.person_needs(Role.triage)
    thread = call.thread(number, "write")
    verbs.remove_label(call.hooks, call.repo, thread, call.by, name, call.app)
    return 200, labels_on(call, thread)


# -- pull requests --


@routes("GET", f"{REPO}/pulls", "pull_requests:read")
def list_pulls(call: Call) -> Paged:
    found = sifted(call, (thread for thread in call.repo.threads.values() if thread.pull))
    if base := call.query.get("base"):
        found = [t for t in found if shapes.of(t).base_ref == base]
    if head := call.query.get("head"):
        owner, _, ref = head.rpartition(":")
        found = [t for t in found if shapes.of(t).head_ref == ref and owner in ("", owner_of(call.repo, t))]
    return Paged(found, lambda thread: shapes.pull(call.hub, call.repo, thread))


def owner_of(repo: Repository, thread: Thread) -> str:
    return (shapes.of(thread).head_repo or repo).owner.login


@routes("POST", f"{REPO}/pulls", "pull_requests:write")
def create_pull(call: Call) -> Answer:
    head, base = call.required("head", "PullRequest"), call.required("base", "PullRequest")
    owner, _, ref = head.rpartition(":")
    head_repo: Repository | None = call.repo
    if owner and owner != call.repo.owner.login:
        head_repo = call.hub.repository(f"{owner}/{call.repo.name}")
    if head_repo is None:
        raise Refused(
            422, "Validation Failed", [{"resource": "PullRequest", "field": "head", "code": "invalid"}]
        )
    thread = branches.open_pull(
        call.hooks,
        call.repo,
        call.by,
        head_repo,
        ref,
        base,
        call.required("title", "PullRequest"),
        call.field("body"),
        bool(call.field("draft", False)),
        call.app,
    )
    return 201, shapes.pull_whole(call.hub, call.repo, thread)


@routes("GET", PULL, "pull_requests:read")
def get_pull(call: Call, number: int) -> Answer:
    return 200, shapes.pull_whole(call.hub, call.repo, call.pull(number))


@routes("PATCH", PULL, "pull_requests:write")
def update_pull(call: Call, number: int) -> Answer:
    thread = call.pull(number)
    change_thread(call, thread)
    return 200, shapes.pull_whole(call.hub, call.repo, thread)


@routes("GET", f"{PULL}/files", "pull_requests:read")
def list_files(call: Call, number: int) -> Paged:
    made = shapes.of(call.pull(number))
    git = call.repo.git
    base = git.merge_base(made.base_sha, made.head_sha) or made.base_sha
    return Paged(
        git.diff(base, made.head_sha),
        lambda file: repos.diff_entry(call.hub, call.repo, made.head_sha, file),
    )


@routes("GET", f"{PULL}/commits", "pull_requests:read")
def list_pull_commits(call: Call, number: int) -> Paged:
    made = shapes.of(call.pull(number))
    found = call.repo.git.log(f"{made.base_sha}..{made.head_sha}")[::-1]
    return Paged(found, lambda commit: repos.commit(call.hub, call.repo, commit))


@routes("GET", f"{PULL}/merge", "pull_requests:read")
def is_merged(call: Call, number: int) -> Answer:
    if shapes.of(call.pull(number)).merged_at is None:
        raise Refused(404, "Not Found")
    return 204, None


@routes("PUT", f"{PULL}/merge", "contents:write")
def merge(call: Call, number: int) -> Answer:
    call.person_needs(Role.write)
    sha = branches.merge(
        call.hooks,
        call.repo,
        call.pull(number),
        call.by,
        call.field("merge_method") or "merge",
        call.field("sha"),
        call.field("commit_title"),
        call.field("commit_message"),
    )
    return 200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}
