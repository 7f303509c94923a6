"""An import from Cursor that dies: `python -m tests.chaos.dying_cursor SINCE UNTIL page|inside|after N`.

It is killed when it asks for the Nth page, inside the Nth transaction that has written, or just after that
one's commit. With less to do it comes to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from bot import services, settings
from bot.stories.cursor import imported


def main(since: int, until: int, where: str, number: int) -> None:
    left = {"page": number, "inside": number, "after": number}

    def step(name: str) -> None:
        left[name] -= 1
        if name == where and left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def written(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO cursor_events"):
            step("inside")

    with services.opened(settings.read(settings.environment()), "cursor") as opened:
        opened.processes.start(opened.process)
        sa.event.listen(opened.database.engine, "after_cursor_execute", written)
        imported(opened, since, until, lambda report, page: step("page"), lambda words: step("after"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
