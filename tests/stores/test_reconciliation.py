"""What reconciliation reads: whole stretches, in a few looks, however dense the traffic around them is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from bot.core.reconcile import LONGEST, Stretch, Sums, compare, stretches
from bot.core.times import MINUTE_MS as MINUTE
from bot.stores.database import Database
from bot.stores.reconciliation import MOST, Reconciliation
from bot.stores.tables import metadata, runs, turns
from tests.stores.ledgers import HOUR, MODELS, START, Row, a_run, a_turn

SINCE = START // HOUR * HOUR
UNTIL = SINCE + 24 * HOUR
LOOKS = 2 + 2 * 8  # the first and the pools; eight that double on either side are a month


@dataclass(frozen=True)
class Chain:
    """Turns of one key and model, one each `step` ms, from `at` ms after SINCE on."""

    key: str
    model: str
    at: int
    step: int
    length: int
    count: int
    state: str = "settled"

    def rows(self) -> Iterator[Row]:
        run = {"id": f"{RUNS.index((self.key, self.model)):012x}"}
        for number in range(self.count):
            at = SINCE + self.at + number * self.step
            row = a_turn(0, run, at + 5000, number, self.state, None)
            yield row | {
                "key_name": self.key, "model_asked": self.model, "settled_at": at + self.length,
                "input": 7, "cost_input_nanos": 700, "nanos": 700, "tokens": 7,
            }  # fmt: skip


RUNS = tuple((key, model) for key in "KL" for model in (MODELS[0], MODELS[2]))


def put(database: Database, chains: Sequence[Chain]) -> list[Row]:
    # Above what PostgreSQL's own count will give.
    numbered = enumerate((row for one in chains for row in one.rows()), start=10**6)
    told = [row | {"id": id} for id, row in numbered]
    with database.begin() as tx:
        for table in reversed(metadata.sorted_tables):
            tx.execute(sa.delete(table))
        for number in range(len(RUNS)):
            run = a_run(f"{number:012x}", SINCE, (7, "dana"), (1, "o/api"), "", "bugfix", threaded=True)
            tx.execute(sa.insert(runs).values(**run | {"state": "done", "ended_at": UNTIL}))
        tx.execute(sa.insert(turns), told)
    return told


@contextmanager
def looks(database: Database) -> Iterator[list[str]]:
    """Each statement that is sent meanwhile."""
    sent: list[str] = []

    def hear(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("SELECT"):
            sent.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", hear)
    yield sent
    sa.event.remove(database.engine, "before_cursor_execute", hear)


def closed(rows: Sequence[Row]) -> dict[Stretch, set[int]]:
    """All turns' stretches, joined one by one until no two share a minute."""
    found: list[tuple[Stretch, set[int]]] = []
    for row in rows:
        end = row["settled_at"]
        if row["state"] == "estimated":
            end = max(end, row["held_at"] + MINUTE + 50 * row["max_tokens"])
        since = (row["held_at"] - 5000) // MINUTE * MINUTE
        until = (end + 5000) // MINUTE * MINUTE + MINUTE
        one, mine = Stretch(row["key_name"], row["model_asked"], since, until), {row["id"]}
        apart = []
        for other, its in found:
            if one.meets(other):
                since, until = min(one.since, other.since), max(one.until, other.until)
                one, mine = Stretch(one.key, one.model, since, until), mine | its
            else:
                apart.append((other, its))
        found = [*apart, (one, mine)]
    return dict(found)


