"""What each run's turns came to on each day, whose it was and what became of it: pages are read from this.

A worker writes a day down once it is over. Turns of the past do not change, but their runs do: they are
resumed, and belong to pull requests that are merged weeks later. So a row is believed only if its run is not
live and has neither ended nor spent lately; of those few the run's own row is asked. What a run belongs to is
changed here in the transaction in which it changes. So the figures are those of the turns and the runs,
however far this is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot.core.attribution import Place
from bot.core.prices import undated
from bot.core.times import HOUR_MS
from bot.stores.database import Database
from bot.stores.only import Known, of_runs
from bot.stores.quarters import AGAIN, BOOKED, QUARTER, SUMS, Quarters, added
from bot.stores.quarters import NAME as QUARTERS
from bot.stores.tables import LIVE, attributions, days, pull_sums, quarters, rolled, runs, turns

_NAME = "days "  # and the zone
_CHANGES = "changes"
_COMMITTED_MS = HOUR_MS  # whoever writes the time of a change has committed it within
_ATTRIBUTING = 727462  # the lock on PostgreSQL; SQLite has one writer anyway
# What a row says of its run, as the run's own row does.
OF_RUN = (
    "repository_id", "repository", "actor", "actor_id", "line", "task_class", "engine", "opened_at", "state",
    "reason",
)  # fmt: skip
_SAYS = (*OF_RUN, "threaded", "attributed")
_COLUMNS = ("quarter", "run", "model", "alone", *_SAYS, *SUMS)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far days are written: `zone`'s, up to a quarter, exclusive; rows of runs that changed at `changes`
    (ms) or later are not to be believed."""

    zone: str
    through: int
    changes: int


@dataclass(frozen=True, slots=True)
class Spend:
    """`runs`: a row for each run, or for each run and model, of _SAYS, model and SUMS. `days`: rows of
    quarter (a whole day's is its first), nanos and whether they are of a halted run; quarters come again."""

    runs: sa.Subquery
    days: sa.Subquery


