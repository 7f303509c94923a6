"""A run as a step of somebody's workflow (R16): what is asked, and what its report says of its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import CLASSES
from bot.core.commands import Options
from bot.core.money import ZERO, Usd
from bot.core.outcomes import MOST_NOTE, Report
from bot.core.quantities import MOST
from bot.core.untrusted import line, storable

STEP_CLASSES = tuple(name for name in CLASSES if name != "split")  # which makes a list for a thread
MOST_TASK = 60_000  # characters
MOST_CHECK = 4_000
LONGEST = 7 * 86_400  # seconds
IN_THE_TREE = (
    "What it made is in the working tree of this job, and as a patch in the file that the step's output "
    "`patch` names. What becomes of it is for the steps after this one."
)
NOTHING = "It changed nothing: the working tree of this job is as it was."
LOOK_FIRST = "A person should look before it goes anywhere:"


class Unclear(Exception):
    """What a step asks for cannot be read; a sentence for its log."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a workflow's step asks of the service. `number`: chosen by it, the same when it asks again."""

    number: int
    task: str
    task_class: str
    options: Options
    check: str


def read(raw: Any) -> Asked:
    """From the JSON of the request. Raises Unclear."""
    if not isinstance(raw, dict):
        raise Unclear("what a step asks for is a JSON object")
    task, check = text(raw, "task", MOST_TASK), text(raw, "check", MOST_CHECK)
    if not task.strip():
        raise Unclear("task is missing: it says what the agent is to do")
    task_class = text(raw, "class", 40) or "default"
    if task_class not in STEP_CLASSES:
        raise Unclear(f"class must be one of {', '.join(STEP_CLASSES)}")
    return Asked(number(raw), task, task_class, options(raw), check)


def number(raw: dict[str, Any]) -> int:
    """By which it is known that the same is asked again. Raises Unclear."""
    if (chosen := whole(raw, "number", 2**63 - 1)) is None:
        raise Unclear("number is missing: whoever asks chooses one, and keeps to it when they ask again")
    return chosen


def options(raw: dict[str, Any]) -> Options:
    """The ceilings that are asked for, the engine and the budget line. Raises Unclear."""
    return Options(
        cost=_cost(raw),
        tokens=whole(raw, "tokens", MOST),
        steps=whole(raw, "steps", MOST),
        wall=whole(raw, "wall", LONGEST),
        engine=text(raw, "engine", 40) or None,
        line=text(raw, "line", 100) or None,
    )


def here(report: Report) -> str:
    """Where a step's work is and what is to be known of it: `here` of a job's summary."""
    published = report.published
    if published is None or published.kind != "tree":
        return NOTHING
    return f"{IN_THE_TREE} {LOOK_FIRST} {line(published.note, MOST_NOTE)}." if published.note else IN_THE_TREE


def text(raw: dict[str, Any], name: str, most: int) -> str:
    """A text of so many characters at most, "" if it is not given. Raises Unclear."""
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise Unclear(f"{name} must be text of at most {most:,} characters")
    return storable(value)


def whole(raw: dict[str, Any], name: str, most: int) -> int | None:
    """A number from 1 on, None if it is not given. Raises Unclear."""
    value = raw.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise Unclear(f"{name} must be a whole number from 1 to {most:,}")
    return value


def _cost(raw: dict[str, Any]) -> Usd | None:
    value = raw.get("cost")
    if value is None:
        return None
    try:
        cost = Usd.parse(value) if isinstance(value, str) else ZERO
    except ValueError as error:
        raise Unclear(f"cost: {error}") from error
    if cost <= ZERO:
        raise Unclear('cost must be an amount such as "2.50", and more than nothing')
    return cost
