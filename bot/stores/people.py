"""What a month's caps are used up by, and launches that must fit under them (R20, R21, P4).

Launches under the same cap or limit are fitted one after another, under the lock of its row (see fitting).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from bot.core.caps import (
    Cap,
    Fit,
    Names,
    Opened,
    Reached,
    Spender,
    Standing,
    fit,
    held_only,
    period,
    slice_of,
)
from bot.core.money import ZERO, Usd
from bot.core.waiting import Full, Limit
from bot.stores import fitting
from bot.stores.database import Database
from bot.stores.fitting import Under
from bot.stores.rollups import called
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs
from bot.stores.switch import Paused, paused, record
from bot.stores.tables import acknowledgements, months, runs


@dataclass(frozen=True, slots=True)
class Queued:
    """The run is there, in state `queued`: it waits for room, and `stories/admit` opens it."""


# True: it is open. False: see `Runs.open`. Nothing was opened where it is Reached, Full or Paused.
Opening = bool | Queued | Reached | Full | Paused


class People:
    def __init__(self, database: Database, store: Runs) -> None:
        self.database = database
        self.runs = store

    def open(
        self, new: NewRun, caps: Sequence[Cap], *, limits: Sequence[Limit] = (), waits: bool = True
    ) -> Opening:
        """Open it, clamped to what its month's caps leave; Reached, and nothing opened, if that is too
        little; Paused where nothing runs; False as `Runs.open`.

        Where a limit leaves no room, or others wait under it: Queued, if it `waits`. What cannot wait, a step
        or a laptop, takes what room there is before those who wait; where there is none it is told Full.
        """
        with self.database.begin() as tx:
            if off := paused(tx, new.repository, new.repository_id):
                return off
            fitted = self._fitted(tx, new, Under(caps, limits, new.month), waits)
            if isinstance(fitted, Reached | Full):
                return fitted
            fitting_run, queued = fitted
            made = self.runs.open_in(tx, fitting_run, queued=queued)
            return Queued() if made and queued else made

    def reopen(
        self,
        attempt: int,
        new: NewRun,
        caps: Sequence[Cap],
        resumed: dict[str, Any] | None = None,
        *,
        limits: Sequence[Limit] = (),
        waits: bool = True,
        by: str = "",
    ) -> Opening:
        """The same for a further attempt: it stays in the month of its launch, with what it has spent.

        Where somebody has asked for it (`by`), that is kept in the audit log.
        """
        try:
            with self.database.begin() as tx:
                columns = runs.c.spent_nanos, runs.c.repository, runs.c.repository_id
                row = tx.execute(sa.select(*columns).where(runs.c.id == new.id)).one()
                if off := paused(tx, row.repository, row.repository_id):
                    return off
                under = Under(caps, limits, new.month)
                fitted = self._fitted(tx, new, under, waits, Usd(row.spent_nanos))
                if isinstance(fitted, Reached):
                    # What it has spent itself is a part of what people are told.
                    return Reached(fitting.standing(tx, fitted.standing.cap, new.month))
                if isinstance(fitted, Full):
                    return fitted
                fitting_run, queued = fitted
                made = self.runs.reopen_in(tx, new.id, attempt, fitting_run, resumed, queued=queued)
                if made and by:
                    told = {"run": new.id, "attempt": attempt + 1, "cost": str(fitting_run.ceilings.usd)}
                    record(tx, self.database, by, "resumed", row.repository, told)
                return Queued() if made and queued else made
        except sa.exc.IntegrityError:
            return False

    def _fitted(
        self, tx: sa.Connection, new: NewRun, under: Under, waits: bool, spent: Usd = ZERO
    ) -> tuple[NewRun, bool] | Reached | Full:
        """The run as it fits, and whether it has to wait; what is in line is clamped when it is let in.

        What has to wait for room waits for the money too that live runs may give back.
        """
        fitting.lock(tx, self.database, (under,))
        standings = [fitting.standing(tx, cap, under.month, but=new.id) for cap in under.caps]
        asked = new.ceilings.usd
        fitted, full = fit(asked, standings, spent), fitting.crowded(tx, under.limits, waits=waits)
        if waits and full is not None and held_only(asked, standings, spent):
            return new, True
        if isinstance(fitted, Reached):
            return fitted
        return full or (_clamped(new, fitted), False)

    def names(self, person: int | None, repository: int | None) -> Names:
        """What the person and the repository of these numbers were called in the runs so far."""
        his = sa.select(sa.func.lower(runs.c.actor)).where(runs.c.actor_id == person).distinct()
        its = sa.select(sa.func.lower(runs.c.repository)).where(runs.c.repository_id == repository).distinct()
        with self.database.read() as tx:
            return Names(frozenset(tx.execute(his).scalars()), frozenset(tx.execute(its).scalars()))

    def called(self, people: Collection[int], names: Collection[str]) -> Mapping[int, frozenset[str]]:
        """Which of these names (in lower case) each of these people had in the runs so far."""
        with self.database.read() as tx:
            return called(tx, people, names)

    def opened(self, month: str, cap: Cap | None = None) -> tuple[Opened, ...]:
        """The slices that were opened in a month, of one cap or of all, oldest first."""
        of = {"scope": cap.scope, "owner": cap.id, "month": period(cap, month)} if cap else {"month": month}
        query = sa.select(acknowledgements).filter_by(**of).order_by(acknowledgements.c.acknowledged_at)
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return tuple(Opened(r.scope, r.name, r.by, r.reason, Usd(r.nanos), r.acknowledged_at) for r in rows)

    def standings_of_people(self, caps: Sequence[Cap], month: str) -> tuple[Standing, ...]:
        """How people's own caps stand in a month, however many."""
        with self.database.read() as tx:
            return fitting.people(tx, caps, month)

    def standings(self, caps: Sequence[Cap], month: str) -> tuple[Standing, ...]:
        """How each cap stands in a month."""
        with self.database.read() as tx:
            return tuple(fitting.standing(tx, cap, month) for cap in caps)

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
        about = {"repository_id": repository_id, "comment_kind": kind, "comment_id": id}
        about |= {"scope": cap.scope, "owner": cap.id}
        with self.database.begin() as tx:
            fitting.lock(tx, self.database, (Under((cap,), (), month),))
            standing = fitting.standing(tx, cap, month)
            known = tx.execute(sa.select(acknowledgements.c.month).filter_by(**about)).first()
            if known is not None:
                return standing
            if not standing.reached:
                return None
            opened = sa.insert(acknowledgements).values(
                **about,
                month=period(cap, month),
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

    def tell(self, cap: Cap, month: str, run: str, attempt: int = 1) -> bool:
        """Whether this attempt's report is the one that tells that most of the month is gone: the first that
        asks."""
        counted, report = period(cap, month), f"{run}.{attempt}"
        row = sa.update(months).filter_by(scope=cap.scope, owner=cap.id, month=counted)
        with self.database.begin() as tx:
            fitting.make(tx, self.database, cap.scope, cap.id, counted)
            mine = sa.or_(months.c.told_in.is_(None), months.c.told_in == report)
            return tx.execute(row.where(mine).values(told_in=report)).rowcount == 1

    def dearest(self, cap: Cap, month: str, most: int = 5) -> tuple[Spender, ...]:
        """The runs that cost most of it."""
        query = (
            sa.select(runs.c.id, runs.c.repository, runs.c.thread, runs.c.task_class, runs.c.spent_nanos)
            .where(fitting.under(cap.scope, cap.id), runs.c.spent_nanos > 0)
            .where(runs.c.month == month if cap.scope.monthly else sa.true())
            .order_by(runs.c.spent_nanos.desc(), runs.c.id)
            .limit(most)
        )
        with self.database.read() as tx:
            return tuple(Spender(r[0], r[1], r[2], r[3], Usd(r[4])) for r in tx.execute(query).all())


def _clamped(new: NewRun, fitted: Fit) -> NewRun:
    """A run with the ceiling that it gets."""
    if not fitted.clamp:
        return new
    return replace(new, ceilings=replace(new.ceilings, usd=fitted.usd), clamps=(*new.clamps, fitted.clamp))