def test_dense_minutes_before_a_window_cost_a_few_looks_and_are_in_its_stretch(database: Database) -> None:
    before = 14 * 60
    rows = put(
        database, [Chain("K", MODELS[0], -before * MINUTE, MINUTE, MINUTE // 2, before + 90, "estimated")]
    )
    with looks(database) as sent:
        booked = Reconciliation(database).read(SINCE, UNTIL)
    assert len(sent) <= 5
    assert [entry.turn for entry in booked.entries] == [row["id"] for row in rows]
    assert not booked.loose


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_beside_traffic_that_never_pauses_a_quiet_key_is_read_alone_and_corrected(
    database: Database, after: bool
) -> None:
    count = MOST // (2 * HOUR) + 20
    at = 0 if after else -count * 2 * HOUR + HOUR
    quiet = Chain("L", MODELS[0], HOUR, HOUR, MINUTE, 1, "estimated")
    put(database, [Chain("K", MODELS[0], at, 2 * HOUR, 2 * HOUR, count), quiet])
    store = Reconciliation(database)
    with looks(database) as sent:
        booked = store.read(SINCE, UNTIL)
    assert len(sent) <= LOOKS
    assert [stretch.key for stretch in booked.loose] == ["K"]
    assert booked.since >= SINCE - MOST - LONGEST
    assert booked.until <= UNTIL + MOST + LONGEST
    assert not booked.looks_at("L", MODELS[0], SINCE - HOUR)  # the report of then is not beside its turns
    [(stretch, entries, _)] = [each for each in stretches(booked.entries, ()) if each[0].key == "L"]
    used = Sums(input=3, cost_input_nanos=300)
    finding = store.book(stretch, used, UNTIL + HOUR, HOUR, "p")
    assert [each.by for each in finding.corrections] == [used - entries[0].booked]


def test_what_is_too_fresh_anyway_is_not_followed(database: Database) -> None:
    count = 10 * 12
    put(database, [Chain("K", MODELS[0], UNTIL - SINCE - count * 2 * HOUR, 2 * HOUR, 2 * HOUR, count)])
    with looks(database) as sent:
        booked = Reconciliation(database).read(SINCE, UNTIL, UNTIL - 10 * MINUTE)
    assert len(sent) == 2
    [stretch] = booked.loose
    assert stretch.until > UNTIL - 10 * MINUTE


CHAINS = st.builds(
    Chain,
    st.sampled_from("KL"),
    st.sampled_from((MODELS[0], MODELS[2])),
    st.integers(-40 * 24 * 60, 30 * 24 * 60).map(lambda minutes: minutes * MINUTE)
    | st.integers(-300, 28 * 60).map(lambda minutes: minutes * MINUTE),
    st.sampled_from((MINUTE, 30 * MINUTE, 3 * HOUR)),
    st.sampled_from((1, MINUTE, 40 * MINUTE, 3 * HOUR, LONGEST - 5 * MINUTE)),
    st.integers(1, 30) | st.sampled_from((100, 300)),
    st.sampled_from(("settled", "estimated")),
)


@hypothesis.settings(
    max_examples=30, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.lists(CHAINS, min_size=1, max_size=4))
def test_what_is_compared_is_the_plain_closure_over_all_turns(
    database: Database, chains: list[Chain]
) -> None:
    """A month beyond the window; and under the locks of its runs the same is seen of each."""
    rows, store = put(database, chains), Reconciliation(database)
    with looks(database) as sent:
        booked = store.read(SINCE, UNTIL)
    assert len(sent) <= LOOKS
    plain = closed(rows)
    touching = {each for each in plain if each.since < UNTIL and each.until > SINCE}
    endless = {each for each in touching if each.since < SINCE - MOST or each.until > UNTIL + MOST}
    found = {each: entries for each, entries, _ in stretches(booked.entries, ())}
    whole = {each: {entry.turn for entry in found[each]} for each in found.keys() - booked.loose}
    assert touching - endless <= whole.keys()
    assert whole.items() <= plain.items()  # beside those that were asked for, others only if they are whole
    for stretch in endless:
        [cut] = [each for each in booked.loose if each.meets(stretch)]
        assert {entry.turn for entry in found[cut]} < plain[stretch]
    assert len(booked.loose) == len(endless)
    assert all(booked.since <= each.since and each.until <= booked.until for each in found)
    for stretch in whole:
        assert booked.looks_at(stretch.key, stretch.model, stretch.since)
        assert booked.looks_at(stretch.key, stretch.model, stretch.until - 1)
    for stretch in sorted(whole, key=lambda each: (each.key, each.model, each.since))[:4]:
        now = stretch.until + HOUR
        told = compare(
            stretch, sorted(found[stretch], key=lambda each: each.turn), booked.pooled, Sums(), now
        )
        assert store.book(stretch, Sums(), now, HOUR, "p") == told
    # Where a turn is that is not read, the report is not read beside it, but at the ends of what is cut.
    read = {entry.turn for entry in booked.entries}.union(*(plain[each] for each in endless))
    for row in rows:
        if row["id"] not in read:
            assert not booked.looks_at(row["key_name"], row["model_asked"], row["held_at"])
