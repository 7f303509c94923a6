"""Pull requests and issues with what was spent on each: which are wanted, what is shown of each.

Each run counts once: for the merged pull request that it belongs to (R17), else where it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bot.core.money import ZERO, Usd
from bot.core.signals import Costly, MergedPull, Only
from bot.core.visibility import HIDDEN, Sight

MERGED, CLOSED, OPEN, ISSUE = "merged", "closed", "open", "issue"
STATES = (MERGED, CLOSED, OPEN, ISSUE)
WORDS = {MERGED: "merged", CLOSED: "closed without a merge", OPEN: "open pull request", ISSUE: "issue"}
SORTS = ("cost", "latest")
OUTLIER, HALTED, REVERTED = "outlier", "halted", "reverted"
HAVING = (OUTLIER, HALTED, REVERTED)
# Of the last one that was shown: what it is sorted by, its repository and its number.
_MARK = re.compile(
    r"(?P<value>-?[0-9]{1,18})\.(?P<repository>[0-9]{1,15})\.(?P<number>[0-9]{1,15})", re.ASCII
)


class Unclear(Exception):
    """What is wanted cannot be read; a sentence for whoever asked."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The one after which a page goes on; in an address `VALUE.REPOSITORY.NUMBER`."""

    value: int
    repository: int
    number: int

    @staticmethod
    def parse(text: str) -> Mark:
        """Raises Unclear."""
        found = _MARK.fullmatch(text)
        if found is None:
            raise Unclear(f"`after`: {text[:40]!r} is no place in this list; take it from `next`")
        return Mark(int(found["value"]), int(found["repository"]), int(found["number"]))

    def __str__(self) -> str:
        return f"{self.value}.{self.repository}.{self.number}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which: merged in [since, until), or not merged and with their last run in it (ms). `state`: one of
    STATES, "" is any; `having`: one of HAVING or ""; `sort`: one of SORTS, the most or the latest first;
    `after`: those that come after that one."""

    only: Only
    since: int
    until: int
    state: str = ""
    having: str = ""
    sort: str = SORTS[0]
    after: Mark | None = None


@dataclass(frozen=True, slots=True)
class ThreadCost(Costly):
    """A pull request or an issue, and what the runs that count for it have cost.

    `state`: one of STATES; `at`: when it was merged, else when its last run was opened (ms);
    `title` and `author` are "" where nobody has told them.
    """

    repository_id: int
    repository: str
    number: int
    state: str
    title: str
    author: str
    usd: Usd
    runs: int
    attempts: int
    at: int
    estimated: Usd = ZERO
    halted: Usd = ZERO
    context: Usd = ZERO
    reverted: bool = False

    def mark(self, sort: str) -> Mark:
        return Mark(self.usd.nanos if sort == SORTS[0] else self.at, self.repository_id, self.number)


Told = TypeVar("Told", ThreadCost, MergedPull)


def seen(one: Told, sight: Sight) -> Told:
    """Without what tells of a repository that may not be read, or of a person whose figures may not."""
    named, authored = sight.name(one.repository_id), sight.run(one.repository_id, None)
    if named and authored:  # thousands of them, most of the time
        return one
    author = one.author if authored else ""
    if named:
        return replace(one, author=author)
    return replace(one, repository=HIDDEN, number=0, title="", author=author)


def as_json(one: ThreadCost) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    return {
        "repository": one.repository,
        "number": one.number,
        "state": one.state,
        "title": one.title,
        "author": one.author,
        "usd": one.usd.exact,
        "estimated_usd": one.estimated.exact,
        "halted_usd": one.halted.exact,
        "context_usd": one.context.exact,
        "runs": one.runs,
        "attempts": one.attempts,
        "outlier": one.outlier,
        "causes": list(one.causes) if one.outlier else [],
        "reverted": one.reverted,
        "at_ms": one.at,
    }
