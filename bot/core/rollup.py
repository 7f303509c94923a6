"""The month by person: who spent what, on what, and what is worth a talk (R24).

A run counts in the month of its launch, as under a cap (P4). A task is a run with all its attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.core.cursor import SOURCE, Share
from bot.core.money import ZERO, Usd, total
from bot.core.untrusted import printable

FAR = 10  # times the median: worth a talk
FEW = 3  # people; fewer have no median to speak of
MUCH = 0.5  # of somebody's spend: then it is named as a cause
TOP = 5  # tasks that are named
UNKNOWN = "whose it is, `cursor.people` of POLICY_FILE does not say"


@dataclass(frozen=True, slots=True)
class Task:
    """One run: what it cost, where it is. `state` as L1 has it."""

    run: str
    actor: str
    repository: str
    thread: int | None
    task_class: str
    state: str
    reason: str | None
    usd: Usd
    url: str
    repository_id: int | None = None
    line: str = ""
    at: int = 0  # when it was launched, ms


@dataclass(frozen=True, slots=True)
class Person:
    """A person's month. `lines`: the part on budget lines, which counts under no cap of theirs; `halted`: the
    part of runs that were halted; `context`: the part that reading the conversation cost; `id`: GitHub's
    number of them."""

    name: str
    usd: Usd
    tasks: int
    lines: Usd
    halted: Usd
    context: Usd
    id: int = 0

    @property
    def a_task(self) -> Usd:
        """What a task of theirs cost on average, rounded up."""
        return self.usd.over(self.tasks) if self.tasks else ZERO


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a month in one repository, on one line, or of one person (`id`: GitHub's number)."""

    id: int | None
    name: str
    usd: Usd
    tasks: int


