"""Runs one after the other, newest first, as far as somebody may see them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bot.core.money import Usd
from bot.core.run_list import Listed, Wanted
from bot.core.visibility import Sight
from bot.stores.database import Database
from bot.stores.only import known, of_runs
from bot.stores.rollups import address
from bot.stores.tables import runs

_PLAIN = (
    "origin", "repository_id", "repository", "thread", "actor_id", "actor", "task_class", "engine", "model",
    "line", "state", "reason", "attempt", "steps", "opened_at", "started_at", "ended_at",
)  # fmt: skip
_MORE = (
    "id", "spent_nanos", "estimated_nanos", "held_nanos", "ceiling_nanos", "spent_tokens", "ceiling_steps",
    "snapshot", "report_comment_id", "workflow_url", "sweep", "published_pull",
)  # fmt: skip
_COLUMNS = tuple(runs.c[name] for name in (*_PLAIN, *_MORE))


class RunList:
    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, wanted: Wanted, sight: Sight, most: int) -> tuple[Listed, ...]:
        """The first so many; names that `sight` hides are hidden."""
        query = sa.select(*_COLUMNS).where(*_seen(sight, wanted), *_wanted(wanted))
        newest = query.order_by(runs.c.opened_at.desc(), runs.c.id.desc()).limit(most)
        with self.database.read() as tx:
            counted = of_runs(known(tx, wanted.only))
            rows = tx.execute(newest.where(*counted)).mappings().all()
        return tuple(_listed(row).seen(sight) for row in rows)

    def one(self, run: str, sight: Sight) -> Listed | None:
        """That run in the same way; None if there is none, or none that may be seen."""
        with self.database.read() as tx:
            row = tx.execute(sa.select(*_COLUMNS).where(runs.c.id == run)).mappings().first()
        found = _listed(row) if row else None
        may = found is not None and sight.run(found.repository_id, found.actor_id)
        return found.seen(sight) if found is not None and may else None


def _seen(sight: Sight, wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    """As `Sight.run` has it; who asks for a repository by its name learns nothing of one that is hidden."""
    own = runs.c.actor_id == sight.person
    found = [] if sight.everyone else [_or_in(own, sight.people_in)]
    if wanted.only.repository:
        found.append(_or_in(own, sight.readable))
    return found


def _or_in(own: sa.ColumnElement[bool], repositories: frozenset[int]) -> sa.ColumnElement[bool]:
    return sa.or_(own, runs.c.repository_id.in_(sorted(repositories))) if repositories else own


def _wanted(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.states:
        found.append(runs.c.state.in_(wanted.states))
    if wanted.reason:
        found.append(runs.c.reason == wanted.reason)
    if wanted.engine:
        found.append(runs.c.engine == wanted.engine)
    if wanted.since is not None:
        found.append(runs.c.opened_at >= wanted.since)
    if wanted.until is not None:
        found.append(runs.c.opened_at < wanted.until)
    if wanted.before is not None:
        at, run = wanted.before.at, wanted.before.run
        # The first for the index, which the second alone would not bound.
        found.append(runs.c.opened_at <= at)
        found.append(sa.or_(runs.c.opened_at < at, runs.c.id < run))
    return found


def _listed(row: sa.RowMapping) -> Listed:
    plain: dict[str, Any] = {name: row[name] for name in _PLAIN}
    return Listed(
        run=row["id"],
        url=address(row),
        usd=Usd(row["spent_nanos"]),
        estimated=Usd(row["estimated_nanos"]),
        held=Usd(row["held_nanos"]),
        ceiling=Usd(row["ceiling_nanos"]),
        tokens=row["spent_tokens"],
        most_steps=row["ceiling_steps"],
        **plain,
    )
