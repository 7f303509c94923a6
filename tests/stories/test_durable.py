"""A step waits for a GitHub that is away, as long as it asks for; a no is a no, also after a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.clients.github import GitHubError, Unavailable
from bot.services import Services
from bot.stories import admit, cursor, finish, reconcile, unsent, worker
from bot.stories.durable import LONGEST_ASIDE, PATIENCE, SHORTEST_ASIDE, Aside, Shares, Story, Tell, name_of
from bot.stories.receive import ROUTES


class Memory:
    """What DBOS does, without a crash: the first outcome of a step is the outcome."""

    def __init__(self) -> None:
        self.recorded: dict[str, Any] = {}

    def __call__(self, name: str, do: Callable[[], Any], /) -> Any:
        if name not in self.recorded:
            self.recorded[name] = do()
        return self.recorded[name]


class Flaky:
    """Goes wrong as often as it is told to."""

    def __init__(self, *errors: GitHubError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def story(services: Services, memory: Memory, waited: list[float]) -> Story:
    return Story("s", services, memory, waited.append)


def test_a_step_waits_a_moment_and_then_its_story_is_put_aside(service: Services) -> None:
    waited: list[float] = []
    memory, flaky = Memory(), Flaky(*(Unavailable("away", 503) for _ in range(3)))
    with pytest.raises(Aside) as aside:
        story(service, memory, waited).step("act", flaky)
    assert (waited, aside.value.seconds) == ([1.0, 2.0], SHORTEST_ASIDE)
    assert story(service, memory, waited).step("act", flaky) == "done", "it goes on at this step"


@pytest.mark.parametrize(
    ("asked", "age", "seconds"),
    [(40.0, 0.0, 40.0), (2400.0, 0.0, 2400.0), (None, 600.0, 150.0), (None, 9999.0, LONGEST_ASIDE)],
    ids=["as long as GitHub asks", "however long", "the longer, the older it is", "to a limit"],
)
def test_how_long_a_story_is_put_aside(
    service: Services, asked: float | None, age: float, seconds: float
) -> None:
    told = Story("s", service, Memory(), lambda _: None, lambda: age)
    with pytest.raises(Aside) as aside:
        told.step("act", Flaky(*(Unavailable("away", 503, asked) for _ in range(9))))
    assert aside.value.seconds == seconds


def test_patience_ends(service: Services) -> None:
    told = Story("s", service, Memory(), lambda _: None, lambda: PATIENCE + 1)
    with pytest.raises(GitHubError, match="away"):
        told.step("act", Flaky(*(Unavailable("away", 503) for _ in range(100))))


def test_no_installation_has_more_than_its_share_of_the_slots() -> None:
    shares = Shares(2)
    assert [shares.begin(1) for _ in range(3)] == [True, True, False]
    assert shares.begin(2), "another one's share is its own"
    shares.end(1)
    assert shares.begin(1)


def test_a_no_is_not_asked_again_and_is_the_same_after_a_crash(service: Services) -> None:
    memory, flaky = Memory(), Flaky(GitHubError("not found", 404))
    for _ in range(2):
        with pytest.raises(GitHubError, match="not found") as caught:
            story(service, memory, []).step("act", flaky)
        assert caught.value.status == 404
    assert flaky.calls == 1


def test_what_a_story_can_do_without_does_not_stop_it(service: Services) -> None:
    assert story(service, Memory(), []).attempt("eyes", Flaky(GitHubError("locked", 403))) is None


def test_the_worker_knows_every_story_that_is_started_by_name() -> None:
    named = [name_of(tell) for tell in worker.ALL]
    every: tuple[Tell, ...] = (
        *ROUTES.values(),
        admit.admitted,
        finish.finish,
        reconcile.daily,
        cursor.hourly,
        unsent.gather,
    )
    started = {name_of(tell) for tell in every}
    assert (set(named), len(named)) == (started, len(started))
