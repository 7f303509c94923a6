"""A run as it would be opened for a comment: everything but its task, by what holds on this thread now."""

from __future__ import annotations

from bot.core import onboarding, replies
from bot.core.caps import month_of
from bot.core.care import care
from bot.core.ceilings import NATIVE_ENGINE
from bot.core.commands import Options
from bot.core.events import CommentCreated
from bot.core.policy import Policy
from bot.core.roles import Role
from bot.services import Services
from bot.stores.runs import NewRun, new_id
from bot.stories.durable import Story
from bot.stories.ruling import Refusal, cleared, kept, key_for, line_of, policy_of, priced, resolve
from bot.stories.scene import Scene

ENGINES = ("opus",)  # what this version runs in CI


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
    if resolved.engine not in ruling.engines:
        allowed = ", ".join(ruling.engines) or "none at all"
        raise Refusal("engine", f"the policy allows the engines {allowed}, not {resolved.engine}")
    if resolved.engine not in ENGINES:
        raise Refusal("engine", f"this version runs the engine opus only, not {resolved.engine}")
    on = resolved.line or (ruling.sweep.line if task_class == "sweep" else "")
    budget = line_of(ruling, on, event.actor)
    key = key_for(story.services, ruling, budget, event.actor)
    now = story.step("the time", story.services.database.now_ms)
    priced(story.services, ruling.model, now)
    careful = care(resolved.task_class, ruling.effort, ruling.context)
    drafted = NewRun(
        id=story.step("name the run", new_id),
        origin="github",
        ceilings=resolved.ceilings,
        task_class=resolved.task_class,
        engine=resolved.engine,
        model=ruling.model,
        effort=careful.effort,
        price_book=story.services.prices.version,
        actor=event.actor,
        actor_id=event.actor_id,
        line=budget[0] if budget else "",
        key_name=key,
        month=month_of(now, story.services.policy.caps.zone),
        opened_by=story.delivery,
        installation=event.repo.installation,
        repository_id=event.repo.id,
        repository=event.repo.full_name,
        thread=event.number,
        thread_kind=scene.kind,
        comment_kind=event.kind,
        comment_id=event.comment_id,
        snapshot={
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
            "role": str(role),
            "check": ruling.check,
            "context": careful.context,
            "forbidden_paths": list(ruling.forbidden),
            "publish": ruling.publish,
            **kept(task_class, options, scene),
        },
        sources=resolved.sources,
        clamps=resolved.clamps,
        keeps_back=resolved.engine == NATIVE_ENGINE,
        rules=ruling.rules,
        retention=ruling.retention,
    )
    return drafted, ruling


def _has_workflow(services: Services, event: CommentCreated, branch: str) -> bool:
    return services.github.file(event.repo, onboarding.WORKFLOW, branch) is not None
