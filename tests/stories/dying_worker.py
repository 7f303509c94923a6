"""A worker that dies at every step that it meets: `python -m tests.stories.dying_worker FILE [STEP…]`.

Each step (or each STEP, where some are named) is died at twice: when it is done but not recorded, and when it
is recorded but nothing came after it. FILE remembers where, so that every death happens once and the next
worker gets a little further.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dbos import DBOS

from bot import services, settings
from bot.stories.durable import durably
from bot.stories.worker import work

_one_at_a_time = threading.Lock()


def main(remembered: Path, steps: Sequence[str] = ()) -> None:
    def die_once(where: str) -> None:
        with _one_at_a_time:
            before = remembered.read_text().splitlines() if remembered.exists() else []
            if where in before or (steps and where.split(": ")[1] not in steps):
                return
            with remembered.open("a") as file:
                file.write(where + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.kill(os.getpid(), signal.SIGKILL)

    def record(name: str, do: Callable[[], Any], /) -> Any:
        here = f"{DBOS.workflow_id}: {name}"

        def doing() -> Any:
            outcome = do()
            die_once(f"{here}: done")
            return outcome

        outcome = durably(name, doing)
        die_once(f"{here}: recorded")
        return outcome

    with services.opened(settings.read(settings.environment()), "worker") as opened:
        work(opened, record)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
