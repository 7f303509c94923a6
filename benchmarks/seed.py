"""A year of an organisation, made up in the database itself: runs, their turns, what merged (set-based)."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from bot.core.caps import month_of
from bot.core.reconcile import COSTS, COUNTERS
from bot.stores.database import Database

YEAR = 365 * 86_400_000
PEOPLE, PLACES = 400, 120
TURNS = 40  # of a run, on average
AT_ONCE = 10_000  # runs in one transaction


def seed(database: Database, first: int, count: int, now: int, say: Callable[[str], None]) -> None:
    """`count` runs more, numbered from `first`, over the year up to `now`; one in four makes a PR."""
    for start in range(first, first + count, AT_ONCE):
        end = min(start + AT_ONCE, first + count)
        month = month_of(now, "UTC")
        given = {"first": start, "last": end - 1, "now": now, "month": month}
        with database.begin() as tx:
            for statement in _statements(database.kind):
                text = sa.text(statement)
                tx.execute(text, {name: given[name] for name in text._bindparams})
        say(f"{end - first:,} of {count:,} runs")
    analyse(database)


def analyse(database: Database) -> None:
    """What autovacuum does by itself on a server that has been there for a while."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if database.kind == "postgresql" else "ANALYZE")


def forget(database: Database) -> None:
    """What was rolled up: turns that are booked in the past, as no gateway does, are not in it."""
    with database.begin() as tx:
        tx.execute(sa.text("DELETE FROM rolled"))
        tx.execute(sa.text("DELETE FROM quarters"))


def turns(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(sa.text("SELECT count(*) FROM turns")).scalar_one())


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
    runs = f"""
        INSERT INTO runs (id, origin, installation, repository_id, repository, thread, thread_kind, actor,
            actor_id, line, month, task_class, engine, model, ceiling_nanos, ceiling_tokens, ceiling_steps,
            ceiling_seconds, state, reason, opened_at, started_at, ended_at, attempt)
        WITH {numbers}
        SELECT {hexed}, 'github', 1, {place}, 'octo/repo-' || {text.format(place)}, n / 3, 'pull',
            'person-' || {text.format(person)}, {person}, CASE WHEN n % 10 = 0 THEN 'evals' ELSE '' END,
            CASE WHEN {at} > CAST(:now AS BIGINT) - 2592000000 THEN :month ELSE 'earlier' END,
            CASE n % 4 WHEN 0 THEN 'feature' WHEN 1 THEN 'refactor' ELSE 'bugfix' END, 'opus',
            'claude-opus-4-7', 20000000000, 1000000, 80, 1800,
            CASE WHEN n % 8 < 6 THEN 'done' WHEN n % 8 = 6 THEN 'halted' ELSE 'failed' END,
            CASE WHEN n % 8 = 6
                THEN CASE n % 3 WHEN 0 THEN 'cost_ceiling' WHEN 1 THEN 'step_ceiling' ELSE 'stuck_loop' END
            END,
            {at}, {at}, {at} + 7200000, 1
        FROM numbers"""
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
    last = (
        "lpad(to_hex(CAST(:last AS BIGINT)), 12, '0')" if kind == "postgresql" else "printf('%012x', :last)"
    )
    start = last.replace(":last", ":first")
    sums = {"spent_nanos": "nanos", "spent_tokens": "tokens", **{name: name for name in COUNTERS + COSTS}}
    counters = f"""
        UPDATE runs SET steps = t.steps, {", ".join(f"{name} = t.{name}" for name in sums)}
        FROM (SELECT run, count(*) AS steps, {", ".join(f"sum({of}) AS {name}" for name, of in sums.items())}
            FROM turns WHERE run BETWEEN {start} AND {last} GROUP BY run) AS t
        WHERE runs.id = t.run"""
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
    return runs, turns, counters, pulls, attributions
