"""Labels that change: who put which on with which role, for GitHub keeps none; what a live run loses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from bot.core.limits import Lowered
from bot.core.roles import Role
from bot.stores.database import Database
from bot.stores.run_rows import Run, from_row
from bot.stores.tables import LIVE, labelings, runs

# A delivery's time is its thread's last change, the event's that of the label: seconds, and not always alike.
APART_MS = 5_000
MOST_CLAMPS = 100  # notes of a run: whoever changes labels all day does not make its row grow


class Labelings:
    def __init__(self, database: Database) -> None:
        self.database = database

    def record(
        self,
        delivery: str,
        *,
        repository_id: int,
        thread: int,
        label: str,
        added: bool,
        actor: str,
        role: Role,
        at: int,
    ) -> None:
        """Once for a delivery; `at` is ms since the epoch by GitHub's clock."""
        made = self.database.insert(labelings).values(
            delivery=delivery,
            repository_id=repository_id,
            thread=thread,
            label=label.casefold(),
            added=added,
            actor=actor,
            role=int(role),
            at=at,
            recorded_at=self.database.now,
        )
        with self.database.begin() as tx:
            tx.execute(made.on_conflict_do_nothing())

    def role_then(self, repository_id: int, thread: int, label: str, actor: str, at: int) -> Role | None:
        """The least role that they were seen with since they put this label on; None: nobody told us."""
        query = sa.select(sa.func.min(labelings.c.role)).where(
            labelings.c.repository_id == repository_id,
            labelings.c.thread == thread,
            labelings.c.label == label.casefold(),
            labelings.c.added,
            labelings.c.actor == actor,
            labelings.c.at >= at - APART_MS,
        )
        with self.database.read() as tx:
            found = tx.execute(query).scalar_one()
        return None if found is None else Role(found)

    def changed_since(self, repository_id: int, thread: int, recorded_ms: int) -> tuple[str, bool] | None:
        """The last change recorded since then, by our clock: the label, and whether it was put on."""
        query = (
            sa.select(labelings.c.label, labelings.c.added)
            .where(
                labelings.c.repository_id == repository_id,
                labelings.c.thread == thread,
                labelings.c.recorded_at >= recorded_ms,
            )
            .order_by(labelings.c.recorded_at.desc())
            .limit(1)
        )
        with self.database.read() as tx:
            row = tx.execute(query).first()
        return (row[0], row[1]) if row else None

    def lower(self, run: str, attempt: int, how: Callable[[Run], Lowered]) -> bool:
        """Bring a live attempt's ceilings down to what `how` makes of the run as it stands; False: it's over.

        What is in flight stays held; the next hold is checked against the new ceilings.
        """
        with self.database.begin() as tx:
            mine = sa.and_(runs.c.id == run, runs.c.attempt == attempt, runs.c.state.in_(LIVE))
            row = tx.execute(sa.select(runs).where(mine).with_for_update()).mappings().first()
            if row is None:
                return False
            held = from_row(row)
            to = how(held)
            notes = [note for note in to.notes if note not in held.clamps]
            deadline = runs.c.started_at + to.ceilings.seconds * 1000
            values: dict[str, Any] = {
                "ceiling_nanos": to.ceilings.usd.nanos,
                "ceiling_tokens": to.ceilings.tokens,
                "ceiling_steps": to.ceilings.steps,
                "ceiling_seconds": to.ceilings.seconds,
                "deadline_at": sa.case((runs.c.deadline_at > deadline, deadline), else_=runs.c.deadline_at),
                "sources": json.dumps(to.sources),
                "clamps": json.dumps([*held.clamps, *notes][:MOST_CLAMPS]),
            }
            tx.execute(sa.update(runs).where(mine).values(values))
            return True
