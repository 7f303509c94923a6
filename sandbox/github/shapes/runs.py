"""Check runs, workflows, workflow runs and deliveries as GitHub's API shows them."""

from __future__ import annotations

from urllib.parse import quote

from sandbox.github.shapes import repos
from sandbox.github.shapes.people import app, node_id, user
from sandbox.github.state import (
    CheckRun,
    Delivery,
    Hub,
    Json,
    Repository,
    Step,
    Workflow,
    WorkflowRun,
    iso,
    iso_or_none,
)


def pulls_at(hub: Hub, repo: Repository, sha: str) -> list[Json]:
    """pull-request-minimal of every open pull request with this head in this repository."""

    def end(of: Repository, ref: str, at: str) -> Json:
        place = {"id": of.id, "url": repos.api(hub, of), "name": of.name}
        return {"ref": ref, "sha": at, "repo": place}

    return [
        {
            "id": thread.pull.id,
            "number": thread.number,
            "url": f"{repos.api(hub, repo)}/pulls/{thread.number}",
            "head": end(repo, thread.pull.head_ref, thread.pull.head_sha),
            "base": end(repo, thread.pull.base_ref, thread.pull.base_sha),
        }
        for thread in repo.threads.values()
        if thread.pull and thread.state == "open" and thread.pull.head_repo is repo
        if thread.pull.head_sha == sha
    ]


def check(hub: Hub, repo: Repository, made: CheckRun) -> Json:
    """check-run."""
    url = f"{repos.api(hub, repo)}/check-runs/{made.id}"
    html = f"{repos.page(hub, repo)}/runs/{made.id}"
    return {
        "id": made.id,
        "node_id": node_id("CheckRun", made.id),
        "head_sha": made.head_sha,
        "external_id": made.external_id,
        "url": url,
        "html_url": html,
        "details_url": made.details_url or html,
        "status": made.status,
        "conclusion": made.conclusion,
        "started_at": iso(made.started_at),
        "completed_at": iso_or_none(made.completed_at),
        "output": {
            "title": made.output.get("title"),
            "summary": made.output.get("summary"),
            "text": made.output.get("text"),
            "annotations_count": len(made.annotations),
            "annotations_url": f"{url}/annotations",
        },
        "name": made.name,
        "check_suite": {"id": made.suite_id},
        "app": app(hub, made.app),
        "pull_requests": pulls_at(hub, repo, made.head_sha),
    }


def annotation(hub: Hub, repo: Repository, made: CheckRun, one: Json) -> Json:
    """check-annotation."""
    blob = f"{repos.page(hub, repo)}/blob/{made.head_sha}/{quote(one['path'])}"
    nothing = dict.fromkeys(("start_column", "end_column", "title", "raw_details"))
    return nothing | one | {"blob_href": blob}


def hook_check(hub: Hub, repo: Repository, made: CheckRun) -> Json:
    """check-run-with-simple-check-suite, as the webhook has it."""
    suite = f"{repos.api(hub, repo)}/check-suites/{made.suite_id}"
    return check(hub, repo, made) | {
        "check_suite": {
            "id": made.suite_id,
            "node_id": node_id("CheckSuite", made.suite_id),
            "head_branch": None,
            "head_sha": made.head_sha,
            "status": made.status,
            "conclusion": made.conclusion,
            "url": suite,
            "before": None,
            "after": made.head_sha,
            "pull_requests": pulls_at(hub, repo, made.head_sha),
            "app": app(hub, made.app),
            "created_at": iso(made.started_at),
            "updated_at": iso(made.completed_at or made.started_at),
        }
    }


def workflow(hub: Hub, repo: Repository, made: Workflow, name: str) -> Json:
    badge = made.path.rpartition("/")[2]
    return {
        "id": made.id,
        "node_id": node_id("Workflow", made.id),
        "name": name,
        "path": made.path,
        "state": "active",
        "created_at": iso(made.created_at),
        "updated_at": iso(made.created_at),
        "url": f"{repos.api(hub, repo)}/actions/workflows/{made.id}",
        "html_url": f"{repos.page(hub, repo)}/blob/{repo.default_branch}/{made.path}",
        "badge_url": f"{repos.page(hub, repo)}/actions/workflows/{badge}/badge.svg",
    }


