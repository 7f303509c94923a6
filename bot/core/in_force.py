"""The settings as they hold: each key of both policy files with its value, and which file it is from.

Of the same policies, by the same rules, as a launch and `explain`: nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.core import limits
from bot.core.care import care
from bot.core.ceilings import Ceilings, span
from bot.core.commands import Options
from bot.core.labels import Labelled
from bot.core.money import Usd
from bot.core.policy import Policy, tighten
from bot.core.roles import Role
from bot.core.visibility import Sight

MOST_CHANGES = 50  # that are named; a file may change in every line


class Source(StrEnum):
    """Where a value comes from."""

    BUILT_IN = "built in"
    SERVICE = "the service's file"
    REPOSITORY = "the repository's file"
    BOTH = "both files together"


@dataclass(frozen=True, slots=True)
class Held:
    """One key: what holds, from where; `instead` is what another place says, which it does not come to."""

    key: str
    value: str
    source: Source
    instead: str = ""


@dataclass(frozen=True, slots=True)
class ClassHeld:
    """What a run of a class gets that somebody of a role asks for without option and label."""

    name: str
    ceilings: tuple[Held, ...]  # in the order of limits.KINDS
    cached: Held
    effort: str
    context: int


def in_force(service: Policy, repo: Policy) -> tuple[Held, ...]:
    """Every key of both; the service's own last."""
    both = tighten(service, repo)
    return (*_held(common(both), service, repo), *_held(own(both), service, repo))


def for_role(service: Policy, repo: Policy, role: Role) -> tuple[ClassHeld, ...]:
    """The classes, bounded by what this role may have; less than write has nothing."""
    both = tighten(service, repo)
    held = {one.key: one for one in _held(common(both), service, repo)}
    rows = []
    for name in both.classes:
        found = limits.resolve(
            name, Options(), Labelled({}, ()), role, classes=both.classes, most=both.most
        ).ceilings
        cells = []
        for column, kind in limits.KINDS:
            told = held[f"classes.{name}.{kind}"]
            if getattr(found, column) != getattr(both.classes[name], column):
                most = held[f"max.{role}.{kind}"]
                told = Held(most.key, most.value, most.source, f"the class has {told.value}")
            cells.append(told)
        careful = care(name, both.effort, both.context)
        cached = held[f"classes.{name}.cached_tokens"]
        rows.append(ClassHeld(name, tuple(cells), cached, careful.effort, careful.context))
    return tuple(rows)


def visible(
    held: Iterable[Held], policy: Policy, sight: Sight, login: str, names: Callable[[str], bool]
) -> tuple[Held, ...]:
    """What of it this person may see. `names`: whether they may read a repository of that name.

    How the variables of keys are called, only `admin`; what others may spend, and what a repository and an
    installation may, whoever sees everybody; a line, its members too.
    """

    def may(key: str) -> bool:
        if key.endswith(".api_key_env"):
            return sight.admin
        match key.split(".", 2):
            case "caps", "repositories", name:
                return (sight.everyone or sight.admin) and names(name)
            case "caps", "people", name:
                return sight.everyone or sight.admin or name == login.lower()
            case "lines", name, _:
                return sight.admin or sight.line(login.lower() in policy.lines[name].members)
            case "cursor", "people", account:
                mine = policy.caps.accounts[account].lower() == login.lower()
                return sight.everyone or sight.admin or mine
            case ("caps", "installation") | ("teams", *_) | ("drift",):
                return sight.everyone or sight.admin
            case _:
                return True

    return tuple(one for one in held if may(one.key))


def changes(before: Policy, after: Policy) -> tuple[str, ...]:
    """`classes.bugfix.cost: $5.00 → $4.00`, a phrase for each key that has another value."""
    was, is_ = (dict(common(one)) | dict(own(one)) for one in (before, after))
    found = [
        f"{key}: {was.get(key, NONE)} → {is_.get(key, NONE)}"
        for key in dict.fromkeys((*was, *is_))
        if was.get(key) != is_.get(key)
    ]
    more = len(found) - MOST_CHANGES
    return (*found[:MOST_CHANGES], *([f"and {more} more"] if more > 0 else []))


# -- every key with its value, as people write it --

NONE = "none"
BY_CLASS = "by class"


