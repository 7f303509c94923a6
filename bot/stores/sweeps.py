"""Sweeps: a task list as one thing with a total of its own, over a run for each of its items (R23).

The row says what was asked for and whether it goes on; everything else is said by the runs, which wait in
line, are let in and end as any other. Its comment is edited under a short lease, as a run's live comment is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bot.core.caps import Cap, Scope
from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.times import DAY_MS
from bot.core.waiting import Limit
from bot.stores.database import Database
from bot.stores.handover import EDIT_MS
from bot.stores.run_rows import NewRun, Run, from_row
from bot.stores.runs import Runs
from bot.stores.switch import Paused, paused, record
from bot.stores.tables import LIVE, runs, sweeps


@dataclass(frozen=True, slots=True)
class NewSweep:
    """What is known at the trigger; `clamps` in words. `id` and `opened_by` as a run has them."""

    id: str
    installation: int
    repository_id: int
    repository: str
    thread: int
    comment_id: int
    actor: str
    actor_id: int
    line: str
    parallel: int
    total: Usd
    each: Ceilings
    url: str
    opened_by: str
    clamps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sweep(NewSweep):
    """A sweep's row as it stands. `live`: some item of it may still begin or end. Times in ms."""

    live: bool
    stopped_by: str
    resumed_by: str
    attempt: int
    opened_at: int
    ended_at: int | None
    finished_at: int | None
    report_comment_id: int | None
    reported_digest: str | None
    ticked: frozenset[int]

    @property
    def cap(self) -> Cap:
        """What all of its items have to fit under together."""
        return Cap(Scope.SWEEP, self.id, "this sweep", self.total)

    @property
    def limit(self) -> Limit:
        """How many of them may be live at once."""
        return Limit(Scope.SWEEP, self.id, "this sweep", self.parallel)


@dataclass(frozen=True, slots=True)
class Again:
    """A further attempt of a sweep, after which one: its new totals, and the runs that go on: each after
    which attempt, as it is now, and how that was asked for (empty for what begins anew)."""

    after: int
    parallel: int
    total: Usd
    each: Ceilings
    by: str
    opened_by: str
    clamps: tuple[str, ...]
    items: Sequence[tuple[int, NewRun, dict[str, Any]]] = field(default_factory=tuple)


