"""A year of an organisation, made up in the database itself: runs, their turns, what merged (set-based)."""

from __future__ import annotations

import json
from collections.abc import Callable

import sqlalchemy as sa

from bot.core.reconcile import COSTS, COUNTERS
from bot.stores.database import Database
from bot.stores.tables import days, ends, pull_sums, quarters, rolled, runs, turns

YEAR = 365 * 86_400_000
PEOPLE, PLACES = 400, 120
TURNS = 40  # of a run, on average
AT_ONCE = 10_000  # runs in one transaction
# As long as a run's own texts usually are: a page that reads rows reads past them.
SNAPSHOT = json.dumps(
    {
        "thread": {
            "url": "https://github.com/octo/repo-1/pull/1",
            "number": 1,
            "title": "Totals are wrong in the last month of a year",
            "kind": "pull",
        },
        "head": {"ref": "totals", "sha": "0" * 40},
        "base_ref": "main",
        "labels": ["agent-bugfix maintain", "billing write"],
        "policy": {"classes": {"bugfix": ["$5", "500k", "40 steps", "30m"]}},
    }
)
TASK = (
    "Fix the totals of the last month of a year: "
    + "the report counts what was billed in January twice. " * 6
)
# A turn is there before its run, whose row has the sums of them; nothing else is left unchecked by this.
LATER = {
    "sqlite": "PRAGMA defer_foreign_keys=ON",
    "postgresql": "SET LOCAL session_replication_role = replica",
}


def seed(database: Database, first: int, count: int, now: int, say: Callable[[str], None]) -> None:
    """`count` runs more, numbered from `first`, over the year up to `now`; one in four makes a PR."""
    indexes = [index for table in (turns, runs) for index in table.indexes]
    if database.kind == "sqlite":  # it looks for a run's turns whenever one is written after them
        indexes = [index for index in indexes if index.columns[0] is not turns.c.run]
    with database.begin() as tx:  # made anew at the end in a tenth of the time that keeping them takes
        for index in indexes:
            index.drop(tx)
    for start in range(first, first + count, AT_ONCE):
        end = min(start + AT_ONCE, first + count)
        given = {"first": start, "last": end - 1, "now": now}
        with database.begin() as tx:
            tx.exec_driver_sql(LATER[database.kind])
            for statement in _statements(database.kind):
                text = sa.text(statement)
                tx.execute(text, {name: given[name] for name in text._bindparams})
        say(f"{end - first:,} of {count:,} runs")
    with database.begin() as tx:
        for index in indexes:
            index.create(tx)
    analyse(database)


