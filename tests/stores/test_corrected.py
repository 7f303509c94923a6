"""What reconciliation has booked is the plain count of its rows, by day, key and model."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from bot.core.drift import day_of
from bot.core.prices import undated
from bot.stores.database import Database
from bot.stores.drifts import Drifts
from bot.stores.reconciliation import RECONCILED
from tests.stores.ledgers import HOUR, START, random_rows


@pytest.mark.parametrize("seed", range(4))
def test_corrections_are_summed_by_the_day_that_was_spent(database: Database, seed: int) -> None:
    random = Random(seed)
    rows = random_rows(random, 40)
    for turn in rows.turns:
        turn["key_name"] = random.choice(("K", "L"))
        # An answer that came late corrects too: that is no reconciliation's.
        turn["ending"] = random.choice((RECONCILED, "late")) if turn["state"] == "corrected" else "done"
    rows.put(database)
    since = START + random.randrange(20) * 24 * HOUR
    until = since + 30 * 24 * HOUR
    booked: Counter[tuple[str, str, str]] = Counter()
    lines: Counter[tuple[str, str, str]] = Counter()
    for turn in rows.turns:
        if turn["ending"] == RECONCILED and since <= turn["held_at"] < until:
            place = (day_of(turn["held_at"]), turn["key_name"], undated(turn["model"] or turn["model_asked"]))
            booked[place] += turn["nanos"]
            lines[place] += 1
    found = Drifts(database).corrected(since, until)
    of_runs = [one for one in found if one.runs]
    assert {(one.day, one.key, one.model): one.usd.nanos for one in of_runs} == booked
    assert {(one.day, one.key, one.model): one.rows for one in of_runs} == lines
    pooled = [row for row in rows.pools if since <= row["since_at"] < until]
    assert sum(one.usd.nanos for one in found if not one.runs) == sum(row["nanos"] for row in pooled)
    assert [one.day for one in of_runs] == sorted(one.day for one in of_runs)
