"""What opening a run has alike, whoever asks: the run as it would be, why it was not opened, what is kept of
a refusal where there is no thread to tell."""

from __future__ import annotations

from collections.abc import Callable

from bot.core import replies
from bot.core.caps import Reached, Standing, month_of
from bot.core.care import care
from bot.core.ceilings import NATIVE_ENGINE
from bot.core.limits import Resolved
from bot.core.places import Repo
from bot.core.policy import Policy
from bot.core.roles import Role
from bot.core.waiting import Full
from bot.services import Services
from bot.stores.people import Opening
from bot.stores.run_rows import NewRun
from bot.stores.switch import Paused
from bot.stories.ruling import Refusal, allowed, key_for, line_of, priced


def new_run(
    services: Services,
    run: str,
    origin: str,
    repo: Repo,
    whose: tuple[int | None, str],
    role: Role,
    ruling: Policy,
    resolved: Resolved,
    now_ms: int,
    *,
    line: str = "",
    ours: bool = True,
) -> NewRun:
    """The run `run` of this person (GitHub's number, name), without what is its origin's alone: task, thread,
    the rest of its snapshot. `line`: the budget line, if on any; `ours`: one of our engines works with the
    policy's model, and not a program that names its own.

    Raises Refusal for an engine, a line, a key or a model that it may not have.
    """
    if ours:
        allowed(resolved.engine, ruling)
    budget = line_of(ruling, line, whose[1])
    key = key_for(services, ruling, budget, whose[1])
    if ours:
        priced(services, ruling.model, now_ms)
    careful = care(resolved.task_class, ruling.effort, ruling.context)
    return NewRun(
        id=run,
        origin=origin,
        ceilings=resolved.ceilings,
        task_class=resolved.task_class,
        engine=resolved.engine,
        model=ruling.model if ours else "",
        effort=careful.effort if ours else "",
        price_book=services.prices.version,
        actor=whose[1],
        actor_id=whose[0],
        line=budget[0] if budget else "",
        key_name=key,
        month=month_of(now_ms, services.policy.caps.zone),
        installation=repo.installation,
        repository_id=repo.id or None,
        repository=repo.full_name,
        snapshot={
            "thread": {},
            "role": str(role),
            "check": ruling.check,
            "context": careful.context,
            "forbidden_paths": list(ruling.forbidden),
        },
        sources=resolved.sources,
        clamps=resolved.clamps,
        keeps_back=ours and resolved.engine == NATIVE_ENGINE,
        rules=ruling.rules,
        retention=ruling.retention,
    )


def fits(fitted: Opening, reached: Callable[[Standing], str] = replies.reached) -> None:
    """Raises Refusal where there was no room for a run that does not wait, with what there is to do."""
    if isinstance(fitted, Paused):
        raise Refusal("paused", f"{fitted}; nothing runs until that is lifted")
    if isinstance(fitted, Full):
        raise Refusal("full", f"{fitted}; ask again when one of them has ended")
    if isinstance(fitted, Reached):
        raise Refusal("cap_reached", reached(fitted.standing))


def record(
    services: Services,
    refusal: Refusal,
    kind: str,
    number: int,
    repo: tuple[int, str],
    whose: tuple[int | None, str],
) -> None:
    """Keep it, by the number under which it was asked. `repo`: GitHub's number, name; 0 and "" for none."""
    services.refusals.record(
        repository_id=repo[0],
        repository=repo[1],
        thread=None,
        comment_kind=kind,
        comment_id=number,
        actor=whose[1],
        actor_id=whose[0],
        reason=refusal.reason,
        message=str(refusal),
    )
