"""Every figure is the plain count of the ledger's rows, to the last nano-dollar, on either database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random

import pytest
import sqlalchemy as sa

from bot.core.money import Usd, total
from bot.core.overview import as_json, as_text
from bot.core.reconcile import COSTS, COUNTERS
from bot.core.signals import BUCKETS, EVERYTHING, Merges, Only, Signals
from bot.stores.database import Database
from bot.stores.quarters import QUARTER, Quarters
from bot.stores.signals import BY, SignalStore
from bot.stores.tables import rolled, turns
from tests.stores.ledgers import HOUR, START, Recount, Rows, at_rank, random_rows

ZONE = "Europe/Berlin"
DAY = 24 * HOUR
LATER = START + 100 * DAY


def windows(random: Random) -> list[tuple[int, int]]:
    since = START + random.randrange(40 * DAY)
    return [(0, LATER), (since, since + random.randrange(1, 20 * DAY))]


def agree(
    database: Database,
    rows: Rows,
    since: int,
    until: int,
    visible: frozenset[int] | None,
    zone: str = ZONE,
) -> None:
    """Everything that SignalStore tells of a window, beside the recount."""
    store, plain = SignalStore(database), Recount(rows, since, until, visible)
    only = Only(visible=visible)
    by = {name: store.read(since, until, name, only, zone) for name in BY}
    told = by["class"]
    assert told.spent.nanos == plain.spent
    assert told.pooled.nanos == plain.pooled
    assert told.unattributed.nanos == plain.unattributed
    assert told.unattributed == told.unmerged + told.elsewhere + told.pooled
    assert told.estimated.nanos == plain.estimated
    assert told.halted.nanos == plain.halted == sum(u.nanos for u in told.halted_by().values())
    for name in COUNTERS + COSTS:
        assert getattr(told.sums, name) == plain.counted(name)
    assert told.sums.usd + told.pooled == told.spent
    assert {day.date: day.usd.nanos for day in told.days} == plain.days(zone)
    for found in by.values():
        assert total(share.usd for share in found.shares) + found.pooled == found.spent
        assert total(share.estimated for share in found.shares) == found.estimated
        assert total(share.halted for share in found.shares) == found.halted
        assert total(share.sums.usd for share in found.shares) + found.pooled == found.spent
    shares = {name: {s.name: s.usd.nanos for s in found.shares} for name, found in by.items()}
    assert shares["class"] == plain.by({"run": "task_class"})
    assert shares["line"] == {n or "(on no line)": v for n, v in plain.by({"run": "line"}).items()}
    assert shares["developer"] == plain.by_number("actor_id", "actor")
    assert shares["repo"] == plain.by_number("repository_id", "repository")
    models = plain.by({"turn": "model"})
    haiku = models.pop("claude-haiku-4-5", None)
    assert shares["model"].get("claude-haiku-4-5") == haiku
    assert shares["model"].get("claude-opus-4-7", 0) == sum(models.values())
    assert {p.number: p.usd.nanos for p in told.merged} == {n: v for (_, n), v in plain.merged.items()}
    unlisted = store.read(since, until, "class", only, zone, listed=False)
    assert unlisted.merges == told.merges == Merges.of(told.merged)
    assert unlisted.merged == tuple(one for one in told.merged if one in unlisted.merged)
    assert {one for one in told.merged if one.outlier or one.reverted} <= set(unlisted.merged)
    assert store.read(since, until, None, only, zone, whole=False).merges == told.merges
    assert told.exhaustion.runs == len(plain.ended)
    ceilings = [run for run in plain.ended if str(run["reason"]).endswith("_ceiling")]
    assert told.exhaustion.exhausted == len(ceilings) == sum(told.halts_by_ceiling().values())
    for rate in told.exhaustion_by("task_class"):
        assert rate.exhausted == sum(run["task_class"] == rate.name for run in ceilings)
    for outcome in ("success", "failure"):
        values = plain.tokens(outcome)
        mine = [one for one in told.tokens if one.outcome == outcome]
        assert len(mine) == bool(values)
        for one in mine:
            assert (one.runs, one.most) == (len(values), values[-1])
            assert [one.p50, one.p90, one.p99] == [at_rank(values, p) for p in (50, 90, 99)]
            assert sum(one.histogram) == len(values)
            below = [sum(value < bound for value in values) for bound in BUCKETS]
            assert [sum(one.histogram[: at + 1]) for at in range(len(BUCKETS))] == below
    spend = as_json(told)["spend"]
    assert Usd.parse(spend["settled_usd"].lstrip("-")) == Usd(abs(plain.spent - plain.estimated))
    if plain.booked:
        assert str(told.spent) in as_text(told)


@pytest.mark.parametrize("count", [0, 8, 40])
def test_every_figure_is_the_count_of_the_rows(database: Database, count: int) -> None:
    """Of many rows; of few, and of what becomes of them: test_days."""
    random = Random(count)
    rows = random_rows(random, count)
    rows.put(database)
    since, until = 0, LATER
    for visible in (None, frozenset({1}), frozenset[int]()):
        agree(database, rows, since, until, visible)
    SignalStore(database).roll(random.choice((ZONE, "UTC")))
    for since, until in windows(random):
        for visible in (None, frozenset({1})):
            agree(database, rows, since, until, visible)


def told(database: Database) -> list[Signals]:
    return [SignalStore(database).read(since, LATER, "repo") for since in (0, START + 7 * DAY + 12_345)]


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_the_same_however_far_spend_is_rolled_up(database: Database, seed: int) -> None:
    rows = random_rows(Random(seed), 40)
    rows.put(database)
    before, store, signals = told(database), Quarters(database), SignalStore(database)
    assert store.roll() > 0
    assert store.roll() == 0, "what is over is rolled up once"
    with database.begin() as tx:
        through = tx.execute(sa.select(rolled.c.through)).scalar_one()
    assert told(database) == before
    for less in (1, 30, 3000):
        # As after a worker that was away for so long, and then came back.
        with database.begin() as tx:
            tx.execute(sa.update(rolled).where(rolled.c.name == "quarters").values(through=through - less))
        assert told(database) == before
        assert store.roll() == less
        assert told(database) == before
    assert signals.roll(ZONE) > 0
    assert signals.roll(ZONE) == 0, "and so is a day"
    assert told(database) == before
    assert signals.roll("Asia/Kolkata") > 0, "another zone has other days"
    assert told(database) == before


def test_what_was_booked_in_the_last_hour_and_told_late_is_rolled_up_all_the_same(database: Database) -> None:
    rows = random_rows(Random(1), 20)
    rows.put(database)
    store = Quarters(database)
    store.roll()
    with database.begin() as tx:
        through = tx.execute(sa.select(rolled.c.through)).scalar_one()
        late = (through - 3) * QUARTER + 5
        turn = next(turn for turn in rows.turns if turn["state"] == "settled")
        tx.execute(sa.insert(turns).values(**turn | {"id": 10**6, "settled_at": late}))
        tx.execute(sa.update(rolled).values(through=through - 1))
    store.roll()
    rows.turns.append(turn | {"id": 10**6, "settled_at": late})
    assert SignalStore(database).read().spent.nanos == Recount(rows, 0, LATER).spent


def test_workers_that_roll_up_at_once_count_nothing_twice(database: Database) -> None:
    random_rows(Random(2), 40).put(database)
    before = told(database)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: Quarters(database).roll(), range(4)))
        assert Quarters(database).roll() == 0 < sum(done)
        done = list(pool.map(lambda _: SignalStore(database).roll(ZONE), range(4)))
    assert SignalStore(database).roll(ZONE) == 0 < sum(done)
    assert told(database) == before


def test_windows_side_by_side_are_the_whole(database: Database) -> None:
    random_rows(Random(99), 60).put(database)
    store, cuts = SignalStore(database), [0, *(START + day * DAY for day in (5, 17, 18, 40, 100))]
    parts = [store.read(since, until) for since, until in pairwise(cuts)]
    whole = store.read(0, cuts[-1])
    assert total(part.spent for part in parts) == whole.spent
    assert sum(part.exhaustion.runs for part in parts) == whole.exhaustion.runs
    assert sum(len(part.merged) for part in parts) == len(whole.merged)


def test_filters_are_parts_of_the_whole(database: Database) -> None:
    random_rows(Random(5), 60).put(database)
    store = SignalStore(database)
    whole = store.read(by="line")

    def spent(**given: str) -> Usd:
        return store.read(only=Only(**given)).spent  # type: ignore[arg-type]  # by name

    everything = whole.spent - whole.pooled
    assert spent(line="") + spent(line="evals") == everything
    assert total(spent(task_class=name) for name in ("bugfix", "feature", "refactor")) == everything
    # A name that somebody, or a repository, had is as good as the one it has.
    assert spent(developer="DANA") == spent(developer="dana-new") != Usd(0)
    assert spent(repository="o/api") == spent(repository="O/API-new") != Usd(0)
    assert store.read(only=Only(visible=frozenset({1, 2}))).pooled == Usd(0)
    assert store.read(only=EVERYTHING) == store.read()
