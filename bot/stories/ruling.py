"""What holds for a run that somebody asks for here: the policy's word, the labels', and who may say what."""

from __future__ import annotations

from bot.core import labels, limits
from bot.core.commands import Options
from bot.core.limits import Resolved
from bot.core.policy import Policy, PolicyError, tighten
from bot.core.roles import Role
from bot.services import Services
from bot.stories.scene import POLICY, Scene


class Refusal(Exception):
    """Why nothing is started: a phrase for the reply, and a word for the record."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def cleared(scene: Scene, sha: str, approved_by: str) -> None:
    """Raises Refusal where nobody answers for the commit that would run."""
    if scene.objection is not None:
        raise Refusal(*scene.objection)
    if scene.outsider and not approved_by:
        commit = f"{scene.url.rsplit('/', 2)[0]}/commit/{sha}"
        why = (
            f"{scene.outsider} has no write permission here, so this code runs only once somebody who has it "
            f"has looked at [this very commit]({commit}) and says `/agent approve {sha}`"
        )
        raise Refusal("not_approved", why)


def policy_of(services: Services, scene: Scene) -> Policy:
    """The repository's policy inside the service's. Raises Refusal with line and key."""
    try:
        return tighten(services.policy, Policy.parse(scene.policy))
    except PolicyError as error:
        raise Refusal("policy", f"`{POLICY}` on `{scene.default_branch}` is wrong: {error}") from error


def resolve(task_class: str, options: Options, role: Role, scene: Scene, ruling: Policy) -> Resolved:
    """What holds for a run that a person of this role asks for here."""
    return limits.resolve(
        task_class,
        options,
        labels.read(scene.labels),
        role,
        classes=ruling.classes,
        most=ruling.most,
        engine=next(iter(ruling.engines), "none"),
    )