class Days:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.quarters = Quarters(database)

    # -- written --

    def roll(self, zone: str) -> int:
        """Write down what is over, quarters first; how many days. Several processes may."""
        self.quarters.roll()
        self._renew()
        done = 0
        while self._one(zone):
            done += 1
        return done

    def _renew(self) -> None:
        """What the rows say of runs that have changed since the last time."""
        with self.database.begin() as tx:
            attributing(tx, self.database)
            until, since = lately(tx, self.database), through(tx, _CHANGES)
            if since is None:
                reach(tx, self.database, _CHANGES, until)
                return
            now = {name: runs.c[name] for name in OF_RUN}
            of_run = sa.and_(days.c.run == runs.c.id, runs.c.id.in_(ended_since(since)))
            tx.execute(sa.update(days).where(of_run).values(now))
            places = sa.select(attributions.c.repository_id, attributions.c.number)
            changed = places.where(attributions.c.run.in_(changed_since(since)))
            here = sa.tuple_(pull_sums.c.repository_id, pull_sums.c.number)
            tx.execute(sa.delete(pull_sums).where(here.in_(changed)))
            reach(tx, self.database, _CHANGES, max(since, until))

    def _one(self, zone: str) -> bool:
        """The next day that anything was spent on, if it is over."""
        with self.database.begin() as tx:
            attributing(tx, self.database)
            name = f"{_NAME}{zone}"
            if (start := through(tx, name)) is None:  # of another zone, perhaps
                tx.execute(sa.delete(days))
                tx.execute(sa.delete(rolled).where(rolled.c.name.startswith(_NAME, autoescape=True)))
                start = 0
            next_one = sa.select(sa.func.min(quarters.c.quarter)).where(quarters.c.quarter >= start)
            if (first := tx.execute(next_one).scalar_one()) is None:
                return False
            begin, end = _day(int(first), zone)
            if end > (through(tx, QUARTERS) or 0) - AGAIN:
                return False
            tx.execute(sa.insert(days).from_select(_COLUMNS, _summed(tx, begin, end)))
            others = sa.select(days.c.run).where(days.c.quarter == begin, days.c.alone.is_(False))
            no_more = sa.and_(days.c.alone.is_(True), days.c.run.in_(others))
            tx.execute(sa.update(days).where(no_more).values(alone=False))
            reach(tx, self.database, name, end)
            return True

    # -- read --

    def spend(
        self, tx: sa.Connection, since_ms: int, until_ms: int, which: Known, zone: str, by_model: bool = False
    ) -> Spend:
        """What was booked in [since, until) to the runs that count, days as people in `zone` count them."""
        written = standing(tx)
        start, end = _whole_days(since_ms, until_ms, written) if written else (0, 0)
        if written is None or end <= start:
            booked = self.quarters.within(tx, since_ms, until_ms)
            rows = sa.select(booked.c.run, _model(tx, booked, by_model), *_sums(booked))
            return Spend(_asked(rows, which).subquery(), _by_quarter(booked, which).subquery())
        edges = [
            sa.select(part.c.quarter, part.c.run, part.c.model, *_sums(part))
            for part in (
                self.quarters.within(tx, since_ms, start * QUARTER),
                self.quarters.within(tx, end * QUARTER, until_ms),
            )
        ]
        edge = sa.union_all(*edges).cte("edge")
        doubted = sa.union(ended_since(written.changes), sa.select(edge.c.run)).cte("doubted")
        inside = sa.and_(days.c.quarter >= start, days.c.quarter < end)
        doubt = days.c.run.in_(sa.select(doubted.c.id))
        model = days.c.model if by_model else sa.literal("").label("model")
        told = sa.select(*(days.c[name] for name in _SAYS), model, *_sums(days))
        told = told.where(inside, days.c.alone.is_(True), ~doubt, *of_runs(which, days))
        several = sa.or_(days.c.alone.is_(False), doubt)
        others = sa.union_all(
            sa.select(edge.c.run, _model(tx, edge, by_model), *_sums(edge)),
            sa.select(days.c.run, model, *_sums(days)).where(inside, several),
        )
        spent = sa.union_all(told, _asked(others, which)).subquery()
        if zone != written.zone:
            booked = self.quarters.within(tx, since_ms, until_ms)
            return Spend(spent, _by_quarter(booked, which).subquery())
        halted = (days.c.state == "halted").label("halted")
        sure = sa.select(days.c.quarter, days.c.nanos, halted).where(inside, ~doubt, *of_runs(which, days))
        rest = sa.union_all(
            sa.select(days.c.quarter, days.c.run, days.c.nanos).where(inside, doubt),
            sa.select(edge.c.quarter, edge.c.run, edge.c.nanos),
        ).subquery()
        return Spend(spent, sa.union_all(sure, _by_quarter(rest, which)).subquery())


def attributing(tx: sa.Connection, database: Database) -> None:
    """No other transaction that has asked for this goes on beside this one: what runs belong to stays."""
    if database.kind == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_ATTRIBUTING)))


def attributed(tx: sa.Connection, run: str, before: Place | None, after: Place | None) -> None:
    """Whoever changes what a run belongs to says so, in the same transaction."""
    tx.execute(sa.update(days).where(days.c.run == run).values(attributed=after is not None))
    here = sa.tuple_(pull_sums.c.repository_id, pull_sums.c.number)
    tx.execute(sa.delete(pull_sums).where(here.in_([place for place in (before, after) if place])))


def standing(tx: sa.Connection) -> Reach | None:
    """None: no day is written yet."""
    found = {row.name: int(row.through) for row in tx.execute(sa.select(rolled))}
    zone = next((name for name in found if name.startswith(_NAME)), None)
    if zone is None or _CHANGES not in found:
        return None
    until = min(found[zone], found.get(QUARTERS, 0))
    return Reach(zone.removeprefix(_NAME), until, found[_CHANGES])


def ended_since(ms: int) -> sa.Select[tuple[str]]:
    """The runs of which something else than their spend may have changed since: whatever ends a run writes
    when, and whatever begins it anew makes it live."""
    return sa.select(runs.c.id).where(sa.or_(runs.c.state.in_(LIVE), runs.c.ended_at >= ms))


def changed_since(ms: int) -> sa.CompoundSelect[tuple[str]]:
    """The runs of which anything may have changed since."""
    booked = sa.select(turns.c.run).where(BOOKED, turns.c.settled_at >= ms)
    return sa.union(ended_since(ms), booked)


