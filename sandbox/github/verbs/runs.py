"""Workflow runs from their dispatch to their end."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from sandbox.github.access import Refused
from sandbox.github.hooks import Hooks
from sandbox.github.shapes import runs as shapes
from sandbox.github.state import Account, App, Json, Repository, Workflow, WorkflowRun

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
FOLDER = ".github/workflows/"
INPUTS = 25  # at most; source: api.github.com, actions/create-workflow-dispatch


@dataclass(frozen=True)
class WorkflowFile:
    """What the sandbox reads in a workflow file; everything else is act's to understand."""

    name: str
    run_name: str | None
    inputs: Json | None  # None: it does not start by workflow_dispatch
    permissions: dict[str, str]
    timeout_minutes: float


def read_workflow(path: str, text: bytes) -> WorkflowFile:
    """A workflow file. Raises Refused (422) for YAML that is none."""
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise Refused(422, f"failed to parse workflow: {error}") from error
    on = data.get("on", data.get(True))  # YAML 1.1 reads a bare `on` as true
    listed = on if isinstance(on, list) else [on]
    events: Json = on if isinstance(on, dict) else {str(name): None for name in listed}
    jobs = [job for job in (data.get("jobs") or {}).values() if isinstance(job, dict)]
    granted: dict[str, str] = {}
    for place in [data, *jobs]:
        asked = place.get("permissions")
        if isinstance(asked, dict):
            granted |= {name.replace("-", "_"): str(level) for name, level in asked.items()}
    if not any("permissions" in place for place in [data, *jobs]):
        granted = {"contents": "read", "metadata": "read"}
    dispatch = events.get("workflow_dispatch") or {}
    return WorkflowFile(
        name=str(data.get("name") or path),
        run_name=data.get("run-name"),
        inputs=(dispatch.get("inputs") or {}) if "workflow_dispatch" in events else None,
        permissions=granted,
        timeout_minutes=max((float(job.get("timeout-minutes", 360)) for job in jobs), default=360.0),
    )


def workflow(hooks: Hooks, repo: Repository, wanted: str) -> Workflow:
    """A workflow by its file's name or its id; it must be on the default branch. Raises Refused (404)."""
    list_workflows(hooks, repo)
    for known in repo.workflows.values():
        if wanted in (str(known.id), known.path, known.path.removeprefix(FOLDER)):
            return known
    raise Refused(404, "Not Found")


def list_workflows(hooks: Hooks, repo: Repository) -> list[Workflow]:
    """The workflow files that stand on the default branch."""
    folder = repo.git.tree(f"refs/heads/{repo.default_branch}", recursive=True)
    paths = [e.path for e in folder if e.path.startswith(FOLDER) and e.path.endswith((".yml", ".yaml"))]
    for path in paths:
        if path not in repo.workflows:
            repo.workflows[path] = Workflow(hooks.hub.new_id(), path, hooks.hub.now())
    return [repo.workflows[path] for path in paths]


def dispatch(
    hooks: Hooks,
    repo: Repository,
    workflow: Workflow,
    by: Account,
    ref: str,
    inputs: object,
    app: App | None = None,
) -> tuple[WorkflowRun, WorkflowFile]:
    """A queued run. Raises Refused as GitHub does for an unknown ref, unknown inputs, too many of them."""
    hub = hooks.hub
    branch = ref.removeprefix("refs/heads/")
    sha = repo.git.branch(branch) or repo.git.resolve(f"refs/tags/{ref.removeprefix('refs/tags/')}")
    if sha is None:
        raise Refused(422, f"No ref found for: {ref}")
    text = repo.git.read(sha, workflow.path)
    if text is None:
        raise Refused(422, f"Workflow does not exist on ref {ref}")
    file = read_workflow(workflow.path, text)
    if file.inputs is None:
        raise Refused(422, "Workflow does not have 'workflow_dispatch' trigger")
    given = inputs if isinstance(inputs, dict) else {}
    unknown = [name for name in given if name not in file.inputs]
    if unknown or len(given) > INPUTS:
        raise Refused(422, f"Unexpected inputs provided: {unknown}" if unknown else "Too many inputs")
    values: dict[str, str] = {}
    for name, rule in file.inputs.items():
        rule = rule or {}
        if name not in given and rule.get("required") and "default" not in rule:
            raise Refused(422, f"Required input '{name}' not provided")
        values[name] = str(given.get(name, rule.get("default", "")))

    def fill(found: re.Match[str]) -> str:
        what = found[1].removeprefix("github.event.")
        return values.get(what.removeprefix("inputs."), "") if what.startswith("inputs.") else by.login

    title = EXPRESSION.sub(fill, file.run_name) if file.run_name else file.name
    now = hub.now()
    number = 1 + sum(1 for other in repo.runs.values() if other.workflow is workflow)
    run = WorkflowRun(
        id=hub.new_id(),
        number=number,
        workflow=workflow,
        name=file.name,
        title=title,
        head_branch=branch,
        head_sha=sha,
        actor=by,
        inputs=values,
        created_at=now,
        updated_at=now,
        job_id=hub.new_id(),
        suite_id=hub.new_id(),
        app=app,
    )
    repo.runs[run.id] = run
    tell(hooks, repo, run, file, "requested")
    return run, file


def tell(hooks: Hooks, repo: Repository, run: WorkflowRun, file: WorkflowFile, action: str) -> None:
    hub = hooks.hub
    body = {
        "workflow": shapes.workflow(hub, repo, run.workflow, file.name),
        "workflow_run": shapes.run(hub, repo, run),
    }
    hooks.emit(repo, "workflow_run", action, run.actor, body)


def begin(hooks: Hooks, repo: Repository, run: WorkflowRun, file: WorkflowFile) -> None:
    run.status = "in_progress"
    run.started_at = run.updated_at = hooks.hub.now()
    tell(hooks, repo, run, file, "in_progress")


def end(hooks: Hooks, repo: Repository, run: WorkflowRun, file: WorkflowFile, conclusion: str) -> None:
    """The run is over: its tokens die with it."""
    hub = hooks.hub
    run.status, run.conclusion, run.updated_at = "completed", conclusion, hub.now()
    for step in run.steps:
        if step.status != "completed":
            step.status, step.conclusion, step.completed_at = "completed", conclusion, hub.now()
    for token in run.secrets.values():
        hub.tokens.pop(token, None)
    run.secrets = {}
    tell(hooks, repo, run, file, "completed")
