"""Labels that set ceilings: `agent:cost=$10` and its kind (INTERFACE 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import CLASSES
from bot.core.commands import ENGINES
from bot.core.money import Usd
from bot.core.quantities import duration, whole
from bot.core.roles import Role

PREFIX = "agent:"
_READERS = {"cost": Usd.parse, "tokens": whole, "steps": whole, "wall": duration}
_CHOICES: dict[str, tuple[str, ...] | None] = {"class": tuple(CLASSES), "engine": ENGINES, "line": None}


@dataclass(frozen=True, slots=True)
class Applied:
    """A label on the thread, and who put it there last, with the role they had."""

    name: str
    actor: str = ""
    role: Role = Role.NONE
    by_app: bool = False  # a bot, or through an App

    @property
    def by(self) -> str:
        who = f" by {self.actor}" if self.actor else ""
        return f"label{who} ({'app' if self.by_app else self.role})"


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind's value and the label that it comes from."""

    value: Any
    label: Applied


@dataclass(frozen=True, slots=True)
class Labelled:
    """What the labels say by kind: cost, tokens, steps, wall, class, engine, line; and what was odd."""

    settings: dict[str, Setting]
    notes: tuple[str, ...]


def read(labels: Iterable[Applied]) -> Labelled:
    """Every `agent:` label. At most one of a kind counts: of two the lower one, and a note says so."""
    found: dict[str, Setting] = {}
    notes = []
    for label in labels:
        if not label.name.startswith(PREFIX):
            continue
        kind, _, text = label.name[len(PREFIX) :].partition("=")
        try:
            value = _value(kind, text)
        except ValueError as error:
            notes.append(f"the label `{label.name}` was left out: {error}")
            continue
        other = found.get(kind)
        if other is None:
            found[kind] = Setting(value, label)
            continue
        kept = min(other, Setting(value, label), key=lambda setting: _order(setting.value))
        found[kind] = kept
        notes.append(
            f"two labels set {kind}: `{other.label.name}` and `{label.name}`; `{kept.label.name}` counts"
        )
    return Labelled(found, tuple(notes))


def _value(kind: str, text: str) -> Any:
    if kind in _READERS:
        value = _READERS[kind](text)
        if isinstance(value, Usd) and value <= Usd(0):
            raise ValueError("a cost of nothing would start nothing")
        return value
    if kind not in _CHOICES:
        raise ValueError(f"`{kind}` is not one of {', '.join((*_READERS, *_CHOICES))}")
    choices = _CHOICES[kind]
    if choices is not None and text not in choices:
        raise ValueError(f"it is none of {', '.join(choices)}")
    if not text:
        raise ValueError("it has no value")
    return text


def _order(value: Any) -> Any:
    return value.nanos if isinstance(value, Usd) else value
