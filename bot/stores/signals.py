"""What was spent in a window and how its runs ended, in SQL; `bot.core.signals` judges it (M4, M5).

One pass over the turns of the window for each question; a turn's run says whose it was.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot.core.money import ZERO, Usd, total
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
from bot.stores.only import of_runs
from bot.stores.tables import attributions, pool_corrections, runs, turns

_MODEL = sa.func.coalesce(turns.c.model, turns.c.model_asked)
# A number that stays, where there is one, and the name that people know.
BY: dict[str, tuple[sa.ColumnElement[Any], sa.ColumnElement[str]]] = {
    "developer": (runs.c.actor_id, runs.c.actor),
    "repo": (runs.c.repository_id, runs.c.repository),
    "class": (sa.null(), runs.c.task_class),
    "engine": (sa.null(), runs.c.engine),
    "model": (sa.null(), _MODEL),
    "line": (sa.null(), runs.c.line),
}
NAMELESS = {"line": "(on no line)", "model": "(not told)", "engine": "(not told)"}
_BOOKED = ("settled", "estimated", "corrected")
_SUMS = COUNTERS + COSTS
_QUARTER = 900_000  # ms: no time zone is off by less, so that days can be put together from these
_LONG = sa.or_(
    runs.c.steps > BADLY_SCOPED,
    sa.and_(runs.c.reason == "step_ceiling", runs.c.ceiling_steps >= BADLY_SCOPED),
)

Where = list[sa.ColumnElement[bool]]


class SignalStore:
    def __init__(self, database: Database) -> None:
        self.database = database

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
            where = [
                turns.c.state.in_(_BOOKED),
                turns.c.settled_at >= since_ms,
                turns.c.settled_at < until,
                *of_runs(only),
            ]
            return Signals(
                since=_minute(since_ms, zone) if since_ms else "the beginning",
                until=_minute(until, zone),
                zone=zone,
                only=only,
                merged=merged(tx, since_ms, until, only),
                parts=_parts(tx, where),
                estimated=_estimated(tx, where),
                # It is of no run: who asks for some runs only does not ask for it.
                pooled=_pooled(tx, since_ms, until) if only == EVERYTHING else ZERO,
                ended=_ended(tx, since_ms, until, only),
                tokens=tokens(tx, since_ms, until, only),
                days=_days(tx, where, zone),
                by=by,
                shares=_shares(tx, where, by) if by else (),
            )

    def spreads(
        self, *, repository_id: int | None = None, installation: int | None = None
    ) -> dict[str, Spread]:
        """What the ended runs of each class have cost, in a repository or in a whole installation."""
        where: Where = []
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


def _sums() -> list[sa.ColumnElement[int]]:
    return [sa.func.sum(turns.c[name]).label(name) for name in ("nanos", *_SUMS)]


def _part(where: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((where, turns.c.nanos), else_=0))


def _read(row: Any) -> Sums:
    return Sums(*(int(getattr(row, name)) for name in _SUMS))


def _parts(tx: sa.Connection, where: Where) -> tuple[Part, ...]:
    keys = (
        runs.c.state,
        runs.c.reason,
        attributions.c.run.is_not(None).label("attributed"),
        runs.c.thread.is_not(None).label("threaded"),
    )
    query = (
        sa.select(*keys, *_sums())
        .join_from(turns, runs, runs.c.id == turns.c.run)
        .outerjoin(attributions, attributions.c.run == turns.c.run)
        .where(*where)
        .group_by(*keys)
        .order_by(*keys)
    )
    return tuple(
        Part(r.state, r.reason, bool(r.attributed), bool(r.threaded), Usd(int(r.nanos)), _read(r))
        for r in tx.execute(query)
    )


def _estimates(where: Where) -> Where:
    """Estimated turns that nothing has corrected yet."""
    later = turns.alias("later")
    return [*where, turns.c.state == "estimated", ~sa.exists().where(later.c.corrects == turns.c.id)]


def _estimated(tx: sa.Connection, where: Where) -> Usd:
    nanos = sa.func.coalesce(sa.func.sum(turns.c.nanos), 0)
    query = sa.select(nanos).join_from(turns, runs, runs.c.id == turns.c.run).where(*_estimates(where))
    return Usd(int(tx.execute(query).scalar_one()))


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


def _days(tx: sa.Connection, where: Where, zone: str) -> tuple[Day, ...]:
    quarter = turns.c.settled_at // _QUARTER
    query = (
        sa.select(
            quarter.label("quarter"), sa.func.sum(turns.c.nanos).label("nanos"), _part(HALTED).label("h")
        )
        .join_from(turns, runs, runs.c.id == turns.c.run)
        .where(*where)
        .group_by(quarter)
    )
    local = ZoneInfo(zone)
    days: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in tx.execute(query):
        date = f"{datetime.fromtimestamp(row.quarter * _QUARTER / 1000, UTC).astimezone(local):%Y-%m-%d}"
        spent, halted = days[date]
        days[date] = spent + int(row.nanos), halted + int(row.h)
    return tuple(Day(date, Usd(spent), Usd(halted)) for date, (spent, halted) in sorted(days.items()))


def _shares(tx: sa.Connection, where: Where, by: str) -> tuple[Share, ...]:
    number, name = BY[by]
    if by == "model":
        name = _undated(tx, where)
    keys = (number.label("number"), name.label("name"))

    def asked(columns: list[sa.ColumnElement[Any]], where: Where) -> Any:
        query = sa.select(*keys, *columns).join_from(turns, runs, runs.c.id == turns.c.run)
        return tx.execute(query.where(*where).group_by("number", "name"))

    nanos = sa.func.sum(turns.c.nanos)
    open_ended = {(r[0], r[1]): int(r[2]) for r in asked([nanos], _estimates(where))}
    columns = [
        *_sums(),
        sa.func.count(turns.c.run.distinct()).label("runs"),
        _part(HALTED).label("halted"),
        sa.func.max(runs.c.opened_at).label("latest"),
    ]
    # Names change; the latest of a number is the one that people know.
    groups: dict[Any, list[tuple[int, Share]]] = defaultdict(list)
    for r in asked(columns, where):
        estimated = Usd(open_ended.get((r.number, r.name), 0))
        told = Share(r.name, Usd(int(r.nanos)), int(r.runs), estimated, Usd(int(r.halted)), _read(r))
        groups[r.name if r.number is None else r.number].append((r.latest, told))
    shares = (
        Share(
            max(group, key=lambda one: one[0])[1].name or NAMELESS.get(by, "(this machine)"),
            total(share.usd for _, share in group),
            sum(share.runs for _, share in group),
            total(share.estimated for _, share in group),
            total(share.halted for _, share in group),
            sum((share.sums for _, share in group), Sums()),
        )
        for group in groups.values()
    )
    return tuple(sorted(shares, key=lambda share: (-share.usd.nanos, share.name)))


def _undated(tx: sa.Connection, where: Where) -> sa.ColumnElement[str]:
    """The model that answered, without its date."""
    query = sa.select(_MODEL).join_from(turns, runs, runs.c.id == turns.c.run).where(*where).distinct()
    dated = {raw: undated(raw) for (raw,) in tx.execute(query) if undated(raw) != raw}
    return sa.case(dated, value=_MODEL, else_=_MODEL) if dated else _MODEL


def _minute(ms: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