def common(policy: Policy) -> Iterator[tuple[str, str]]:
    """The keys that both files may have."""
    for name, row in policy.classes.items():
        yield from _row(f"classes.{name}", row)
        yield f"classes.{name}.cached_tokens", _count(row.cached_tokens)
    for role, row in policy.most.items():
        yield from _row(f"max.{role}", row)
    yield "engines", _list(policy.engines)
    yield "model", policy.model
    yield "effort", policy.effort or BY_CLASS
    yield "context", _count(policy.context) if policy.context else BY_CLASS
    yield "admission", policy.admission
    for name, allowed in policy.allow.items():
        parts = {"uses": _count(allowed.uses), "tokens": _count(allowed.tokens), "cost": Usd(allowed.nanos)}
        yield from ((f"allow.{name}.{part}", str(value)) for part, value in parts.items())
    yield "check", policy.check or "the agent's last test command"
    sweep = policy.sweep
    yield "sweep.parallel", str(sweep.parallel)
    yield "sweep.items", str(sweep.items)
    yield "sweep.total", str(sweep.total) if sweep.total else "items times each one's ceiling"
    yield "sweep.line", sweep.line or NONE
    yield "concurrency.person", str(policy.concurrency.person)
    yield "concurrency.repository", str(policy.concurrency.repository)
    yield "paths.forbidden", _list(policy.forbidden)
    yield "publish", policy.publish
    for name in ("repeats", "idle", "errors"):
        yield f"stuck.{name}", str(getattr(policy.stuck, name))
    yield "retention", f"{policy.retention}d"


def own(policy: Policy) -> Iterator[tuple[str, str]]:
    """The keys that only the service's file may have; no key's value is in it, only its variable's name."""
    caps, viewers = policy.caps, policy.viewers
    yield "caps.time_zone", caps.zone
    yield from ((f"caps.tiers.{name}", str(usd)) for name, usd in caps.tiers.items())
    yield "caps.everyone", str(caps.everyone or NONE)
    yield from ((f"caps.people.{name}", str(usd)) for name, usd in caps.people.items())
    yield from ((f"caps.repositories.{name}", str(usd)) for name, usd in caps.repositories.items())
    yield "caps.installation", str(caps.installation or NONE)
    yield "caps.acknowledge", caps.acknowledge
    yield "caps.mention", "true" if caps.mention else "false"
    for name, line in policy.lines.items():
        yield f"lines.{name}.monthly", str(line.monthly)
        yield f"lines.{name}.members", _list(sorted(line.members))
        yield f"lines.{name}.api_key_env", line.key or "the key of the person's team"
        yield f"lines.{name}.concurrency", _count(line.concurrency)
    for name, team in policy.teams.items():
        yield f"teams.{name}.members", _list(sorted(team.members))
        yield f"teams.{name}.api_key_env", team.key
    yield "approvers", _list(policy.approvers)
    yield "viewers.role", str(viewers.role or NONE)
    yield "viewers.people", _list(sorted(viewers.people))
    yield "viewers.admins", _list(sorted(viewers.admins))
    yield "drift", str(policy.drift)
    yield from ((f"cursor.people.{account}", login) for account, login in caps.accounts.items())


def _held(told: Iterable[tuple[str, str]], service: Policy, repo: Policy) -> Iterator[Held]:
    above, below = (dict(common(one)) | dict(own(one)) for one in (service, repo))
    usual = dict(common(Policy())) | dict(own(Policy()))
    for key, value in told:
        theirs, asked = key in repo.given, below.get(key, NONE)
        if theirs and asked == value:
            source = Source.REPOSITORY
        elif above.get(key) == value:
            source = (
                Source.BUILT_IN if usual.get(key) == value and key not in service.given else Source.SERVICE
            )
        else:
            # A maximum that no file has for this role is bounded by the repository's for a greater one.
            source = Source.BOTH if theirs else Source.REPOSITORY
        yield Held(
            key, value, source, f"the repository's file says {asked}" if theirs and asked != value else ""
        )


def _row(above: str, row: Ceilings) -> Iterator[tuple[str, str]]:
    values: Mapping[str, str] = {
        "cost": str(row.usd), "tokens": _count(row.tokens), "steps": _count(row.steps),
        "wall": span(row.seconds),
    }  # fmt: skip
    return ((f"{above}.{name}", value) for name, value in values.items())


def _count(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"


def _list(words: Iterable[str]) -> str:
    return ", ".join(words) or NONE
