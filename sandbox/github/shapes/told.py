"""Threads and repositories as the controls tell them: words of ours, which no schema of GitHub's has."""

from __future__ import annotations

from typing import Any

from sandbox.github.shapes import runs
from sandbox.github.state import Json, Repository, Thread, iso


def comment(made: Any) -> Json:
    return {
        "id": made.id,
        "user": made.user.login,
        "app": made.app.slug if made.app else None,
        "body": made.body,
        "edits": made.edits,
        "in_reply_to": made.review.in_reply_to if made.review else None,
        "created_at": iso(made.created_at),
        "reactions": [{"user": r.user.login, "content": r.content} for r in made.reactions],
    }


def thread(given: Thread) -> Json:
    pull = given.pull
    return {
        "number": given.number,
        "kind": "pull" if pull else "issue",
        "title": given.title,
        "body": given.body,
        "user": given.user.login,
        "state": given.state,
        "labels": [label.name for label in given.labels],
        "comments": [comment(made) for made in given.comments],
        "reviews": [comment(made) for made in given.reviews],
        "events": [{"event": e.event, "actor": e.actor.login} for e in given.events],
        "head_ref": pull.head_ref if pull else None,
        "head_sha": pull.head_sha if pull else None,
        "head_repo": pull.head_repo.full_name if pull and pull.head_repo else None,
        "base_ref": pull.base_ref if pull else None,
        "merged": bool(pull and pull.merged_at is not None),
        "merge_commit_sha": pull.merge_commit_sha if pull else None,
    }


def repository(repo: Repository) -> Json:
    return {
        "id": repo.id,
        "full_name": repo.full_name,
        "default_branch": repo.default_branch,
        "private": repo.private,
        "git": str(repo.git.path),
        "branches": repo.git.branches(),
        "roles": {login: role.name for login, role in repo.roles.items()},
        "threads": [thread(one) for one in repo.threads.values()],
        "checks": [
            {
                "id": made.id,
                "name": made.name,
                "status": made.status,
                "conclusion": made.conclusion,
                "external_id": made.external_id,
                "head_sha": made.head_sha,
                "output": made.output,
                "annotations": made.annotations,
                "actions": made.actions,
            }
            for made in repo.checks.values()
        ],
        "runs": [
            {
                "id": run.id,
                "title": run.title,
                "status": run.status,
                "conclusion": run.conclusion,
                "inputs": run.inputs,
                "log": run.log,
                "summary": run.summary,
                "steps": [runs.step(step) for step in run.steps],
            }
            for run in repo.runs.values()
        ],
    }
