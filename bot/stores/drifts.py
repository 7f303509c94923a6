"""What reconciliation found and could not correct: one row for each difference, resolved when it is gone.

This is what the command, the pages and /metrics read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from bot.core.drift import RUNS, Drift, day_of
from bot.core.money import ZERO, Usd
from bot.core.prices import undated
from bot.stores.database import Database
from bot.stores.reconciliation import RECONCILED
from bot.stores.tables import drifts, looks, pool_corrections, turns

LOOK = "reconcile"  # its row in `looks`: how far the ledger was compared, and when
_OPEN = drifts.c.resolved_at.is_(None)

Place = tuple[str, str, str]  # day, key, model


@dataclass(frozen=True, slots=True)
class Kept:
    """A drift and when (ms) it was found, and was no longer there in that form."""

    drift: Drift
    found_at: int
    resolved_at: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One kind of drift that stands: rows, what the invoice has more in some, and less in others."""

    kind: str
    rows: int
    more: Usd = ZERO
    less: Usd = ZERO


@dataclass(frozen=True, slots=True)
class Corrected:
    """What reconciliation has booked for a day (UTC) of a key and a model: so many rows, to that amount.

    `runs`: those that were corrected, the ones with most first, at most RUNS; none for what is of no run.
    """

    day: str
    key: str
    model: str
    rows: int
    usd: Usd
    runs: tuple[str, ...] = ()


class Drifts:
    def __init__(self, database: Database) -> None:
        self.database = database

    def keep(
        self, report: str, days: Collection[str], found: Iterable[Drift], unjudged: Collection[Place] = ()
    ) -> None:
        """`found` is all that `report` has of `days` now; done again with the same, nothing changes.

        Of `unjudged` places nothing that stands is resolved: they cannot be compared just now.
        """
        new = {each.place: each for each in found}
        if not days and not new:
            return
        with self.database.begin() as tx:
            query = sa.select(drifts).where(_OPEN, drifts.c.report == report, drifts.c.day.in_(days))
            for row in tx.execute(query.order_by(drifts.c.id).with_for_update()).mappings():
                stands = _read(row)
                if new.get(stands.place) == stands:
                    del new[stands.place]
                elif (stands.day, stands.key, stands.model) in unjudged:
                    new.pop(stands.place, None)
                else:
                    resolved = sa.update(drifts).where(drifts.c.id == row["id"])
                    tx.execute(resolved.values(resolved_at=self.database.now))
            for each in new.values():
                # Another who looks at the same time has found the same.
                insert = self.database.insert(drifts).values(**_row(each), found_at=self.database.now)
                tx.execute(insert.on_conflict_do_nothing())

    def read(self, since: str = "", until: str = "9999", resolved: bool = False) -> tuple[Kept, ...]:
        """What stands of the days [since, until), "2026-11-26", with `resolved` also what did; by day."""
        where = [drifts.c.day >= since, drifts.c.day < until]
        query = sa.select(drifts).where(*where, *([] if resolved else [_OPEN]))
        with self.database.read() as tx:
            rows = tx.execute(query.order_by(drifts.c.day, drifts.c.id)).mappings()
            return tuple(Kept(_read(row), row["found_at"], row["resolved_at"]) for row in rows)

    def standing(self, since: str = "") -> tuple[Standing, ...]:
        """What stands of the days from `since` on, by kind."""
        more = drifts.c.invoiced_nanos - drifts.c.expected_nanos
        query = (
            sa.select(
                drifts.c.kind,
                sa.func.count().label("rows"),
                sa.func.sum(sa.case((more > 0, more), else_=0)).label("more"),
                sa.func.sum(sa.case((more < 0, -more), else_=0)).label("less"),
            )
            .where(_OPEN, drifts.c.day >= since)
            .group_by(drifts.c.kind)
            .order_by(drifts.c.kind)
        )
        with self.database.read() as tx:
            return tuple(
                Standing(r.kind, r.rows, Usd(int(r.more)), Usd(int(r.less))) for r in tx.execute(query)
            )

    def corrected(self, since_ms: int, until_ms: int) -> tuple[Corrected, ...]:
        """Corrections of what was spent in [since, until), by day, key and model; then those of no run."""
        # Few turns are corrections: found by their own index, not among all of that time.
        at = turns.c.held_at + 0
        query = sa.select(
            turns.c.held_at, turns.c.key_name, turns.c.model, turns.c.model_asked, turns.c.run, turns.c.nanos
        ).where(turns.c.corrects.is_not(None), turns.c.ending == RECONCILED, at >= since_ms, at < until_ms)
        own = pool_corrections.c
        pools = sa.select(own.since_at, own.key_name, own.model, own.nanos).where(
            own.until_at > since_ms, own.since_at >= since_ms, own.since_at < until_ms
        )
        with self.database.read() as tx:
            booked = [
                (day_of(r.held_at), r.key_name, undated(r.model or r.model_asked), r.run, r.nanos)
                for r in tx.execute(query)
            ]
            pooled = [(day_of(r.since_at), r.key_name, r.model, "", r.nanos) for r in tx.execute(pools)]
        return (*_by_place(booked), *_by_place(pooled))

    def reconciled_at(self) -> int | None:
        """When (ms) the worker last compared ledger and invoice to the end; None: never."""
        query = sa.select(looks.c.looked_at).where(looks.c.name == LOOK)
        with self.database.read() as tx:
            return tx.execute(query).scalar_one_or_none()


def _row(drift: Drift) -> dict[str, Any]:
    return {
        "report": drift.report,
        "day": drift.day,
        "key_name": drift.key,
        "model": drift.model,
        "kind": drift.kind,
        "part": drift.part,
        "expected_nanos": drift.expected.nanos,
        "invoiced_nanos": drift.invoiced.nanos,
        "expected_tokens": drift.expected_tokens,
        "invoiced_tokens": drift.invoiced_tokens,
        "runs": json.dumps(drift.runs),
        "hint": drift.hint,
    }


def _read(row: Any) -> Drift:
    return Drift(
        row["day"],
        row["key_name"],
        row["model"],
        row["kind"],
        row["part"],
        Usd(row["expected_nanos"]),
        Usd(row["invoiced_nanos"]),
        row["expected_tokens"],
        row["invoiced_tokens"],
        tuple(json.loads(row["runs"])),
        row["hint"],
        row["report"],
    )


def _by_place(booked: Iterable[tuple[str, str, str, str, int]]) -> Iterator[Corrected]:
    """Day, key, model, run and nano-dollars of each row, summed up."""
    ordered = sorted(booked)
    for place, group in groupby(ordered, key=lambda row: row[:3]):
        of_run: dict[str, int] = {}
        rows = list(group)
        for *_, run, nanos in rows:
            of_run[run] = of_run.get(run, 0) + nanos
        most = sorted((run for run in of_run if run), key=lambda run: (-abs(of_run[run]), run))
        usd = Usd(sum(of_run.values()))
        day, key, model = place
        yield Corrected(day, key, model, len(rows), usd, tuple(most[:RUNS]))
