"""What a policy file says: who may spend how much on what, with which engine, and what no run may touch.

A repository's file is `.github/agent.yml` on its default branch, never the one of a pull request's head
(docs/policy.md). A wrong file starts nothing; there is no falling back in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bot.core import changeset, document, policy_keys
from bot.core.caps import Caps, Line, Team
from bot.core.ceilings import CLASSES, Ceilings
from bot.core.commands import ENGINES
from bot.core.document import PolicyError
from bot.core.limits import MOST
from bot.core.money import ZERO, Usd
from bot.core.roles import Role
from bot.core.rules import Allowance, Rules, Stuck
from bot.core.visibility import Viewers
from bot.core.waiting import Concurrency

__all__ = ["FORBIDDEN", "Policy", "PolicyError", "forbidden", "parse", "tighten"]

# What a run may never change, whatever a policy says: they decide what the next run may do.
FORBIDDEN = (".github/workflows/**", ".github/agent.yml")
_NAMES = {
    "cost": "usd",
    "tokens": "tokens",
    "steps": "steps",
    "wall": "seconds",
    "cached_tokens": "cached_tokens",
}
_ROLES = (Role.WRITE, Role.MAINTAIN, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Sweeping:
    """How a task list is run: items at once, items at most, dollars at most for all of them; its line."""

    parallel: int = 3
    items: int = 50
    total: Usd | None = None
    line: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy, every key filled in. `given` are the dotted keys that the file itself set.

    `classes` and `most` have a row for each class and for each of write, maintain, admin; `retention` is in
    days; `engines[0]` is the default engine; `forbidden` always contains FORBIDDEN.
    """

    classes: Mapping[str, Ceilings] = field(default_factory=lambda: dict(CLASSES))
    most: Mapping[Role, Ceilings] = field(default_factory=lambda: dict(MOST))
    engines: tuple[str, ...] = ENGINES
    model: str = "claude-opus-4-7"
    effort: str | None = None  # as its class has it (core/care), and so is the context
    context: int | None = None
    admission: str = "strict"
    check: str | None = None
    sweep: Sweeping = field(default_factory=Sweeping)
    forbidden: tuple[str, ...] = FORBIDDEN
    publish: str = "push"
    stuck: Stuck = field(default_factory=Stuck)
    retention: int = 30
    allow: Mapping[str, Allowance] = field(default_factory=dict)
    caps: Caps = field(default_factory=Caps)
    lines: Mapping[str, Line] = field(default_factory=dict)
    teams: Mapping[str, Team] = field(default_factory=dict)
    concurrency: Concurrency = field(default_factory=Concurrency)
    approvers: tuple[str, ...] = ()  # in lower case
    viewers: Viewers = field(default_factory=Viewers)
    drift: Usd = ZERO  # up to which ledger and invoice may differ before somebody is told
    given: frozenset[str] = frozenset()

    @property
    def rules(self) -> Rules:
        """What the gateway obeys of it."""
        return Rules(self.admission, self.allow, self.stuck)

    @staticmethod
    def default() -> Policy:
        """What holds where there is no file."""
        return Policy()

    @staticmethod
    def parse(text: str | bytes | None) -> Policy:
        """See `parse`."""
        return parse(text)


def parse(text: str | bytes | None, *, service: bool = False) -> Policy:
    """A policy from its file; the default where there is none. Raises PolicyError and nothing else.

    `service`: it is the service's own file, which may have keys that a repository's may not.
    """
    root = document.read(text) if text is not None else None
    if root is None or (isinstance(root, document.Scalar) and root.kind == "null"):
        return Policy()
    said = policy_keys.read(root, service=service)
    plain = {
        name: said[name]
        for name in ("engines", "model", "effort", "context", "admission", "check", "publish", "retention")
        if name in said
    }
    policy = replace(
        Policy(),
        classes=_classes(said.get("classes", {})),
        most=_most(said.get("max", {}), root),
        given=frozenset(_given(said)),
        **plain,
    )
    policy = replace(policy, concurrency=replace(policy.concurrency, **said.get("concurrency", {})))
    policy = replace(policy, sweep=replace(policy.sweep, **said.get("sweep", {})))
    policy = replace(policy, allow=_allow(said.get("allow", {})))
    policy = replace(policy, stuck=replace(policy.stuck, **said.get("stuck", {})))
    approvers = tuple(name.lower() for name in said.get("approvers", ()))
    caps = replace(_caps(said.get("caps", {}), root), accounts=_accounts(said.get("cursor", {})))
    policy = replace(policy, caps=caps, approvers=approvers)
    policy = replace(policy, drift=said.get("drift", ZERO))
    policy = replace(
        policy, lines=_lines(said.get("lines", {}), root), teams=_teams(said.get("teams", {}), root)
    )
    policy = replace(policy, viewers=_viewers(said.get("viewers", {})))
    listed = said.get("paths", {}).get("forbidden", ())
    return replace(policy, forbidden=_union(FORBIDDEN, listed))


