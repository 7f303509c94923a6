"""What was spent follows the merge, and the signals count it once (R17, M4)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bot.core import overview
from bot.core import signals as words
from bot.core.attribution import Place
from bot.core.ceilings import CLASSES, Reason
from bot.core.money import ZERO, Usd
from bot.core.sizes import Spread
from bot.stores.database import Database
from bot.stores.pulls import Facts, Pulls
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id
from bot.stores.signals import SignalStore
from bot.stores.tables import attributions, runs, turns

DAY = 86_400_000
CENT = Usd.parse("0.01")


class World:
    """Runs with turns at given times, without a gateway."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs, self.pulls, self.signals = Runs(database), Pulls(database), SignalStore(database)
        self.now = database.now_ms()

    def run(self, thread: int, usd: Usd, **given: Any) -> str:
        at, state = given.pop("at", self.now - DAY), given.pop("turn", "settled")
        reason, pull = given.pop("reason", None), given.pop("published_pull", None)
        new = NewRun(
            **{
                "id": new_id(), "origin": "github", "ceilings": CLASSES["bugfix"], "task_class": "bugfix",
                "engine": "opus", "model": "m", "price_book": "p", "installation": 9,
                "repository_id": 1, "repository": "o/r", "thread": thread,
                "comment_kind": "issue_comment", "comment_id": int(new_id(), 16),
                "actor": "ann", **given,
            }
        )  # fmt: skip
        assert self.runs.open(new)
        self.runs.end(new.id, "halted" if reason else "done", reason=reason)
        with self.database.begin() as tx:
            tx.execute(
                sa.update(runs)
                .where(runs.c.id == new.id)
                .values(spent_nanos=usd.nanos, published_pull=pull, ended_at=at)
            )
            tx.execute(
                sa.insert(turns).values(
                    run=new.id, attempt=1, state=state, hold_nanos=0, hold_tokens=0, held_at=at,
                    lease_until_at=at, owner="t", max_tokens=1, model_asked="m", settled_at=at,
                    nanos=usd.nanos,
                )
            )  # fmt: skip
        return new.id

    def correct(self, run: str, by: Usd) -> None:
        """A correction of the run's one turn."""
        with self.database.begin() as tx:
            first = tx.execute(sa.select(turns.c.id).where(turns.c.run == run)).scalar_one()
            tx.execute(
                sa.insert(turns).values(
                    run=run, attempt=1, state="corrected", corrects=first, hold_nanos=0, hold_tokens=0,
                    held_at=self.now, lease_until_at=0, owner="t", max_tokens=1, model_asked="m",
                    settled_at=self.now, nanos=by.nanos,
                )
            )  # fmt: skip
            added = {"spent_nanos": runs.c.spent_nanos + by.nanos}
            tx.execute(sa.update(runs).where(runs.c.id == run).values(added))

    def merge(self, number: int, closes: tuple[Place, ...] = (), **given: Any) -> int:
        facts = {
            "installation": 9, "repository_id": 1, "repository": "o/r", "number": number,
            "title": f"PR {number}", "author": "ann", "base": "main", "closed": True,
            "merged_at": self.now, "updated_at": self.now, **given,
        }  # fmt: skip
        return self.pulls.record(Facts(closes=frozenset(closes), **facts))

    def close(self, number: int, closes: tuple[Place, ...] = ()) -> None:
        self.merge(number, closes, merged_at=None)

    def because(self) -> dict[str, str]:
        with self.database.read() as tx:
            rows = tx.execute(sa.select(attributions.c.run, attributions.c.because)).all()
        return {row[0]: row[1] for row in rows}


def test_a_merge_takes_the_runs_on_it_on_its_issue_and_on_earlier_attempts(database: Database) -> None:
    world = World(database)
    here = world.run(7, CENT)
    issue = world.run(3, CENT, published_pull=5)
    tried = world.run(5, CENT)  # on the pull request that the issue's run had made, which was closed
    made = world.run(4, CENT, published_pull=7)
    world.run(8, CENT)
    world.run(3, CENT, repository="o/other", repository_id=2)
    world.close(5)
    assert world.merge(7, closes=((1, 3),)) == 4
    assert world.because() == {
        here: "on the pull request",
        issue: "on the issue it closes",
        tried: "on an earlier attempt",
        made: "made the pull request",
    }


def test_a_run_belongs_to_the_pull_request_that_merged_first(database: Database) -> None:
    world = World(database)
    world.run(3, CENT)
    later = world.now + 1000
    assert world.merge(9, closes=((1, 3),), merged_at=later) == 1
    assert world.merge(7, closes=((1, 3),)) == 1, "which was told later, and was merged first"
    assert world.merge(9, closes=((1, 3),), merged_at=later) == 0