def lately(tx: sa.Connection, database: Database) -> int:
    """Ms; whatever was to be seen of earlier changes is."""
    return int(tx.execute(sa.select(database.now)).scalar_one()) - _COMMITTED_MS


def through(tx: sa.Connection, name: str) -> int | None:
    """How far the table of this name is (`rolled`)."""
    found: int | None = tx.execute(sa.select(rolled.c.through).filter_by(name=name)).scalar()
    return found


def reach(tx: sa.Connection, database: Database, name: str, through: int) -> None:
    row = database.insert(rolled).values(name=name, through=through)
    tx.execute(row.on_conflict_do_update(index_elements=[rolled.c.name], set_={"through": through}))


def _midnight(day: date, zone: str) -> int:
    """The first quarter of a day."""
    at = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()
    return -(-int(at * 1000) // QUARTER)


def _day(quarter: int, zone: str) -> tuple[int, int]:
    """The first quarter of the day that this one is of, and of the next."""
    day = datetime.fromtimestamp(quarter * QUARTER / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _whole_days(since_ms: int, until_ms: int, reach: Reach) -> tuple[int, int]:
    """The quarters of the days that lie in [since, until) whole and are written."""
    start, end = -(-since_ms // QUARTER), min(until_ms // QUARTER, reach.through)
    first, after = _day(start, reach.zone)
    return first if first == start else after, _day(end, reach.zone)[0]


def _summed(tx: sa.Connection, begin: int, end: int) -> sa.Select[tuple[object, ...]]:
    """The rows of a day."""
    whole = sa.select(quarters).where(quarters.c.quarter >= begin, quarters.c.quarter < end).subquery()
    spent = _by_run(sa.select(whole.c.run, _model(tx, whole), *_sums(whole)))
    earlier = days.alias("earlier")
    models = sa.func.count().over(partition_by=spent.c.run)
    alone = sa.and_(models == 1, ~sa.exists().where(earlier.c.run == spent.c.run))
    return _told(spent, sa.literal(begin), spent.c.run, spent.c.model, alone, *_says(), *_sums(spent))


def _asked(rows: sa.Select[Any] | sa.CompoundSelect[Any], which: Known) -> sa.Select[Any]:
    """Runs that count, from rows of run, model and SUMS."""
    spent = _by_run(rows)
    return _told(spent, *_says(), spent.c.model, *_sums(spent)).where(*of_runs(which))


def _by_run(rows: sa.Select[Any] | sa.CompoundSelect[Any]) -> sa.Subquery:
    each = rows.subquery()
    sums = (added(each.c[name]).label(name) for name in SUMS)
    return sa.select(each.c.run, each.c.model, *sums).group_by(each.c.run, each.c.model).subquery()


def _told(spent: sa.Subquery, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return (
        sa.select(*columns)
        .join_from(spent, runs, runs.c.id == spent.c.run)
        .outerjoin(attributions, attributions.c.run == spent.c.run)
    )


def _says() -> list[sa.ColumnElement[Any]]:
    """_SAYS, by the runs' own rows."""
    threaded, belongs = runs.c.thread.is_not(None), attributions.c.run.is_not(None)
    return [*(runs.c[name] for name in OF_RUN), threaded.label("threaded"), belongs.label("attributed")]


def _sums(rows: sa.FromClause) -> list[sa.ColumnElement[int]]:
    return [rows.c[name] for name in SUMS]


def _model(tx: sa.Connection, rows: sa.FromClause, by_model: bool = True) -> sa.Label[str]:
    """The model that answered, without its date."""
    name: sa.ColumnElement[str] = rows.c.model
    if not by_model:
        return sa.literal("").label("model")
    found = tx.execute(sa.select(name).distinct()).scalars()
    dated = {raw: undated(raw) for raw in found if undated(raw) != raw}
    return (sa.case(dated, value=name, else_=name) if dated else name).label("model")


def _by_quarter(rows: sa.Subquery, which: Known) -> sa.Select[Any]:
    """What was booked in each quarter to runs that count, and whether they were halted, by their own rows."""
    halted = (runs.c.state == "halted").label("halted")
    each = sa.select(rows.c.quarter, rows.c.nanos, halted)
    return each.join_from(rows, runs, runs.c.id == rows.c.run).where(*of_runs(which))
