"""A worker at whose every step GitHub fails for ten minutes: `-m tests.stories.failing_worker FILE URL`.

The minutes are the sandbox's: what the worker waits for in its slot moves the clock of GitHub's faults on;
whoever watches moves it on by what stories are put aside for. FILE remembers at which steps it has failed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from dbos import DBOS

from bot import services, settings
from bot.stories.durable import durably
from bot.stories.worker import work
from sandbox.github.client import Client

MINUTES = 10
# How GitHub fails, by turns.
WAYS: tuple[dict[str, object], ...] = (
    {"status": 502},
    {"status": 503},
    {"status": 429, "retry_after": 90},
    {"status": 500, "when": "after"},
    {"status": 403, "retry_after": 30},
    {"status": 0, "kind": "reset"},
)
# GitHub's API as the App sees it; people's own hands are left alone.
API = r"^/(app|graphql|repos/.+)"


def main(remembered: Path, github: Client) -> None:
    one_at_a_time, ways, met = threading.Lock(), cycle(WAYS), set[str]()

    def fail_once(name: str) -> None:
        with one_at_a_time:
            here = f"{DBOS.workflow_id}: {name}"
            if here in met:
                return
            met.add(here)
            with remembered.open("a") as file:
                file.write(here + "\n")
            way = next(ways)
            github.clear_faults()
            github.control("faults", path=API, **({"for": MINUTES * 60} | way))

    def record(name: str, do: Callable[[], Any], /) -> Any:
        def doing() -> Any:
            fail_once(name)
            return do()

        return durably(name, doing)

    with services.opened(settings.read(settings.environment()), "worker") as opened:
        work(opened, record, lambda seconds: github.forward(seconds, faults=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Client(sys.argv[2]))
