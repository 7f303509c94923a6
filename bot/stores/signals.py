"""What was spent in a window and how its runs ended, in SQL; `bot.core.signals` judges it (M4, M5).

Spend is first summed by run, over quarters of an hour; the run then says whose it was and what became of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot.core.money import ZERO, Usd
from bot.core.prices import undated
from bot.core.reconcile import COSTS, COUNTERS, Sums
from bot.core.signals import (
    BADLY_SCOPED,
    EVERYTHING,
    Day,
    Ended,
    MergedPull,
    Only,
    Part,
    Share,
    Signals,
    Spread,
)
from bot.stores.database import Database
from bot.stores.distributions import ENDED, spreads, tokens
from bot.stores.merged import HALTED, merged, merged_pull
from bot.stores.only import Conditions, of_runs
from bot.stores.quarters import MODEL, QUARTER, SUMS, Quarters
from bot.stores.tables import attributions, pool_corrections, runs, turns

# A number that stays, where there is one, and the name that people know; the model is the turn's.
BY: dict[str, tuple[sa.ColumnElement[Any], sa.ColumnElement[str]] | None] = {
    "developer": (runs.c.actor_id, runs.c.actor),
    "repo": (runs.c.repository_id, runs.c.repository),
    "class": (sa.null(), runs.c.task_class),
    "engine": (sa.null(), runs.c.engine),
    "model": None,
    "line": (sa.null(), runs.c.line),
}
NAMELESS = {"line": "(on no line)", "model": "(not told)", "engine": "(not told)"}
_LONG = sa.or_(
    runs.c.steps > BADLY_SCOPED,
    sa.and_(runs.c.reason == "step_ceiling", runs.c.ceiling_steps >= BADLY_SCOPED),
)
Rows = Sequence[sa.Row[Any]]


class SignalStore:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.quarters = Quarters(database)

    def read(
        self,
        since_ms: int = 0,
        until_ms: int | None = None,
        by: str | None = None,
        only: Only = EVERYTHING,
        zone: str = "UTC",
    ) -> Signals:
        """The signals of [since, until), days as people in `zone` count them. `by`: one of BY."""
        with self.database.read() as tx:
            now = sa.select(self.database.now)
            until = until_ms if until_ms is not None else int(tx.execute(now).scalar_one()) + 1
            booked = self.quarters.within(tx, since_ms, until)
            rows = _groups(tx, booked, by, only)
            estimates = _estimates(tx, since_ms, until, by, only)
            return Signals(
                since=_minute(since_ms, zone) if since_ms else "the beginning",
                until=_minute(until, zone),
                zone=zone,
                only=only,
                merged=merged(tx, since_ms, until, only),
                parts=_parts(rows),
                estimated=Usd(sum(estimates.values())),
                # It is of no run: who asks for some runs only does not ask for it.
                pooled=_pooled(tx, since_ms, until) if only == EVERYTHING else ZERO,
                ended=_ended(tx, since_ms, until, only),
                tokens=tokens(tx, since_ms, until, only),
                days=_days(tx, booked, only, zone),
                by=by,
                shares=_shares(rows, estimates, by) if by else (),
            )

    def spreads(
        self, *, repository_id: int | None = None, installation: int | None = None
    ) -> dict[str, Spread]:
        """What the ended runs of each class have cost, in a repository or in a whole installation."""
        where: Conditions = []
        if repository_id is not None:
            where.append(runs.c.repository_id == repository_id)
        if installation is not None:
            where.append(runs.c.installation == installation)
        with self.database.read() as tx:
            return spreads(tx, where)

    def pull(self, repository_id: int, number: int) -> MergedPull | None:
        """A merged pull request with all that was ever spent on it; None if no run belongs to it."""
        with self.database.read() as tx:
            return merged_pull(tx, repository_id, number)


def _groups(tx: sa.Connection, booked: sa.Subquery, by: str | None, only: Only) -> Rows:
    """Spend by what became of its runs, and by whatever it is to be split by."""
    name = _undated(tx, booked) if by == "model" else sa.literal("")
    within = (booked.c.run, name.label("model"))
    sums = [sa.func.sum(booked.c[column]).label(column) for column in SUMS]
    spent = sa.select(*within, *sums).group_by(*within).subquery()
    keys = (
        runs.c.state,
        runs.c.reason,
        attributions.c.run.is_not(None).label("attributed"),
        runs.c.thread.is_not(None).label("threaded"),
        *_split(by, spent.c.model),
    )
    columns = [
        *(sa.func.sum(spent.c[column]).label(column) for column in SUMS),
        sa.func.count().label("runs"),
        sa.func.max(runs.c.opened_at).label("latest"),
    ]
    query = (
        sa.select(*keys, *columns)
        .join_from(spent, runs, runs.c.id == spent.c.run)
        .outerjoin(attributions, attributions.c.run == spent.c.run)
        .where(*of_runs(only))
        .group_by(*(key.name for key in keys))
    )
    return tx.execute(query).all()


def _split(by: str | None, model: sa.ColumnElement[str]) -> tuple[sa.Label[Any], sa.Label[str]]:
    number, name = (BY[by] if by else None) or (sa.null(), model)
    return number.label("split_number"), name.label("split_name")


def _undated(tx: sa.Connection, booked: sa.FromClause) -> sa.ColumnElement[str]:
    """The model that answered, without its date."""
    name: sa.ColumnElement[str] = booked.c.model
    found = tx.execute(sa.select(name).distinct()).scalars()
    dated = {raw: undated(raw) for raw in found if undated(raw) != raw}
    return sa.case(dated, value=name, else_=name) if dated else name


def _estimates(
    tx: sa.Connection, since: int, until: int, by: str | None, only: Only
) -> dict[tuple[Any, str], int]:
    """Nano-dollars of estimated turns that nothing has corrected yet, by what the spend is split by."""
    later = turns.alias("later")
    query = (
        sa.select(*_split(by, MODEL if by == "model" else sa.literal("")), sa.func.sum(turns.c.nanos))
        .join_from(turns, runs, runs.c.id == turns.c.run)
        .where(turns.c.state == "estimated", turns.c.settled_at >= since, turns.c.settled_at < until)
        .where(~sa.exists().where(later.c.corrects == turns.c.id), *of_runs(only))
        .group_by("split_number", "split_name")
    )
    found: dict[tuple[Any, str], int] = defaultdict(int)
    for number, name, nanos in tx.execute(query):
        found[number, undated(name) if by == "model" else name] += int(nanos)
    return found


def _read(rows: Rows) -> Sums:
    return Sums(*(sum(int(getattr(row, name)) for row in rows) for name in COUNTERS + COSTS))


def _spent(rows: Rows) -> Usd:
    return Usd(sum(int(row.nanos) for row in rows))


def _grouped(rows: Rows, key: Any) -> dict[Any, list[sa.Row[Any]]]:
    groups: dict[Any, list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _parts(rows: Rows) -> tuple[Part, ...]:
    groups = _grouped(
        rows, lambda row: (row.state, row.reason or "", bool(row.attributed), bool(row.threaded))
    )
    return tuple(
        Part(state, reason or None, attributed, threaded, _spent(group), _read(group))
        for (state, reason, attributed, threaded), group in sorted(groups.items())
    )


def _shares(rows: Rows, estimates: dict[tuple[Any, str], int], by: str) -> tuple[Share, ...]:
    # Names change; the latest of a number is the one that people know.
    groups = _grouped(rows, lambda row: row.split_name if row.split_number is None else row.split_number)
    shares = []
    for group in groups.values():
        names = {(row.split_number, row.split_name) for row in group}
        latest = max(group, key=lambda row: (row.latest, row.split_name)).split_name
        shares.append(
            Share(
                latest or NAMELESS.get(by, "(this machine)"),
                _spent(group),
                sum(int(row.runs) for row in group),
                Usd(sum(estimates.get(name, 0) for name in names)),
                _spent([row for row in group if row.state == "halted"]),
                _read(group),
            )
        )
    return tuple(sorted(shares, key=lambda share: (-share.usd.nanos, share.name)))


def _pooled(tx: sa.Connection, since: int, until: int) -> Usd:
    """What reconciliation booked to no run."""
    at = pool_corrections.c.booked_at
    nanos = sa.func.coalesce(sa.func.sum(pool_corrections.c.nanos), 0)
    return Usd(int(tx.execute(sa.select(nanos).where(at >= since, at < until)).scalar_one()))


def _ended(tx: sa.Connection, since: int, until: int, only: Only) -> tuple[Ended, ...]:
    keys = (runs.c.task_class, runs.c.repository, runs.c.state, runs.c.reason)
    query = (
        sa.select(*keys, sa.func.count(), sa.func.sum(sa.case((_LONG, 1), else_=0)))
        .where(ENDED, runs.c.ended_at >= since, runs.c.ended_at < until, *of_runs(only))
        .group_by(*keys)
        .order_by(*keys)
    )
    return tuple(Ended(r[0], r[1], r[2], r[3], int(r[4]), int(r[5])) for r in tx.execute(query))


def _days(tx: sa.Connection, booked: sa.Subquery, only: Only, zone: str) -> tuple[Day, ...]:
    halted = sa.func.sum(sa.case((HALTED, booked.c.nanos), else_=0))
    query = (
        sa.select(booked.c.quarter, sa.func.sum(booked.c.nanos), halted)
        .join_from(booked, runs, runs.c.id == booked.c.run)
        .where(*of_runs(only))
        .group_by(booked.c.quarter)
    )
    local = ZoneInfo(zone)
    days: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for quarter, nanos, of_halted in tx.execute(query):
        at = datetime.fromtimestamp(quarter * QUARTER / 1000, UTC).astimezone(local)
        before = days[f"{at:%Y-%m-%d}"]
        days[f"{at:%Y-%m-%d}"] = before[0] + int(nanos), before[1] + int(of_halted)
    return tuple(Day(date, Usd(spent), Usd(lost)) for date, (spent, lost) in sorted(days.items()))


def _minute(ms: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
