"""Comments on threads and on lines of a diff, and reactions to them."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.shapes import threads as shapes
from sandbox.github.state import Comment, Review, Thread, iso
from sandbox.github.verbs import threads as verbs

routes = Table()
REPO = "/repos/<owner>/<repo>"
ISSUE = f"{REPO}/issues/<int:number>"
PULL = f"{REPO}/pulls/<int:number>"
READ = "issues:read|pull_requests:read"
WRITE = "issues:write|pull_requests:write"


@routes("GET", f"{ISSUE}/comments", READ)
def list_comments(call: Call, number: int) -> Paged:
    thread = call.thread(number, "read")
    since = call.query.get("since", "")
    found = [made for made in thread.comments if iso(made.updated_at) >= since]
    return Paged(found, lambda made: shapes.comment(call.hub, call.repo, thread, made))


@routes("POST", f"{ISSUE}/comments", WRITE)
def create_comment(call: Call, number: int) -> Answer:
    thread = call.thread(number, "write")
    body = verbs.check_body(call.field("body"))
    made = verbs.comment(call.hooks, call.repo, thread, call.by, body, call.app)
    return 201, shapes.comment(call.hub, call.repo, thread, made)


@routes("GET", f"{REPO}/issues/comments", READ)
def list_all_comments(call: Call) -> Paged:
    """Of every thread."""
    found = [(thread, made) for thread in call.repo.threads.values() for made in thread.comments]
    return Paged(sifted(call, found), lambda one: shapes.comment(call.hub, call.repo, *one))


def sifted(call: Call, found: list[tuple[Thread, Comment]]) -> list[tuple[Thread, Comment]]:
    """Comments since a time (by their last change), in the asked order: by id unless told."""
    since, sort = call.query.get("since", ""), call.query.get("sort")
    kept = [one for one in found if iso(one[1].updated_at) >= since]
    key = "updated_at" if sort == "updated" else "created_at"
    kept.sort(
        key=lambda one: (getattr(one[1], key) if sort else 0, one[1].id),
        reverse=bool(sort) and call.query.get("direction") == "desc",
    )
    return kept


@routes("GET", f"{REPO}/issues/comments/<int:id>", READ)
def get_comment(call: Call, id: int) -> Answer:
    return 200, shapes.comment(call.hub, call.repo, *call.comment(id))


@routes("PATCH", f"{REPO}/issues/comments/<int:id>", WRITE)
def edit_comment(call: Call, id: int) -> Answer:
    thread, made = call.comment(id)
    call.thread(thread.number, "write")
    call.own(made)
    verbs.edit_comment(call.hooks, call.repo, thread, made, call.by, verbs.check_body(call.field("body")))
    return 200, shapes.comment(call.hub, call.repo, thread, made)


@routes("DELETE", f"{REPO}/issues/comments/<int:id>", WRITE)
def delete_comment(call: Call, id: int) -> Answer:
    thread, made = call.comment(id)
    call.own(made)
    verbs.delete_comment(call.hooks, call.repo, thread, made, call.by)
    return 204, None


# -- reactions --


@routes("GET", f"{REPO}/issues/comments/<int:id>/reactions", READ)
def list_reactions(call: Call, id: int) -> Paged:
    _, made = call.comment(id)
    wanted = call.query.get("content")
    found = [one for one in made.reactions if wanted in (None, one.content)]
    return Paged(found, lambda one: shapes.reaction(call.hub, one))


@routes("POST", f"{REPO}/issues/comments/<int:id>/reactions", WRITE)
def react_to_comment(call: Call, id: int) -> Answer:
    _, made = call.comment(id)
    one, new = verbs.react(call.hooks, made.reactions, call.by, call.field("content"))
    return 201 if new else 200, shapes.reaction(call.hub, one)


@routes("DELETE", f"{REPO}/issues/comments/<int:id>/reactions/<int:reaction>", WRITE)
def unreact(call: Call, id: int, reaction: int) -> Answer:
    _, made = call.comment(id)
    if all(one.id != reaction for one in made.reactions):
        raise Refused(404, "Not Found")
    made.reactions = [one for one in made.reactions if one.id != reaction]
    call.hub.touch()
    return 204, None


@routes("POST", f"{ISSUE}/reactions", WRITE)
def react_to_issue(call: Call, number: int) -> Answer:
    thread = call.thread(number, "write")
    one, new = verbs.react(call.hooks, thread.reactions, call.by, call.field("content"))
    return 201 if new else 200, shapes.reaction(call.hub, one)


@routes("POST", f"{REPO}/pulls/comments/<int:id>/reactions", "pull_requests:write")
def react_to_review_comment(call: Call, id: int) -> Answer:
    _, made = call.comment(id, review=True)
    one, new = verbs.react(call.hooks, made.reactions, call.by, call.field("content"))
    return 201 if new else 200, shapes.reaction(call.hub, one)


@routes("GET", f"{REPO}/pulls/comments/<int:id>/reactions", "pull_requests:read")
def list_review_reactions(call: Call, id: int) -> Paged:
    _, made = call.comment(id, review=True)
    return Paged(made.reactions, lambda one: shapes.reaction(call.hub, one))


# -- review comments --


@routes("GET", f"{PULL}/comments", "pull_requests:read")
def list_review_comments(call: Call, number: int) -> Paged:
    thread = call.pull(number)
    found = list(thread.reviews)
    if call.query.get("sort"):  # as GitHub: without it a direction is of no effect
        found.sort(key=lambda made: (made.created_at, made.id), reverse=call.query.get("direction") != "asc")
    return Paged(found, lambda made: shapes.review_comment(call.hub, call.repo, thread, made))


@routes("POST", f"{PULL}/comments", "pull_requests:write")
def create_review_comment(call: Call, number: int) -> Answer:
    thread = call.pull(number)
    pull = shapes.of(thread)
    path = call.required("path", "PullRequestReviewComment")
    base = call.repo.git.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
    file = next((f for f in call.repo.git.diff(base, pull.head_sha) if f.path == path), None)
    if file is None or not file.patch:
        wrong = {"resource": "PullRequestReviewComment", "field": "path", "code": "invalid"}
        raise Refused(422, "Validation Failed", [wrong])
    at = Review(
        path,
        int(call.field("line") or 1),
        str(call.field("side") or "RIGHT"),
        str(call.field("commit_id") or pull.head_sha),
        "\n".join(file.patch.split("\n")[:12]),
    )
    body = verbs.check_body(call.field("body"))
    made = verbs.review_comment(call.hooks, call.repo, thread, call.by, body, at, call.app)
    return 201, shapes.review_comment(call.hub, call.repo, thread, made)


@routes("POST", f"{PULL}/comments/<int:id>/replies", "pull_requests:write")
def reply(call: Call, number: int, id: int) -> Answer:
    thread = call.pull(number)
    _, first = call.comment(id, review=True)
    if first.review is None:
        raise Refused(404, "Not Found")
    old = first.review
    at = Review(old.path, old.line, old.side, old.commit_id, old.diff_hunk, in_reply_to=id)
    body = verbs.check_body(call.field("body"))
    made = verbs.review_comment(call.hooks, call.repo, thread, call.by, body, at, call.app)
    return 201, shapes.review_comment(call.hub, call.repo, thread, made)


@routes("GET", f"{REPO}/pulls/comments", "pull_requests:read")
def list_all_review_comments(call: Call) -> Paged:
    """Of every pull request."""
    found = [(thread, made) for thread in call.repo.threads.values() for made in thread.reviews]
    return Paged(sifted(call, found), lambda one: shapes.review_comment(call.hub, call.repo, *one))


@routes("GET", f"{REPO}/pulls/comments/<int:id>", "pull_requests:read")
def get_review_comment(call: Call, id: int) -> Answer:
    return 200, shapes.review_comment(call.hub, call.repo, *call.comment(id, review=True))


@routes("PATCH", f"{REPO}/pulls/comments/<int:id>", "pull_requests:write")
def edit_review_comment(call: Call, id: int) -> Answer:
    thread, made = call.comment(id, review=True)
    call.own(made)
    verbs.edit_comment(call.hooks, call.repo, thread, made, call.by, verbs.check_body(call.field("body")))
    return 200, shapes.review_comment(call.hub, call.repo, thread, made)


@routes("DELETE", f"{REPO}/pulls/comments/<int:id>", "pull_requests:write")
def delete_review_comment(call: Call, id: int) -> Answer:
    thread, made = call.comment(id, review=True)
    call.own(made)
    verbs.delete_comment(call.hooks, call.repo, thread, made, call.by)
    return 204, None
