"""What a launch is weighed against, in its own transaction: the locks, the months, the live runs.

Nothing is counted beside the runs themselves, and what Cursor tells of their person: a live run counts with
all that it may still spend, so that its hold against a cap is its own row; one that waits in line counts for
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from bot.core.caps import Cap, Scope, Standing, period
from bot.core.money import ZERO, Usd
from bot.core.waiting import Full, Limit
from bot.stores.cursor import of_month
from bot.stores.database import Database
from bot.stores.tables import LIVE, STARTED, acknowledgements, months, runs


@dataclass(frozen=True, slots=True)
class Under:
    """What one launch has to fit under: money by its month, and room."""

    caps: Sequence[Cap]
    limits: Sequence[Limit]
    month: str


def lock(tx: sa.Connection, database: Database, launches: Iterable[Under]) -> None:
    """No other launch under any of the same, until this transaction is over."""
    rows = {(cap.scope, cap.id, period(cap, one.month)) for one in launches for cap in one.caps}
    rows |= {(limit.scope, limit.id, "") for one in launches for limit in one.limits}
    # Always in the same order, so that two never wait for each other.
    for scope, owner, month in sorted(rows):
        make(tx, database, scope, owner, month)
        held = sa.select(months.c.month).filter_by(scope=scope, owner=owner, month=month)
        tx.execute(held.with_for_update())


def make(tx: sa.Connection, database: Database, scope: Scope, owner: str, month: str) -> None:
    """The row of a month, if it is not there yet."""
    values = {"scope": scope, "owner": owner, "month": month}
    tx.execute(database.insert(months).values(values).on_conflict_do_nothing())


def standing(tx: sa.Connection, cap: Cap, month: str, but: str | None = None) -> Standing:
    """How a cap stands; `but`: leaving out this run."""
    counted = period(cap, month)
    query = (
        sa.select(*_sums())
        .where(under(cap.scope, cap.id))
        .where(runs.c.month == counted if counted else sa.true())
        .where(runs.c.id != but if but is not None else sa.true())
    )
    spent, reserved, alive = tx.execute(query).one()
    opened = sa.select(sa.func.count()).select_from(acknowledgements)
    slices = tx.execute(opened.filter_by(scope=cap.scope, owner=cap.id, month=counted)).scalar_one()
    more = _at_cursor(tx, (cap,), counted)[0]
    return Standing(cap, counted, Usd(int(spent)) + more, Usd(int(reserved)), slices, int(alive), more)


def people(tx: sa.Connection, caps: Sequence[Cap], month: str) -> tuple[Standing, ...]:
    """The same of many people's own caps, in a few looks at the month."""
    query = (
        sa.select(runs.c.actor_id, *_sums())
        .where(runs.c.actor_id.in_([int(cap.id) for cap in caps]), runs.c.line == "", runs.c.month == month)
        .group_by(runs.c.actor_id)
    )
    sums = {str(row[0]): row[1:] for row in tx.execute(query).all()}
    opened = (
        sa.select(acknowledgements.c.owner, sa.func.count())
        .where(acknowledgements.c.scope == Scope.PERSON, acknowledgements.c.month == month)
        .group_by(acknowledgements.c.owner)
    )
    slices = {str(row[0]): int(row[1]) for row in tx.execute(opened).all()}
    elsewhere = zip(caps, _at_cursor(tx, caps, month), strict=True)
    return tuple(
        Standing(cap, month, Usd(int(spent)) + more, Usd(int(held)), slices.get(cap.id, 0), int(alive), more)
        for cap, more in elsewhere
        for spent, held, alive in (sums.get(cap.id, (0, 0, 0)),)
    )


def _at_cursor(tx: sa.Connection, caps: Sequence[Cap], month: str) -> tuple[Usd, ...]:
    """What the accounts under each cap have used with Cursor; where more is given back than used, nothing."""
    emails = {email for cap in caps for email in cap.accounts}
    if not emails:
        return (ZERO,) * len(caps)
    used = {str(email): int(nanos) for email, nanos in tx.execute(of_month(month, emails)).all()}
    return tuple(Usd(max(0, sum(used.get(email, 0) for email in cap.accounts))) for cap in caps)


def _sums() -> tuple[sa.ColumnElement[int], sa.ColumnElement[int], sa.ColumnElement[int]]:
    """Spent, held, and how many are live, of the runs that a query is about."""
    live = runs.c.state.in_(STARTED)
    unspent = runs.c.ceiling_nanos - runs.c.spent_nanos
    # What is in flight counts beyond the ceiling too, should a bound ever be beaten.
    held = sa.case((sa.and_(live, unspent > runs.c.held_nanos), unspent), else_=runs.c.held_nanos)

    def of(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(column), 0)

    return of(runs.c.spent_nanos), of(held), of(sa.case((live, 1), else_=0))


def crowded(tx: sa.Connection, limits: Iterable[Limit], *, waits: bool) -> Full | None:
    """The first limit that leaves no room; for one that `waits`, also the first that others wait under."""
    for limit in limits:
        query = sa.select(
            sa.func.coalesce(sa.func.sum(sa.case((runs.c.state.in_(STARTED), 1), else_=0)), 0),
            sa.func.count(),
        ).where(under(limit.scope, limit.id), runs.c.state.in_(LIVE))
        live, all_ = (int(number) for number in tx.execute(query).one())
        if live >= limit.at_once or (waits and all_ > live):
            return Full(limit, live)
    return None


def under(scope: Scope, id: str) -> sa.ColumnElement[bool]:
    """The runs that a cap or a limit is over. What is on a line is on nobody's own."""
    match scope:
        case Scope.PERSON:
            return sa.and_(runs.c.actor_id == int(id), runs.c.line == "")
        case Scope.REPOSITORY:
            return runs.c.repository_id == int(id)
        case Scope.INSTALLATION:
            return runs.c.installation == int(id)
        case Scope.LINE:
            return runs.c.line == id
        case Scope.SWEEP:
            return runs.c.sweep == id