@dataclass(frozen=True, slots=True)
class Rollup:
    """One month, people dearest first. `elapsed`: the part of the month that is over, 1 for a whole one.

    `cursor`: what Cursor's admin API tells beside it, which is in no other figure here; None: not told.
    """

    month: str
    elapsed: float
    people: tuple[Person, ...]
    top: tuple[Task, ...]
    cursor: tuple[Share, ...] | None = None

    @property
    def usd(self) -> Usd:
        return total(person.usd for person in self.people)

    @property
    def tasks(self) -> int:
        return sum(person.tasks for person in self.people)

    @property
    def projected(self) -> Usd | None:
        """The whole month at this pace; None while hardly any of it is over."""
        return at_this_pace(self.usd, self.elapsed)

    @property
    def median(self) -> Usd:
        return self._at(50)

    @property
    def p90(self) -> Usd:
        return self._at(90)

    @property
    def most(self) -> Usd:
        return self._at(100)

    @property
    def far(self) -> tuple[Person, ...]:
        """Who spent ten times the median or more."""
        median = self.median
        if len(self.people) < FEW or not median:
            return ()
        return tuple(person for person in self.people if person.usd >= median * FAR)

    @property
    def cursor_usd(self) -> Usd:
        """What all used with Cursor, known or not."""
        return total(share.usd for share in self.cursor or ())

    def with_cursor(self, person: Person) -> Usd:
        """What a person used there."""
        return total(share.usd for share in self.cursor or () if share.person == person.id)

    def _at(self, percent: int) -> Usd:
        """A spend that occurred, by nearest rank."""
        spends = sorted(person.usd for person in self.people)
        return spends[-(-len(spends) * percent // 100) - 1] if spends else ZERO


def at_this_pace(usd: Usd, elapsed: float) -> Usd | None:
    """A whole month's spend, of which a part is over; None while hardly any of it is."""
    return Usd(round(usd.nanos / elapsed)) if elapsed >= 0.02 else None


def elapsed(month: str, now: datetime, zone: str) -> float:
    """The part of a month that is over at `now`, as people in `zone` count it."""
    year, number = (int(part) for part in month.split("-"))
    local = ZoneInfo(zone)
    start = datetime(year, number, 1, tzinfo=local)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=local)
    return min(1.0, max(0.0, (now.timestamp() - start.timestamp()) / (end.timestamp() - start.timestamp())))


def causes(person: Person) -> tuple[str, ...]:
    """The two usual ones, as far as the numbers speak for them: loops, and too large a conversation."""
    if not person.usd:
        return ()
    found = []
    for part, what in (
        (person.halted, "went on runs that were halted: loops, or tasks too big for their class"),
        (person.context, "went on reading the conversation: a large context, paid for again on every turn"),
    ):
        share = part.nanos / person.usd.nanos
        if share >= MUCH:
            found.append(f"{share:.0%} {what}")
    return tuple(found) or ("neither halts nor context stand out: many tasks, or large ones",)


def as_json(rollup: Rollup) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    projected, far = rollup.projected, rollup.far
    return {
        "month": rollup.month,
        "elapsed": round(rollup.elapsed, 4),
        "usd": rollup.usd.exact,
        "projected_usd": projected.exact if projected is not None else None,
        "tasks": rollup.tasks,
        "usd_per_task": rollup.usd.over(rollup.tasks).exact if rollup.tasks else None,
        "spread": {"median": rollup.median.exact, "p90": rollup.p90.exact, "max": rollup.most.exact},
        "people": [
            {
                "name": person.name,
                "usd": person.usd.exact,
                "tasks": person.tasks,
                "usd_per_task": person.a_task.exact,
                "on_lines_usd": person.lines.exact,
                "halted_usd": person.halted.exact,
                "context_usd": person.context.exact,
                "cursor_usd": rollup.with_cursor(person).exact if rollup.cursor is not None else None,
                "far": person in far,
                "causes": list(causes(person)) if person in far else [],
            }
            for person in rollup.people
        ],
        "top": [task_json(task) for task in rollup.top],
        "cursor": None if rollup.cursor is None else _cursor_json(rollup, rollup.cursor),
    }


def _cursor_json(rollup: Rollup, shares: Sequence[Share]) -> dict[str, Any]:
    return {
        "usd": rollup.cursor_usd.exact,
        "source": SOURCE,
        "people": [{"name": one.name, "usd": one.usd.exact} for one in shares if one.known],
        "unknown": [{"email": one.name, "usd": one.usd.exact} for one in shares if not one.known],
    }


def task_json(task: Task) -> dict[str, Any]:
    return {
        "run": task.run,
        "actor": task.actor,
        "repository": task.repository,
        "thread": task.thread,
        "class": task.task_class,
        "state": task.state,
        "reason": task.reason,
        "usd": task.usd.exact,
        "url": task.url,
    }


def as_text(rollup: Rollup) -> str:
    """For people, on a terminal."""
    return printable("\n".join([*_runs(rollup), *_cursor(rollup)]))


def _cursor(rollup: Rollup) -> list[str]:
    if not rollup.cursor:
        return []
    rows = [
        f"  {one.usd!s:>12}  {one.called}" + ("" if one.known else f"  ({UNKNOWN})") for one in rollup.cursor
    ]
    return ["", f"Cursor: {rollup.cursor_usd}, {SOURCE}", *rows]


def _runs(rollup: Rollup) -> list[str]:
    if not rollup.people:
        return [f"{rollup.month}: no run with a person was launched in this month."]
    whole = (
        f", {rollup.projected} at this pace" if rollup.elapsed < 1 and rollup.projected is not None else ""
    )
    mean = rollup.usd.over(rollup.tasks)
    lines = [
        f"{rollup.month}: {rollup.usd} by {_people(rollup.people)}{whole}",
        f"{rollup.tasks} tasks, {mean} each on average; a person: median {rollup.median}, "
        f"nine in ten at most {rollup.p90}, most {rollup.most}",
        "",
    ]
    for person in rollup.people:
        on_lines = f", {person.lines} of it on lines" if person.lines else ""
        lines.append(
            f"  {person.usd!s:>12}  {person.name}  ({person.tasks} tasks, {person.a_task} each{on_lines})"
        )
    for person in rollup.far:
        times = person.usd.nanos // rollup.median.nanos
        lines += ["", f"{person.name} is at {times} times the median. Worth a talk:"]
        lines += [f"  - {cause}" for cause in causes(person)]
    if rollup.top:
        lines += ["", "Dearest tasks"]
        for task in rollup.top:
            how = f"{task.state} ({task.reason})" if task.reason else task.state
            where = task.url or f"{task.repository}" + (f"#{task.thread}" if task.thread else "")
            lines.append(f"  {task.usd!s:>12}  {task.task_class} by {task.actor}, {how}  {where}")
    return lines


def _people(people: Sequence[Person]) -> str:
    return f"{len(people)} {'person' if len(people) == 1 else 'people'}"
