"""Whatever becomes of runs, and however far it is summed up, figures are the count of the rows.

Hypothesis lives those lives: what does not hold is told as the few calls that lead there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any, NamedTuple

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bot.core.reconcile import COSTS, COUNTERS
from bot.stores.database import Database
from bot.stores.days import attributed
from bot.stores.signals import SignalStore
from bot.stores.tables import attributions, days, ends, pool_corrections, pull_sums, pulls, runs, turns
from tests.stores.ledgers import (
    MODELS,
    PEOPLE,
    PLACES,
    REASONS,
    START,
    Row,
    Rows,
    a_run,
    a_turn,
    added,
    correction,
    random_rows,
)
from tests.stores.test_recount import LATER, agree

ZONES = ("Europe/Berlin", "Asia/Kathmandu", "America/Los_Angeles")
FIRST_DAYS = (0, 33, 40)  # after START; the next midnights but one are those at which clocks are turned back
HOUR, DAY = 60, 24 * 60  # minutes
EXAMPLES, STEPS = 16, 30
Named = tuple[int | None, str]


class About(NamedTuple):
    person: Named
    place: Named
    line: str
    task_class: str
    threaded: bool


ABOUT = st.builds(
    About,
    person=st.sampled_from(PEOPLE),
    place=st.sampled_from(PLACES),
    line=st.sampled_from(("", "evals")),
    task_class=st.sampled_from(("bugfix", "feature")),
    threaded=st.booleans(),
)


class Life(RuleBasedStateMachine):
    """What the house does to runs, in the database and in the plain rows, and looks in between."""

    started, merged = Bundle("started"), Bundle("merged")

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database, self.rows, self.now, self.zone = database, Rows(), START, ZONES[0]
        self.rows.put(database)

    @initialize(day=st.sampled_from(FIRST_DAYS), zone=st.sampled_from(ZONES))
    def begins(self, day: int, zone: str) -> None:
        self.zone = zone
        self._wait(day * DAY)

    @initialize(target=started, several=st.lists(ABOUT, min_size=2, max_size=4))
    def there_are(self, several: list[About]) -> MultipleResults[Row]:
        """Runs that have come to an end, and whose days are written."""
        made = [self._start(about) for about in several]
        for run in made:
            self.spends(run, 1, MODELS[0], "settled")
            self.becomes(run, "done", False)
        self.passes(2 * DAY, True)
        return multiple(*made)

    @initialize(target=merged, place=st.sampled_from(PLACES[:2]))
    def there_is(self, place: Named) -> Row:
        return self._merge(place)

    @rule(
        minutes=st.one_of(st.sampled_from((20, HOUR, DAY, 9 * DAY)), st.integers(1, 3 * DAY)),
        summed_up=st.sampled_from((True, True, False)),
    )
    def passes(self, minutes: int, summed_up: bool) -> None:
        """Time; and a worker is there, or is not."""
        self._wait(minutes)
        if summed_up:
            SignalStore(self.database).roll(self.zone)
            self.is_looked_at(self.zone, None, None)

    @rule(target=started, about=ABOUT)
    def starts(self, about: About) -> Row:
        return self._start(about)

    def _start(self, about: About) -> Row:
        self._wait(1)  # of two at one moment nobody could say which has somebody's last name
        person, place, line, task_class, threaded = about
        id = f"{len(self.rows.runs):012x}"
        run = a_run(id, self.now, person, place, line, task_class, threaded=threaded and place[0] is not None)
        self._insert(runs, self.rows.runs, run)
        return run

    @rule(
        run=started,
        size=st.integers(1, 10**6),
        model=st.sampled_from((*MODELS, None)),
        state=st.sampled_from(("settled", "estimated", "corrected", "held", "released")),
    )
    def spends(self, run: Row, size: int, model: str | None, state: str) -> None:
        """Live, or told long after its end; `corrected`: an estimate of it, by as much. Each counter and each
        cost is another multiple of `size`."""
        id, step = len(self.rows.turns) + 1, run["steps"] + 1
        if state == "corrected":
            known = {turn.get("corrects") for turn in self.rows.turns}
            mine = (t for t in self.rows.turns if (t["run"], t["state"]) == (run["id"], "estimated"))
            if (estimate := next((t for t in mine if t["id"] not in known), None)) is None:
                return
            turn, size = correction(estimate, id, self.now), -min(size, estimate["input"])
        else:
            turn = a_turn(id, run, self.now, step, state, model)
        if state not in ("held", "released"):
            turn |= {name: size * times for times, name in enumerate((*COUNTERS, *COSTS), 1)}
            added(run, turn)
            spent = ("spent_nanos", "spent_tokens", *COUNTERS, *COSTS)
            self._set(run, steps=step, **{name: run[name] for name in spent})
        self._insert(turns, self.rows.turns, turn)

    @rule(
        run=started,
        state=st.sampled_from(("running", "done", "failed", "lost", *REASONS)),
        renamed=st.booleans(),
    )
    def becomes(self, run: Row, state: str, renamed: bool) -> None:
        """It ends, or goes on, perhaps after its repository was renamed; or both."""
        if run["state"] != "running":
            name = {"repository": run["repository"] + "-new"} if renamed and run["repository_id"] == 2 else {}
            again = {"attempt": run["attempt"] + 1, "state": "running", "reason": None, "ended_at": None}
            self._set(run, **again, **name)
        if state != "running":
            how = {"state": "halted", "reason": state} if state in REASONS else {"state": state}
            self._set(run, **how, ended_at=self.now)

    @rule(target=merged, place=st.sampled_from(PLACES[:3]))
    def is_merged(self, place: Named) -> Row:
        return self._merge(place)

    def _merge(self, place: Named) -> Row:
        number = len(self.rows.pulls) + 1
        pull = {
            "repository_id": place[0], "number": number, "installation": 9, "repository": place[1],
            "title": f"PR {number}", "author": "dana", "base": "main", "closed": True, "merged_at": self.now,
            "updated_at": self.now,
        }  # fmt: skip
        self._insert(pulls, self.rows.pulls, pull)
        return pull

    @rule(run=started, to=st.one_of(merged, merged, st.none()))
    def belongs(self, run: Row, to: Row | None) -> None:
        """To the first pull request to merge, or to none any more."""
        before = next((one for one in self.rows.attributions if one["run"] == run["id"]), None)
        places = [(one["repository_id"], one["number"]) if one else None for one in (before, to)]
        with self.database.begin() as tx:
            tx.execute(sa.delete(attributions).where(attributions.c.run == run["id"]))
            self.rows.attributions = [one for one in self.rows.attributions if one is not before]
            if places[1] and run["repository_id"] is not None:
                here = dict(zip(("repository_id", "number"), places[1], strict=True))
                after = {"run": run["id"], **here, "because": "law"}
                tx.execute(sa.insert(attributions).values(**after))
                self.rows.attributions.append(after)
            attributed(tx, run["id"], places[0], places[1] if run["repository_id"] is not None else None)

    @rule(nanos=st.integers(1, 10**9))
    def the_invoice_says_less(self, nanos: int) -> None:
        about = {"key_name": "K", "model": MODELS[0], "price_book": "p"}
        since = {"since_at": self.now - 1, "until_at": self.now, "booked_at": self.now}
        self._wait(1)
        self._insert(pool_corrections, self.rows.pools, about | since | {"nanos": -nanos})

    @rule(zone=st.sampled_from(ZONES))
    def is_elsewhere(self, zone: str) -> None:
        """The caps' months are another zone's from now on."""
        self.zone = zone

    @rule(
        zone=st.sampled_from(ZONES),
        minutes=st.one_of(st.none(), st.tuples(st.integers(0, 12 * DAY), st.integers(0, 12 * DAY))),
        visible=st.sampled_from((None, None, frozenset({1}), frozenset[int]())),
    )
    def is_looked_at(
        self, zone: str, minutes: tuple[int, int] | None, visible: frozenset[int] | None
    ) -> None:
        """All of it, or what was between so many minutes ago and so many before those."""
        until = self.now + 1 if minutes is None else self.now - minutes[0] * 60_000
        since = 0 if minutes is None else until - minutes[1] * 60_000
        agree(self.database, self.rows, since, until, visible, zone)

    @rule()
    def sums_of_pulls_are_lost(self) -> None:
        """They are worked out anew."""
        with self.database.begin() as tx:
            tx.execute(sa.delete(pull_sums))

    def teardown(self) -> None:
        self.is_looked_at(self.zone, None, None)

    def _wait(self, minutes: int) -> None:
        self.now += minutes * 60_000
        with self.database.begin() as tx:
            tx.execute(sa.text("UPDATE later SET ms = :now"), {"now": self.now})

    def _insert(self, table: sa.Table, known: list[Row], row: Row) -> None:
        with self.database.begin() as tx:
            tx.execute(sa.insert(table).values(**row))
        known.append(row)

    def _set(self, run: Row, **values: Any) -> None:
        run |= values
        with self.database.begin() as tx:
            tx.execute(sa.update(runs).where(runs.c.id == run["id"]).values(**values))


@pytest.fixture
def later(database_url: str) -> Iterator[Database]:
    """A database whose clock is what its table says."""
    database = Database(database_url, "(SELECT ms FROM later)")
    database.migrate()
    with database.begin() as tx:
        tx.execute(sa.text("CREATE TABLE later (ms BIGINT)"))
        tx.execute(sa.text("INSERT INTO later VALUES (0)"))
    yield database
    database.close()


def test_whatever_becomes_of_a_run_figures_are_the_count_of_the_rows(later: Database) -> None:
    """However far days, ends and quarters are written, and in whatever zone."""
    run_state_machine_as_test(
        partial(Life, later),  # type: ignore[arg-type]  # whatever makes one will do
        settings=hypothesis.settings(max_examples=EXAMPLES, stateful_step_count=STEPS),
    )


def test_days_are_read_and_not_only_written(database: Database) -> None:
    """What stands there is told where nothing has happened since: else this would measure nothing."""
    rows = random_rows(Random(3), 30)
    for run in rows.runs:
        run["state"] = "done"  # of what is live nothing that stands there is told
    rows.put(database)
    store = SignalStore(database)
    store.roll("UTC")
    before = store.read(0, LATER, "developer")
    with database.begin() as tx:
        told = sa.select(sa.func.count()).select_from(days)
        assert tx.execute(told).scalar_one() > 0
        tx.execute(sa.update(days).values(nanos=days.c.nanos + 1))
        tx.execute(sa.update(pull_sums).values(nanos=pull_sums.c.nanos + 1))
        tx.execute(sa.update(ends).values(spent_tokens=ends.c.spent_tokens + 1))
    after = store.read(0, LATER, "developer")
    assert after.spent > before.spent
    assert sum(day.usd.nanos for day in after.days) > sum(day.usd.nanos for day in before.days)
    assert [one.most for one in after.tokens] == [one.most + 1 for one in before.tokens]
    assert [pull.usd.nanos for pull in after.merged] == [pull.usd.nanos + 1 for pull in before.merged]
