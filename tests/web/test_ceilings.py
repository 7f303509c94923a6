"""The page of ceilings: what the command says of the same runs, as far as the visitor may see their sums."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core import suggest
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.policy import parse
from bot.core.replay import Other, tally
from bot.core.suggest import Suggestion
from bot.stores.database import Database
from bot.stores.replays import Replays
from bot.stores.tables import runs, turns
from bot.web.dashboard import ceilings
from tests.stores.ledgers import HOUR, START, random_rows
from tests.web.dashboard_world import World, dashboard_world

DAY = 24 * HOUR


def a_month(world: World, repository: tuple[int, str], count: int, task_class: str) -> None:
    """Ended runs of a task each, one an hour, with turns that its counters are the sums of."""
    random, now = Random(task_class), world.services.database.now_ms()
    for number in range(count):
        steps = random.randrange(3, 20 if task_class == "bugfix" else 120)
        at = now - 9 * DAY + number * HOUR
        run = world.run("dana", "0", repository, task_class=task_class, steps=steps, started_at=at)
        told = [
            {
                "run": run, "attempt": 1, "state": "settled", "step": step, "hold_nanos": 4 * 10**8,
                "hold_tokens": 30_000, "held_at": at + step * 1000, "settled_at": at + step * 1000 + 500,
                "lease_until_at": at, "owner": "t", "max_tokens": 8_000, "model_asked": "m", "model": "m",
                "nanos": random.randrange(10**7, 10**8), "tokens": 9_000, "output": 500,
                "cost_output_nanos": 12_500_000,
            }
            for step in range(1, steps + 1)
        ]  # fmt: skip
        with world.services.database.begin() as tx:
            tx.execute(sa.insert(turns), told)
            ended = sa.update(runs).where(runs.c.id == run)
            tx.execute(ended.values(ended_at=at + steps * 1000, ceiling_steps=150))


class Office:
    def __init__(self, world: World) -> None:
        self.world = world
        about = world.github.about
        self.calendar = (about["repository_id"], about["repository"])
        self.vault = world.repository("acme/vault", dana="none", max="none", ren="none", tri="none")
        a_month(world, self.calendar, 30, "bugfix")
        a_month(world, self.calendar, 30, "refactor")
        a_month(world, self.vault, 25, "bugfix")
        self.browsers = {login: world.signed_in(login)[0] for login in ("ada", "ren", "dana")}

    def open(self, login: str, path: str) -> Any:
        return self.browsers[login].open(self.world.url + path)

    def json(self, login: str, query: str = "") -> dict[str, Any]:
        page = self.open(login, f"/api/v1/ceilings{query}")
        assert page.status == 200, page.text
        found: dict[str, Any] = json.loads(page.text)
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with dashboard_world(tmp_path_factory.mktemp("ceilings")) as world:
        yield Office(world)


def test_what_is_suggested_is_what_the_command_suggests(office: Office) -> None:
    told = office.json("ren", "?days=30")
    past = tuple(Replays(office.world.services.database).recorded(told["since_ms"], told["until_ms"]))
    made = suggest.suggest(past, office.world.services.database.now_ms())
    by_class = {one.task_class: one.other for one in made}
    under = {one.task_class: one for one in tally(past, by_class.__getitem__)}
    assert told["whole"]
    assert told["suggestions"] == suggest.suggestions_json(made, under)
    assert {one["class"] for one in told["suggestions"] if one["suggested"]} == {"bugfix", "refactor"}
    assert told["whatif"] is None


def test_other_ceilings_are_tried_by_the_address(office: Office) -> None:
    told = office.json("ren", "?cost=$0.40&steps=10&wall=1h&tokens=800k")
    past = tuple(Replays(office.world.services.database).recorded(told["since_ms"], told["until_ms"]))
    other = Other(Usd.parse("0.40"), 800_000, 10, 3600)
    assert told["whatif"] == [suggest.tally_json(one) for one in tally(past, lambda name: other)]
    page = office.open("ren", "/ceilings?steps=10&csv=tried")
    assert page.text.startswith("class,would have halted")
    assert "What these ceilings would have done" in office.open("ren", "/ceilings?steps=10").text


@pytest.mark.parametrize(
    "query",
    ["cost=much", "cost=-1", "tokens=0", "steps=1.5", "wall=20", "days=all", "days=91", "since=2020-01-01",
     "days=x", "cost=$99999999999999"],
)  # fmt: skip
def test_what_is_no_ceiling_and_too_long_a_window_are_refused_with_a_sentence(
    office: Office, query: str
) -> None:
    for path in ("/ceilings", "/api/v1/ceilings"):
        assert office.open("ren", f"{path}?{query}").status == 400, query


def test_runs_of_repositories_that_one_may_not_read_are_in_no_sum(office: Office) -> None:
    counted = {
        login: {one: told["of"] for one, told in office.json(login)["sampled"].items()}
        for login in office.browsers
    }
    mine, all_ = {"bugfix": 30, "refactor": 30}, {"bugfix": 55, "refactor": 30}
    assert counted == {"dana": mine, "ren": all_, "ada": mine | {"bugfix": 55}}
    assert office.json("dana", "?repo=acme/vault")["sampled"] == {}
    assert office.json("ada", "?repo=acme/vault")["sampled"]["bugfix"]["of"] == 25
    assert office.json("ren", "?class=refactor")["sampled"].keys() == {"refactor"}


def test_a_class_for_which_too_many_steps_are_suggested_is_named(office: Office) -> None:
    page = office.open("dana", "/ceilings").text
    assert "<strong>refactor</strong>: the ceiling of steps that is suggested is above 80" in page
    assert "<strong>bugfix</strong>" not in page


def test_where_there_are_too_many_runs_it_is_a_sample_and_says_so(office: Office) -> None:
    sample = Replays(office.world.services.database).sample(0, office.world.services.database.now_ms(), 10)
    assert sample.every == {"bugfix": 55, "refactor": 30}
    chosen = [run.task_class for run in sample.runs]
    assert (chosen.count("bugfix"), chosen.count("refactor")) == (10, 10)
    again = Replays(office.world.services.database).sample(0, office.world.services.database.now_ms(), 10)
    assert sample == again


def test_nothing_to_learn_from_says_how_it_begins(office: Office) -> None:
    page = office.open("dana", "/ceilings?since=2024-02-01&until=2024-03-01")
    assert page.status == 200
    assert "/agent fix" in page.text
    assert office.json("dana", "?since=2024-02-01&until=2024-03-01")["yaml"] == ""


def test_the_snippet_is_a_policy_with_the_ceilings_that_were_suggested(office: Office) -> None:
    told = office.json("ren")
    policy = parse(told["yaml"])
    for one in told["suggestions"]:
        row = policy.classes[one["class"]]
        given = {"usd": row.usd.exact, "tokens": row.tokens, "steps": row.steps, "seconds": row.seconds}
        assert given == one["suggested"]
    odd = Suggestion("feature", 20, CEILINGS, CEILINGS)
    feature = parse(suggest.as_yaml([odd])).classes["feature"]
    assert feature == CEILINGS


CEILINGS = Ceilings(Usd.parse("0.000000001"), 310_000, 7, 470)


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_of_all_is_all(database: Database, seed: int) -> None:
    rows = random_rows(Random(seed), 30)
    rows.put(database)
    store = Replays(database)
    assert store.sample(0, START + 100 * DAY, 30).runs == tuple(store.recorded(0, START + 100 * DAY))
    assert ceilings.MOST >= 2 * suggest.ENOUGH, "a sample suffices for a suggestion"
