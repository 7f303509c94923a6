"""A run between its runner and its last report: leases, the result, and who still edits its comment.

Whoever decides how a run ended sets `finishing_at` first; from then on no result is taken. A live comment
is edited under a short lease of its own, so that no late edit can fall on the last report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.core.times import DAY_MS, MINUTE_MS
from bot.stores.blobs import Blobs
from bot.stores.database import Database
from bot.stores.queue import Queue
from bot.stores.run_rows import SERVED, Run, from_row
from bot.stores.runs import LEASE_MS
from bot.stores.tables import LIVE, STARTED, blobs, runs

RESULT = "result"
# What a run leaves behind after every turn (L4): its conversation, and its changes as a result has them.
TRANSCRIPT, CHANGESET = "transcript", "changeset"
LINES = 10
HAND_IN_MS = 180_000  # an ended run's runner may take so long to post what it made
STRANDED_MS = 20 * MINUTE_MS
LINE_TIMES = 3  # a place in line is told so much less often than what a running run has cost
EDIT_MS = 60_000  # longer than any one call to GitHub may take


@dataclass(frozen=True, slots=True)
class Overdue:
    """A run that the watchdog found: nobody will end it by themselves any more."""

    run: str
    attempt: int


class Handover:
    def __init__(self, database: Database, queue: Queue, blobs: Blobs) -> None:
        self.database = database
        self.queue = queue
        self.blobs = blobs

    def of_token(self, hashed_token: str) -> Run | None:
        with self.database.read() as tx:
            row = tx.execute(sa.select(runs).where(runs.c.token_hash == hashed_token)).mappings().first()
        return from_row(row) if row else None

    def beat(self, run: str, tool_calls: int | None, lines: Sequence[str] = ()) -> None:
        """The runner is there: extend its lease; its count of tool calls only ever grows.

        `lines`: what the agent did since, newest last; the last LINES of them are kept.
        """
        most: sa.ColumnElement[int] = runs.c.tool_calls
        if tool_calls is not None:
            most = sa.case((runs.c.tool_calls < tool_calls, tool_calls), else_=runs.c.tool_calls)
        values: dict[str, Any] = {"lease_until_at": self.database.now + LEASE_MS, "tool_calls": most}
        with self.database.begin() as tx:
            if lines:
                known = tx.execute(sa.select(runs.c.last_lines).where(runs.c.id == run)).scalar_one()
                values["last_lines"] = json.dumps([*json.loads(known), *lines][-LINES:])
            alive = sa.update(runs).where(runs.c.id == run, runs.c.finishing_at.is_(None))
            tx.execute(alive.values(values))

    def take(self, run: str, attempt: int, body: bytes, story: str, changes: bytes | None = None) -> bool:
        """Keep a result and have it finished; True also if the same came before, False if it is too late.

        `changes`: what a further attempt would go on from.
        """
        with self.database.begin() as tx:
            query = sa.select(runs.c.attempt, runs.c.finishing_at).where(runs.c.id == run).with_for_update()
            row = tx.execute(query).first()
            if row is None or row.attempt != attempt:
                return False
            kept = self.blobs.get(run, attempt, RESULT, tx)
            if kept is not None or row.finishing_at is not None:
                return kept == body
            self.blobs.put(tx, run, attempt, RESULT, body)
            if changes is not None:
                self.blobs.replace(tx, run, attempt, CHANGESET, changes)
            self.queue.enqueue(tx, story, finish_key(run, attempt), run, attempt)
            return True

    def decide(self, run: str, attempt: int) -> None:
        """Take no result any more: what is there now is what the run made."""
        with self.database.begin() as tx:
            tx.execute(
                sa.update(runs)
                .where(runs.c.id == run, runs.c.attempt == attempt)
                .values(finishing_at=sa.func.coalesce(runs.c.finishing_at, self.database.now))
            )

    def result(self, run: str, attempt: int) -> bytes | None:
        """The result that was taken, as the runner posted it."""
        return self.blobs.get(run, attempt, RESULT)

    def keep(self, run: str, attempt: int, work: Mapping[str, bytes]) -> bool:
        """Keep the work so far, by its kind, in the place of what was there; False if it is too late."""
        with self.database.begin() as tx:
            query = sa.select(runs.c.attempt, runs.c.finishing_at).where(runs.c.id == run).with_for_update()
            row = tx.execute(query).first()
            if row is None or row.attempt != attempt or row.finishing_at is not None:
                return False
            for kind, content in work.items():
                self.blobs.replace(tx, run, attempt, kind, content)
            return True

    def latest(self, run: str, kind: str) -> tuple[int, bytes] | None:
        """The newest attempt's work of this kind, and which attempt that was; None if there is none."""
        return self.blobs.latest(run, kind)

    def drop_old(self, most_days: int) -> int:
        """Delete what is kept of ended runs for longer than their retention; how many blobs that were."""
        days = sa.case((runs.c.retention_days < most_days, runs.c.retention_days), else_=most_days)
        over = sa.exists().where(
            runs.c.id == blobs.c.run,
            runs.c.finished_at.is_not(None),
            blobs.c.stored_at < self.database.now - sa.cast(days, sa.BigInteger) * DAY_MS,
        )
        with self.database.begin() as tx:
            return tx.execute(sa.delete(blobs).where(over)).rowcount

    def changes(self, run: str) -> bytes | None:
        """The newest changeset that an attempt left, as JSON: its result's, or what was uploaded before."""
        uploaded, result = self.latest(run, CHANGESET), self.latest(run, RESULT)
        if result is None or (uploaded is not None and uploaded[0] > result[0]):
            return uploaded[1] if uploaded else None
        made = json.loads(result[1]).get("changeset")
        if made is None:
            return uploaded[1] if uploaded else None
        return json.dumps(made).encode()

    def drop(self, run: str) -> None:
        """Keep nothing of what it made."""
        self.blobs.drop(run)

    def unfinished(self) -> tuple[Overdue, ...]:
        """Their end was decided long ago, but their last report does not stand."""
        query = sa.select(runs.c.id, runs.c.attempt).where(
            runs.c.finished_at.is_(None), runs.c.finishing_at < self.database.now - STRANDED_MS
        )
        with self.database.read() as tx:
            return tuple(Overdue(row[0], row[1]) for row in tx.execute(query).all())

    def overdue(self) -> tuple[Overdue, ...]:
        """Never claimed, silent, or ended long ago without a result."""
        now = self.database.now
        silent = runs.c.lease_until_at < now
        # Without a lease it ended in line, and nobody has anything to hand in.
        nobody = sa.or_(runs.c.lease_until_at.is_(None), silent)
        late = sa.and_(runs.c.state.not_in(LIVE), sa.or_(nobody, runs.c.ended_at < now - HAND_IN_MS))
        query = sa.select(runs.c.id, runs.c.attempt).where(
            runs.c.origin.in_(SERVED),
            runs.c.finishing_at.is_(None),
            sa.or_(sa.and_(runs.c.state.in_(STARTED), silent), late),
        )
        with self.database.read() as tx:
            return tuple(Overdue(row[0], row[1]) for row in tx.execute(query).all())

    def past_deadline(self) -> tuple[str, ...]:
        """Running runs whose time is over; the gateway sees it only when they ask for something."""
        query = sa.select(runs.c.id).where(
            runs.c.origin.in_(SERVED), runs.c.state == "running", runs.c.deadline_at < self.database.now
        )
        with self.database.read() as tx:
            return tuple(row[0] for row in tx.execute(query).all())

    # -- the live comment --

    def to_report(self, every_ms: int) -> tuple[Run, ...]:
        """Runs whose live comment was not edited for so long; in line, for LINE_TIMES as long."""
        with self.database.read() as tx:
            rows = tx.execute(sa.select(runs).where(*self._may_report(every_ms))).mappings().all()
        return tuple(from_row(row) for row in rows)

    def begin_report(self, run: str, every_ms: int) -> bool:
        """Be the one who edits its comment now."""
        until = self.database.now + EDIT_MS
        taken = sa.update(runs).where(runs.c.id == run, *self._may_report(every_ms))
        with self.database.begin() as tx:
            return tx.execute(taken.values(reporting_until_at=until)).rowcount == 1

    def end_report(self, run: str, digest: str | None) -> None:
        """Done; `digest` of what the comment shows now, None if it was left as it was."""
        values: dict[str, object] = {"reporting_until_at": None, "reported_at": self.database.now}
        if digest is not None:
            values["reported_digest"] = digest
        with self.database.begin() as tx:
            tx.execute(sa.update(runs).where(runs.c.id == run).values(values))

    def digest(self, run: str) -> str | None:
        with self.database.read() as tx:
            return tx.execute(sa.select(runs.c.reported_digest).where(runs.c.id == run)).scalar_one_or_none()

    def being_reported(self, run: str) -> bool:
        """Whether someone may still be editing its live comment."""
        query = sa.select(runs.c.reporting_until_at > self.database.now).where(runs.c.id == run)
        with self.database.read() as tx:
            return bool(tx.execute(query).scalar_one_or_none())

    def _may_report(self, every_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
        now, waited = self.database.now, runs.c.queued_at.is_not(None)
        every = sa.case((runs.c.state == "queued", every_ms * LINE_TIMES), else_=every_ms)
        return (
            # What stood in line is told when it is let in, too.
            sa.or_(runs.c.state.in_(("queued", "running")), sa.and_(runs.c.state == "open", waited)),
            runs.c.finishing_at.is_(None),
            runs.c.report_comment_id.is_not(None),
            sa.or_(runs.c.reported_at.is_(None), runs.c.reported_at < now - every),
            sa.or_(runs.c.reporting_until_at.is_(None), runs.c.reporting_until_at < now),
        )


def finish_key(run: str, attempt: int) -> str:
    """Whoever has a run finished enqueues under this key: it is finished once."""
    return f"finish-{run}-{attempt}"
