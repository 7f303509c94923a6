"""GitHub's rate limits as the sandbox keeps them: obeyed, and not asked again while they hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.clients.github import GitHub, Unavailable
from bot.stores.database import Database
from bot.stores.pace import DatabasePace
from tests.clients.conftest import World
from tests.stores.test_pace import pass_

ISSUE = 1


@pytest.fixture
def github(world: World, database: Database) -> Iterator[GitHub]:
    about = world.client.about
    made = GitHub(about["app_id"], about["private_key"], world.url, DatabasePace(database))
    # What other tests have asked of the same sandbox is an hour ago.
    world.client.forward(3600, faults=True)
    yield made
    made.close()
    world.client.limit(per_minute=0, per_hour=0, requests_per_hour=0, silent=False)
    world.client.forward(3600, faults=True)


def api(world: World, since: int) -> int:
    """Requests about the repository that reached GitHub."""
    return len([line for line in world.lines()[since:] if line.get("path", "").startswith("/repos/acme")])


def used(world: World) -> dict[str, int]:
    return dict(world.client.limit()[str(world.repo.installation)])


def test_eighty_a_minute_are_never_more_and_github_never_has_to_say_so(
    world: World, github: GitHub, database: Database
) -> None:
    world.client.limit(per_minute=80)
    waits = []
    for _ in range(120):
        id = world.client.comment("dana", ISSUE, "Hello")
        try:
            github.react(world.repo, "issue_comment", id)
        except Unavailable as limited:
            waits.append(limited.retry_after or 0)
    assert all(0 < wait <= 60 for wait in waits)
    assert (len(waits), used(world)["content"], used(world)["defied"]) == (48, 72, 0)


@pytest.mark.parametrize("silent", [False, True], ids=["says for how long", "does not say"])
def test_a_secondary_limit_is_waited_out_and_nothing_is_asked_meanwhile(
    world: World, github: GitHub, database: Database, silent: bool
) -> None:
    id = world.client.comment("dana", ISSUE, "Hello")
    world.client.limit(per_minute=1, silent=silent)
    github.react(world.repo, "issue_comment", id)
    with pytest.raises(Unavailable) as limited:
        github.react(world.repo, "issue_comment", id, "rocket")
    assert limited.value.retry_after is not None
    assert 55 < limited.value.retry_after <= 61
    start = len(world.lines())
    for _ in range(5):
        with pytest.raises(Unavailable, match="takes no more"):
            github.issue(world.repo, ISSUE)
    assert (api(world, start), used(world)["defied"]) == (0, 0)
    world.client.forward(62, faults=True)
    pass_(database, 62)
    github.react(world.repo, "issue_comment", id, "rocket")


def test_the_last_request_of_an_hour_is_known_to_be_the_last(
    world: World, github: GitHub, database: Database
) -> None:
    world.client.limit(requests_per_hour=3)
    for _ in range(3):
        github.issue(world.repo, ISSUE)
    start = len(world.lines())
    with pytest.raises(Unavailable) as limited:
        github.issue(world.repo, ISSUE)
    assert 3500 < (limited.value.retry_after or 0) <= 3700
    assert api(world, start) == 0
    world.client.forward(3700, faults=True)
    pass_(database, 3700)
    assert github.issue(world.repo, ISSUE).number == ISSUE


def test_graphql_that_is_limited_is_waited_for(world: World, github: GitHub, database: Database) -> None:
    pace = DatabasePace(database)
    world.client.fault("POST", "/graphql", 429, retry_after=120)
    with pytest.raises(Unavailable):
        github.closing_issues(world.repo, 2)
    assert 110 < pace.ask(world.repo.installation, None) <= 120
