"""From a comment, labels and a policy to the four ceilings of a run, each with its source and every clamp.

For each ceiling: the comment's option, else the label, else the class. A comment may lower what a label set,
and raise it only if the commenter's role is at least the labeler's; labels by triage, bots and Apps only
lower; then the maximum for the role of whoever set it (P1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.core.ceilings import CLASSES, Ceilings, span
from bot.core.commands import Options
from bot.core.labels import Labelled
from bot.core.money import Usd
from bot.core.roles import Role

# The ceiling, the option and label that set it, and how people call it.
KINDS = (("usd", "cost"), ("tokens", "tokens"), ("steps", "steps"), ("seconds", "wall"))


def times(ceilings: Ceilings, factor: int) -> Ceilings:
    return Ceilings(
        ceilings.usd * factor, ceilings.tokens * factor, ceilings.steps * factor, ceilings.seconds * factor
    )


# INTERFACE section 4: the most without a policy.
MOST: dict[Role, Ceilings] = {
    Role.WRITE: CLASSES["refactor"],
    Role.MAINTAIN: times(CLASSES["refactor"], 2),
    Role.ADMIN: times(CLASSES["refactor"], 5),
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The ceilings of a run, each one's source (by usd|tokens|steps|seconds), and every clamp in words."""

    ceilings: Ceilings
    sources: dict[str, str]
    clamps: tuple[str, ...]
    task_class: str
    engine: str


def resolve(
    task_class: str,
    options: Options,
    labels: Labelled,
    role: Role,
    *,
    classes: Mapping[str, Ceilings] = CLASSES,
    most: Mapping[Role, Ceilings] = MOST,
    engine: str = "opus",
) -> Resolved:
    """What holds for a run that a person of this role asks for. Never above the maximum of who set it."""
    notes = list(labels.notes)
    if task_class == "default" and "class" in labels.settings:
        task_class = labels.settings["class"].value
    row = classes.get(task_class, classes["default"])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, kind in KINDS:
        values[name], sources[name] = _one(
            kind, getattr(row, name), getattr(options, kind), labels, role, task_class, name, most, notes
        )
    if options.engine is not None:
        engine = options.engine
    elif "engine" in labels.settings:
        engine = labels.settings["engine"].value
    ceilings = replace(row, **values)
    return Resolved(ceilings, sources, tuple(notes), task_class, engine)


def _one(
    kind: str,
    default: Any,
    asked: Any,
    labels: Labelled,
    role: Role,
    task_class: str,
    name: str,
    most: Mapping[Role, Ceilings],
    notes: list[str],
) -> tuple[Any, str]:
    value, source, setter = default, f"class {task_class}", role
    setting = labels.settings.get(kind)
    if setting is not None:
        label = setting.label
        value, source = setting.value, label.by
        if label.by_app or label.role < Role.WRITE:
            # Triage, bots and Apps may only lower; what they leave is the class's own.
            if value > default:
                notes.append(f"{kind}: `{label.name}` may only lower the class's {show(default)}: {label.by}")
                value, source = default, f"class {task_class}"
        else:
            setter = label.role
    if asked is not None:
        if setting is not None and asked > value and role < setter:
            notes.append(
                f"{kind}: {show(asked)} asked in the comment, but a {setting.label.by} set {show(value)} "
                f"and {role} may not raise it"
            )
        else:
            value, source, setter = asked, "comment", role
    ceiling = getattr(most[max(Role.WRITE, setter)], name)
    if value > ceiling:
        notes.append(f"{kind}: {show(value)} ({source}) is above {show(ceiling)}, the most for {setter}")
        value = ceiling
    return value, source


def show(value: Any) -> str:
    return str(value) if isinstance(value, Usd) else f"{value:,}"


def described(name: str, ceilings: Ceilings) -> str:
    """A ceiling as people write it: `$10.00`, `800,000`, `50`, `20m`."""
    value = getattr(ceilings, name)
    return span(value) if name == "seconds" else show(value)
