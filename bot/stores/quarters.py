"""What each run's turns came to in each quarter of an hour: what is read instead of the turns themselves.

A worker rolls up what is over; what is not rolled up yet is read from the turns. So the figures are the same
whether and however far it has come, and a year of eight million turns is a tenth of that in rows.
"""

from __future__ import annotations

import sqlalchemy as sa

from bot.core.reconcile import COSTS, COUNTERS
from bot.stores.database import Database
from bot.stores.tables import UNCHARGED, quarters, rolled, turns

QUARTER = 900_000  # ms: no time zone is off by less, so that days can be put together from these
SUMS = ("nanos", *COUNTERS, *COSTS)
# By what it is not: SQLite would else take the index of states, and read every turn there is.
BOOKED = turns.c.state.not_in(UNCHARGED)
MODEL = sa.func.coalesce(turns.c.model, turns.c.model_asked)
# Whoever books writes the time of it and commits within moments, or has waited for a lock. It is rolled up a
# quarter later, and the last hour once more each time.
_LATER, AGAIN = 1, 4
_AT_ONCE = 96  # quarters in one transaction: SQLite has one writer, and the gateway waits for it
NAME = "quarters"
_THROUGH = sa.select(rolled.c.through).where(rolled.c.name == NAME)


class Quarters:
    def __init__(self, database: Database) -> None:
        self.database = database

    def roll(self) -> int:
        """Roll up what is over; how many quarters. Several processes may."""
        done = 0
        while more := self._some():
            done += more
        return done

    def _some(self) -> int:
        with self.database.begin() as tx:
            first = sa.select(turns.c.settled_at // QUARTER).where(BOOKED, turns.c.settled_at.is_not(None))
            if (began := tx.execute(first.order_by(turns.c.settled_at).limit(1)).scalar()) is None:
                return 0
            mark = self.database.insert(rolled).values(name=NAME, through=began)
            tx.execute(mark.on_conflict_do_nothing())
            through = int(tx.execute(_THROUGH.with_for_update()).scalar_one())
            over = int(tx.execute(sa.select(self.database.now)).scalar_one()) // QUARTER - _LATER
            until = min(over, through + _AT_ONCE)
            if until <= through:
                return 0
            start = max(int(began), through - AGAIN)
            tx.execute(sa.delete(quarters).where(quarters.c.quarter >= start, quarters.c.quarter < until))
            names = ("quarter", "run", "model", *SUMS)
            tx.execute(sa.insert(quarters).from_select(names, _summed(start * QUARTER, until * QUARTER)))
            tx.execute(sa.update(rolled).where(rolled.c.name == NAME).values(through=until))
            return until - through

    def within(self, tx: sa.Connection, since_ms: int, until_ms: int) -> sa.Subquery:
        """What was booked in [since, until): rows of quarter, run, model and SUMS; a key may come again."""
        through = tx.execute(_THROUGH).scalar()
        start = -(-since_ms // QUARTER)
        end = min(until_ms // QUARTER, 0 if through is None else int(through))
        if end <= start:
            return _single(since_ms, until_ms).subquery()
        whole = sa.select(
            quarters.c.quarter, quarters.c.run, quarters.c.model, *(quarters.c[name] for name in SUMS)
        ).where(quarters.c.quarter >= start, quarters.c.quarter < end)
        before, after = _single(since_ms, start * QUARTER), _single(end * QUARTER, until_ms)
        return sa.union_all(whole, before, after).subquery()


def _single(since_ms: int, until_ms: int) -> sa.Select[tuple[object, ...]]:
    return sa.select(
        (turns.c.settled_at // QUARTER).label("quarter"),
        turns.c.run,
        MODEL.label("model"),
        *(turns.c[name] for name in SUMS),
    ).where(BOOKED, turns.c.settled_at >= since_ms, turns.c.settled_at < until_ms)


def _summed(since_ms: int, until_ms: int) -> sa.Select[tuple[object, ...]]:
    rows = _single(since_ms, until_ms).subquery()
    keys = (rows.c.quarter, rows.c.run, rows.c.model)
    # PostgreSQL's sum of int64 is a numeric, which its column takes back whole.
    return sa.select(*keys, *(sa.func.sum(rows.c[name]) for name in SUMS)).group_by(*keys)


def added(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Its sum. PostgreSQL's own of int64 is a numeric, which takes it three times as long to add up again."""
    return sa.cast(sa.func.sum(column), sa.BigInteger)
