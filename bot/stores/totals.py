"""Everything since the beginning, by what it was for; and how things stand now: what monitoring asks.

The sums are those of the runs' rows, which are the sums of their turns, so that millions of turns are counted
from as many rows as there are runs; the few corrected and estimated turns have indexes of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bot.core.prices import undated
from bot.core.reconcile import COSTS, COUNTERS, Sums
from bot.stores.database import Database
from bot.stores.tables import STARTED, paces, pool_corrections, refusals, runs, switches, turns

LATELY_MS = 300_000  # for what has no beginning: how the gateway does now
_LIVE = runs.c.state.in_(STARTED)
_KEYS = ("repository_id", "repository", "task_class", "engine", "model", "line", "origin", "state", "reason")
_SUMS = COUNTERS + COSTS
_VALUES = (
    "count", *_SUMS, "estimated_nanos", "steps", "tool_calls", "held_nanos", "unspent_nanos", "ended_at",
    "first", "latest",
)  # fmt: skip
_SERVED = ("settled", "estimated", "released")


@dataclass(frozen=True, slots=True)
class Work:
    """What a group of runs was: as its runs' rows have it. `repository` is the name of today, "" is none."""

    repository: str
    task_class: str
    engine: str
    model: str  # that was asked for, without its date
    line: str