class Sweeps:
    def __init__(self, database: Database, store: Runs) -> None:
        self.database = database
        self.runs = store

    def open(self, new: NewSweep, items: Sequence[NewRun]) -> bool | Paused:
        """The sweep and all of its items, in line; False, and nothing, if its comment has one (L2) or its
        thread something live (L3); Paused where nothing runs."""
        values = {
            "id": new.id,
            "installation": new.installation,
            "repository_id": new.repository_id,
            "repository": new.repository,
            "thread": new.thread,
            "comment_id": new.comment_id,
            "actor": new.actor,
            "actor_id": new.actor_id,
            "line": new.line,
            "url": new.url,
            "opened_by": new.opened_by,
            "opened_at": self.database.now,
            **_totals(new),
        }
        with self.database.begin() as tx:
            if off := paused(tx, new.repository, new.repository_id):
                return off
            if _occupied(tx, new.repository_id, new.thread):
                return False
            made = self.database.insert(sweeps).values(values).on_conflict_do_nothing()
            if tx.execute(made.returning(sweeps.c.id)).first() is None:
                return False
            for item in items:
                self.runs.open_in(tx, item, queued=True)
            return True

    def get(self, sweep: str) -> Sweep | None:
        return self._first(sweeps.c.id == sweep)

    def of_comment(self, repository_id: int, comment_id: int) -> Sweep | None:
        """The sweep that this comment opened (L2)."""
        return self._first(sweeps.c.repository_id == repository_id, sweeps.c.comment_id == comment_id)

    def live(self, repository_id: int, thread: int) -> Sweep | None:
        """The thread's live sweep (L3)."""
        return self._first(
            sweeps.c.repository_id == repository_id, sweeps.c.thread == thread, sweeps.c.live.is_(True)
        )

    def last(self, repository_id: int, thread: int) -> Sweep | None:
        """The thread's sweep that was asked for last."""
        return self._first(sweeps.c.repository_id == repository_id, sweeps.c.thread == thread)

    def items(self, sweep: str) -> tuple[Run, ...]:
        """Its runs, in the order of the list."""
        query = sa.select(runs).where(runs.c.sweep == sweep).order_by(runs.c.item)
        with self.database.read() as tx:
            return tuple(from_row(row) for row in tx.execute(query).mappings().all())

    def stop(self, sweep: str, who: str, messages: Mapping[str, str]) -> tuple[str, ...]:
        """Halt every item that is live or in line, each with its message; the ids of those that were."""
        halted = []
        with self.database.begin() as tx:
            mine = sa.and_(sweeps.c.id == sweep, sweeps.c.live.is_(True))
            tx.execute(sa.update(sweeps).where(mine).values(stopped_by=who))
            for run, message in messages.items():
                ended = sa.update(runs).where(runs.c.id == run, runs.c.state.in_(LIVE))
                values = {"state": "halted", "reason": Reason.STOPPED, "message": message}
                if tx.execute(ended.values(**values, ended_at=self.database.now)).rowcount == 1:
                    halted.append(run)
        return tuple(halted)

    def reopen(self, sweep: str, again: Again) -> bool | Paused:
        """A further attempt, with these items in line again; False, and nothing, if it has gone on already,
        or its thread has something live."""
        values = _totals(again) | {
            "live": True,
            "attempt": again.after + 1,
            "opened_by": again.opened_by,
            "resumed_by": again.by,
            "stopped_by": "",
            "ended_at": None,
            "finished_at": None,
            "report_comment_id": None,
            "reported_digest": None,
            "reporting_until_at": None,
        }
        over = sa.and_(sweeps.c.id == sweep, sweeps.c.attempt == again.after, sweeps.c.live.is_(False))
        with self.database.begin() as tx:
            row = tx.execute(sa.select(sweeps).where(over)).first()
            if row is None:
                return False
            if off := paused(tx, row.repository, row.repository_id):
                return off
            if _occupied(tx, row.repository_id, row.thread):
                return False
            if tx.execute(sa.update(sweeps).where(over).values(values)).rowcount != 1:
                return False
            for last, new, resumed in again.items:
                self.runs.reopen_in(tx, new.id, last, new, resumed, queued=True)
            told = {"sweep": sweep, "attempt": again.after + 1, "cost": str(again.total)}
            record(tx, self.database, again.by, "resumed", row.repository, told)
            return True

    def over(self, sweep: str) -> bool:
        """End it, if none of its items is live any more and the last report of each stands."""
        going = sa.select(runs.c.id).where(
            runs.c.sweep == sweep, sa.or_(runs.c.state.in_(LIVE), runs.c.finished_at.is_(None))
        )
        ended = sa.update(sweeps).where(sweeps.c.id == sweep, sweeps.c.live.is_(True), ~going.exists())
        with self.database.begin() as tx:
            return tx.execute(ended.values(live=False, ended_at=self.database.now)).rowcount == 1

    # -- its comment --

    def to_tell(self, every_ms: int) -> tuple[str, ...]:
        """Those whose last word is not said, and whose comment nobody has looked at for so long."""
        query = sa.select(sweeps.c.id).where(*self._may_tell(every_ms)).order_by(sweeps.c.id)
        with self.database.read() as tx:
            return tuple(tx.execute(query).scalars())

    def begin_telling(self, sweep: str, every_ms: int) -> bool:
        """Be the one who looks after its comment and its boxes now."""
        taken = sa.update(sweeps).where(sweeps.c.id == sweep, *self._may_tell(every_ms))
        with self.database.begin() as tx:
            until = self.database.now + EDIT_MS
            return tx.execute(taken.values(reporting_until_at=until)).rowcount == 1

    def go_on_telling(self, sweep: str) -> None:
        """For another call to GitHub."""
        self.set(sweep, reporting_until_at=self.database.now + EDIT_MS)

    def end_telling(self, sweep: str) -> None:
        self.set(sweep, reporting_until_at=None, reported_at=self.database.now)

    def told(self, as_told: Sweep, digest: str) -> None:
        """What its comment shows now, of the sweep as it was read; of one that is over it is the last word.

        Nothing where it goes on or an item of it has changed since: that is still to be told.
        """
        same = sa.and_(sweeps.c.id == as_told.id, sweeps.c.attempt == as_told.attempt)
        last: dict[str, Any] = {}
        if not as_told.live:
            same = sa.and_(same, sweeps.c.ended_at == as_told.ended_at)
            last = {"finished_at": self.database.now}
        with self.database.begin() as tx:
            tx.execute(sa.update(sweeps).where(same).values(reported_digest=digest, **last))

    def tick(self, sweep: str, items: Sequence[int]) -> None:
        """The boxes of these items are ticked, or are not there any more."""
        with self.database.begin() as tx:
            mine = sa.select(sweeps.c.ticked).where(sweeps.c.id == sweep).with_for_update()
            known = json.loads(tx.execute(mine).scalar_one())
            all_ = json.dumps(sorted({*known, *items}))
            tx.execute(sa.update(sweeps).where(sweeps.c.id == sweep).values(ticked=all_))

    def touch(self, sweep: str) -> None:
        """An item of it has changed, perhaps after its last word: then there is another."""
        over = sa.update(sweeps).where(sweeps.c.id == sweep, sweeps.c.live.is_(False))
        with self.database.begin() as tx:
            tx.execute(over.values(finished_at=None, ended_at=self.database.now))

    def set(self, sweep: str, **columns: Any) -> None:
        with self.database.begin() as tx:
            tx.execute(sa.update(sweeps).where(sweeps.c.id == sweep).values(**columns))

    def _may_tell(self, every_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
        now = self.database.now
        return (
            sweeps.c.finished_at.is_(None),
            # Where GitHub does not take it for a day, nobody waits for it any more.
            sa.or_(sweeps.c.live.is_(True), sweeps.c.ended_at > now - DAY_MS),
            sa.or_(sweeps.c.reported_at.is_(None), sweeps.c.reported_at < now - every_ms),
            sa.or_(sweeps.c.reporting_until_at.is_(None), sweeps.c.reporting_until_at < now),
        )

    def _first(self, *where: sa.ColumnElement[bool]) -> Sweep | None:
        query = sa.select(sweeps).where(*where).order_by(sweeps.c.opened_at.desc(), sweeps.c.id)
        with self.database.read() as tx:
            row = tx.execute(query.limit(1)).mappings().first()
        return _sweep(row) if row else None


def _occupied(tx: sa.Connection, repository_id: int, thread: int) -> bool:
    """Whether a run that is no item is live on the thread. Comments of a thread are taken one by one."""
    live = sa.select(runs.c.id).where(
        runs.c.repository_id == repository_id,
        runs.c.thread == thread,
        runs.c.sweep == "",
        runs.c.state.in_(LIVE),
    )
    return tx.execute(live).first() is not None


def _totals(asked: NewSweep | Again) -> dict[str, Any]:
    each = asked.each
    return {
        "parallel": asked.parallel,
        "total_nanos": asked.total.nanos,
        "each": json.dumps([each.usd.nanos, each.tokens, each.steps, each.seconds, each.cached_tokens]),
        "clamps": json.dumps(list(asked.clamps)),
    }


def _sweep(row: sa.RowMapping) -> Sweep:
    usd, tokens, steps, seconds, cached = json.loads(row["each"])
    return Sweep(
        **{name: row[name] for name in _PLAIN},
        total=Usd(row["total_nanos"]),
        each=Ceilings(Usd(usd), tokens, steps, seconds, cached),
        clamps=tuple(json.loads(row["clamps"])),
        ticked=frozenset(json.loads(row["ticked"])),
    )


_PLAIN = (
    "id", "installation", "repository_id", "repository", "thread", "comment_id", "actor", "actor_id", "line",
    "parallel", "url", "opened_by", "live", "stopped_by", "resumed_by", "attempt", "opened_at", "ended_at",
    "finished_at", "report_comment_id", "reported_digest",
)  # fmt: skip
