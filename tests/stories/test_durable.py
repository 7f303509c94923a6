"""A step waits for a GitHub that is away, as long as it asks for; a no is a no, also after a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.clients.github import GitHubError, Unavailable
from bot.services import Services
from bot.stories import finish, launch, lost, merge, reconcile, worker
from bot.stories.durable import LONGEST_WAIT, PATIENCE, Story, name_of


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


def test_a_step_waits_as_long_as_github_asks(service: Services) -> None:
    waited: list[float] = []
    flaky = Flaky(
        Unavailable("away", 503), Unavailable("slow down", 429, 40.0), Unavailable("no", 403, 9999.0)
    )
    assert story(service, Memory(), waited).step("act", flaky) == "done"
    assert waited == [1.0, 40.0, LONGEST_WAIT]


def test_patience_ends(service: Services) -> None:
    waited: list[float] = []
    flaky = Flaky(*(Unavailable("away", 503) for _ in range(100)))
    with pytest.raises(GitHubError, match="away"):
        story(service, Memory(), waited).step("act", flaky)
    assert (flaky.calls, len(waited)) == (PATIENCE, PATIENCE - 1)


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
    named = {name_of(tell) for tell in worker.ALL}
    events = (launch.on_comment, merge.on_closed, lost.on_workflow_completed)
    started = (*events, finish.finish, reconcile.daily)
    assert {name_of(tell) for tell in started} == named
