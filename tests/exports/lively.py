"""Rows of two months that end now, in which everything that monitoring shows has happened at least once."""

from __future__ import annotations

from random import Random

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.tables import refusals, runs, turns
from tests.stores.ledgers import HOUR, START, Row, Rows, random_rows

MONTHS = 64 * 24 * HOUR  # with the days after the last run in which it is still corrected
TIMES = ("opened_at", "ended_at", "held_at", "settled_at", "lease_until_at", "merged_at", "booked_at")


def lively(database: Database, month: str, seed: int = 1, count: int = 80) -> Rows:
    """Put them in the place of what is there; runs count in `month`."""
    now = database.now_ms()
    random = Random(seed)
    rows = random_rows(random, count)
    while not any(pull["merged_at"] for pull in rows.pulls):
        rows = random_rows(random, count)
    for row in (*rows.runs, *rows.turns, *rows.pulls, *rows.pools):
        _shift(row, now - START - MONTHS)
    for row in rows.runs:
        row |= {"month": month, "installation": 9}
    halted = [row for row in rows.runs if row["state"] == "halted"]
    for row, reason in zip(halted, ("upstream_limit", "bound_exceeded"), strict=False):
        row |= {"reason": reason, "ended_at": now}
    recent = next(turn for turn in rows.turns if turn["state"] == "settled")
    recent |= {"settled_at": now, "held_at": now - 4000, "status": 200}
    for pull in rows.pulls:
        pull["merged_at"] = pull["merged_at"] and now - HOUR
    rows.put(database)
    with database.begin() as tx:
        values = {
            "repository_id": 1,
            "comment_kind": "issue_comment",
            "reason": "not_allowed",
            "message": "no",
        }
        tx.execute(sa.insert(refusals).values(comment_id=1, refused_at=now, **values))
    return rows


def _shift(row: Row, by: int) -> None:
    for name in TIMES:
        if row.get(name) is not None:
            row[name] += by


def corrected(database: Database) -> int:
    """Book a correction for every estimate that has none, as reconciliation does; how many."""
    later = turns.alias("later")
    query = sa.select(turns).where(
        turns.c.state == "estimated", ~sa.exists().where(later.c.corrects == turns.c.id)
    )
    with database.begin() as tx:
        rows = tx.execute(query).mappings().all()
        last = tx.execute(sa.select(sa.func.max(turns.c.id))).scalar_one()
        for number, turn in enumerate(rows, 1):
            back = {"nanos": -turn["cost_output_nanos"], "cost_output_nanos": -turn["cost_output_nanos"]}
            back |= {"tokens": -turn["output"], "output": -turn["output"]}
            copied = {
                name: turn[name]
                for name in ("run", "attempt", "held_at", "owner", "max_tokens", "model_asked")
            }
            tx.execute(
                sa.insert(turns).values(
                    **copied, **back, id=last + number, state="corrected", corrects=turn["id"], hold_nanos=0,
                    hold_tokens=0, lease_until_at=0, settled_at=turn["settled_at"] + HOUR,
                )
            )  # fmt: skip
            added = {"spent_nanos": back["nanos"], "spent_tokens": back["tokens"], "output": back["output"]}
            added["cost_output_nanos"] = back["nanos"]
            mine = sa.update(runs).where(runs.c.id == turn["run"])
            tx.execute(mine.values({name: runs.c[name] + value for name, value in added.items()}))
        return len(rows)