def analyse(database: Database) -> None:
    """What autovacuum does by itself on a server that has been there for a while."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if database.kind == "postgresql" else "ANALYZE")


def forget(database: Database) -> None:
    """What was rolled up: turns that are booked in the past, as no gateway does, are not in it."""
    with database.begin() as tx:
        for table in (rolled, quarters, days, ends, pull_sums):
            tx.execute(sa.delete(table))


def counted(database: Database) -> int:
    """Turns."""
    with database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(turns)).scalar_one())


def _statements(kind: str) -> tuple[str, ...]:
    hexed = "lpad(to_hex(n), 12, '0')" if kind == "postgresql" else "printf('%012x', n)"
    numbers = (
        "numbers AS (SELECT generate_series(CAST(:first AS BIGINT), CAST(:last AS BIGINT)) AS n)"
        if kind == "postgresql"
        else "RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)"
    )
    steps = (
        "steps AS (SELECT generate_series(1, 79) AS s)"
        if kind == "postgresql"
        else "steps(s) AS (SELECT 1 UNION ALL SELECT s + 1 FROM steps WHERE s < 79)"
    )
    at = f"CAST(:now AS BIGINT) - {YEAR} + (n * 104729 + n / 7 * 15485863) % {YEAR - 7_200_000}"
    person, place = f"(n * 7919 + n / 11) % {PEOPLE}", f"(n * 31 + n / 5) % {PLACES}"
    text = "CAST({} AS TEXT)"
    month = (
        "to_char(to_timestamp(({}) / 1000) AT TIME ZONE 'UTC', 'YYYY-MM')"
        if kind == "postgresql"
        else "strftime('%Y-%m', ({}) / 1000, 'unixepoch')"
    )
    last = (
        "lpad(to_hex(CAST(:last AS BIGINT)), 12, '0')" if kind == "postgresql" else "printf('%012x', :last)"
    )
    start = last.replace(":last", ":first")
    sums = {"spent_nanos": "nanos", "spent_tokens": "tokens", **{name: name for name in COUNTERS + COSTS}}
    runs = f"""
        INSERT INTO runs (id, origin, installation, repository_id, repository, thread, thread_kind, actor,
            actor_id, line, month, task_class, engine, model, ceiling_nanos, ceiling_tokens, ceiling_steps,
            ceiling_seconds, state, reason, opened_at, started_at, ended_at, attempt, snapshot, task, steps,
            {", ".join(sums)})
        WITH {numbers},
            named AS (SELECT n, {hexed} AS id FROM numbers),
            spent AS (
                SELECT run, count(*) AS steps, {", ".join(f"sum({of}) AS {to}" for to, of in sums.items())}
                FROM turns WHERE run BETWEEN {start} AND {last} GROUP BY run)
        SELECT id, 'github', 1, {place}, 'octo/repo-' || {text.format(place)}, n / 3, 'pull',
            'person-' || {text.format(person)}, {person}, CASE WHEN n % 10 = 0 THEN 'evals' ELSE '' END,
            {month.format(at)},
            CASE n % 4 WHEN 0 THEN 'feature' WHEN 1 THEN 'refactor' ELSE 'bugfix' END, 'opus',
            'claude-opus-4-7', 20000000000, 1000000, 80, 1800,
            CASE WHEN n % 8 < 6 THEN 'done' WHEN n % 8 = 6 THEN 'halted' ELSE 'failed' END,
            CASE WHEN n % 8 = 6
                THEN CASE n % 3 WHEN 0 THEN 'cost_ceiling' WHEN 1 THEN 'step_ceiling' ELSE 'stuck_loop' END
            END,
            {at}, {at}, {at} + 7200000, 1, '{SNAPSHOT}', '{TASK}', spent.steps,
            {", ".join(f"spent.{name}" for name in sums)}
        FROM named JOIN spent ON spent.run = named.id"""
    money = {
        "cost_input_nanos": "(n * 13 + s * 7) % 20 * 1000000", "cost_write_nanos": "(n + s) % 30 * 1000000",
        "cost_read_nanos": "s * 1200000", "cost_output_nanos": "(n * 3 + s) % 25 * 1000000",
        "cost_tools_nanos": "0",
    }  # fmt: skip
    counted = {
        "input": "(n * 13 + s * 7) % 20 * 200", "cache_write_5m": "(n + s) % 30 * 160",
        "cache_write_1h": "0", "cache_read": "s * 2400", "output": "(n * 3 + s) % 25 * 40",
    }  # fmt: skip
    nanos = " + ".join(money.values())
    tokens = " + ".join(formula for name, formula in counted.items() if name != "cache_read")
    names = [*counted, *money]
    turns = f"""
        INSERT INTO turns (run, attempt, state, step, hold_nanos, hold_tokens, held_at, lease_until_at, owner,
            max_tokens, model_asked, model, prefix, settled_at, nanos, tokens, {", ".join(names)})
        WITH {numbers}, {steps}
        SELECT {hexed}, 1, CASE WHEN (n * 17 + s) % 500 = 0 THEN 'estimated' ELSE 'settled' END, s,
            {nanos} + 40000000, {tokens} + 4000, {at} + s * 60000, {at} + s * 60000, 'seed', 4096,
            'claude-opus-4-7', CASE WHEN n % 9 = 0 THEN 'claude-haiku-4-5' ELSE 'claude-opus-4-7' END,
            CAST(n * 100 + s AS TEXT), {at} + s * 60000 + 20000, {nanos}, {tokens},
            {", ".join([*counted.values(), *money.values()])}
        FROM numbers JOIN steps ON s <= (n * 7919 + n / 13) % {2 * TURNS - 1} + 1"""
    pulls = f"""
        INSERT INTO pulls (repository_id, number, installation, repository, title, author, base, closed,
            merged_at, updated_at)
        WITH {numbers}
        SELECT {place}, n, 1, 'octo/repo-' || {text.format(place)}, 'Change ' || {text.format("n")},
            'person-' || {text.format(person)}, 'main', {"TRUE" if kind == "postgresql" else "1"},
            {at} + 86400000, {at}
        FROM numbers WHERE n % 4 = 0"""
    attributions = f"""
        INSERT INTO attributions (run, repository_id, number, because)
        WITH {numbers}
        SELECT {hexed}, (m * 31 + m / 5) % {PLACES}, m, 'on the pull request'
        FROM (SELECT n, n - n % 4 AS m FROM numbers WHERE n % 10 < 7) AS mine WHERE m >= :first"""
    return turns, runs, pulls, attributions