def _given(said: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for name, value in said.items():
        if isinstance(value, dict) and value:
            yield from _given(value, f"{above}{name}.")
        else:
            yield above + name


def _allow(said: Mapping[str, Any]) -> Mapping[str, Allowance]:
    return {
        name: Allowance(
            told.get("uses", 0), told.get("tokens", 0), told["cost"].nanos if "cost" in told else 0
        )
        for name, told in said.items()
    }


def _caps(said: Mapping[str, Any], root: document.Node) -> Caps:
    """The caps, with every tier's name replaced by its amount."""
    tiers = said.get("tiers", {})

    def amount(told: Usd | str, key: str) -> Usd:
        if isinstance(told, Usd):
            return told
        if told not in tiers:
            why = f"there is no tier {told}; there are {', '.join(tiers) or 'none'}"
            raise PolicyError(_line(root, key), key, why)
        return Usd(tiers[told].nanos)

    plain = {name: said[name] for name in ("installation", "acknowledge", "mention") if name in said}
    everyone = amount(said["everyone"], "caps.everyone") if "everyone" in said else None
    people = {name: amount(told, f"caps.people.{name}") for name, told in said.get("people", {}).items()}
    return Caps(
        zone=said.get("time_zone", "UTC"),
        everyone=everyone,
        people=people,
        repositories=said.get("repositories", {}),
        tiers=tiers,
        **plain,
    )


def _accounts(said: Mapping[str, Any]) -> Mapping[str, str]:
    return {email: login.lower() for email, login in said.get("people", {}).items()}


def _lines(said: Mapping[str, Any], root: document.Node) -> Mapping[str, Line]:
    found = {}
    for name, told in said.items():
        monthly, members = (_needed(told, root, f"lines.{name}", key) for key in ("monthly", "members"))
        people = frozenset(member.lower() for member in members)
        found[name] = Line(monthly, people, told.get("api_key_env", ""), told.get("concurrency"))
    return found


def _viewers(said: Mapping[str, Any]) -> Viewers:
    role = Role.parse(said["role"]) if "role" in said else None
    people, admins = (frozenset(name.lower() for name in said.get(key, ())) for key in ("people", "admins"))
    return Viewers(role, people, admins)


def _teams(said: Mapping[str, Any], root: document.Node) -> Mapping[str, Team]:
    found = {}
    for name, told in said.items():
        members, key = (_needed(told, root, f"teams.{name}", part) for part in ("members", "api_key_env"))
        found[name] = Team(frozenset(member.lower() for member in members), key)
    return found


def _needed(told: Mapping[str, Any], root: document.Node, above: str, key: str) -> Any:
    if key not in told:
        raise PolicyError(_line(root, above), above, f"it has no {key}")
    return told[key]


def _row(row: Ceilings, said: Mapping[str, Any]) -> Ceilings:
    return replace(row, **{_NAMES[name]: value for name, value in said.items()})


def _classes(said: Mapping[str, Any]) -> Mapping[str, Ceilings]:
    return {name: _row(row, said.get(name, {})) for name, row in CLASSES.items()}


def _most(said: Mapping[str, Any], root: document.Node) -> Mapping[Role, Ceilings]:
    """A greater role may at least what a lesser may: so filled in, and an error where the file denies it."""
    rows = {role: _row(MOST[role], said.get(str(role), {})) for role in _ROLES}
    for name in policy_keys.CEILINGS.keys:
        column = _NAMES[name]
        own = {role: getattr(rows[role], column) for role in _ROLES if name in said.get(str(role), {})}
        for role in _ROLES:
            lesser = [value for other, value in own.items() if other < role]
            greater = [value for other, value in own.items() if other > role]
            if role in own and lesser and own[role] < max(lesser):
                key = f"max.{role}.{name}"
                raise PolicyError(_line(root, key), key, "this is less than what a lesser role may set")
            if role not in own:
                value = max([getattr(rows[role], column), *lesser])
                rows[role] = replace(rows[role], **{column: min([value, *greater])})
    return rows


def _line(node: document.Node, key: str) -> int:
    line = node.line
    for name in key.split("."):
        if not isinstance(node, document.Mapping) or name not in node.items:
            break
        line, node = node.lines[name], node.items[name]
    return line


def _union(*lists: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))


