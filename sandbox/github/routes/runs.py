"""Workflows and their runs."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.shapes import repos
from sandbox.github.shapes import runs as shapes
from sandbox.github.state import Role, Workflow, WorkflowRun, iso
from sandbox.github.verbs import runs as verbs

routes = Table()
REPO = "/repos/<owner>/<repo>"
ACTIONS = f"{REPO}/actions"


# -- workflows --


def name_of(call: Call, made: Workflow) -> str:
    text = call.repo.git.read(f"refs/heads/{call.repo.default_branch}", made.path)
    return verbs.read_workflow(made.path, text or b"").name


@routes("GET", f"{ACTIONS}/workflows", "actions:read")
def list_workflows(call: Call) -> Paged:
    made = verbs.list_workflows(call.hooks, call.repo)
    return Paged(made, lambda one: shapes.workflow(call.hub, call.repo, one, name_of(call, one)), "workflows")


@routes("GET", f"{ACTIONS}/workflows/<wanted>", "actions:read")
def get_workflow(call: Call, wanted: str) -> Answer:
    made = verbs.workflow(call.hooks, call.repo, wanted)
    return 200, shapes.workflow(call.hub, call.repo, made, name_of(call, made))


@routes("POST", f"{ACTIONS}/workflows/<wanted>/dispatches", "actions:write")
def dispatch(call: Call, wanted: str) -> Answer:
    """200 with details when asked for, and always since version 2026-03-10; else 204 and nothing."""
    call.person_needs(Role.write)
    new = call.version >= "2026-03-10"
    if new and "return_run_details" in (call.body or {}):
        raise Refused(422, 'Invalid request.\n\n"return_run_details" is not a permitted key.')
    made = verbs.workflow(call.hooks, call.repo, wanted)
    ref = call.required("ref", "WorkflowDispatch")
    run, file = verbs.dispatch(call.hooks, call.repo, made, call.by, ref, call.field("inputs"), call.app)
    call.doors.start(call.repo, run, file)
    if not new and not call.field("return_run_details"):
        return 204, None
    url = f"{repos.api(call.hub, call.repo)}/actions/runs/{run.id}"
    page = shapes.run_page(call.hub, call.repo, run)
    return 200, {"workflow_run_id": run.id, "run_url": url, "html_url": page}


@routes("GET", f"{ACTIONS}/workflows/<wanted>/runs", "actions:read")
def list_workflow_runs(call: Call, wanted: str) -> Paged:
    made = verbs.workflow(call.hooks, call.repo, wanted)
    return runs_page(call, [run for run in call.repo.runs.values() if run.workflow is made])


@routes("GET", f"{ACTIONS}/runs", "actions:read")
def list_runs(call: Call) -> Paged:
    return runs_page(call, list(call.repo.runs.values()))


def runs_page(call: Call, found: list[WorkflowRun]) -> Paged:
    """Newest first, sifted by what was asked."""
    if status := call.query.get("status"):
        found = [run for run in found if status in (run.status, run.conclusion)]
    if branch := call.query.get("branch"):
        found = [run for run in found if run.head_branch == branch]
    if actor := call.query.get("actor"):
        found = [run for run in found if run.actor.login == actor]
    if sha := call.query.get("head_sha"):
        found = [run for run in found if run.head_sha == sha]
    if event := call.query.get("event"):
        found = found if event == "workflow_dispatch" else []
    if created := call.query.get("created"):
        low = (
            created.removeprefix(">=").partition("..")[0]
            if created.startswith(">=") or ".." in created
            else ""
        )
        found = [run for run in found if iso(run.created_at) >= low]
    return Paged(found[::-1], lambda run: shapes.run(call.hub, call.repo, run), "workflow_runs")


def run_of(call: Call, id: int) -> WorkflowRun:
    run = call.repo.runs.get(id)
    if run is None:
        raise Refused(404, "Not Found")
    return run


@routes("GET", f"{ACTIONS}/runs/<int:id>", "actions:read")
def get_run(call: Call, id: int) -> Answer:
    return 200, shapes.run(call.hub, call.repo, run_of(call, id))


@routes("GET", f"{ACTIONS}/runs/<int:id>/jobs", "actions:read")
def list_jobs(call: Call, id: int) -> Paged:
    return Paged([run_of(call, id)], lambda run: shapes.job(call.hub, call.repo, run), "jobs")


@routes("POST", f"{ACTIONS}/runs/<int:id>/force-cancel", "actions:write")
@routes("POST", f"{ACTIONS}/runs/<int:id>/cancel", "actions:write")
def cancel(call: Call, id: int) -> Answer:
    call.person_needs(Role.write)
    run = run_of(call, id)
    if run.status == "completed":
        raise Refused(409, "Cannot cancel a workflow run that is completed.")
    call.doors.cancel(run)
    return 202, {}
