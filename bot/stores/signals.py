"""What was spent in a window and how its runs ended, in SQL; `bot.core.signals` judges it (M4, M5).

Spend is first summed by run; whose it was and what became of it is the run's (`bot.stores.days`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot.core.money import ZERO, Usd
from bot.core.prices import undated
from bot.core.reconcile import COSTS, COUNTERS, Sums
from bot.core.signals import (
    EVERYTHING,
    Day,
    Ended,
    MergedPull,
    Only,
    Part,
    Share,
    Signals,
)
from bot.core.sizes import Spread
from bot.stores import ends
from bot.stores.database import Database
from bot.stores.days import Days
from bot.stores.distributions import UNENDED, spreads, tokens
from bot.stores.merged import merged, merged_pull, sum_up
from bot.stores.only import Conditions, Known, known, of_runs
from bot.stores.quarters import MODEL, QUARTER, SUMS, added
from bot.stores.tables import pool_corrections, runs, turns

# A number that stays, where there is one, and the name that people know; the model is the turn's.
BY: dict[str, tuple[str | None, str | None]] = {
    "developer": ("actor_id", "actor"),
    "repo": ("repository_id", "repository"),
    "class": (None, "task_class"),
    "engine": (None, "engine"),
    "model": (None, None),
    "line": (None, "line"),
}
_BECAME = ("state", "reason", "attributed", "threaded")
NAMELESS = {"line": "(on no line)", "model": "(not told)", "engine": "(not told)"}
Rows = Sequence[sa.Row[Any]]
# Of one moment, or what a worker sums up meanwhile would be counted twice, or not at all. A year is else
# sorted on the server's disk (it has 4 MB by default); and what a page reads is in its memory, where a look
# at a row by its number is not as dear as the server takes it for.
_AS_WE_READ = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SELECT set_config('work_mem', '32MB', true), set_config('random_page_cost', '1.1', true)",
)


class SignalStore:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.days = Days(database)

    def read(
        self,
        since_ms: int = 0,
        until_ms: int | None = None,
        by: str | None = None,
        only: Only = EVERYTHING,
        zone: str = "UTC",
        whole: bool = True,
        listed: bool = True,
    ) -> Signals:
        """The signals of [since, until), days as people in `zone` count them. `by`: one of BY.

        Without `whole` no days, no tokens, no counters, nothing of what is estimated, and what ended by no
        names: what it takes to compare with. `listed`: every merged pull request, not only those that stick
        out.
        """
        with self.database.read() as tx:
            for setting in _AS_WE_READ if self.database.kind == "postgresql" else ():
                tx.exec_driver_sql(setting)
            now = sa.select(self.database.now)
            until = until_ms if until_ms is not None else int(tx.execute(now).scalar_one()) + 1
            which = known(tx, only)
            spend = self.days.spend(tx, since_ms, until, which, zone, by == "model")
            rows, split = _groups(tx, spend.runs, by, SUMS if whole else SUMS[:1])
            estimates = _estimates(tx, since_ms, until, by, which) if whole else {}
            pulls, merges = merged(tx, since_ms, until, which, listed and whole)

            def within(table: sa.Table) -> Conditions:
                at, state = table.c.ended_at, table.c.state
                return [at >= since_ms, at < until, state.not_in(UNENDED), *of_runs(which, table)]

            ended = ends.each(tx, within)
            return Signals(
                since=_minute(since_ms, zone) if since_ms else "the beginning",
                until=_minute(until, zone),
                zone=zone,
                only=only,
                merged=pulls,
                merges=merges,
                parts=_parts(rows, whole),
                estimated=Usd(sum(estimates.values())),
                # It is of no run: who asks for some runs only does not ask for it.
                pooled=_pooled(tx, since_ms, until) if only == EVERYTHING else ZERO,
                ended=_ended(tx, ended, whole),
                tokens=tokens(tx, ended) if whole else (),
                days=_days(tx, spend.days, zone) if whole else (),
                by=by,
                shares=_shares(split, estimates, by) if by else (),
            )

    def roll(self, zone: str) -> int:
        """Sum up what is over, days as people in `zone` count them; how many days. Several processes may."""
        done = self.days.roll(zone)
        sum_up(self.database)
        ends.roll(self.database)
        return done

    def spreads(
        self, *, repository_id: int | None = None, installation: int | None = None
    ) -> dict[str, Spread]:
        """What the ended runs of each class have cost, in a repository or in a whole installation."""
        where: Conditions = []
        if repository_id is not None:
            where.append(runs.c.repository_id == repository_id)
        if installation is not None:
            where.append(runs.c.installation == installation)
        with self.database.read() as tx:
            return spreads(tx, where)

    def pull(self, repository_id: int, number: int) -> MergedPull | None:
        """A merged pull request with all that was ever spent on it; None if no run belongs to it."""
        with self.database.read() as tx:
            return merged_pull(tx, repository_id, number)


def _groups(tx: sa.Connection, spent: sa.Subquery, by: str | None, sums: Sequence[str]) -> tuple[Rows, Rows]:
    """Spend (these `sums`) by what became of its runs; and by what it is to be split by, halted runs apart.

    In one statement, which sums the runs once and sends neither by the other.
    """
    keys = (*(spent.c[name] for name in _BECAME), *_split(by, spent, spent.c.model))
    columns = [*(added(spent.c[name]).label(name) for name in sums), sa.func.count().label("runs")]
    latest = sa.func.max(spent.c.opened_at).label("latest")
    fine = sa.select(*keys, *columns, latest).group_by(*(key.name for key in keys)).cte("fine")
    totals = [
        *(added(fine.c[name]).label(name) for name in (*sums, "runs")),
        sa.func.max(fine.c.latest).label("latest"),
    ]
    became = [fine.c[name] for name in _BECAME]
    unsplit = (sa.cast(sa.null(), sa.BigInteger).label("split_number"), sa.literal("").label("split_name"))
    parts = sa.select(sa.literal(0).label("split"), *became, *unsplit, *totals).group_by(*became)
    if by is None:
        return tx.execute(parts).all(), ()
    halted = sa.case((fine.c.state == "halted", "halted"), else_="")
    names = (fine.c.split_number, fine.c.split_name)
    untold = (sa.cast(sa.null(), sa.String), sa.false(), sa.false())
    shares = sa.select(sa.literal(1), halted, *untold, *names, *totals).group_by(halted, *names)
    rows = tx.execute(sa.union_all(parts, shares)).all()
    return [row for row in rows if not row.split], [row for row in rows if row.split]


def _split(
    by: str | None, rows: sa.FromClause, model: sa.ColumnElement[str]
) -> tuple[sa.Label[Any], sa.Label[str]]:
    number, name = BY[by] if by else (None, None)
    return (
        (rows.c[number] if number else sa.cast(sa.null(), sa.BigInteger)).label("split_number"),
        (rows.c[name] if name else model).label("split_name"),
    )


def _estimates(
    tx: sa.Connection, since: int, until: int, by: str | None, which: Known
) -> dict[tuple[Any, str], int]:
    """Nano-dollars of estimated turns that nothing has corrected yet, by what the spend is split by."""
    later = turns.alias("later")
    few = (
        sa.select(turns.c.run, (MODEL if by == "model" else sa.literal("")).label("model"), turns.c.nanos)
        # In so many words, that the index of them is seen.
        .where(turns.c.state == sa.literal_column("'estimated'"))
        .where(turns.c.settled_at >= since, turns.c.settled_at < until)
        .where(~sa.exists().where(later.c.corrects == turns.c.id))
        .cte("few")
        .prefix_with("MATERIALIZED")  # a database would else begin with all the runs
    )
    run = ends.each(tx, lambda table: of_runs(which, table), few)
    query = (
        sa.select(*_split(by, run, few.c.model), sa.func.sum(few.c.nanos))
        .join_from(few, run, run.c.run == few.c.run)
        .group_by("split_number", "split_name")
    )
    found: dict[tuple[Any, str], int] = defaultdict(int)
    for number, name, nanos in tx.execute(query):
        found[number, undated(name) if by == "model" else name] += int(nanos)
    return found


def _read(rows: Rows) -> Sums:
    return Sums(*(sum(int(getattr(row, name)) for row in rows) for name in COUNTERS + COSTS))


def _spent(rows: Rows) -> Usd:
    return Usd(sum(int(row.nanos) for row in rows))


def _grouped(rows: Rows, key: Any) -> dict[Any, list[sa.Row[Any]]]:
    groups: dict[Any, list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _parts(rows: Rows, counted: bool) -> tuple[Part, ...]:
    groups = _grouped(
        rows, lambda row: (row.state, row.reason or "", bool(row.attributed), bool(row.threaded))
    )
    return tuple(
        Part(state, reason or None, attributed, threaded, _spent(group), _read(group) if counted else Sums())
        for (state, reason, attributed, threaded), group in sorted(groups.items())
    )


def _shares(rows: Rows, estimates: dict[tuple[Any, str], int], by: str) -> tuple[Share, ...]:
    # Names change; the latest of a number is the one that people know.
    groups = _grouped(rows, lambda row: row.split_name if row.split_number is None else row.split_number)
    shares = []
    for group in groups.values():
        names = {(row.split_number, row.split_name) for row in group}
        latest = max(group, key=lambda row: (row.latest, row.split_name))
        shares.append(
            Share(
                latest.split_name or NAMELESS.get(by, "(this machine)"),
                _spent(group),
                sum(int(row.runs) for row in group),
                Usd(sum(estimates.get(name, 0) for name in names)),
                _spent([row for row in group if row.state == "halted"]),
                _read(group),
                latest.split_number,
            )
        )
    return tuple(sorted(shares, key=lambda share: (-share.usd.nanos, share.name)))


def _pooled(tx: sa.Connection, since: int, until: int) -> Usd:
    """What reconciliation booked to no run."""
    at = pool_corrections.c.booked_at
    nanos = sa.func.coalesce(sa.func.sum(pool_corrections.c.nanos), 0)
    return Usd(int(tx.execute(sa.select(nanos).where(at >= since, at < until)).scalar_one()))


def _ended(tx: sa.Connection, ended: sa.Subquery, named: bool) -> tuple[Ended, ...]:
    """Runs that ended; where they are not `named`, all classes and repositories together."""
    names = (ended.c.task_class, ended.c.repository, ended.c.repository_id) if named else ()
    keys = (ended.c.state, ended.c.reason, *names)
    long = sa.func.sum(sa.case((ended.c.long, 1), else_=0))
    query = sa.select(sa.func.count(), long, *keys).group_by(*keys)
    found = []
    for count, long, state, reason, *rest in tx.execute(query):
        task_class, repository, id = rest or ("", "", None)
        found.append(Ended(task_class, repository, state, reason, int(count), int(long), id))
    return tuple(sorted(found, key=_in_order))


def _in_order(one: Ended) -> tuple[str, str, str, str, int]:
    return one.task_class, one.repository, one.state, one.reason or "", one.repository_id or 0


def _days(tx: sa.Connection, spent: sa.Subquery, zone: str) -> tuple[Day, ...]:
    halted = sa.func.sum(sa.case((spent.c.halted, spent.c.nanos), else_=0))
    query = sa.select(spent.c.quarter, sa.func.sum(spent.c.nanos), halted).group_by(spent.c.quarter)
    local = ZoneInfo(zone)
    days: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for quarter, nanos, of_halted in tx.execute(query):
        date = f"{datetime.fromtimestamp(quarter * QUARTER / 1000, UTC).astimezone(local):%Y-%m-%d}"
        before = days[date]
        days[date] = before[0] + int(nanos), before[1] + int(of_halted)
    return tuple(Day(date, Usd(spent), Usd(lost)) for date, (spent, lost) in sorted(days.items()))


def _minute(ms: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
