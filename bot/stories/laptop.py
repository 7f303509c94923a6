"""A laptop asks for a run: who asks, whether they still may, what holds; one row under every cap (P7, R20).

The person is known by the laptop's token; whether they belong here GitHub is asked each time. A checkout of a
repository of ours makes the run that repository's; any other run is its person's alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bot.core import limits, replies
from bot.core.caps import Standing
from bot.core.laptop import BUDGETS, Asked
from bot.core.limits import KINDS
from bot.core.places import Repo
from bot.core.policy import Policy
from bot.core.roles import Role
from bot.services import Services
from bot.stores.laptops import Laptop
from bot.stores.run_rows import LAPTOP, NewRun, Run
from bot.stores.runs import new_id
from bot.stories import ack, policy_file
from bot.stories.opening import fits, new_run, record
from bot.stories.ruling import Refusal, caps_of, keyed, limits_of, resolve, within

AGAIN = "log in again with `python -m bot login` once you may"


class NotYet(Exception):
    """The run is still being wound up: the same question has an answer in a moment."""


@dataclass(frozen=True, slots=True)
class Here:
    """Where a run is counted: `repo` without a number is no repository of ours; and what holds there."""

    repo: Repo
    branch: str
    role: Role
    ruling: Policy


def open_run(services: Services, laptop: Laptop, asked: Asked) -> Run:
    """The run that is asked for: a new one, a further attempt, or what it was given when it asked before.

    Raises Refusal, which is recorded, NotYet, and GitHubError.
    """
    if (known := services.threads.of_laptop(laptop.opener, asked.number)) is not None and not asked.goes_on:
        return known
    here = Repo(laptop.home.installation, 0, "")
    try:
        found = _here(services, laptop, asked)
        here = found.repo
        return (
            _go_on(services, laptop, asked, found) if asked.goes_on else _open(services, laptop, asked, found)
        )
    except Refusal as refusal:
        whose = laptop.actor_id, laptop.actor
        record(services, refusal, LAPTOP, asked.number, (here.id, here.full_name), whose)
        raise


def _open(services: Services, laptop: Laptop, asked: Asked, here: Here) -> Run:
    new = _new_run(services, laptop, asked, here)
    whose = laptop.actor_id, laptop.actor
    caps = caps_of(services, whose, here.repo, new.line)
    room = limits_of(here.ruling, whose, here.repo, new.line)
    # Nobody sits and waits before a laptop: it is told, and asks again.
    fits(services.people.open(new, caps, limits=room, waits=False), partial(_reached, services))
    opened = services.threads.of_laptop(laptop.opener, asked.number)
    if opened is None:
        raise Refusal("busy", "its number is another run's; ask again with another one")
    services.laptops.seen(laptop.id)
    return opened


def _go_on(services: Services, laptop: Laptop, asked: Asked, here: Here) -> Run:
    """The same run again: as it is while it is live, for then its process has just died; else in a further
    attempt with new totals, under the caps of its month."""
    run = services.runs.get(asked.goes_on)
    if run is None or run.origin != LAPTOP or run.actor_id != laptop.actor_id:
        raise Refusal(
            "unknown_run", f"you have no run {asked.goes_on} here; leave --state out, or name another"
        )
    if run.live:
        # Whose token it gets is who it ends with, should that login be revoked.
        if not services.laptops.take(laptop, run.id, run.attempt):
            raise Refusal("busy", f"run {run.id} has just ended, or goes on elsewhere; ask again")
        return run
    if run.finished_at is None:
        raise NotYet(f"run {run.id} has ended, and is still being wound up")
    if (run.repository_id or 0) != here.repo.id:
        raise Refusal(
            "elsewhere", f"run {run.id} is {run.repository or 'no repository'}'s, and goes on there only"
        )
    if asked.options.line is not None and asked.options.line.lower() != run.line:
        raise Refusal("line", f"run {run.id} counts for {run.line or 'no line'}, and goes on so")
    keyed(services, run.key_name)
    asked = replace(asked, options=replace(asked.options, line=run.line or None))
    new = replace(_new_run(services, laptop, asked, here), id=run.id, month=run.month)
    _left(run, new)
    whose, why = (laptop.actor_id, laptop.actor), {"why": run.message or run.state}
    caps = caps_of(services, whose, here.repo, run.line)
    room = limits_of(here.ruling, whose, here.repo, run.line)
    fitted = services.people.reopen(run.attempt, new, caps, why, limits=room, waits=False, by=laptop.actor)
    fits(fitted, partial(_reached, services))
    if not fitted:
        raise Refusal("busy", f"run {run.id} goes on elsewhere just now")
    services.laptops.seen(laptop.id)
    return services.runs.get(run.id) or run


def _here(services: Services, laptop: Laptop, asked: Asked) -> Here:
    """Where it works and what holds there; raises Refusal for who may not, or not any more."""
    github, checkout = services.github, asked.checkout
    ours = checkout.host.lower() == (urlsplit(services.settings.github_web_url).hostname or "")
    installation = github.installation(checkout.repository) if ours and checkout.repository else None
    if installation is None:
        role = _entitled(services, laptop, laptop.home)
        return Here(Repo(laptop.home.installation, 0, ""), "", role, services.policy)
    repo, branch = github.place(installation, checkout.repository)
    role = _entitled(services, laptop, repo)
    return Here(repo, branch, role, within(services, policy_file.read(services, repo, branch), branch))


def _entitled(services: Services, laptop: Laptop, repo: Repo) -> Role:
    role = services.github.role(repo, laptop.actor, laptop.actor_id)
    if role < Role.WRITE:
        why = f"{laptop.actor} has the role {role} in {repo.full_name}, and write permission is needed"
        raise Refusal("not_entitled", f"{why}; {AGAIN}")
    return role


def _new_run(services: Services, laptop: Laptop, asked: Asked, here: Here) -> NewRun:
    """The run as it would be opened. Raises Refusal."""
    ruling, repo = replace(here.ruling, model=asked.model or here.ruling.model), here.repo
    resolved = resolve(asked.task_class, asked.options, here.role, (), ruling, by="option")
    from_budget = {name: BUDGETS[kind] for name, kind in KINDS if kind in asked.budgets}
    sources = {
        name: from_budget.get(name, said) if said == "option" else said
        for name, said in resolved.sources.items()
    }
    resolved = replace(resolved, engine=asked.engine, sources=sources)
    whose, now = (laptop.actor_id, laptop.actor), services.database.now_ms()
    new = new_run(
        services, new_id(), LAPTOP, repo, whose, here.role, ruling, resolved, now,
        line=resolved.line, ours=asked.native,
    )  # fmt: skip
    return replace(
        new,
        task=asked.task,
        opened_by=laptop.opener,
        branch=asked.checkout.branch if repo.id and asked.checkout.branch != here.branch else "",
        comment_kind=LAPTOP,
        comment_id=asked.number,
        snapshot={
            **new.snapshot,
            "head": {"ref": asked.checkout.branch, "sha": asked.checkout.sha},
            "default_branch": here.branch,
            "machine": laptop.machine,
            "check": asked.check or ruling.check,
        },
    )


def _reached(services: Services, standing: Standing) -> str:
    spenders = services.people.dearest(standing.cap, standing.month, 3)
    went = ", ".join(f"{one.usd} on {one.run}" for one in spenders)
    on = f" (most of it: {went})" if went else ""
    then = replies.what_then(standing, ack.openers(services.policy, standing.cap)).rstrip(".")
    return f"{replies.reached(standing)}{on}. {then}"


def _left(run: Run, new: NewRun) -> None:
    """Raises Refusal where the totals are used up already."""
    spent, most = run.spent, new.ceilings
    used: tuple[tuple[str, Any, Any], ...] = (
        ("cost", spent.usd, most.usd),
        ("tokens", spent.tokens, most.tokens),
        ("steps", spent.steps, most.steps),
        ("wall", spent.seconds, most.seconds),
    )
    for kind, so_far, total in used:
        if so_far >= total:
            shown = f"{limits.show(kind, so_far)} of {limits.show(kind, total)}"
            why = f"run {run.id} has used {shown} already; --{kind} sets a greater total"
            raise Refusal("nothing_left", why)
