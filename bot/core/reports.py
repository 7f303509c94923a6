"""Everything people and programs read about a run, as whole text; the values it is made from.

The comment on GitHub is written in bot/core/comments.py, what a terminal and a program read is here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from bot.core import headlines
from bot.core.ceilings import Reason
from bot.core.comments import accepted, final, progress
from bot.core.offers import raised
from bot.core.outcomes import Check, CostBy, Published, Report, Resumed, Spent, Turn
from bot.core.untrusted import cut, fenced, folded, neutral, printable

__all__ = [
    "Check", "CostBy", "Published", "Report", "Resumed", "Spent", "Turn",
    "accepted", "comment", "fenced", "final", "job_summary", "markdown", "marker",
    "neutral", "progress", "terminal", "terminal_start", "to_json",
]  # fmt: skip

MAX_CLAMPS = 100_000  # characters of notes in the JSON of a job's summary


# -- GitHub --


def marker(run: str, attempt: int) -> str:
    """The first line of a run's comment: by it the comment is found again."""
    return f"<!-- tollgate-run:{run}:{attempt} -->"


def markdown(report: Report, last_lines: Sequence[str] = ()) -> str:
    """The comment as it is due now, without its marker: accepted, progress or final."""
    match report.outcome:
        case "queued" | "open":
            return accepted(report)
        case "running":
            return progress(report, last_lines)
        case _:
            return final(report)


def comment(report: Report, last_lines: Sequence[str] = ()) -> str:
    """The same with its marker: the whole comment."""
    return f"{marker(report.run, report.attempt)}\n{markdown(report, last_lines)}"


# What would end the code block, or mean something outside of it; in JSON it stands in strings only.
_AS_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "`<>&@#"}


def job_summary(report: Report, here: str = "") -> str:
    """The summary of a job: the report of a run that has ended, and the same as JSON, folded.

    At most 1 MiB, as GitHub takes it. `here`: of a run that belongs to no thread, where its work is and what
    can be done next (text of ours), in the place of the commands.
    """
    shown = to_json(report)
    if sum(map(len, report.clamps)) > MAX_CLAMPS:
        shown["clamps"] = [f"{len(report.clamps):,} notes, too many for a job's summary"]
    text = json.dumps(shown, indent=2).translate(_AS_ESCAPES)
    return f"{final(report, here)}\n\n" + folded("The same as JSON", f"```json\n{text}\n```") + "\n"


# -- a terminal --


def _words(text: str) -> str:
    return cut(" ".join(printable(text).split()), 300)


def terminal_start(report: Report) -> str:
    """What holds, before anything is spent."""
    rows = [
        (name, most, f"from {source}" if source else "")
        for name, _, most, _, source in headlines.rows(report)
    ]
    so_far = [f"  so far: {headlines.spent(report)}"] if report.spent.steps else []
    first = f"Run {report.run} never spends past one of these:"
    return "\n".join([first, *_columns(rows), *so_far, *_notes(report)])


def terminal(report: Report) -> str:
    """The report at the end, with what can be done next."""
    ceilings = [
        (name, f"{used} of {most}", f"{part} %") for name, used, most, part, _ in headlines.rows(report)
    ]
    costs = [(name, tokens, dollars) for name, tokens, dollars in headlines.counters(report)]
    if report.estimated:
        costs.append(("estimated", "", str(report.estimated)))
    costs.append(("all", f"{report.spent.tokens:,} count", str(report.spent.usd)))
    summary = printable(report.summary).strip()
    return "\n".join(
        [
            f"{_ending(report)} · {headlines.spent(report)}",
            *([*(f"  {row}".rstrip() for row in summary.split("\n")), ""] if summary else []),
            *_columns(ceilings),
            "cost by counter, in tokens and dollars:",
            *_columns(costs),
            *_notes(report),
            *_check(report),
            *([headlines.own(report)] if headlines.own(report) else []),
            *([headlines.unsent(report)] if headlines.unsent(report) else []),
            *([_words(report.notice)] if report.notice else []),
            *next_here(report),
        ]
    )


def _ending(report: Report) -> str:
    if report.outcome == "done" and report.check is None and report.published is None:
        return "Done"  # on this machine the changes are in the working tree, not published
    return headlines.outcome(report, _words)


def _columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    return [f"  {a:<{first}}  {b:>{second}}  {c}".rstrip() for a, b, c in rows]


def _notes(report: Report) -> list[str]:
    return [f"  note: {_words(clamp)}" for clamp in report.clamps]


def _check(report: Report) -> list[str]:
    if report.check is None:
        return []
    return [f"tests {headlines.verdict(report.check)}: {_words(report.check.command)}"]


def next_here(report: Report) -> list[str]:
    """How one goes on with a run that was halted on this machine."""
    if report.outcome != "halted":
        return []
    option, called = raised(report)
    if report.reason is Reason.STUCK:
        return ["To go on: start it again, with a word on what it missed."]
    if not option:
        return []
    name, _, value = option.partition("=")
    return [
        f"To go on: --{name} {value.removeprefix('$')} raises the {called} ceiling; "
        "with the same --state the counters go on."
    ]


# -- a program --


def to_json(report: Report) -> dict[str, object]:
    """What `--report` writes: docs/reports.md, "For programs". Money is a decimal string with every digit."""
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
        "own_usd": report.own.exact if report.own is not None else None,
        "price_book": report.price_book,
        "clamps": list(report.clamps),
    }
