"""From a comment, labels and a policy to the four ceilings of a run, each with its source and every clamp.

For each ceiling: the comment's option, else the label, else the class. A comment may lower what a label set,
and raise it only if the commenter's role is at least the labeler's; labels by triage, bots and Apps only
lower; then the maximum for the role of whoever set it (P1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.core.ceilings import CLASSES, Ceilings, least, span
from bot.core.commands import Options
from bot.core.labels import Labelled, Setting, kind_of
from bot.core.money import Usd
from bot.core.roles import Role
from bot.core.untrusted import code

# The ceiling, the option and label that set it, and how people call it.
KINDS = (("usd", "cost"), ("tokens", "tokens"), ("steps", "steps"), ("seconds", "wall"))


def times(ceilings: Ceilings, factor: int) -> Ceilings:
    return Ceilings(
        ceilings.usd * factor, ceilings.tokens * factor, ceilings.steps * factor, ceilings.seconds * factor
    )


# The most without a policy: docs/policy.md, "Keys".
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
    line: str = ""  # that its spend is to be on, if there is one of that name


def resolve(
    task_class: str,
    options: Options,
    labels: Labelled,
    role: Role,
    *,
    classes: Mapping[str, Ceilings] = CLASSES,
    most: Mapping[Role, Ceilings] = MOST,
    engine: str = "opus",
    by: str = "comment",
) -> Resolved:
    """What holds for a run that a person of this role asks for. Never above the maximum of who set it.

    `by`: where the options stand.
    """
    notes = list(labels.notes)
    asked = task_class
    task_class, row = _class(asked, labels, classes, notes)
    full = classes.get(task_class, classes["default"])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, kind in KINDS:
        value = getattr(row, name)
        held = Held(value, f"class {task_class if value == getattr(full, name) else asked}", role)
        held = _labelled(kind, held, labels.every.get(kind, ()), notes)
        asked_for = Held(getattr(options, kind), by, role)
        held = _asked(kind, asked_for, held, labels.every.get(kind, ()), notes)
        held = _bounded(kind, held, getattr(most[max(Role.WRITE, held.role)], name), notes)
        values[name], sources[name] = held.value, held.source
    chosen = labels.settings
    if options.engine is not None:
        engine = options.engine
    elif "engine" in chosen:
        engine = chosen["engine"].value
    line = options.line or (str(chosen["line"].value) if "line" in chosen else "")
    return Resolved(replace(row, **values), sources, tuple(notes), task_class, engine, line)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A live run's ceilings after a label has changed, their sources, and what there is to tell of it."""

    ceilings: Ceilings
    sources: dict[str, str]
    notes: tuple[str, ...]


def lowered(
    held: Ceilings, sources: Mapping[str, str], resolved: Resolved, label: str, added: bool
) -> Lowered:
    """Each ceiling the lower of what holds and what would hold now; none is raised while the run is live.

    Told of is what was lowered, and what this label would have raised.
    """
    kind = kind_of(label)
    concerned = [called for _, called in KINDS if kind in (called, "class")]
    notes, values = [clamp for clamp in resolved.clamps if code(label) in clamp], {}
    for name, called in KINDS:
        now, new = getattr(held, name), getattr(resolved.ceilings, name)
        if new < now:
            values[name] = new
            change = f"lowered from {show(called, now)} to {show(called, new)} while it ran"
            notes.append(f"{called}: {change}: {resolved.sources[name]}")
        elif new > now and called in concerned:
            would = f"{'with' if added else 'without'} {code(label)} it would be {show(called, new)}"
            notes.append(
                f"{called}: {would}, but no live run is raised; `/agent resume` takes it up afterwards"
            )
    told = {name: resolved.sources[name] for name in values}
    return Lowered(replace(held, **values), {**sources, **told}, tuple(notes))


@dataclass(frozen=True, slots=True)
class Held:
    """A ceiling so far: its value, where it comes from, and the role whose maximum bounds it."""

    value: Any
    source: str
    role: Role


def _class(
    asked: str, labels: Labelled, classes: Mapping[str, Ceilings], notes: list[str]
) -> tuple[str, Ceilings]:
    """The class that the command names, else a label's, with its ceilings."""
    row = classes.get(asked, classes["default"])
    setting = labels.settings.get("class")
    if asked != "default" or setting is None:
        return asked, row
    chosen: Ceilings = classes.get(setting.value, classes["default"])
    if setting.label.raises:
        return setting.value, chosen
    lower = least(row, chosen)
    if lower != chosen:
        notes.append(f"class: {code(setting.label.name)} may lower ceilings only: {setting.label.by}")
    return setting.value, lower


def _labelled(kind: str, held: Held, settings: Sequence[Setting], notes: list[str]) -> Held:
    """With what the labels of this kind say: the lower one, and above the class only by who may raise."""
    strong = [setting for setting in settings if setting.label.raises]
    if strong:
        held = Held(strong[0].value, strong[0].label.by, strong[0].label.role)
    for setting in settings:
        if setting.label.raises:
            continue
        if setting.value < held.value:
            held = Held(setting.value, setting.label.by, held.role)
        elif not strong and setting.value > held.value:
            value, label = show(kind, held.value), setting.label
            notes.append(
                f"{kind}: {code(label.name)} may only lower the {value} of {held.source}: {label.by}"
            )
    return held


def _asked(kind: str, asked: Held, held: Held, settings: Sequence[Setting], notes: list[str]) -> Held:
    """With what the comment asks. No label of a greater role is raised, whichever of the labels counts."""
    if asked.value is None:
        return held
    for setting in settings:
        label = setting.label
        if label.raises and label.role > asked.role and setting.value < asked.value:
            notes.append(
                f"{kind}: {show(kind, asked.value)} asked in the comment, but a {label.by} set "
                f"{show(kind, setting.value)} and {asked.role} may not raise it"
            )
            return Held(setting.value, label.by, label.role)
    return asked


def _bounded(kind: str, held: Held, ceiling: Any, notes: list[str]) -> Held:
    """At most the maximum of whoever set it."""
    if held.value <= ceiling:
        return held
    most = f"{show(kind, ceiling)}, the most for {held.role}"
    notes.append(f"{kind}: {show(kind, held.value)} ({held.source}) is above {most}")
    return replace(held, value=ceiling)


def show(kind: str, value: Any) -> str:
    """A value of an option as people write it: `$10.00`, `800,000`, `50`, `20m`."""
    if isinstance(value, Usd):
        return str(value)
    return span(value) if kind == "wall" else f"{value:,}"


def described(name: str, ceilings: Ceilings) -> str:
    """A ceiling (usd, tokens, steps, seconds) as people write it."""
    return show(dict(KINDS)[name], getattr(ceilings, name))
