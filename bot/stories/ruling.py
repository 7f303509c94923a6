"""What holds for a run that somebody asks for here: the policy's word, the labels', and who may say what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from bot.core import labels, limits
from bot.core.caps import Cap, Line, applying, key_of, of_person
from bot.core.ceilings import Ceilings
from bot.core.commands import Options
from bot.core.limits import Resolved
from bot.core.money import Usd
from bot.core.onboarding import POLICY
from bot.core.places import Repo
from bot.core.policy import Policy, PolicyError, tighten
from bot.core.prices import UnknownModel
from bot.core.roles import Role
from bot.core.untrusted import code
from bot.core.waiting import Limit
from bot.core.waiting import limits as limits_for
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stories.durable import Story
from bot.stories.scene import Scene

P = ParamSpec("P")
R = TypeVar("R")


class Refusal(Exception):
    """Why nothing is started: a phrase for the reply, and a word for the record."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def weighed(story: Story, name: str, plan: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """A step of the story that may come to a Refusal, and to the same when it is told again. Raises it."""

    def outcome() -> R | tuple[str, str]:
        try:
            return plan(*args, **kwargs)
        except Refusal as refusal:
            return refusal.reason, str(refusal)

    planned = story.step(name, outcome)
    if isinstance(planned, tuple):
        raise Refusal(*planned)
    return planned


def cleared(scene: Scene, sha: str, approved_by: str) -> None:
    """Raises Refusal where nobody answers for the commit that would run."""
    if scene.objection is not None:
        raise Refusal(*scene.objection)
    if scene.outsider and not approved_by:
        # GitHub links a bare name of a commit by itself.
        why = (
            f"{scene.outsider} has no write permission here, so this code runs only once somebody who has it "
            f"has looked at this very commit, {sha}, and says `/agent approve {sha}`"
        )
        raise Refusal("not_approved", why)


def kept(command: str, options: Options, scene: Scene) -> dict[str, Any]:
    """What a run's snapshot keeps of how its ceilings came about, so that they can be resolved again."""
    asked = {kind: getattr(options, kind) for _, kind in limits.KINDS}
    return {
        "asked": command,
        "options": {kind: value.nanos if isinstance(value, Usd) else value for kind, value in asked.items()},
        "policy": scene.policy.decode() if scene.policy is not None else None,
    }


def again(services: Services, run: Run, applied: Sequence[labels.Applied]) -> Resolved:
    """What would hold for a run with these labels, all else as it was when it was asked for."""
    asked = dict(run.snapshot["options"])
    if asked["cost"] is not None:
        asked["cost"] = Usd(asked["cost"])
    ruling = tighten(services.policy, Policy.parse(run.snapshot["policy"]))
    role = Role.parse(run.snapshot["role"])
    return resolve(run.snapshot["asked"], Options(**asked), role, applied, ruling)


def policy_of(services: Services, scene: Scene) -> Policy:
    """The repository's policy inside the service's. Raises Refusal with line and key."""
    return within(services, scene.policy, scene.default_branch)


def within(services: Services, text: bytes | None, branch: str) -> Policy:
    """The same for a file's text as it stands on `branch`."""
    try:
        return tighten(services.policy, Policy.parse(text))
    except PolicyError as error:
        raise Refusal("policy", f"`{POLICY}` on `{branch}` is wrong: {error}") from error


def line_of(ruling: Policy, name: str, person: str) -> tuple[str, Line] | None:
    """The budget line that a run is on, if on any. Raises Refusal for one that the person may not use."""
    if not name:
        return None
    line = ruling.lines.get(name.lower())
    if line is None:
        there = ", ".join(f"`{known}`" for known in ruling.lines) or "none"
        raise Refusal("line", f"there is no budget line {code(name)}; there are {there}")
    if person.lower() not in line.members:
        raise Refusal("line", f"{person} is not a member of the budget line {code(name)}")
    return name.lower(), line


def line_of_all(ruling: Policy, name: str, *people: str) -> None:
    """It may be closed by now, and who goes on another one than who began. Raises Refusal as `line_of`."""
    for person in people:
        line_of(ruling, name, person)


def caps_of(services: Services, person: tuple[int, str], repo: Repo, line: str) -> tuple[Cap, ...]:
    """What a launch has to fit under by this person (GitHub's number, name), on the line if one is named.

    Raises Refusal as `line_of`.
    """
    policy, before = services.policy, services.people.names(person[0], repo.id)
    where = repo.id, repo.full_name
    budget = line_of(policy, line, person[1])
    return applying(policy.caps, person, where, repo.installation, budget, before)


def own_cap(services: Services, person: tuple[int, str]) -> Cap | None:
    """The cap of this person (GitHub's number, name) alone, by every name that they have had."""
    before = services.people.names(person[0], None).person
    return of_person(services.policy.caps, person, before)


def limits_of(ruling: Policy, person: tuple[int, str], repo: Repo, line: str) -> tuple[Limit, ...]:
    """How many runs may be live beside a launch by this person, on the line if one is named."""
    budget = ruling.lines.get(line)
    where = repo.id, repo.full_name
    return limits_for(ruling.concurrency, person, where, (line, budget) if budget else None)


def priced(services: Services, model: str, now_ms: int) -> None:
    """Raises Refusal for a model of the policy's that has no price."""
    try:
        services.prices.price(model, datetime.fromtimestamp(now_ms / 1000, UTC))
    except UnknownModel as error:
        raise Refusal("model", f"the policy's model cannot be priced: {error}") from error


def key_for(services: Services, ruling: Policy, line: tuple[str, Line] | None, person: str) -> str:
    """The variable of the key that a run is sent with. Raises Refusal where the service does not have it."""
    name = key_of(person, line[1] if line else None, ruling.teams)
    keyed(services, name)
    return name


def keyed(services: Services, name: str) -> None:
    """Raises Refusal for a key that the service does not have, or not any more."""
    if services.keys.get(name) is None:
        raise Refusal("key", f"the service has no key `{name}`, which its policy names for this run")


def tightened(
    ceilings: Ceilings, sources: Mapping[str, str], task_class: str, ruling: Policy
) -> tuple[Ceilings, dict[str, str]]:
    """With the lower ceilings of the class that a list names for an item, where nobody has set one."""
    row = ruling.classes.get(task_class, ceilings)
    lower = {
        name: getattr(row, name)
        for name, _ in limits.KINDS
        if sources[name].startswith("class ") and getattr(row, name) < getattr(ceilings, name)
    }
    named = dict.fromkeys(lower, f"class {task_class}, which the list names")
    return replace(ceilings, **lower), {**sources, **named}


def allowed(engine: str, ruling: Policy) -> None:
    """Raises Refusal for an engine that the policy does not allow."""
    if engine not in ruling.engines:
        those = ", ".join(ruling.engines) or "none at all"
        raise Refusal("engine", f"the policy allows the engines {those}, not {engine[:40]}")


def resolve(
    task_class: str,
    options: Options,
    role: Role,
    applied: Sequence[labels.Applied],
    ruling: Policy,
    *,
    by: str = "comment",
) -> Resolved:
    """What holds for a run that a person of this role asks for here. `by`: where the options stand."""
    return limits.resolve(
        task_class,
        options,
        labels.read(applied),
        role,
        classes=ruling.classes,
        most=ruling.most,
        engine=next(iter(ruling.engines), "none"),
        by=by,
    )
