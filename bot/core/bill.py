"""What a run has cost, as its report shows it: by counter, as a chart, turn by turn."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core import headlines
from bot.core.headlines import count
from bot.core.money import Usd, total
from bot.core.outcomes import Report, Turn
from bot.core.untrusted import cell, code, folded


def costs(report: Report) -> str:
    table = ["| counter | tokens | cost |", "|---|--:|--:|"]
    table += [f"| {name} | {tokens} | {dollars} |" for name, tokens, dollars in headlines.counters(report)]
    if report.estimated:
        table.append(f"| estimated: answers that never said what they used | | {report.estimated} |")
    table.append(f"| **all** | **{report.spent.tokens:,}** count | **{report.spent.usd}** |")
    return "\n".join(table) + f"\n\n{words(report)}"


def words(report: Report) -> str:
    """What there is to know of these figures."""
    counted = "Input, cache writes and output count towards the token ceiling; cache reads only cost."
    tools = f" {count(report.spent.tool_calls, 'tool call')}." if report.spent.tool_calls else ""
    return f"{counted} Amounts are rounded up.{tools}{_dearest(report)}{_context(report)}"


def _dearest(report: Report) -> str:
    if len(report.turns) < 2:
        return ""
    turn = max(report.turns, key=lambda turn: turn.usd)
    return f" The dearest turn was step {turn.step}: {turn.usd}."


def _context(report: Report) -> str:
    """What it cost that every turn reads the whole conversation again (R10)."""
    if len(report.turns) < 2:
        return ""
    by = report.cost_by
    largest = max(turn.input + turn.cache_write + turn.cache_read for turn in report.turns)
    return (
        f" Context, that is all but the output, cost {by.input + by.cache_write + by.cache_read}; "
        f"at its largest it had {largest:,} tokens."
    )


def chart(turns: Sequence[Turn], points: int) -> str:
    """What had been spent after each turn, in at most so many points."""
    if len(turns) < 2 or points < 2:
        return ""
    marks = sorted({round(i * (len(turns) - 1) / (points - 1)) for i in range(points)})
    if len(turns) <= points:
        marks = list(range(len(turns)))
    sums = [total(turn.usd for turn in turns[: mark + 1]) for mark in marks]
    values = ", ".join(_number(amount) for amount in sums)
    return (
        "```mermaid\nxychart-beta\n"
        '    title "Spent after each turn"\n'
        f'    x-axis "turn" 1 --> {len(turns)}\n'
        f'    y-axis "US dollars" 0 --> {_number(max(*sums, Usd(100_000)))}\n'
        f"    line [{values}]\n```"
    )


def _number(amount: Usd) -> str:
    return str(amount).replace("$", "").replace(",", "")


def turns(report: Report, most: int) -> str:
    if not report.turns or not most:
        return ""
    rows = [
        "| step | input | cache write | cache read | output | cost | ended with |",
        "|--:|--:|--:|--:|--:|--:|---|",
    ]
    left_out = len(report.turns) - most
    if left_out > 0:
        rows.append(f"| … | | | | | | {count(left_out, 'earlier turn')} left out |")
    for turn in report.turns[-most:]:
        rows.append(
            f"| {turn.step or ''} | {turn.input:,} | {turn.cache_write:,} | {turn.cache_read:,} | "
            f"{turn.output:,} | {turn.usd} | {_ended(turn, report.model)} |"
        )
    return folded(count(len(report.turns), "turn"), "\n".join(rows))


def _ended(turn: Turn, asked: str) -> str:
    found = [cell(turn.stop_reason or "", 40)]
    if turn.estimated:
        found.append("estimated")
    if turn.clamped_max_tokens is not None:
        found.append(f"`max_tokens` lowered to {turn.clamped_max_tokens:,}")
    if turn.model and asked and not turn.model.startswith(asked):
        found.append(f"answered by {code(turn.model, 60)}")
    return ", ".join(part for part in found if part)
