"""The line of runs that wait for room, and who is let in: each once, by whichever process looks first.

A run in line is a row in state `queued`. It is opened, and its story enqueued, in one transaction under the
locks that launches take; so what is let in fits as a launch does, and is told of exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.core.caps import Fit, Reached, Scope, fit, held_only
from bot.core.ceilings import Reason
from bot.core.replies import reached
from bot.core.waiting import Crowd, Key, Live
from bot.stores import fitting
from bot.stores.database import Database
from bot.stores.fitting import Under
from bot.stores.handover import finish_key
from bot.stores.queue import Queue, turn_at
from bot.stores.run_rows import Run, from_row
from bot.stores.runs import CLAIM_MS
from bot.stores.switch import paused
from bot.stores.tables import STARTED, refusals, runs


@dataclass(frozen=True, slots=True)
class Asked:
    """A run in line that there seems to be room for: what it has to fit under as of now, or why it may not
    start any more (a phrase)."""

    run: Run
    under: Under | str


@dataclass(frozen=True, slots=True)
class Stories:
    """The names of the stories that tell an admission, and the end of a run: of (run id, attempt)."""

    admitted: str
    finish: str


class WaitingLine:
    def __init__(self, database: Database, queue: Queue) -> None:
        self.database = database
        self.queue = queue

    def all(self) -> tuple[Run, ...]:
        """The runs in line, whoever came first first."""
        query = sa.select(runs).where(runs.c.state == "queued").order_by(runs.c.queued_at, runs.c.id)
        with self.database.read() as tx:
            return tuple(from_row(row) for row in tx.execute(query).mappings().all())

    def live(self) -> tuple[Live, ...]:
        """Every live run as it counts."""
        with self.database.read() as tx:
            return _live(tx)

    def admit(self, asked: Sequence[Asked], stories: Stories) -> frozenset[str]:
        """Let in whom there is room and money for, in this order; the ids of those who stay for now.

        Who may not start any more, or whose money is spent, is ended as `refused`. Who lacks only what live
        runs hold stays: they give back what they do not spend.
        """
        stay = set()
        with self.database.begin() as tx:
            fitting.lock(tx, self.database, [one.under for one in asked if isinstance(one.under, Under)])
            crowd = Crowd(_live(tx))
            for one in asked:
                mine = sa.and_(
                    runs.c.id == one.run.id, runs.c.attempt == one.run.attempt, runs.c.state == "queued"
                )
                # Whoever has the row now may be waiting for another one of ours: it is for the next look.
                free = sa.select(runs).where(mine).with_for_update(skip_locked=True)
                row = tx.execute(free).mappings().first()
                if row is None:
                    stay.add(one.run.id)
                    continue
                run = from_row(row)
                if isinstance(one.under, str):
                    self._refuse(tx, run, None, one.under, stories)
                elif off := paused(tx, run.repository, run.repository_id):
                    self._refuse(tx, run, None, str(off), stories)
                elif crowd.full(one.under.limits):
                    stay.add(run.id)
                else:
                    fitted = _fitted(tx, run, one.under)
                    if fitted is None:
                        stay.add(run.id)
                    elif isinstance(fitted, Reached):
                        self._refuse(tx, run, Reason.CAP_REACHED, reached(fitted.standing), stories)
                    else:
                        self._open(tx, run, one.under.month, fitted, stories)
                        crowd.enter(counted(run))
        return frozenset(stay)

    def _open(self, tx: sa.Connection, run: Run, month: str, fitted: Fit, stories: Stories) -> None:
        values: dict[str, Any] = {
            "state": "open",
            "month": month,
            "ceiling_nanos": fitted.usd.nanos,
            "lease_until_at": self.database.now + CLAIM_MS,
        }
        if fitted.clamp:
            values["clamps"] = json.dumps([*run.clamps, fitted.clamp])
        tx.execute(sa.update(runs).where(runs.c.id == run.id).values(values))
        # As if it had been asked for now: after the story that announces its place, before later commands.
        turn = turn_at(run.repository_id or 0, run.thread, self._now(tx)) if run.thread is not None else None
        key = f"admit-{run.id}-{run.attempt}"
        self.queue.enqueue(tx, stories.admitted, key, run.id, run.attempt, turn=turn)

    def _refuse(self, tx: sa.Connection, run: Run, reason: Reason | None, why: str, stories: Stories) -> None:
        values = {"state": "refused", "reason": reason, "message": why, "ended_at": self.database.now}
        tx.execute(sa.update(runs).where(runs.c.id == run.id).values(values))
        if reason is not None:
            # Whoever acknowledges on its thread answers for it, as for a start that was refused at once.
            refused = self.database.insert(refusals).values(
                repository_id=run.repository_id,
                repository=run.repository,
                thread=run.thread,
                comment_kind=run.comment_kind,
                comment_id=run.comment_id,
                actor=run.actor,
                actor_id=run.actor_id,
                reason=reason,
                message=why,
                run=run.id if run.attempt > 1 else None,
                refused_at=self.database.now,
            )
            tx.execute(refused.on_conflict_do_nothing())
        self.queue.enqueue(tx, stories.finish, finish_key(run.id, run.attempt), run.id, run.attempt)

    def _now(self, tx: sa.Connection) -> int:
        return int(tx.execute(sa.select(self.database.now)).scalar_one())


def _fitted(tx: sa.Connection, run: Run, under: Under) -> Fit | Reached | None:
    """What it gets of its month; None while live runs hold what it lacks."""
    standings = [fitting.standing(tx, cap, under.month, but=run.id) for cap in under.caps]
    asked, spent = run.ceilings.usd, run.spent.usd
    fitted = fit(asked, standings, spent)
    # An item of a sweep waits for its whole ceiling while others of it hold what it lacks.
    others = any(one.held for one in standings if one.cap.scope is Scope.SWEEP)
    if isinstance(fitted, Fit):
        return None if fitted.clamp and others else fitted
    if held_only(asked, standings, spent):
        return None
    # What it has spent itself is a part of what people are told.
    return Reached(fitting.standing(tx, fitted.standing.cap, under.month))


def counted(run: Run) -> Live:
    """A run as it counts while it is live."""
    return _counts(run.id, run.actor_id, run.repository_id, run.installation, run.line, run.sweep)


def _live(tx: sa.Connection) -> tuple[Live, ...]:
    columns = (
        runs.c.id, runs.c.actor_id, runs.c.repository_id, runs.c.installation, runs.c.line, runs.c.sweep
    )  # fmt: skip
    rows = tx.execute(sa.select(*columns).where(runs.c.state.in_(STARTED)).order_by(runs.c.opened_at))
    return tuple(_counts(*row) for row in rows.all())


def _counts(
    run: str, person: int | None, repository: int | None, installation: int | None, line: str, sweep: str
) -> Live:
    under: set[Key] = set()
    if person is not None and not line:
        under.add((Scope.PERSON, str(person)))
    if repository is not None:
        under.add((Scope.REPOSITORY, str(repository)))
    if installation is not None:
        under.add((Scope.INSTALLATION, str(installation)))
    if line:
        under.add((Scope.LINE, line))
    if sweep:
        under.add((Scope.SWEEP, sweep))
    return Live(run, person or 0, repository or 0, frozenset(under))
