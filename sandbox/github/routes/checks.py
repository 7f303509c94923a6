"""Check runs."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.shapes import runs as shapes
from sandbox.github.state import CheckRun
from sandbox.github.verbs import checks as verbs

routes = Table()
REPO = "/repos/<owner>/<repo>"


@routes("POST", f"{REPO}/check-runs", "checks:write")
def create_check(call: Call) -> Answer:
    if call.app is None:
        raise Refused(403, "You must authenticate via a GitHub App.")
    made = verbs.create_check(call.hooks, call.repo, call.app, call.body or {})
    return 201, shapes.check(call.hub, call.repo, made)


def check_of(call: Call, id: int) -> CheckRun:
    made = call.repo.checks.get(id)
    if made is None:
        raise Refused(404, "Not Found")
    return made


@routes("PATCH", f"{REPO}/check-runs/<int:id>", "checks:write")
def update_check(call: Call, id: int) -> Answer:
    made = check_of(call, id)
    if call.app is not made.app:
        raise Refused(
            403, "Invalid app_id `%s` - check run can only be modified by the GitHub App that created it."
        )
    verbs.update_check(call.hooks, call.repo, made, call.body or {})
    return 200, shapes.check(call.hub, call.repo, made)


@routes("GET", f"{REPO}/check-runs/<int:id>", "checks:read")
def get_check(call: Call, id: int) -> Answer:
    return 200, shapes.check(call.hub, call.repo, check_of(call, id))


@routes("GET", f"{REPO}/check-runs/<int:id>/annotations", "checks:read")
def list_annotations(call: Call, id: int) -> Paged:
    made = check_of(call, id)
    return Paged(made.annotations, lambda one: shapes.annotation(call.hub, call.repo, made, one))


@routes("GET", f"{REPO}/commits/<path:ref>/check-runs", "checks:read")
def list_checks(call: Call, ref: str) -> Paged:
    sha = call.repo.git.branch(ref) or call.repo.git.resolve(ref)
    found = [made for made in call.repo.checks.values() if made.head_sha == sha]
    if name := call.query.get("check_name"):
        found = [made for made in found if made.name == name]
    if status := call.query.get("status"):
        found = [made for made in found if made.status == status]
    if app_id := call.query.get("app_id"):
        found = [made for made in found if str(made.app.id) == app_id]
    if call.query.get("filter", "latest") == "latest":
        found = list({(made.app.id, made.name): made for made in found}.values())
    return Paged(found, lambda made: shapes.check(call.hub, call.repo, made), "check_runs")
