"""What reconciliation reads of the ledger and books in it: further rows, never another's changed.

A stretch is booked in one transaction that locks its runs and looks again before it writes; so two that
reconcile at once, or one that dies, leave each stretch corrected whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.core.prices import undated
from bot.core.reconcile import (
    APART,
    COSTS,
    COUNTERS,
    LONGEST,
    Correction,
    Entry,
    Finding,
    Pooled,
    Stretch,
    Sums,
    compare,
)
from bot.stores.database import Database
from bot.stores.tables import LIVE, pool_corrections, runs, turns

RECONCILED = "reconciled"  # how such a correction "ended"; every other one is the answer's own word
_SUMS = COUNTERS + COSTS
_COPIED = (
    "run", "attempt", "step", "held_at", "lease_until_at", "owner", "max_tokens", "model_asked", "model",
    "key_name",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Booked:
    """What the ledger has of a window, in ms."""

    since: int
    until: int
    entries: tuple[Entry, ...]
    pooled: tuple[Pooled, ...]


class Reconciliation:
    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, since: int, until: int) -> Booked:
        """All that may be counted in [since, until), which is widened until nothing crosses its edges."""
        with self.database.read() as tx:
            while True:
                found = _entries(tx, self.database, since, until)
                spans = [entry.minutes for entry in found] or [(since, until)]
                start, end = min(since, *(s for s, _ in spans)), max(until, *(e for _, e in spans))
                if (start, end) == (since, until):
                    return Booked(since, until, found, _pools(tx, since, until))
                since, until = start, end

    def book(self, stretch: Stretch, invoice: Sums, now: int, lag: int, price_book: str) -> Finding:
        """Look again under the locks of the runs, and book it."""
        with self.database.begin() as tx:
            named = sorted({entry.run for entry in self._inside(tx, stretch) if entry.state == "estimated"})
            tx.execute(sa.select(runs.c.id).where(runs.c.id.in_(named)).order_by(runs.c.id).with_for_update())
            pooled = _pools(tx, stretch.since, stretch.until)
            finding = compare(stretch, self._inside(tx, stretch), pooled, invoice, now, lag)
            for correction in finding.corrections:
                self._correct(tx, correction, price_book)
            if finding.pool:
                tx.execute(
                    sa.insert(pool_corrections).values(
                        key_name=stretch.key,
                        model=stretch.model,
                        since_at=stretch.since,
                        until_at=stretch.until,
                        price_book=price_book,
                        booked_at=self.database.now,
                        **_row(finding.pool),
                    )
                )
            return finding

    def _inside(self, tx: sa.Connection, stretch: Stretch) -> tuple[Entry, ...]:
        found = _entries(tx, self.database, stretch.since, stretch.until)
        return tuple(e for e in found if (e.key, e.model) == (stretch.key, stretch.model))

    def _correct(self, tx: sa.Connection, correction: Correction, price_book: str) -> None:
        by = _row(correction.by)
        earlier = sa.select(turns.c.id).where(turns.c.corrects == correction.turn).limit(1)
        first = tx.execute(earlier).first() is None
        of = sa.select(turns).where(turns.c.id == correction.turn)
        turn = tx.execute(of).mappings().one()
        tx.execute(
            sa.insert(turns).values(
                **{name: turn[name] for name in _COPIED},
                state="corrected",
                corrects=correction.turn,
                hold_nanos=0,
                hold_tokens=0,
                settled_at=self.database.now,
                ending=RECONCILED,
                price_book=price_book,
                **by,
            )
        )
        added = {"spent_nanos": by["nanos"], "spent_tokens": by["tokens"]} | {n: by[n] for n in _SUMS}
        if first:  # from now on it is no estimate
            added["estimated_nanos"] = -turn["nanos"]
        tx.execute(
            sa.update(runs)
            .where(runs.c.id == correction.run)
            .values({name: runs.c[name] + value for name, value in added.items()})
        )


def _row(sums: Sums) -> dict[str, int]:
    own = {name: getattr(sums, name) for name in _SUMS}
    return own | {"nanos": sums.usd.nanos, "tokens": sums.tokens}


def _pools(tx: sa.Connection, since: int, until: int) -> tuple[Pooled, ...]:
    own = pool_corrections
    query = sa.select(own).where(own.c.since_at < until, own.c.until_at > since).order_by(own.c.id)
    return tuple(
        Pooled(
            Stretch(row["key_name"], row["model"], row["since_at"], row["until_at"]),
            Sums(*(row[name] for name in _SUMS)),
        )
        for row in tx.execute(query).mappings()
    )


def _entries(tx: sa.Connection, database: Database, since: int, until: int) -> tuple[Entry, ...]:
    later = turns.alias("later")
    mended = (
        sa.select(
            later.c.corrects,
            sa.func.max(sa.case((later.c.ending == RECONCILED, 0), else_=1)).label("told"),
            *(sa.func.sum(later.c[name]).label(name) for name in _SUMS),
        )
        .where(later.c.state == "corrected", later.c.held_at < until + APART)
        .where(later.c.held_at > since - LONGEST)
        .group_by(later.c.corrects)
        .subquery()
    )
    query = (
        sa.select(
            *(turns.c[name] for name in _READ),
            sa.func.coalesce(turns.c.settled_at, database.now).label("settled_at"),
            *(turns.c[name].label(f"first_{name}") for name in _SUMS),
            mended.c.corrects,
            mended.c.told,
            *(sa.func.coalesce(mended.c[name], 0).label(f"more_{name}") for name in _SUMS),
            runs.c.state.in_(LIVE).label("live"),
            (runs.c.ceiling_nanos - runs.c.spent_nanos).label("room_nanos"),
            (runs.c.ceiling_tokens - runs.c.spent_tokens).label("room_tokens"),
        )
        .join_from(turns, runs, runs.c.id == turns.c.run)
        .outerjoin(mended, mended.c.corrects == turns.c.id)
        .where(turns.c.state.in_(("held", "settled", "estimated")), turns.c.key_name != "")
        .where(turns.c.held_at < until + APART, turns.c.held_at > since - LONGEST)
        .order_by(turns.c.id)
    )
    found = (_entry(row) for row in tx.execute(query).mappings())
    return tuple(e for e in found if e.minutes[0] < until and e.minutes[1] > since)


_READ = (
    "id", "run", "key_name", "model", "model_asked", "state", "held_at", "max_tokens", "hold_nanos",
    "hold_tokens", "hold_cached", "request_id",
)  # fmt: skip


def _entry(row: Any) -> Entry:
    first = Sums(*(row[f"first_{name}"] for name in _SUMS))
    state = row["state"] if row["state"] == "held" else "exact"
    if row["state"] == "estimated" and not row["told"]:
        state = "estimated"
    return Entry(
        turn=row["id"],
        run=row["run"],
        key=row["key_name"],
        model=undated(row["model"] or row["model_asked"]),
        state=state,
        held_at=row["held_at"],
        settled_at=row["settled_at"],
        max_tokens=row["max_tokens"],
        hold_nanos=row["hold_nanos"],
        hold_tokens=row["hold_tokens"],
        hold_cached=row["hold_cached"],
        first=first,
        booked=first + Sums(*(int(row[f"more_{name}"]) for name in _SUMS)),
        corrected=row["corrects"] is not None,
        live=bool(row["live"]),
        room_nanos=row["room_nanos"],
        room_tokens=row["room_tokens"],
        request_id=row["request_id"] or "",
    )
