"""Labels that set ceilings: `agent:cost=$10` and its kind (docs/triggers.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import CLASSES
from bot.core.commands import AMOUNTS, ENGINES, NAME
from bot.core.money import Usd
from bot.core.roles import Role
from bot.core.untrusted import code

PREFIX = "agent:"
KINDS = (*AMOUNTS, "class", "line", "engine")
MOST = 100  # labels of ours on a thread, which is how many GitHub allows in all
NAMED = 5  # of them in one sentence


@dataclass(frozen=True, slots=True)
class Applied:
    """A label on the thread, and who put it there last, with the role that it counts with.

    That is the lesser of the one they had then, where we were told at the time, and the one they have now:
    who has lost a role does not keep what it allowed, and who got one later had no such say then (P1).
    """

    name: str
    actor: str = ""
    role: Role = Role.NONE
    by_app: bool = False  # a bot, or through an App
    when: str = ""  # of the role, where the other one is greater: "then" or "now"

    @staticmethod
    def of(name: str, actor: str, then: Role | None, now: Role) -> Applied:
        """A person's label, by the two roles; `then` is None where nobody told us."""
        if then is None or then == now:
            return Applied(name, actor, now)
        return Applied(name, actor, min(then, now), when="then" if then < now else "now")

    @property
    def by(self) -> str:
        who = f" by {self.actor}" if self.actor else ""
        role = "app" if self.by_app else f"{self.role} {self.when}".strip()
        return f"label{who} ({role})"

    @property
    def raises(self) -> bool:
        """Whether it may raise a ceiling; labels by triage, bots and Apps only lower (P1)."""
        return not self.by_app and self.role >= Role.WRITE


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind's value and the label that it comes from."""

    value: Any
    label: Applied


@dataclass(frozen=True, slots=True)
class Labelled:
    """What the labels say by kind: cost, tokens, steps, wall, class, engine, line; and what was odd.

    `every` has all labels of a kind, the lowest first: the first counts, the others still bound a comment.
    """

    every: dict[str, tuple[Setting, ...]]
    notes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Setting]:
        """The one of each kind that counts."""
        return {kind: found[0] for kind, found in self.every.items()}


def ours(name: str) -> bool:
    """Whether a label means us; GitHub does not tell labels apart by case."""
    return name.casefold().startswith(PREFIX)


def kind_of(name: str) -> str:
    """What a label of ours sets: cost, tokens, …, or a word that means nothing."""
    return name[len(PREFIX) :].partition("=")[0].strip().casefold()


def read(labels: Iterable[Applied]) -> Labelled:
    """Every `agent:` label. At most one of a kind counts: of two the lower one, and a note says so."""
    found: dict[str, list[Setting]] = {}
    notes = []
    for label in labels:
        if not ours(label.name):
            continue
        kind, text = kind_of(label.name), label.name.partition("=")[2].strip()
        try:
            found.setdefault(kind, []).append(Setting(_value(kind, text), label))
        except ValueError as error:
            notes.append(f"the label {code(label.name)} was left out: {error}")
    every = {kind: tuple(sorted(settings, key=_order)) for kind, settings in found.items() if settings}
    for kind, settings in every.items():
        if len(settings) > 1:
            names = ", ".join(code(setting.label.name) for setting in settings[:NAMED])
            names += f" and {len(settings) - NAMED} more" if len(settings) > NAMED else ""
            notes.append(
                f"more than one label sets {kind}: {names}; the first of these counts, it is the lowest"
            )
    return Labelled(every, tuple(notes))


def _value(kind: str, text: str) -> Any:
    """The value of a label. Raises ValueError."""
    if kind in AMOUNTS:
        try:
            return AMOUNTS[kind].read(text)
        except ValueError:
            raise ValueError(f"{code(text)} is not {AMOUNTS[kind].form}") from None
    if kind not in KINDS:
        raise ValueError(f"there is no {code(kind)}; there are {', '.join(KINDS)}")
    if kind == "line":
        if not NAME.match(text):
            raise ValueError(f"{code(text)} is not a name")
        return text
    choices = ENGINES if kind == "engine" else tuple(CLASSES)
    if text not in choices:
        raise ValueError(f"{code(text)} is none of {', '.join(choices)}")
    return text


def _order(setting: Setting) -> tuple[Any, ...]:
    """The lower first; among equals the one of the lesser role, which may less."""
    label, value = setting.label, setting.value
    least = (label.raises, label.role, label.name)
    if isinstance(value, Usd):
        return value.nanos, *least
    if value in CLASSES:
        row = CLASSES[value]
        return row.usd.nanos, row.steps, value, *least
    return value, *least
