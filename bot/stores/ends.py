"""What became of each run, side by side: how it ended is counted and ranked from this.

A run's own row is wide, and its counters are in no index, for they change with every turn. So a worker writes
down the few columns that a page asks for. They are believed of a run that is not live and has neither ended
nor booked anything lately; of the others its own row is asked. So this is what the runs' rows say, however
far it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from bot.core.signals import BADLY_SCOPED
from bot.stores.database import Database
from bot.stores.days import attributing, changed_since, lately, reach, through
from bot.stores.distributions import ENDED
from bot.stores.only import Conditions
from bot.stores.tables import ends, runs

NAME = "ends"
_LONG = sa.or_(
    runs.c.steps > BADLY_SCOPED,
    sa.and_(runs.c.reason == "step_ceiling", runs.c.ceiling_steps >= BADLY_SCOPED),
)
_SAYS = {
    "ended_at": runs.c.ended_at,
    "repository_id": runs.c.repository_id,
    "repository": runs.c.repository,
    "actor": runs.c.actor,
    "actor_id": runs.c.actor_id,
    "line": runs.c.line,
    "task_class": runs.c.task_class,
    "engine": runs.c.engine,
    "state": runs.c.state,
    "reason": runs.c.reason,
    "steps": runs.c.steps,
    "long": sa.case((_LONG, sa.true()), else_=sa.false()),
    "spent_tokens": runs.c.spent_tokens,
}


def roll(database: Database) -> None:
    """Write down what has ended or changed since the last time. Several processes may."""
    with database.begin() as tx:
        attributing(tx, database)
        since, until = through(tx, NAME), lately(tx, database)
        rows = sa.select(runs.c.id, *_own()).where(ENDED, runs.c.ended_at.is_not(None))
        if since is None:
            tx.execute(sa.delete(ends))
        else:
            changed = changed_since(since)
            tx.execute(sa.delete(ends).where(ends.c.run.in_(changed)))
            rows = rows.where(runs.c.id.in_(changed))
        # In this order, so that those of a window lie side by side.
        tx.execute(sa.insert(ends).from_select(("run", *_SAYS), rows.order_by(runs.c.ended_at)))
        reach(tx, database, NAME, max(since or 0, until))


def each(
    tx: sa.Connection, where: Callable[[sa.Table], Conditions], among: sa.CTE | None = None
) -> sa.Subquery:
    """A row for each run of these that has ended or is live: its id as `run`, and the columns of `ends`.

    `among`: rows with a `run` each; only those runs are looked up then.
    """
    since = through(tx, NAME)
    own = sa.select(runs.c.id.label("run"), *_own()).where(*where(runs))
    if among is not None:
        own = own.where(runs.c.id.in_(sa.select(among.c.run)))
    if since is None:
        return own.subquery()
    # Looked up once, for both parts.
    doubted = sa.select(changed_since(since).subquery().c.id).cte("changed")
    told = sa.select(ends.c.run, *(ends.c[name] for name in _SAYS))
    told = told.where(ends.c.run.not_in(sa.select(doubted.c.id)), *where(ends))
    if among is not None:
        told = told.where(ends.c.run.in_(sa.select(among.c.run)))
    return sa.union_all(told, own.where(runs.c.id.in_(sa.select(doubted.c.id)))).subquery()


def _own() -> list[sa.Label[Any]]:
    return [column.label(name) for name, column in _SAYS.items()]
