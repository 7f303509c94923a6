"""Check runs: made and changed by their App; people read their annotations and press their buttons."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.hooks import Hooks
from sandbox.github.shapes import runs as shapes
from sandbox.github.state import Account, App, CheckRun, Json, Repository

# Source: api.github.com, checks/create.
ACTIONS, ANNOTATIONS, MESSAGE = 3, 50, 64 * 1024
ACTION = {"label": 20, "description": 40, "identifier": 20}
CONCLUSIONS = (
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "stale",
    "timed_out",
)


def create_check(hooks: Hooks, repo: Repository, app: App, body: Json) -> CheckRun:
    """A new check run of an App. Raises Refused (422) without a name or for an unknown commit."""
    hub = hooks.hub
    sha = str(body.get("head_sha", ""))
    if not body.get("name") or repo.git.kind(sha) != "commit":
        field = "head_sha" if body.get("name") else "name"
        raise Refused(
            422,
            f"No commit found for SHA: {sha}",
            [{"resource": "CheckRun", "field": field, "code": "invalid"}],
        )
    suite = next((c.suite_id for c in repo.checks.values() if (c.app, c.head_sha) == (app, sha)), None)
    made = CheckRun(
        id=hub.new_id(),
        suite_id=suite or hub.new_id(),
        app=app,
        head_sha=sha,
        name=str(body["name"]),
        status="queued",
        conclusion=None,
        started_at=hub.now(),
        completed_at=None,
        external_id="",
        details_url=None,
        output={},
        actions=[],
        annotations=[],
    )
    repo.checks[made.id] = made
    fill_check(hooks, made, body)
    tell_check(hooks, repo, made, "created")
    return made


def update_check(hooks: Hooks, repo: Repository, made: CheckRun, body: Json) -> None:
    before = made.status
    fill_check(hooks, made, body)
    hooks.hub.touch()
    if made.status == "completed" and before != "completed":
        tell_check(hooks, repo, made, "completed")


def fill_check(hooks: Hooks, made: CheckRun, body: Json) -> None:
    if body.get("conclusion") is not None and body["conclusion"] not in CONCLUSIONS:
        wrong = {"resource": "CheckRun", "field": "conclusion", "code": "invalid"}
        raise Refused(422, "Invalid request.", [wrong])
    made.name = str(body.get("name", made.name))
    made.external_id = str(body.get("external_id", made.external_id))
    made.details_url = body.get("details_url", made.details_url)
    made.status = str(body.get("status", made.status))
    if body.get("conclusion"):
        made.conclusion, made.status = str(body["conclusion"]), "completed"
        made.completed_at = hooks.hub.now()
    elif made.status == "completed":
        raise Refused(422, "Invalid request.\n\nMissing conclusion for a completed check run.")
    if "actions" in body:
        made.actions = _actions(body["actions"])
    if isinstance(body.get("output"), dict):
        output = dict(body["output"])
        # Those of every request are added to the ones that are there (so GitHub's documentation).
        made.annotations += _annotations(output.pop("annotations", []))
        made.output = made.output | output


def _actions(given: object) -> list[Json]:
    listed = given if isinstance(given, list) else []
    if len(listed) > ACTIONS:
        raise Refused(422, "Invalid request.\n\nNo more than 3 actions are allowed.")
    for one in listed:
        for key, most in ACTION.items():
            if not isinstance(one, dict) or not 0 < len(str(one.get(key, ""))) <= most:
                raise Refused(422, f"Invalid request.\n\n{key} of an action: 1 to {most} characters.")
    return [dict(one) for one in listed]


def _annotations(given: object) -> list[Json]:
    listed = given if isinstance(given, list) else []
    if len(listed) > ANNOTATIONS:
        raise Refused(422, "Invalid request.\n\nNo more than 50 items are allowed.")
    for one in listed:
        if not one.get("path") or one["path"].startswith("/") or not 0 < one["start_line"] <= one["end_line"]:
            wrong = {"resource": "CheckAnnotation", "field": "path", "code": "invalid"}
            raise Refused(422, "Validation Failed", [wrong])
        if len(str(one["message"]).encode()) > MESSAGE:
            raise Refused(422, "Invalid request.\n\nmessage is too long (maximum is 64 KB).")
    return [dict(one) for one in listed]


def press(hooks: Hooks, repo: Repository, made: CheckRun, identifier: str, by: Account) -> None:
    """Somebody presses one of its buttons: here anybody may, for whom GitHub shows them is not documented."""
    if identifier not in [action["identifier"] for action in made.actions]:
        raise Refused(422, f"this check run has no button {identifier}")
    tell_check(hooks, repo, made, "requested_action", by, {"requested_action": {"identifier": identifier}})


def tell_check(
    hooks: Hooks,
    repo: Repository,
    made: CheckRun,
    action: str,
    by: Account | None = None,
    more: Json | None = None,
) -> None:
    body = {"check_run": shapes.hook_check(hooks.hub, repo, made)} | (more or {})
    hooks.emit(repo, "check_run", action, by or made.app.bot, body)
