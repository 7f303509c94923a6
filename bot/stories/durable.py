"""How a story survives: each step's outcome is recorded, and after a crash the story goes on behind it.

A step can run again if the process died between doing and recording; so what a step does looks before it
acts. Stories are plain functions `tell(story, …)`; DBOS is known here and in worker.py only, and here it is
imported where it is used: the web process names stories and tells none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from bot.clients.github import GitHubError, Unavailable
from bot.services import Services

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 9  # tries of one step while GitHub is away: some eight minutes
LONGEST_WAIT = 180.0


class Record(Protocol):
    """Do it and remember what came of it under the step's name; or return what is remembered."""

    def __call__(self, name: str, do: Callable[[], Any], /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """GitHub said no: the recorded form of a GitHubError."""

    status: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Story:
    """One telling. `id` names it for good: the delivery's id, or what it is about."""

    id: str
    services: Services
    record: Record
    wait: Callable[[float], None] = time.sleep

    @property
    def delivery(self) -> str:
        """The delivery that it is told for, also when it is told anew after it had failed."""
        return self.id.partition(".")[0]

    def step(self, name: str, do: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The outcome of `do(*args)`, done once. Waits while GitHub is away. Raises GitHubError."""
        outcome = self.record(name, lambda: self._patiently(lambda: do(*args, **kwargs)))
        if isinstance(outcome, Refused):
            raise GitHubError(outcome.sentence, outcome.status)
        result: R = outcome
        return result

    def attempt(self, name: str, do: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """The same for what the story can do without: None if GitHub refuses."""
        try:
            return self.step(name, do, *args, **kwargs)
        except GitHubError:
            return None

    def _patiently(self, do: Callable[[], R]) -> R | Refused:
        for tried in range(PATIENCE):
            try:
                return do()
            except Unavailable as away:
                if tried == PATIENCE - 1:
                    return Refused(away.status, str(away))
                self.wait(min(LONGEST_WAIT, max(away.retry_after or 0.0, 2.0**tried)))
            except GitHubError as error:
                return Refused(error.status, str(error))
        raise AssertionError("the last try returns")


Tell = Callable[..., Any]


def name_of(tell: Tell) -> str:
    """The name under which a story is enqueued: `launch.on_comment`."""
    return f"{tell.__module__.rsplit('.', 1)[-1]}.{tell.__name__}"


def durably(name: str, do: Callable[[], Any], /) -> Any:
    """A step of DBOS. Its own retries are off: ours know what GitHub asks for."""
    from dbos import DBOS

    return DBOS.run_step({"name": name}, do)


def register(tell: Tell, services: Services, record: Record = durably) -> None:
    """Make a story known to this process's engine."""
    from dbos import DBOS

    def workflow(*arguments: Any) -> Any:
        return tell(Story(DBOS.workflow_id or "", services, record), *arguments)

    workflow.__qualname__ = workflow.__name__ = name_of(tell)
    DBOS.workflow(name=name_of(tell))(workflow)
