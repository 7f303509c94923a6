"""What a month's caps are used up by, and launches that must fit under them (R20, R21, P4).

Nothing is counted beside the runs themselves: a live run counts with all that it may still spend, so that its
hold against a cap is its own row. Launches under the same cap are fitted one after another, under the lock of
the cap's month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from bot.core.caps import Cap, Fit, Names, Reached, Scope, Spender, Standing, fit, slice_of
from bot.core.money import Usd
from bot.stores.database import Database
from bot.stores.runs import NewRun, Runs
from bot.stores.switch import Paused, paused, record
from bot.stores.tables import acknowledgements, months, runs


class People:
    def __init__(self, database: Database, store: Runs) -> None:
        self.database = database
        self.runs = store

    def open(self, new: NewRun, caps: Sequence[Cap]) -> bool | Reached | Paused:
        """Open it, clamped to what its month's caps leave; Reached, and nothing opened, if that is too
        little; Paused where nothing runs; False as `Runs.open`."""
        with self.database.begin() as tx:
            if off := paused(tx, new.repository, new.repository_id):
                return off
            fitted = fit(new.ceilings.usd, self._locked(tx, caps, new.month))
            return fitted if isinstance(fitted, Reached) else self.runs.open_in(tx, _clamped(new, fitted))

    def reopen(
        self, attempt: int, new: NewRun, caps: Sequence[Cap], resumed: dict[str, Any] | None = None
    ) -> bool | Reached | Paused:
        """The same for a further attempt: it stays in the month of its launch, with what it has spent."""
        try:
            with self.database.begin() as tx:
                columns = runs.c.spent_nanos, runs.c.repository, runs.c.repository_id
                row = tx.execute(sa.select(*columns).where(runs.c.id == new.id)).one()
                if off := paused(tx, row.repository, row.repository_id):
                    return off
                spent = Usd(row.spent_nanos)
                standings = self._locked(tx, caps, new.month, but=new.id)
                fitted = fit(new.ceilings.usd, standings, spent)
                if isinstance(fitted, Reached):
                    return fitted
                return self.runs.reopen_in(tx, new.id, attempt, _clamped(new, fitted), resumed)
        except sa.exc.IntegrityError:
            return False

    def names(self, person: int | None, repository: int | None) -> Names:
        """What the person and the repository of these numbers were called in the runs so far."""
        his = sa.select(sa.func.lower(runs.c.actor)).where(runs.c.actor_id == person).distinct()
        its = sa.select(sa.func.lower(runs.c.repository)).where(runs.c.repository_id == repository).distinct()
        with self.database.read() as tx:
            return Names(frozenset(tx.execute(his).scalars()), frozenset(tx.execute(its).scalars()))

    def standings(self, caps: Sequence[Cap], month: str) -> tuple[Standing, ...]:
        """How each cap stands in a month."""
        with self.database.read() as tx:
            return tuple(_standing(tx, cap, month) for cap in caps)

    def acknowledge(
        self,
        cap: Cap,
        month: str,
        *,
        by: str,
        reason: str,
        repository_id: int,
        comment: tuple[str, int],
        repository: str = "",
    ) -> Standing | None:
        """Open the next slice of a cap that is reached; None, and nothing changed, if it is not.

        A comment opens one, however often it is delivered. The standing is the one afterwards.
        """
        kind, id = comment
        about = {"repository_id": repository_id, "comment_kind": kind, "comment_id": id, "scope": cap.scope}
        with self.database.begin() as tx:
            (standing,) = self._locked(tx, (cap,), month)
            known = tx.execute(sa.select(acknowledgements.c.month).filter_by(**about)).first()
            if known is not None:
                return standing
            if not standing.reached:
                return None
            opened = sa.insert(acknowledgements).values(
                **about,
                owner=cap.id,
                month=month,
                name=cap.name,
                by=by,
                reason=reason,
                nanos=slice_of(cap.usd).nanos,
                acknowledged_at=self.database.now,
            )
            tx.execute(opened)
            told = {"cap": cap.name, "scope": cap.scope, "month": month, "reason": reason}
            record(tx, self.database, by, "acknowledged", repository, told)
            return replace(standing, acknowledged=standing.acknowledged + 1)

    def tell(self, cap: Cap, month: str, run: str) -> bool:
        """Whether `run` is the one whose report tells that most of the month is gone: the first that asks."""
        row = sa.update(months).where(*_is(months, cap, month))
        with self.database.begin() as tx:
            self._insert(tx, cap, month)
            mine = sa.or_(months.c.told_in.is_(None), months.c.told_in == run)
            return tx.execute(row.where(mine).values(told_in=run)).rowcount == 1

    def dearest(self, cap: Cap, month: str, most: int = 5) -> tuple[Spender, ...]:
        """The runs that cost most of it."""
        query = (
            sa.select(runs.c.id, runs.c.repository, runs.c.thread, runs.c.task_class, runs.c.spent_nanos)
            .where(_under(cap), runs.c.month == month, runs.c.spent_nanos > 0)
            .order_by(runs.c.spent_nanos.desc(), runs.c.id)
            .limit(most)
        )
        with self.database.read() as tx:
            return tuple(Spender(r[0], r[1], r[2], r[3], Usd(r[4])) for r in tx.execute(query).all())

    def _locked(
        self, tx: sa.Connection, caps: Sequence[Cap], month: str, but: str | None = None
    ) -> tuple[Standing, ...]:
        """How each stands, and no launch under any of them until this transaction is over."""
        # Always in the same order, so that two launches never wait for each other.
        for cap in sorted(caps, key=lambda cap: (cap.scope, cap.id)):
            self._insert(tx, cap, month)
            tx.execute(sa.select(months.c.month).where(*_is(months, cap, month)).with_for_update())
        return tuple(_standing(tx, cap, month, but) for cap in caps)

    def _insert(self, tx: sa.Connection, cap: Cap, month: str) -> None:
        insert = self.database.insert(months)
        values = {"scope": cap.scope, "owner": cap.id, "month": month}
        tx.execute(insert.values(values).on_conflict_do_nothing())


def _standing(tx: sa.Connection, cap: Cap, month: str, but: str | None = None) -> Standing:
    live = runs.c.state.in_(("open", "running"))
    unspent = runs.c.ceiling_nanos - runs.c.spent_nanos
    # What is in flight counts beyond the ceiling too, should a bound ever be beaten.
    held = sa.case((sa.and_(live, unspent > runs.c.held_nanos), unspent), else_=runs.c.held_nanos)
    query = (
        sa.select(
            sa.func.coalesce(sa.func.sum(runs.c.spent_nanos), 0),
            sa.func.coalesce(sa.func.sum(held), 0),
            sa.func.coalesce(sa.func.sum(sa.case((live, 1), else_=0)), 0),
        )
        .where(_under(cap), runs.c.month == month)
        .where(runs.c.id != but if but is not None else sa.true())
    )
    spent, reserved, alive = tx.execute(query).one()
    opened = sa.select(sa.func.count()).where(*_is(acknowledgements, cap, month))
    slices = tx.execute(opened).scalar_one()
    return Standing(cap, month, Usd(int(spent)), Usd(int(reserved)), slices, int(alive))


def _under(cap: Cap) -> sa.ColumnElement[bool]:
    """The runs that a cap is over. What is on a line is on nobody's own."""
    match cap.scope:
        case Scope.PERSON:
            return sa.and_(runs.c.actor_id == int(cap.id), runs.c.line == "")
        case Scope.REPOSITORY:
            return runs.c.repository_id == int(cap.id)
        case Scope.INSTALLATION:
            return runs.c.installation == int(cap.id)
        case Scope.LINE:
            return runs.c.line == cap.id


def _is(table: sa.Table, cap: Cap, month: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.scope == cap.scope, table.c.owner == cap.id, table.c.month == month


def _clamped(new: NewRun, fitted: Fit) -> NewRun:
    if not fitted.clamp:
        return new
    return replace(new, ceilings=replace(new.ceilings, usd=fitted.usd), clamps=(*new.clamps, fitted.clamp))
