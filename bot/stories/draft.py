"""A run as it would be opened for a comment: everything but its task, by what holds on this thread now."""

from __future__ import annotations

from dataclasses import replace

from bot.core import onboarding, replies
from bot.core.commands import Options
from bot.core.events import CommentCreated
from bot.core.policy import Policy
from bot.core.roles import Role
from bot.services import Services
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id
from bot.stories.durable import Story
from bot.stories.opening import new_run
from bot.stories.ruling import Refusal, cleared, kept, policy_of, resolve
from bot.stories.scene import Scene


def draft(
    story: Story,
    event: CommentCreated,
    scene: Scene,
    role: Role,
    task_class: str,
    options: Options,
) -> tuple[NewRun, Policy]:
    """The run, and the policy that it was weighed by. Raises Refusal."""
    cleared(scene, scene.head_sha, scene.approved_by)
    if not story.step("look for its workflow", _has_workflow, story.services, event, scene.default_branch):
        known = story.services.onboardings.of(event.repo.id)
        raise Refusal("no_workflow", replies.no_workflow(scene.default_branch, known.url if known else ""))
    ruling = policy_of(story.services, scene)
    resolved = resolve(task_class, options, role, scene.labels, ruling)
    on = resolved.line or (ruling.sweep.line if task_class == "sweep" else "")
    whose = event.actor_id, event.actor
    now = story.step("the time", story.services.database.now_ms)
    run = story.step("name the run", new_id)
    new = new_run(story.services, run, "github", event.repo, whose, role, ruling, resolved, now, line=on)
    drafted = replace(
        new,
        opened_by=story.delivery,
        thread=event.number,
        thread_kind=scene.kind,
        comment_kind=event.kind,
        comment_id=event.comment_id,
        snapshot={
            **new.snapshot,
            "thread": {
                "kind": scene.kind,
                "number": scene.number,
                "title": scene.title,
                "body": scene.body,
                "url": scene.url,
            },
            "head": {"ref": scene.head_ref, "sha": scene.head_sha},
            "base_ref": scene.base_ref,
            "fork": scene.fork,
            "approved_by": scene.approved_by,
            "default_branch": scene.default_branch,
            "labels": [f"{label.name} {label.by}" for label in scene.labels],
            "publish": ruling.publish,
            **kept(task_class, options, scene),
        },
    )
    return drafted, ruling


def _has_workflow(services: Services, event: CommentCreated, branch: str) -> bool:
    return services.github.file(event.repo, onboarding.WORKFLOW, branch) is not None
