"""One run as values: what it used, what it cost, what came of it. The texts about it: bot/core/reports.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import ZERO, Usd
from bot.core.pieces import Piece
from bot.core.signals import MergedPull
from bot.core.sizes import Size


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used so far. Tokens of the token ceiling = input + both cache writes + output (R3)."""

    usd: Usd = ZERO
    tokens: int = 0
    steps: int = 0
    tool_calls: int = 0
    seconds: int = 0
    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class CostBy:
    """The dollars of a run by counter; they sum to Spent.usd less what is only estimated."""

    input: Usd = ZERO
    cache_write: Usd = ZERO
    cache_read: Usd = ZERO
    output: Usd = ZERO
    server_tools: Usd = ZERO


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered request to the model, as the report's chart and list show it."""

    step: int
    model: str
    usd: Usd
    input: int
    cache_write: int
    cache_read: int
    output: int
    stop_reason: str | None
    estimated: bool = False
    clamped_max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A test command that the runner ran on the final tree, outside the model."""

    command: str
    exit_code: int
    output: str = ""  # the tail


MOST_NOTE = 1_500  # characters of why a person has to look


@dataclass(frozen=True, slots=True)
class Published:
    """Where the work went. `kind`: "pushed" (to the PR's branch), "branch" (kept aside), "pull_request" (its
    own), "held" (not committed: a human has to look), "refused" (GitHub did not take it),
    "dropped" (of a planning run, which is to change nothing), "patch" (`patch` on `sha`, on no branch),
    "tree" (a workflow step's: in its job's working tree); `note` says why, `lacks` what the patch leaves
    out. `held`: path ("" for all of it) and reason of what a person had to look at; `needs`: the role that
    may let it through, "" for nobody."""

    kind: str
    ref: str
    sha: str
    url: str
    note: str = ""
    patch: str = ""
    lacks: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    needs: str = ""

    @staticmethod
    def of_json(raw: dict[str, Any]) -> Published:
        """From what `dataclasses.asdict` made of it and JSON brought back."""
        lists = {"lacks": tuple(raw["lacks"]), "held": tuple((path, why) for path, why in raw["held"])}
        return Published(**raw | lists)


@dataclass(frozen=True, slots=True)
class Resumed:
    """Who asked for this further attempt, and what reading the conversation anew costs: so many tokens."""

    by: str
    tokens: int
    cost: Usd


@dataclass(frozen=True, slots=True)
class Report:
    """One run, whole. `outcome`: queued | open | running | done | halted | failed | lost | refused."""

    run: str
    outcome: str
    reason: Reason | None
    message: str
    model: str
    engine: str
    ceilings: Ceilings
    spent: Spent
    cost_by: CostBy
    estimated: Usd
    price_book: str
    notice: str = ""  # what its person is told of their month
    merged: MergedPull | None = None  # that it belongs to, in the report of the last run that does
    clamps: tuple[str, ...] = ()
    sources: dict[str, str] | None = None
    task_class: str = "default"
    actor: str = ""
    attempt: int = 1
    turns: tuple[Turn, ...] = ()
    summary: str = ""
    check: Check | None = None
    published: Published | None = None
    isolation: str = ""
    workflow_url: str = ""
    page: str = ""  # where the service's dashboard shows it, where there is one
    needed: Usd | None = None  # what the request that was refused at a halt would have had to be held for
    needed_tokens: int | None = None
    resumed: Resumed | None = None  # of a further attempt
    settled: str = ""  # accepted | discarded: what a person did with its partial work
    settled_by: str = ""
    resumable: bool = False  # a further attempt has something to go on from (L4)
    pieces: tuple[Piece, ...] = ()  # of a planning run (class split)
    sizes: tuple[Size, ...] = ()  # what a piece of each class usually costs
    position: int = 0  # in line, from 1; 0: it is in none
    waits_for: str = ""  # a sentence of ours
    own: Usd | None = None  # what an engine that is a program of others says that this attempt has cost
