"""What reconciliation reads of the ledger and books in it: further rows, never another's changed.

A stretch is booked in one transaction that locks its runs and looks again before it writes; so two that
reconcile at once, or one that dies, leave each stretch corrected whole or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
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
    stretches,
)
from bot.core.times import DAY_MS
from bot.stores.database import Database
from bot.stores.tables import LIVE, pool_corrections, runs, turns

MOST = 31 * DAY_MS  # ms that a stretch is followed beyond what was asked for, on either side
RECONCILED = "reconciled"  # how such a correction "ended"; every other one is the answer's own word
_SUMS = COUNTERS + COSTS
_COPIED = (
    "run", "attempt", "step", "held_at", "lease_until_at", "owner", "max_tokens", "model_asked", "model",
    "key_name",
)  # fmt: skip


Pair = tuple[str, str]  # key and model
Known = dict[Pair, dict[int, Entry]]  # by their turns


@dataclass(frozen=True, slots=True)
class Booked:
    """What the ledger has of whole stretches between `since` and `until`, in ms.

    `loose`: those of which it was not looked at where they begin or end. `asked`: what is looked at of every
    key and model; of those in `windows`, this instead.
    """

    since: int
    until: int
    entries: tuple[Entry, ...]
    pooled: tuple[Pooled, ...]
    loose: frozenset[Stretch]
    asked: tuple[int, int]
    windows: Mapping[Pair, tuple[int, int]]

    def looks_at(self, key: str, model: str, at: int) -> bool:
        since, until = self.windows.get((key, model), self.asked)
        return since <= at < until


class Reconciliation:
    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, since: int, until: int, fresh: int | None = None) -> Booked:
        """Every stretch that touches [since, until), followed to its ends, as far as MOST beyond.

        One that ends after `fresh` is left for the next time, wherever it began: it is not followed.
        """
        with self.database.read() as tx:
            known = _by_pair(_entries(tx, self.database, since - LONGEST, until + LONGEST))
            found: dict[Pair, list[Stretch]] = {}
            loose: set[Stretch] = set()
            following, wide = set(known), LONGEST
            while following:
                early, late = set[Pair](), set[Pair]()
                for pair in following:
                    found[pair] = [each for each, *_ in stretches(known[pair].values(), ())]
                    for each in found[pair]:
                        begins, ends = each.since >= since - wide, each.until <= until + wide
                        if not _touches(each, since, until) or (begins and ends):
                            continue
                        if wide == MOST or (fresh is not None and each.until > fresh):
                            loose.add(each)
                            continue
                        early |= set() if begins else {pair}
                        late |= set() if ends else {pair}
                # Each look goes twice as far as the one before: eight of them are a month.
                further = min(2 * wide, MOST)
                self._more(tx, known, since - further, since - wide, early)
                self._more(tx, known, until + wide, until + further, late)
                following, wide = early | late, further
            early_at, late_at, windows = _windows(found, loose, since, until)
            inside = (
                entry
                for pair, entries in known.items()
                for entry in entries.values()
                if windows[pair][0] <= entry.minutes[0] and entry.minutes[1] <= windows[pair][1]
            )
            first = min([early_at, *(start for start, _ in windows.values())])
            last = max([late_at, *(end for _, end in windows.values())])
            return Booked(
                first,
                last,
                tuple(sorted(inside, key=lambda entry: entry.turn)),
                _pools(tx, first, last),
                frozenset(loose),
                (early_at, late_at),
                windows,
            )

    def _more(self, tx: sa.Connection, known: Known, since: int, until: int, pairs: set[Pair]) -> None:
        if pairs:
            keys = {key for key, _ in pairs}
            for pair, entries in _by_pair(_entries(tx, self.database, since, until, keys), pairs).items():
                known[pair] |= entries

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


def _touches(stretch: Stretch, since: int, until: int) -> bool:
    return stretch.since < until and since < stretch.until


def _by_pair(entries: Iterable[Entry], pairs: Collection[Pair] | None = None) -> Known:
    known: Known = defaultdict(dict)
    for entry in entries:
        if pairs is None or (entry.key, entry.model) in pairs:
            known[entry.key, entry.model][entry.turn] = entry
    return known


def _windows(
    found: Mapping[Pair, list[Stretch]], loose: Collection[Stretch], since: int, until: int
) -> tuple[int, int, dict[Pair, tuple[int, int]]]:
    """From where to where all keys and models are looked at, and each of these: whole stretches only."""
    touching = [each for own in found.values() for each in own if _touches(each, since, until)]
    # All as far as one goes, up to LONGEST: what its model lacks there, another may have too much.
    early = max(since - LONGEST, min([since, *(each.since for each in touching if each not in loose)]))
    late = min(until + LONGEST, max([until, *(each.until for each in touching if each not in loose)]))
    windows = {}
    for pair, own in found.items():
        start, end = early, late
        for each in own:
            mine = _touches(each, since, until)
            if each.since < early < each.until:
                start = each.since if mine else each.until
            if each.since < late < each.until:
                end = each.until if mine else each.since
        windows[pair] = start, end
    return early, late, windows


def _entries(
    tx: sa.Connection, database: Database, since: int, until: int, keys: Collection[str] = ()
) -> Iterator[Entry]:
    """Those that may be counted in [since, until), of these keys or of all."""
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
    if keys:
        query = query.where(turns.c.key_name.in_(sorted(keys)))
    found = (_entry(row) for row in tx.execute(query).mappings())
    return (e for e in found if e.minutes[0] < until and e.minutes[1] > since)


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
