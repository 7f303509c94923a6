"""What is told of pull requests, in any order and however often, comes to the same account (R17, M4)."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.attribution import ISSUE, ON, Pull, Work, attribute
from bot.core.money import ZERO, Usd, total
from bot.stores.database import Database
from bot.stores.tables import attributions, runs, turns
from tests.stores.test_signals import CENT, DAY, World


def opened(world: World, run: str, at: int) -> None:
    with world.database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.id == run).values(opened_at=at))


def begun(world: World, thread: int, usd: Usd = CENT, **given: Any) -> str:
    """A run that began well before now."""
    run = world.run(thread, usd, **given)
    opened(world, run, world.now - DAY)
    return run


def test_an_older_word_of_a_pull_request_does_not_replace_a_newer_one(database: Database) -> None:
    world = World(database)
    run = begun(world, 7)
    assert world.merge(7, updated_at=world.now) == 1
    world.merge(7, closed=True, merged_at=None, updated_at=world.now - 1000)
    assert world.because() == {run: ON}


def test_a_pull_request_that_is_opened_again_takes_its_runs_back(database: Database) -> None:
    world = World(database)
    tried = begun(world, 5)
    world.close(5, closes=((1, 3),))
    assert world.merge(7, closes=((1, 3),)) == 1
    world.merge(5, ((1, 3),), closed=False, merged_at=None, updated_at=world.now + 1000)
    assert world.because() == {}
    world.merge(5, ((1, 3),), merged_at=world.now + 2000, updated_at=world.now + 2000)
    assert world.because() == {tried: ON}
    assert world.signals.pull(1, 7) is None, "nothing is left of it"


def test_an_issue_that_a_pull_request_does_not_close_any_more_gives_its_runs_back(database: Database) -> None:
    world = World(database)
    run = begun(world, 3)
    world.merge(7, closes=((1, 3),))
    assert world.because() == {run: ISSUE}
    world.merge(7, updated_at=world.now + 1)
    assert world.because() == {}


def test_a_run_that_comes_after_the_merge_is_followed(database: Database) -> None:
    world = World(database)
    world.merge(7)
    run = world.run(7, CENT * 3)
    assert world.because() == {}
    world.pulls.follow(1, 7)
    assert world.because() == {run: ON}
    made = world.run(4, CENT)
    world.pulls.made(made, 7)
    assert world.signals.pull(1, 7).usd == CENT * 4  # type: ignore[union-attr]


def test_a_repository_that_was_renamed_keeps_its_spend(database: Database) -> None:
    world = World(database)
    run = begun(world, 3, repository="o/before")
    world.merge(7, closes=((1, 3),), repository="o/after")
    assert world.because() == {run: ISSUE}


def test_what_another_installation_has_spent_is_never_taken(database: Database) -> None:
    """A pull request of theirs may say that it closes an issue of ours."""
    world = World(database)
    begun(world, 3)
    theirs = {"installation": 66, "repository_id": 6, "repository": "evil/x"}
    assert world.merge(1, closes=((1, 3),), **theirs) == 0
    mine = begun(world, 3, repository_id=2, repository="o/tracker")
    assert world.merge(8, closes=((2, 3),)) == 1
    assert world.because() == {mine: ISSUE}


def test_a_reverted_pull_request_stays_merged_and_is_shown_as_reverted(database: Database) -> None:
    world = World(database)
    begun(world, 7, CENT * 700)
    world.merge(7)
    world.merge(8, reverts=7)
    found = world.signals.read()
    assert [(pull.number, pull.reverted) for pull in found.merged] == [(7, True)]
    assert (found.direct, found.unattributed) == (CENT * 700, ZERO)
    world.merge(9, reverts=8)
    assert [pull.reverted for pull in world.signals.read().merged] == [False]


def test_spend_that_is_corrected_later_follows_its_run(database: Database) -> None:
    world = World(database)
    run = begun(world, 7, CENT * 100, turn="estimated")
    world.merge(7)
    world.correct(run, -(CENT * 90))
    assert world.signals.pull(1, 7).usd == CENT * 10  # type: ignore[union-attr]


def test_a_merge_that_two_processes_tell_at_once_is_counted_once(database: Database) -> None:
    world = World(database)
    threads = range(1, 9)
    for thread in threads:
        begun(world, 100)
        begun(world, thread)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: world.merge(n, ((1, 100),), merged_at=world.now + n * 1000), [*threads] * 2))
    because = world.because()
    assert len(because) == 16
    with database.read() as tx:
        issue = tx.execute(sa.select(attributions.c.number).where(attributions.c.because == ISSUE))
        assert {row[0] for row in issue} == {1}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_in_whatever_order_every_cent_is_counted_once(database: Database, seed: int) -> None:
    """Direct and unattributed spend are all spend, and what stands is what the rule makes of it all."""
    fate = random.Random(seed)
    world = World(database)

    def some_time() -> int:
        return world.now - DAY + fate.randint(0, 9) * 1000

    issues, numbers = [1, 2], [3, 4, 5, 6]
    works: dict[str, Work] = {}
    last: dict[int, tuple[Any, ...]] = {}
    told: list[tuple[int, tuple[Any, ...], int]] = []

    def spend() -> None:
        thread = fate.choice([*issues, *numbers])
        run = world.run(thread, CENT * fate.randint(1, 900))
        at = some_time()
        opened(world, run, at)
        works[run] = Work(run, 9, (1, thread), at)
        world.pulls.follow(1, thread)

    def propose() -> None:
        if works:
            run = fate.choice([*works])
            number = fate.choice([n for n in numbers if n != works[run].thread[1]])
            works[run] = Work(run, 9, works[run].thread, works[run].opened_at, (1, number))
            world.pulls.made(run, number)

    def change() -> None:
        number = fate.choice(numbers)
        if number in last and last[number][1] is not None:
            return  # merged is merged
        merged_at = some_time() if fate.random() < 0.5 else None
        closes = frozenset((1, issue) for issue in issues if fate.random() < 0.5)
        last[number] = (merged_at is not None or fate.random() < 0.6, merged_at, closes)
        told.append((number, last[number], len(told)))

    def tell() -> None:
        """Some word of some pull request, perhaps old, perhaps again."""
        if told:
            number, (closed, merged_at, closes), at = fate.choice(told)
            world.merge(number, closes, closed=closed, merged_at=merged_at, updated_at=at)

    for _ in range(40):
        fate.choice([spend, propose, change, tell, tell])()
    for number, (closed, merged_at, closes), at in fate.sample(told, len(told)):
        world.merge(number, closes, closed=closed, merged_at=merged_at, updated_at=at)

    pulls = [Pull((1, n), 9, "main", merged, closed, closes) for n, (closed, merged, closes) in last.items()]
    expected = attribute(pulls, works.values())
    assert world.because() == {run: to.because for run, to in expected.items()}
    found = world.signals.read()
    direct = total(pull.usd for pull in found.merged)
    assert direct + found.unattributed == found.spent
    with database.read() as tx:
        everything = tx.execute(sa.select(sa.func.sum(turns.c.nanos))).scalar_one() or 0
        spent = {row[0]: Usd(row[1]) for row in tx.execute(sa.select(runs.c.id, runs.c.spent_nanos))}
    assert found.spent.nanos == everything
    assert direct == total(spent[run] for run in expected)
    assert sum(pull.runs for pull in found.merged) == len(expected)
    for pull in found.merged:
        alone = world.signals.pull(1, pull.number)
        rows = world.pulls.belonging(1, pull.number)
        assert alone == pull
        assert total(run.spent.usd for run, _ in rows) == pull.usd


def test_what_ran_on_a_laptop_on_its_branch_is_on_the_first_pull_request_that_is_merged_from_it(
    database: Database,
) -> None:
    world = World(database)
    first, other, late = (begun(world, 90 + n, origin="laptop", branch="fix") for n in range(3))
    with database.begin() as tx:
        tx.execute(sa.update(runs).values(thread=None))
        tx.execute(sa.update(runs).where(runs.c.id == other).values(branch="else"))
    opened(world, late, world.now + DAY)
    on_it = begun(world, 7)
    assert world.merge(7, branch="fix") == 2
    assert world.because() == {first: ON, on_it: ON}
    last = world.pulls.last(1, 7)
    assert last is not None
    assert last.id == on_it  # the laptop's has no report there
    assert world.merge(8, branch="fix", merged_at=world.now + 2 * DAY) == 1
    assert world.because()[late] == ON
