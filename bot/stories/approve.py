"""`/agent approve SHA`: an insider lets an outsider's commit run, this one on this pull request only (P4)."""

from __future__ import annotations

from bot.clients.github import GitHubError
from bot.core import replies
from bot.core.commands import Approve
from bot.core.events import CommentCreated
from bot.core.roles import Role
from bot.services import Services
from bot.stories import asides
from bot.stories.durable import Story
from bot.stories.scene import Scene, look


def approve(story: Story, event: CommentCreated, command: Approve, role: Role) -> None:
    """Record that the present head may run, if it is the commit that was named in full; or say why not."""
    try:
        scene = story.step("look around", look, story.services, event)
    except GitHubError as error:
        why = f"GitHub did not tell what there is to know first: {error}"
        return asides.refuse(story, event, "github", why, replies.not_approved(why))
    if why := objection(scene, event.actor, command.sha):
        return asides.refuse(story, event, "not_approved", why, replies.not_approved(why))
    story.step("record the approval", _record, story.services, event, scene, role)
    said = replies.approved(scene.head_sha, scene.commit_url, scene.outsider, bool(scene.fork))
    return asides.reply(story, event, "approve", said)


def objection(scene: Scene, approver: str, sha: str) -> str:
    """Why this person may not approve this commit here; "" if they may."""
    if scene.kind != "pull":
        return "this is an issue, which has no commit to approve"
    if scene.objection is not None:
        return scene.objection[1]
    if not scene.outsider:
        return "whose commits these are may write to this repository, so `/agent fix` starts a run without it"
    if approver.casefold() == scene.outsider.casefold():
        return "nobody approves their own commits"
    if sha == scene.head_sha:
        return ""
    now = f"the head of this pull request is {scene.head_sha}"
    if scene.head_sha.startswith(sha):
        # Whoever can push can make a commit whose first digits are the ones that somebody has just read.
        return f"a shortened name can be imitated, so approving takes the whole one; {now}"
    return f"{now}, not `{sha}`; what was pushed since has to be looked at too"


def _record(services: Services, event: CommentCreated, scene: Scene, role: Role) -> None:
    services.approvals.record(
        repository_id=event.repo.id,
        repository=event.repo.full_name,
        number=event.number,
        sha=scene.head_sha,
        author=scene.outsider,
        approved_by=event.actor,
        role=str(role),
        comment_id=event.comment_id,
    )
