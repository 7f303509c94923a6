"""The ledger's rows as a warehouse takes them: money in nano-dollars, times in ms since the epoch.

What is booked stays as it is: it is read by the moment of its booking, each row once. Runs and pull requests
go on changing, and are read whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.quarters import MODEL
from bot.stores.tables import (
    CHARGED,
    attributions,
    cursor_events,
    pool_corrections,
    pulls,
    refusals,
    runs,
    turns,
)

# A transaction that books is over within this many ms of the time that it wrote; only what is older is read.
LAG = 120_000
_AT_ONCE = 5_000

_WHOSE = (
    runs.c.installation, runs.c.repository_id, runs.c.repository, runs.c.thread, runs.c.actor_id,
    runs.c.actor, runs.c.line, runs.c.origin, runs.c.task_class, runs.c.engine,
)  # fmt: skip
_COUNTED = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
_COSTS = {
    "cost_input_nanos": "usd_input", "cost_write_nanos": "usd_cache_write",
    "cost_read_nanos": "usd_cache_read", "cost_output_nanos": "usd_output",
    "cost_tools_nanos": "usd_server_tools",
}  # fmt: skip
# Each with the column by which it counts.
BOOKED = {
    "turns": turns.c.settled_at,
    "pool_corrections": pool_corrections.c.booked_at,
    "cursor_events": cursor_events.c.booked_at,
    "refusals": refusals.c.refused_at,
}
CHANGING = ("runs", "pulls")

Row = dict[str, Any]


class Exported:
    def __init__(self, database: Database) -> None:
        self.database = database

    def through(self) -> int:
        """Up to when, exclusive, everything that was booked is there to be read."""
        return self.database.now_ms() - LAG

    def booked(self, table: str, since_ms: int, until_ms: int) -> Iterator[Row]:
        """Of BOOKED, those of [since, until), oldest first."""
        at = BOOKED[table]
        query = _BOOKED[table].where(at >= since_ms, at < until_ms).order_by(at, at.table.c.id)
        yield from self._rows(query)

    def changing(self, table: str) -> Iterator[Row]:
        """Of CHANGING, all as they are now, in order of their ids."""
        yield from self._rows(_CHANGING[table])

    def _rows(self, query: sa.Select[Any]) -> Iterator[Row]:
        with self.database.read() as tx:
            for row in tx.execution_options(yield_per=_AT_ONCE).execute(query).mappings():
                yield dict(row)


def _sums(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    costs = [table.c[name].label(to) for name, to in _COSTS.items()]
    return [*costs, *(table.c[name] for name in _COUNTED)]


_BOOKED: dict[str, sa.Select[Any]] = {
    "turns": sa.select(
        turns.c.id, turns.c.settled_at.label("at"), *_WHOSE, turns.c.run, turns.c.attempt, turns.c.state,
        turns.c.step, turns.c.corrects, MODEL.label("model"),
        turns.c.key_name, turns.c.request_id, turns.c.price_book, turns.c.nanos.label("usd"), *_sums(turns),
        turns.c.tokens,
    ).join_from(turns, runs, runs.c.id == turns.c.run)
    .where(turns.c.state.in_(CHARGED)),
    "pool_corrections": sa.select(
        pool_corrections.c.id, pool_corrections.c.booked_at.label("at"), pool_corrections.c.key_name,
        pool_corrections.c.model, pool_corrections.c.price_book, pool_corrections.c.nanos.label("usd"),
        *_sums(pool_corrections), pool_corrections.c.tokens,
    ),
    "cursor_events": sa.select(
        cursor_events.c.id, cursor_events.c.booked_at.label("at"), cursor_events.c.corrects,
        cursor_events.c.model, cursor_events.c.nanos.label("usd"), cursor_events.c.input,
        cursor_events.c.cache_read, cursor_events.c.output, cursor_events.c.email, cursor_events.c.kind,
        cursor_events.c.at.label("occurred_at"),
    ),
    "refusals": sa.select(
        refusals.c.id, refusals.c.refused_at.label("at"), refusals.c.repository_id, refusals.c.repository,
        refusals.c.thread, refusals.c.actor_id, refusals.c.actor, refusals.c.reason, refusals.c.message,
    ),
}  # fmt: skip
_CHANGING: dict[str, sa.Select[Any]] = {
    "runs": sa.select(
        runs.c.id, runs.c.opened_at.label("at"), *_WHOSE, runs.c.id.label("run"), runs.c.attempt,
        runs.c.state, runs.c.reason, runs.c.steps, runs.c.tool_calls, runs.c.model, runs.c.key_name,
        runs.c.price_book, runs.c.spent_nanos.label("usd"), runs.c.estimated_nanos.label("estimated_usd"),
        *_sums(runs), runs.c.spent_tokens.label("tokens"), runs.c.ceiling_nanos.label("ceiling_usd"),
        runs.c.ceiling_tokens, runs.c.ceiling_steps, runs.c.ceiling_seconds, runs.c.started_at,
        runs.c.ended_at, attributions.c.repository_id.label("pull_repository_id"),
        attributions.c.number.label("pull_number"), attributions.c.because,
    ).join_from(runs, attributions, attributions.c.run == runs.c.id, isouter=True).order_by(runs.c.id),
    "pulls": sa.select(
        pulls.c.merged_at.label("at"), pulls.c.installation, pulls.c.repository_id, pulls.c.repository,
        pulls.c.number.label("pull_number"), pulls.c.title, pulls.c.author, pulls.c.merged_at,
        pulls.c.reverts,
    ).order_by(pulls.c.repository_id, pulls.c.number),
}  # fmt: skip