# -- two policies --


def tighten(service: Policy, repo: Policy) -> Policy:
    """The repository's policy inside the service's: whatever differs, the tighter holds (P2).

    The service's maxima, admission, publishing, numbers and engines always bound. Its classes bound where its
    file sets them. Its classes, maxima, model, effort, context, check, numbers, admission and allowances
    hold where the repository's file says nothing.
    """
    taken = {
        name: getattr(service, name)
        for name in ("model", "effort", "context", "check")
        if name not in repo.given and name in service.given
    }
    admission = repo.admission if "admission" in repo.given else service.admission

    def least_of(key: str, most: int, own: int) -> int:
        return min(most, own) if key in repo.given else most

    return replace(
        repo,
        classes={name: _tighter_class(name, service, repo) for name in repo.classes},
        most=_tighter_most(service, repo),
        engines=tuple(engine for engine in repo.engines if engine in service.engines),
        admission=service.admission if service.admission == admission else "strict",
        allow=_tighter_allow(service, repo),
        publish="push" if service.publish == repo.publish == "push" else "pull_request",
        sweep=Sweeping(
            parallel=least_of("sweep.parallel", service.sweep.parallel, repo.sweep.parallel),
            items=least_of("sweep.items", service.sweep.items, repo.sweep.items),
            total=min((one.sweep.total for one in (service, repo) if one.sweep.total), default=None),
            line=repo.sweep.line or service.sweep.line,
        ),
        stuck=Stuck(
            repeats=least_of("stuck.repeats", service.stuck.repeats, repo.stuck.repeats),
            idle=least_of("stuck.idle", service.stuck.idle, repo.stuck.idle),
            errors=least_of("stuck.errors", service.stuck.errors, repo.stuck.errors),
        ),
        concurrency=Concurrency(
            person=least_of("concurrency.person", service.concurrency.person, repo.concurrency.person),
            repository=least_of(
                "concurrency.repository", service.concurrency.repository, repo.concurrency.repository
            ),
        ),
        retention=least_of("retention", service.retention, repo.retention),
        forbidden=_union(service.forbidden, repo.forbidden),
        caps=service.caps,
        lines=service.lines,
        teams=service.teams,
        approvers=service.approvers,
        viewers=service.viewers,
        drift=service.drift,
        given=service.given | repo.given,
        **taken,
    )


def _tighter_allow(service: Policy, repo: Policy) -> Mapping[str, Allowance]:
    """What the service allows, less where the repository says so: never more (P2)."""
    if not any(key.partition(".")[0] == "allow" for key in repo.given):
        return service.allow
    return {
        name: Allowance(
            min(most.uses, own.uses),
            min(most.tokens, own.tokens),
            most.nanos,  # what the service says it costs is what it costs
        )
        for name, most in service.allow.items()
        if (own := repo.allow.get(name)) is not None
    }


def _tighter_class(name: str, service: Policy, repo: Policy) -> Ceilings:
    """Each ceiling the lower of those that a file sets; where none does, the default."""
    most, own = service.classes[name], repo.classes[name]
    values = {}
    for key, column in _NAMES.items():
        told = f"classes.{name}.{key}"
        if told not in repo.given:
            values[column] = getattr(most, column)
        elif told in service.given:
            values[column] = min(getattr(most, column), getattr(own, column))
    return replace(own, **values)


def _tighter_most(service: Policy, repo: Policy) -> Mapping[Role, Ceilings]:
    """The service's maxima, where the repository's file sets none; no lesser role may more than a greater one
    that it names."""
    rows = dict(service.most)
    for role in _ROLES:
        for name in policy_keys.CEILINGS.keys:
            column = _NAMES[name]
            told = [
                getattr(repo.most[other], column)
                for other in _ROLES
                if other >= role and f"max.{other}.{name}" in repo.given
            ]
            value = min([getattr(service.most[role], column), *told])
            rows[role] = replace(rows[role], **{column: value})
    return rows


# -- paths --


def forbidden(path: str, patterns: Iterable[str] = FORBIDDEN) -> str | None:
    """The pattern that covers a path, however the path is written: `./`, `//`, `\\`, `..`, any case."""
    place: list[str] = []
    for part in re.split(r"[/\\]+", path):
        name = changeset.seen(part)  # and trailing dots and spaces are ignored by NTFS
        if name == "..":
            del place[-1:]
        elif name not in ("", "."):
            place.append(name.rstrip(". ") or name)
    clean = "/".join(place)
    return next((pattern for pattern in patterns if changeset.matches(clean, pattern)), None)
