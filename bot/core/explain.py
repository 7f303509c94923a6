"""What a comment and labels would come to here, without starting anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bot.core import commands, labels, limits
from bot.core.commands import Command, Malformed, Plain, Resume, Start, Sweep
from bot.core.labels import Applied
from bot.core.limits import Resolved
from bot.core.money import Usd
from bot.core.policy import Policy, PolicyError, tighten
from bot.core.roles import Role


def explain(labelled: str, comment: str, role: str, policy: str | bytes | None) -> dict[str, Any]:
    """One JSON-able object: command, error, ceilings, sources, clamps. `labelled` is `name@role,name`."""
    try:
        asked = Role.parse(role)
        applied = _applied(labelled, asked)
        rules = Policy.default() if policy is None else tighten(Policy.default(), Policy.parse(policy))
    except (ValueError, PolicyError) as error:
        return _answer(None, error=str(error))
    command = commands.parse(comment)
    match command:
        case None:
            return _answer(None, error="there is no command in this comment; it starts nothing")
        case Malformed(why, example):
            return _answer(None, error=f"{why}. For example: {example}")
        case Start(_, task_class, options, _):
            pass
        case Sweep(options, _):
            task_class = "sweep"
        case Resume(options, _):
            task_class = "default"
        case _:
            return _answer(command)
    if asked < Role.WRITE:
        return _answer(command, error=f"write permission is needed to start a run; this is {asked}")
    resolved = limits.resolve(
        task_class,
        options,
        labels.read(applied),
        asked,
        classes=rules.classes,
        most=rules.most,
        engine=rules.engines[0],
    )
    if resolved.engine not in rules.engines:
        allowed = ", ".join(rules.engines)
        return _answer(command, error=f"the policy allows the engines {allowed}, not {resolved.engine}")
    return _answer(command, resolved)


def _applied(text: str, role: Role) -> list[Applied]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        # An amount has no @, so the last one divides.
        name, at, by = part.rpartition("@")
        if at and by in ("app", "bot"):
            found.append(Applied(name, by_app=True))
            continue
        found.append(Applied(name, role=Role.parse(by)) if at else Applied(part, role=role))
    return found


def _answer(
    command: Command | None, resolved: Resolved | None = None, error: str | None = None
) -> dict[str, Any]:
    ceilings = resolved and resolved.ceilings
    return {
        "command": None if command is None else _told(command),
        "error": error,
        "ceilings": ceilings
        and {
            "usd": ceilings.usd.exact,
            "tokens": ceilings.tokens,
            "steps": ceilings.steps,
            "seconds": ceilings.seconds,
        },
        "sources": resolved.sources if resolved else {},
        "clamps": list(resolved.clamps) if resolved else [],
    }


def _told(command: Command) -> dict[str, Any]:
    verb = command.verb if isinstance(command, Start | Plain) else type(command).__name__.lower()
    said = asdict(command)
    options = said.pop("options", {})
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, dict):
            given[name] = Usd(**value).exact
    return {
        "verb": verb,
        **{k: v for k, v in said.items() if k != "verb"},
        **({"options": given} if options else {}),
    }
