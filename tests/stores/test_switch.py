"""A pause stops what runs and keeps all else from starting, whatever the two do at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.stores.database import Database
from bot.stores.people import People
from bot.stores.runs import Runs
from bot.stores.switch import Paused, Switch
from tests.stores.test_people import a_run


@pytest.fixture
def switch(database: Database) -> Switch:
    return Switch(database)


@pytest.fixture
def people(database: Database) -> People:
    return People(database, Runs(database))


def test_a_pause_halts_what_is_live_and_refuses_what_would_start(switch: Switch, people: People) -> None:
    open_, running = a_run(thread=1, repository="acme/a"), a_run(thread=2, repository="Acme/A")
    elsewhere = a_run(thread=3, repository="acme/b", repository_id=4)
    here = a_run(thread=None, origin="exec", repository="")
    for new in (open_, running, elsewhere, here):
        assert people.open(new, ()) is True
    people.runs.claim(running.id, 1, "token", 9)
    assert switch.pause("ACME/a", "ada", "a bill that nobody understands") == 2
    for new in (open_, running):
        run = people.runs.get(new.id)
        assert run is not None
        assert (run.state, run.reason) == ("halted", "stopped")
        assert run.message == (
            "halted at step 0: agent runs are paused in acme/a by ada: a bill that nobody understands"
        )
    assert people.runs.get(elsewhere.id).live  # type: ignore[union-attr]
    refused = people.open(a_run(thread=4, repository="acme/A"), ())
    assert isinstance(refused, Paused)
    assert people.open(a_run(thread=5, repository="acme/b", repository_id=4), ()) is True
    people.runs.finished(running.id, 1)
    assert isinstance(people.reopen(1, running, ()), Paused)
    assert switch.unpause("acme/a", "ada")
    assert people.reopen(1, running, ()) is True
    assert [(entry.action, entry.by, entry.repository) for entry in switch.log()] == [
        ("unpaused", "ada", "acme/a"), ("paused", "ada", "acme/a"),
    ]  # fmt: skip
    assert people.runs.get(here.id).live  # type: ignore[union-attr]


def test_everywhere_is_everywhere_and_lifted_by_itself(switch: Switch, people: People) -> None:
    people.open(a_run(thread=1, repository="acme/a"), ())
    assert switch.pause("", "ada", "") == 1
    assert switch.pause("acme/b", "ada", "") == 0
    assert str(switch.paused("acme/c")) == "agent runs are paused everywhere by ada"
    assert switch.unpause("", "ada")
    assert not switch.unpause("", "ada")
    assert switch.paused("acme/c") is None
    assert switch.paused("ACME/B") is not None


@pytest.mark.slow
def test_no_launch_at_the_moment_of_a_pause_is_left_to_be_claimed(switch: Switch, people: People) -> None:
    """What began before the pause may still open; its claim is what sees the switch (bot/web/runs)."""
    news = [a_run(thread=number, repository="acme/a") for number in range(1, 41)]
    with ThreadPoolExecutor(16) as pool:
        opening = [pool.submit(people.open, new, ()) for new in news]
        pool.submit(switch.pause, "", "ada", "")
        outcomes = [one.result() for one in opening]
    assert switch.paused("acme/a") is not None
    for new, outcome in zip(news, outcomes, strict=True):
        assert outcome is True or isinstance(outcome, Paused)
        assert (people.runs.get(new.id) is None) == isinstance(outcome, Paused)


def test_a_repository_that_is_renamed_stays_paused_and_its_older_runs_are_halted(
    switch: Switch, people: People
) -> None:
    old, new = (a_run(thread=n, repository=name) for n, name in ((1, "acme/old"), (2, "acme/new")))
    elsewhere = a_run(thread=3, repository="acme/b", repository_id=4)
    for run in (old, new, elsewhere):
        assert people.open(run, ()) is True
    assert switch.pause("acme/NEW", "ada", "") == 2
    assert isinstance(people.open(a_run(thread=5, repository="acme/newest"), ()), Paused)
    assert switch.paused("acme/newest", 3) is not None
    assert people.open(a_run(thread=6, repository="acme/c", repository_id=4), ()) is True
    people.runs.finished(old.id, 1)
    assert isinstance(people.reopen(1, old, ()), Paused)
    assert switch.unpause("acme/new", "ada")
    assert people.open(a_run(thread=5, repository="acme/newest"), ()) is True
