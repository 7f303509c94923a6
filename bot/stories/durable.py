"""How a story survives: each step's outcome is recorded, and after a crash the story goes on behind it.

A step can run again if the process died between doing and recording; so what a step does looks before it
acts. While GitHub is away, or asks for patience, a story is put aside: it holds no slot, and goes on at the
step that it had come to. Stories are plain functions `tell(story, …)`; DBOS is known here and in worker.py
only, and here it is imported where it is used: the web process names stories and tells none.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, ParamSpec, Protocol, TypeVar

from bot import logs
from bot.clients.github import GitHubError, Unavailable
from bot.logs import Log
from bot.services import Services
from bot.stores.away import away

log = Log("story")

P = ParamSpec("P")
R = TypeVar("R")

# All in seconds.
PATIENCE = 6 * 3600.0  # age of a story from which on a GitHub that is away is taken for a no
BRIEFLY = 2.0  # the longest wait for which a story keeps its slot
SHORTEST_ASIDE, LONGEST_ASIDE = 5.0, 300.0  # where GitHub does not say how long; the longer, the older
FULL_SHARE = 2.0  # before another look whether the installation's share of the slots has room


class Record(Protocol):
    """Do it and remember what came of it under the step's name; or return what is remembered."""

    def __call__(self, name: str, do: Callable[[], Any], /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """GitHub said no: the recorded form of a GitHubError."""

    status: int
    sentence: str


class Aside(BaseException):
    """The story is put aside for so many seconds, and why. No Exception: it is no outcome of any step."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(seconds, why)
        self.seconds, self.why = seconds, why


@dataclass(frozen=True, slots=True)
class Story:
    """One telling. `id` names it for good: the delivery's id, or what it is about."""

    id: str
    services: Services
    record: Record
    wait: Callable[[float], None] = time.sleep
    age: Callable[[], float] = lambda: 0.0  # seconds since it was enqueued

    @property
    def delivery(self) -> str:
        """The delivery that it is told for, also when it is told anew after it had failed."""
        return self.id.partition(".")[0]

    def step(self, name: str, do: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The outcome of `do(*args)`, done once. Raises GitHubError, and Aside while GitHub is away."""
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
        for tried in count():
            try:
                return do()
            except Unavailable as absent:
                asked = absent.retry_after or 0.0
                wait = max(asked, 2.0**tried)
                if wait > BRIEFLY:
                    age = self.age()
                    if age > PATIENCE:
                        return Refused(absent.status, str(absent))
                    aside = max(asked, min(LONGEST_ASIDE, max(SHORTEST_ASIDE, age / 4)))
                    raise Aside(aside, str(absent)) from absent
                self.wait(wait)
            except GitHubError as error:
                return Refused(error.status, str(error))
            except Exception as error:
                if (why := away(error)) is None:
                    raise
                raise Aside(SHORTEST_ASIDE, why) from error  # a disk that is full is no outcome of a step
        raise AssertionError("a wait is too long in the end")


Tell = Callable[..., Any]


def name_of(tell: Tell) -> str:
    """The name under which a story is enqueued: `launch.on_comment`."""
    return f"{tell.__module__.rsplit('.', 1)[-1]}.{tell.__name__}"


def durably(name: str, do: Callable[[], Any], /) -> Any:
    """A step of DBOS. Its own retries are off: ours know what GitHub asks for."""
    from dbos import DBOS

    return DBOS.run_step({"name": name}, do)


class Shares:
    """How many of this process's stories are an installation's: none may have more than its share."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._told: Counter[int] = Counter()

    def begin(self, installation: int) -> bool:
        with self._lock:
            if self._told[installation] >= self.most:
                return False
            self._told[installation] += 1
            return True

    def end(self, installation: int) -> None:
        with self._lock:
            self._told[installation] -= 1


def register(
    tell: Tell,
    services: Services,
    shares: Shares,
    ready: Callable[[Story, Any], None],
    record: Record = durably,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Make a story known to this process's engine. `ready` raises Aside while it is not its turn."""
    from dbos import DBOS

    def workflow(*arguments: Any) -> Any:
        key = DBOS.workflow_id or ""
        with logs.about(story=name_of(tell), **_about(key, arguments)):
            return told(key, arguments)

    def told(key: str, arguments: tuple[Any, ...]) -> Any:
        began = time.monotonic()
        try:
            installation = _installation(services, arguments)
            logs.add(installation=installation)
            if not shares.begin(installation):
                raise Aside(FULL_SHARE, "its installation has its share of this worker's slots")
            try:
                story = Story(key, services, record, wait, partial(services.queue.age, key))
                ready(story, arguments[0] if arguments else None)
                outcome = tell(story, *arguments)
            finally:
                shares.end(installation)
        except Aside as aside:
            _put_aside(services, key, aside, wait)
            raise
        except Exception as error:
            if (why := away(error)) is None:
                log.exception("failed", "it is told no further; a redelivery goes on with it")
                raise
            until_it_is_back = Aside(SHORTEST_ASIDE, why)
            _put_aside(services, key, until_it_is_back, wait)
            raise until_it_is_back from error
        log.info("told", "told to its end", seconds=round(time.monotonic() - began, 3))
        return outcome

    workflow.__qualname__ = workflow.__name__ = name_of(tell)
    DBOS.workflow(name=name_of(tell))(workflow)


def _put_aside(services: Services, key: str, aside: Aside, wait: Callable[[float], None]) -> None:
    """As soon as the database takes it; until then the story keeps its slot, for nobody would wake it."""
    while True:
        # Not all at the same moment, when what they wait for is there again.
        spread = aside.seconds * random.uniform(1.0, 1.1)  # noqa: S311 - no secret
        try:
            services.queue.put_aside(key, services.process.id, spread)
        except Exception as error:
            if away(error) is None:
                raise
            wait(BRIEFLY)
        else:
            about = {"seconds": round(spread, 1), "reason": aside.why}
            log.info("aside", f"it goes on in {spread:.0f} s", **about)
            return


def _about(key: str, arguments: tuple[Any, ...]) -> dict[str, object]:
    """What the lines of a story say: its delivery or else its key, whose it is, the run that it is about."""
    about = arguments[0] if arguments else None
    if about is None or isinstance(about, str):
        return {"key": key, "run": about}
    return {"delivery": key.partition(".")[0], **whose(about)}


def whose(event: Any) -> dict[str, object]:
    """The installation and, where it is of one, the repository of what GitHub told."""
    where = getattr(event, "repo", event)
    return {"installation": where.installation, "repository": getattr(where, "full_name", None)}


def _installation(services: Services, arguments: tuple[Any, ...]) -> int:
    """Whose story it is, by the event or the run that it is about; 0: nobody's."""
    about = arguments[0] if arguments else None
    if isinstance(about, str):
        run = services.runs.get(about)
        return (run.installation or 0) if run else 0
    where = getattr(about, "repo", about)
    return int(getattr(where, "installation", 0))