def test_cost_per_merged_pull_request_is_direct_and_fully_loaded(database: Database) -> None:
    world = World(database)
    world.run(7, CENT * 900)
    world.run(8, CENT * 100)
    world.run(9, CENT * 500, actor="bob", turn="estimated")
    world.run(9, CENT * 7700, at=world.now - 40 * DAY)  # before the window
    world.merge(7)
    world.merge(8)
    world.merge(1)  # nobody ran anything on it
    found = world.signals.read(world.now - 30 * DAY, None, "developer")
    assert (found.direct, found.fully_loaded) == (CENT * 500, CENT * 750)
    assert (found.spent, found.unattributed, found.estimated) == (CENT * 1500, CENT * 500, CENT * 500)
    assert [(s.name, s.usd, s.runs) for s in found.shares] == [
        ("ann", CENT * 1000, 2),
        ("bob", CENT * 500, 1),
    ]
    assert [pull.number for pull in found.merged] == [7, 8]


def test_spend_before_the_window_counts_for_a_pull_request_merged_in_it(database: Database) -> None:
    world = World(database)
    world.run(7, CENT * 4000, at=world.now - 40 * DAY)
    world.merge(7)
    found = world.signals.read(world.now - DAY)
    assert (found.direct, found.fully_loaded) == (CENT * 4000, ZERO)
    assert [pull.number for pull in found.merged if pull.outlier] == [7]
    assert world.signals.read(world.now - 50 * DAY, world.now - DAY).direct is None


def test_a_correction_takes_the_estimate_back(database: Database) -> None:
    world = World(database)
    run = world.run(7, CENT * 100, turn="estimated")
    world.correct(run, -(CENT * 90))
    found = world.signals.read()
    assert (found.spent, found.estimated) == (CENT * 10, ZERO)


def test_the_exhaustion_rate_counts_halts_by_a_ceiling_only(database: Database) -> None:
    world = World(database)
    for thread in range(7):
        world.run(thread, CENT)
    world.run(7, CENT, reason=Reason.COST)
    world.run(8, CENT, reason=Reason.STEPS, task_class="feature")
    world.run(9, CENT, reason=Reason.STUCK)
    world.run(10, CENT, reason=Reason.STOPPED)
    found = world.signals.read()
    rate = found.exhaustion
    assert (rate.exhausted, rate.runs) == (2, 11)
    assert rate.verdict.startswith("healthy")
    assert found.halts_by_ceiling() == {"cost_ceiling": 1, "step_ceiling": 1}
    assert [(one.name, one.exhausted, one.runs) for one in found.exhaustion_by("task_class")] == [
        ("bugfix", 1, 10),
        ("feature", 1, 1),
    ]
    assert [one.name for one in found.exhaustion_by("repository")] == ["o/r"]


def test_an_empty_ledger_has_no_rates_and_says_so(database: Database) -> None:
    found = SignalStore(database).read()
    assert (found.direct, found.exhaustion.value) == (None, None)
    assert "Nothing was spent yet" in overview.as_text(found)
    assert "Try a longer window" in overview.as_text(SignalStore(database).read(1))
    assert overview.as_json(found)["cost_per_merged_pr"]["direct"] is None


def test_what_a_class_usually_costs_is_told_by_repository_and_installation(database: Database) -> None:
    world = World(database)
    made = [world.run(number, CENT * number, installation=5) for number in range(1, 11)]
    made.append(world.run(11, CENT * 500, installation=5, repository_id=2, task_class="bugfix"))
    made.append(world.run(12, CENT * 7, installation=5, task_class="feature", reason=Reason.COST))
    made.append(world.run(13, CENT * 999, installation=6, repository_id=3))
    with database.begin() as tx:
        tx.execute(sa.update(runs).where(runs.c.id.in_(made)).values(steps=3))
    world.run(14, ZERO, installation=5)  # it asked nothing of a model
    here = world.signals.spreads(repository_id=1)
    assert here == {
        "bugfix": Spread(10, CENT * 5, CENT * 9),
        "feature": Spread(1, CENT * 7, CENT * 7),
    }
    assert world.signals.spreads(installation=5)["bugfix"] == Spread(11, CENT * 6, CENT * 10)
    assert world.signals.spreads(repository_id=4) == {}


def test_who_is_asked_for_by_number_is_nobody_else_of_that_name(database: Database) -> None:
    world = World(database)
    world.run(1, CENT, actor="bob", actor_id=7)
    world.run(2, CENT * 2, actor="bob", actor_id=8)
    world.run(3, CENT * 4, actor="bob-before", actor_id=8)
    only = words.Only(developer="bob", person=8)
    found = world.signals.read(by="developer", only=only)
    assert [(share.number, share.usd) for share in found.shares] == [(8, CENT * 6)]
    assert world.signals.read(only=words.Only(developer="bob")).spent == CENT * 7


def test_what_a_window_is_compared_with_has_the_same_figures(database: Database) -> None:
    world = World(database)
    world.run(1, CENT, reason="cost_ceiling")
    world.run(2, CENT * 2)
    world.merge(2)
    whole, part = world.signals.read(), world.signals.read(whole=False)
    for figure in ("spent", "direct", "fully_loaded", "exhaustion", "halted", "unattributed", "merged"):
        assert getattr(part, figure) == getattr(whole, figure), figure
    assert (part.days, part.tokens, part.shares) == ((), (), ())
    assert {pull.repository_id for pull in whole.merged} == {1}
    assert {group.repository_id for group in whole.ended} == {1}
