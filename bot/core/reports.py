"""Everything people read about a run, as whole text; the values it is made from."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import ZERO, Usd


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


@dataclass(frozen=True, slots=True)
class Published:
    """Where the work went. `kind`: "pushed" (to the PR's branch), "branch" (kept aside), "pull_request"."""

    kind: str
    ref: str
    sha: str
    url: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One run, whole. `outcome`: running | done | halted | failed | lost | refused."""

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


def terminal_start(report: Report) -> str:
    ceilings = report.ceilings
    return (
        f"Run {report.run}: at most {ceilings.usd}, {ceilings.tokens:,} tokens, {ceilings.steps} steps, "
        f"{ceilings.seconds}s"
    )


def terminal(report: Report) -> str:
    return (
        f"{report.outcome}: {report.message or report.summary} · {report.spent.usd} of {report.ceilings.usd}"
    )


def to_json(report: Report) -> dict[str, object]:
    ceilings, spent, by = report.ceilings, report.spent, report.cost_by
    return {
        "run": report.run,
        "outcome": report.outcome,
        "reason": report.reason,
        "message": report.message,
        "model": report.model,
        "engine": report.engine,
        "ceilings": {
            "usd": ceilings.usd.exact,
            "tokens": ceilings.tokens,
            "steps": ceilings.steps,
            "seconds": ceilings.seconds,
        },
        "spent": {
            "usd": spent.usd.exact,
            "tokens": spent.tokens,
            "steps": spent.steps,
            "tool_calls": spent.tool_calls,
            "seconds": spent.seconds,
            "input": spent.input,
            "cache_write_5m": spent.cache_write_5m,
            "cache_write_1h": spent.cache_write_1h,
            "cache_read": spent.cache_read,
            "output": spent.output,
        },
        "cost_by": {
            "input": by.input.exact,
            "cache_write": by.cache_write.exact,
            "cache_read": by.cache_read.exact,
            "output": by.output.exact,
            "server_tools": by.server_tools.exact,
        },
        "estimated_usd": report.estimated.exact,
        "price_book": report.price_book,
        "clamps": list(report.clamps),
    }