def run_page(hub: Hub, repo: Repository, made: WorkflowRun) -> str:
    return f"{repos.page(hub, repo)}/actions/runs/{made.id}"


def run(hub: Hub, repo: Repository, made: WorkflowRun) -> Json:
    """workflow-run."""
    url = f"{repos.api(hub, repo)}/actions/runs/{made.id}"
    return {
        "id": made.id,
        "name": made.name,
        "node_id": node_id("WorkflowRun", made.id),
        "check_suite_id": made.suite_id,
        "check_suite_node_id": node_id("CheckSuite", made.suite_id),
        "head_branch": made.head_branch,
        "head_sha": made.head_sha,
        "path": made.workflow.path,
        "run_number": made.number,
        "run_attempt": made.attempt,
        "referenced_workflows": [],
        "event": "workflow_dispatch",
        "display_title": made.title,
        "status": made.status,
        "conclusion": made.conclusion,
        "workflow_id": made.workflow.id,
        "url": url,
        "html_url": run_page(hub, repo, made),
        "pull_requests": [],
        "created_at": iso(made.created_at),
        "updated_at": iso(made.updated_at),
        "run_started_at": iso(made.started_at or made.created_at),
        "actor": user(hub, made.actor),
        "triggering_actor": user(hub, made.actor),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "check_suite_url": f"{repos.api(hub, repo)}/check-suites/{made.suite_id}",
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": None,
        "workflow_url": f"{repos.api(hub, repo)}/actions/workflows/{made.workflow.id}",
        "head_commit": repos.head_commit(repo.git.commit(made.head_sha)),
        "repository": repos.minimal(hub, repo),
        "head_repository": repos.minimal(hub, repo),
    }


def step(made: Step) -> Json:
    return {
        "name": made.name,
        "status": made.status,
        "conclusion": made.conclusion,
        "number": made.number,
        "started_at": iso_or_none(made.started_at),
        "completed_at": iso_or_none(made.completed_at),
    }


def job(hub: Hub, repo: Repository, made: WorkflowRun) -> Json:
    """job: the sandbox shows a run as one job."""
    done = made.status == "completed"
    return {
        "id": made.job_id,
        "run_id": made.id,
        "run_url": f"{repos.api(hub, repo)}/actions/runs/{made.id}",
        "run_attempt": made.attempt,
        "node_id": node_id("CheckRun", made.job_id),
        "head_sha": made.head_sha,
        "head_branch": made.head_branch,
        "url": f"{repos.api(hub, repo)}/actions/jobs/{made.job_id}",
        "html_url": f"{run_page(hub, repo, made)}/job/{made.job_id}",
        "status": made.status,
        "conclusion": made.conclusion,
        "created_at": iso(made.created_at),
        "started_at": iso(made.started_at or made.created_at),
        "completed_at": iso(made.updated_at) if done else None,
        "name": "agent",
        "steps": [step(one) for one in made.steps],
        "check_run_url": f"{repos.api(hub, repo)}/check-runs/{made.job_id}",
        "labels": ["ubuntu-latest"],
        "runner_id": 1,
        "runner_name": "sandbox",
        "runner_group_id": 1,
        "runner_group_name": "Default",
        "workflow_name": made.name,
    }


def delivery(made: Delivery) -> Json:
    """hook-delivery-item."""
    return {
        "id": made.id,
        "guid": made.guid,
        "delivered_at": iso(made.delivered_at),
        "redelivery": made.redelivery,
        "duration": round(made.duration, 3),
        "status": made.status,
        "status_code": made.status_code,
        "event": made.event,
        "action": made.action,
        "installation_id": made.installation_id,
        "repository_id": made.repository_id,
        "throttled_at": None,
    }


def delivery_whole(hub: Hub, made: Delivery) -> Json:
    """hook-delivery: with what was sent and what came back."""
    return delivery(made) | {
        "url": f"{hub.url}/app/hook/deliveries/{made.id}",
        "request": {"headers": made.request_headers, "payload": made.payload},
        "response": {"headers": made.response_headers, "payload": made.response_body},
    }
