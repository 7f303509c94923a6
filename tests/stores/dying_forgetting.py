"""A forgetting that is killed behind its first write, its second, fourth, eighth …, and before its commit:
`python -m tests.stores.dying_forgetting URL LOGIN`, which says how often it died.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

import sqlalchemy as sa

from bot.stores.database import Database
from bot.stores.forgetting import Forgetting

WRITES = ("INSERT", "UPDATE", "DELETE")


def die(url: str, login: str, at: int, told: int) -> None:
    """Behind its write of that number, or before it commits, which `told` (a pipe) is told first."""
    database, writes = Database(url), count(1)

    @sa.event.listens_for(database.engine, "after_cursor_execute")
    def _written(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.lstrip().startswith(WRITES) and next(writes) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    @sa.event.listens_for(database.engine, "commit")
    def _commits(_connection: object) -> None:
        os.write(told, b".")
        os.kill(os.getpid(), signal.SIGKILL)

    Forgetting(database).forget(login, "ops")


def deaths(url: str, login: str) -> int:
    for died in count(1):
        read, told = os.pipe()
        child = os.fork()
        if not child:
            die(url, login, 1 << (died - 1), told)
            os._exit(1)
        os.close(told)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it came to its end"
        with os.fdopen(read, "rb") as tells:
            if tells.read():
                return died
    raise AssertionError("it comes to its commit")


if __name__ == "__main__":
    sys.stdout.write(f"{deaths(*sys.argv[1:])}\n")