@dataclass(slots=True)
class Group:
    """Runs of one kind that came to the same end. Money in nano-dollars; ms: `opened_at` is when the first
    was opened, `ended_at` when the last one ended.

    `booked` is what their turns were charged at first: it never falls. `corrected` was booked later, and is
    usually negative; what they cost is the sum of both. `estimated` of it is an upper bound. `unspent`: what
    live ones may still spend, `held` of it is in flight.
    """

    work: Work
    origin: str
    state: str
    reason: str
    runs: int = 0
    booked: Sums = field(default_factory=Sums)
    corrected: Sums = field(default_factory=Sums)
    estimated: int = 0
    held: int = 0
    unspent: int = 0
    steps: int = 0
    tool_calls: int = 0
    opened_at: int = 0
    ended_at: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """Requests that the gateway ended within the last LATELY_MS: how many, how long (ms) all of them and the
    longest took. `state`: settled | estimated | released, the last with the upstream's `status`."""

    state: str
    status: int
    requests: int
    ms: int
    longest: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand at `now` (ms)."""

    now: int
    in_flight: int  # requests
    waited: int  # ms for which the run that is first in line for room has waited
    pooled: int  # nano-dollars that correct estimates of several runs at once
    refusals: dict[str, int]  # by reason, ever
    served: tuple[Served, ...]
    paused: int  # switches that are off
    limited: int  # installations that GitHub makes wait


class Totals:
    def __init__(self, database: Database) -> None:
        self.database = database

    def groups(self) -> tuple[Group, ...]:
        """All runs there ever were, from one statement, so that no correction is seen by half."""
        with self.database.read() as tx:
            rows = tx.execute(_everything()).all()
        names = _names(rows)
        found: dict[tuple[Any, ...], Group] = {}
        for row in rows:
            name = names[_place(row)]
            work = Work(name, row.task_class, row.engine, undated(row.model), row.line)
            key = (work, row.origin, row.state, row.reason)
            group = found.setdefault(key, Group(work, row.origin, row.state, row.reason or ""))
            _add(group, row)
        return tuple(found.values())

    def standing(self) -> Standing:
        refused = sa.select(refusals.c.reason, sa.func.count()).group_by(refusals.c.reason)
        pooled = sa.select(sa.func.coalesce(sa.func.sum(pool_corrections.c.nanos), 0))
        with self.database.read() as tx:

            def one(query: sa.Select[Any]) -> int:
                return int(tx.execute(query).scalar_one())

            waits = runs.c.state == "queued"
            # A number from here on: PostgreSQL looks nothing up by a clock that goes on.
            now, count = one(sa.select(self.database.now)), sa.func.count()
            return Standing(
                now=now,
                waited=now
                - one(sa.select(sa.func.coalesce(sa.func.min(runs.c.queued_at), now)).where(waits)),
                in_flight=one(sa.select(count).where(turns.c.state == "held")),
                pooled=one(pooled),
                refusals={row[0]: int(row[1]) for row in tx.execute(refused)},
                served=tuple(
                    Served(row[0], int(row[1]), int(row[2]), int(row[3]), int(row[4]))
                    for row in tx.execute(_served(now))
                    if row[0] in _SERVED
                ),
                paused=one(sa.select(count).select_from(switches)),
                limited=one(sa.select(count).where(paces.c.limited_until_at > now)),
            )

    def began(self) -> int | None:
        """When (ms) the first run was opened."""
        with self.database.read() as tx:
            first: int | None = tx.execute(sa.select(sa.func.min(runs.c.opened_at))).scalar_one()
        return first

    def installations(self, month: str) -> tuple[int, ...]:
        """Those in which something was launched in a month."""
        query = sa.select(runs.c.installation).where(runs.c.month == month, runs.c.installation.is_not(None))
        with self.database.read() as tx:
            return tuple(sorted(tx.execute(query.distinct()).scalars()))


def _served(now: int) -> sa.Select[Any]:
    """By state and status: how many, how long all of them took, and the longest."""
    status = sa.func.coalesce(turns.c.status, 0).label("status")
    took = (turns.c.settled_at - turns.c.held_at).label("took")
    lately = sa.select(turns.c.state, status, took).where(turns.c.settled_at >= now - LATELY_MS)
    # Those first: or SQLite groups all turns that there are by the index that has their states in order.
    each = lately.cte("lately").prefix_with("MATERIALIZED")
    columns = (each.c.state, each.c.status)
    sums = (sa.func.count(), sa.func.sum(each.c.took), sa.func.max(each.c.took))
    return sa.select(*columns, *sums).group_by(*columns)


def _everything() -> sa.CompoundSelect[Any]:
    """Runs, then what was corrected of them, then what is still an estimate: one snapshot of all three."""
    keys = [runs.c[name] for name in _KEYS]

    def part(what: str, values: dict[str, sa.ColumnElement[Any]]) -> sa.Select[Any]:
        given = [values.get(name, sa.cast(0, sa.BigInteger)).label(name) for name in _VALUES]
        return sa.select(sa.literal_column(f"'{what}'").label("part"), *keys, *given).group_by(*keys)

    unspent = sa.case((_LIVE, runs.c.ceiling_nanos - runs.c.spent_nanos), else_=0)
    summed = (*_SUMS, "steps", "tool_calls", "held_nanos")
    own: dict[str, sa.ColumnElement[Any]] = {name: sa.func.sum(runs.c[name]) for name in summed} | {
        "count": sa.func.count(),
        "unspent_nanos": sa.func.sum(unspent),
        "ended_at": sa.func.max(sa.func.coalesce(runs.c.ended_at, 0)),
        "first": sa.func.min(runs.c.opened_at),
        "latest": sa.func.max(runs.c.opened_at),
    }
    later = turns.alias("later")
    open_ended = ~sa.exists().where(later.c.corrects == turns.c.id)
    # The few turns first and by themselves: or the databases begin with all the runs.
    estimate = sa.and_(turns.c.state == sa.literal_column("'estimated'"), open_ended)
    arms = {
        "corrected": (turns.c.corrects.is_not(None), {name: turns.c[name] for name in _SUMS}),
        "estimated": (estimate, {"estimated_nanos": turns.c.nanos}),
    }
    parts = [part("runs", own)]
    for what, (where, columns) in arms.items():
        chosen = [column.label(name) for name, column in columns.items()]
        each = sa.select(turns.c.run, *chosen).where(where).cte(f"{what}_turns").prefix_with("MATERIALIZED")
        whole = part(what, {name: sa.func.sum(each.c[name]) for name in columns})
        parts.append(whole.join_from(each, runs, runs.c.id == each.c.run))
    return sa.union_all(*parts)


def _add(group: Group, row: Any) -> None:
    sums = Sums(*(int(getattr(row, name)) for name in _SUMS))
    group.runs += row.count
    if row.part == "corrected":
        group.corrected += sums
        group.booked -= sums  # the runs' rows have it in them
        return
    if row.part == "estimated":
        group.estimated += int(row.estimated_nanos)
        return
    group.booked += sums
    group.steps += int(row.steps)
    group.tool_calls += int(row.tool_calls)
    group.held += int(row.held_nanos)
    group.unspent += int(row.unspent_nanos)
    group.opened_at = min(group.opened_at or row.first, row.first)
    group.ended_at = max(group.ended_at, int(row.ended_at))


def _place(row: Any) -> Any:
    """What stays of a repository whatever it is called."""
    return row.repository if row.repository_id is None else row.repository_id


def _names(rows: Iterable[Any]) -> dict[Any, str]:
    """The name of today of each."""
    latest: dict[Any, tuple[int, str]] = {}
    for row in rows:
        place = _place(row)
        latest[place] = max(latest.get(place, (-1, "")), (int(row.latest), row.repository))
    return {place: name for place, (_, name) in latest.items()}
