"""How fast one installation may ask: what GitHub has told us, and what it would have told us.

Source: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, read 2026-11. About 80 requests
a minute and 500 an hour may create content; who goes on asking while limited may lose the App.
"""

from __future__ import annotations

import re
from typing import Protocol

from bot.clients.github.errors import Unavailable

APP = 0  # stands for the App itself, which has an account of its own

# The share of an installation's content that may be used up before this waits: reports have the last.
LIVE, ORDINARY, REPORT = 0.5, 0.9, 1.0


class Pace(Protocol):
    """How fast each installation may ask."""

    def ask(self, installation: int, share: float | None) -> float:
        """Seconds to wait, 0: go on, and if it creates content (and so has a share), it is counted."""

    def limited(self, installation: int, seconds: float | None) -> float:
        """GitHub said that it is enough for so long, or not for how long; the seconds to wait."""

    def answered(self, installation: int) -> None:
        """GitHub answers again."""


class Unpaced:
    """For one process that asks seldom."""

    def ask(self, installation: int, share: float | None) -> float:
        return 0.0

    def limited(self, installation: int, seconds: float | None) -> float:
        return 60.0 if seconds is None else seconds

    def answered(self, installation: int) -> None:
        """Nothing to remember."""


# What people see or are told of. Blobs and trees are neither, and come in hundreds.
_CONTENT = re.compile(
    r"/(comments|replies|reactions|check-runs|pulls|issues|labels|merge|dispatches|contents)\b"
    r"|/git/(commits|refs)\b"
)
# How a run ends: its report and its check edited, its commit.
_REPORT = re.compile(r"/issues/comments/[0-9]+$|/check-runs/[0-9]+$|/git/")


def share_of(verb: str, path: str) -> float | None:
    """The share of a request that creates content; None for others."""
    if verb == "GET" or path == "graphql" or not _CONTENT.search(path):
        return None
    return REPORT if _REPORT.search(path) else ORDINARY


def heed(wait: float) -> None:
    """Raises Unavailable if there is something to wait for."""
    if wait:
        raise Unavailable(f"GitHub takes no more from this installation for {wait:.0f} s", 429, wait)
