"""A reconciliation that dies: `python -m tests.chaos.dying_reconcile SINCE UNTIL inside|after`.

It is killed inside the transaction that has written its first row, or just after its first commit. With
nothing to book it comes to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from bot import services, settings
from bot.core.reconcile import Finding
from bot.stories.reconcile import reconcile


def main(since: int, now: int, where: str) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def written(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO") and where == "inside":
            die()

    def say(finding: Finding) -> None:
        if finding.books:
            die()

    with services.opened(settings.read(settings.environment()), "reconcile") as opened:
        sa.event.listen(opened.database.engine, "after_cursor_execute", written)
        reconcile(opened, since, now, now, say=say)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
