"""What the bot answers to a comment, apart from a run's own report: whole texts, nothing left to guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core import limits
from bot.core.commands import HELP, Malformed
from bot.core.limits import Resolved
from bot.core.money import Usd, total

_BAR = "\\|"
NOTHING = "Nothing was started and nothing was spent."


@dataclass(frozen=True, slots=True)
class Line:
    """One run of a thread, for `/agent status` and `/agent cost`."""

    run: str
    actor: str
    task_class: str
    state: str
    reason: str | None
    usd: Usd
    ceiling: Usd
    steps: int
    most_steps: int
    url: str


def malformed(problem: Malformed) -> str:
    return f"I did not start: {problem.why}. The right form:\n\n```\n{problem.example}\n```\n\n{NOTHING}"


def refused(why: str) -> str:
    return f"I did not start: {why}. {NOTHING}"


def not_entitled(role: str) -> str:
    return (
        "I did not start: an agent run needs write permission to this repository, and yours is "
        f"`{role}`. Somebody who has it may ask in your place. {NOTHING}"
    )


def busy(line: Line) -> str:
    return (
        f"A run is live on this thread already: [`{line.run}`]({line.url}), asked for by {line.actor}, "
        f"{line.usd} of {line.ceiling} so far. Wait for its report, or end it with `/agent stop`. {NOTHING}"
    )


def not_yet(verb: str) -> str:
    return f"`/agent {verb}` is a command of Tollgate that this version does not do yet. {NOTHING}"


def stopping(line: Line) -> str:
    return (
        f"Stopping run [`{line.run}`]({line.url}): no further request to the model is let through. "
        "What it has made so far is kept, and its report says where."
    )


def nothing_to_stop() -> str:
    return "There is no live run on this thread to stop."


def status(live: Line | None) -> str:
    if live is None:
        return "No run is live on this thread. `/agent cost` shows what it has cost so far."
    return (
        f"Run [`{live.run}`]({live.url}) ({live.task_class}, asked for by {live.actor}) is {live.state}: "
        f"step {live.steps} of {live.most_steps}, {live.usd} of {live.ceiling}."
    )


def cost(lines: Sequence[Line]) -> str:
    if not lines:
        return "No run has been started on this thread: it has cost nothing."
    runs = f"{len(lines)} run{'s' if len(lines) != 1 else ''}"
    rows = [
        f"| [`{line.run}`]({line.url}) | {line.actor} | {line.task_class} | "
        f"{line.state}{f' ({line.reason})' if line.reason else ''} | {line.steps} | {line.usd} |"
        for line in lines
    ]
    table = ["| run | asked for by | class | state | steps | cost |", "|---|---|---|---|--:|--:|", *rows]
    return f"This thread has cost **{total(line.usd for line in lines)}** in {runs}.\n\n" + "\n".join(table)


def holding(rows: Sequence[tuple[str, Resolved]]) -> str:
    """The ceilings that would hold here now for whoever asked, by class."""
    lines = [
        f"| {name} | " + " | ".join(limits.described(kind, found.ceilings) for kind, _ in limits.KINDS) + " |"
        for name, found in rows
    ]
    sources = sorted(
        {
            f"{kind}: {found.sources[name]}"
            for _, found in rows
            for name, kind in limits.KINDS
            if not found.sources[name].startswith("class ")
        }
    )
    clamps = sorted({clamp for _, found in rows for clamp in found.clamps})
    table = "| class | cost | tokens | steps | wall |\n|---|--:|--:|--:|--:|\n" + "\n".join(lines)
    notes = "\n".join(f"- {note}" for note in (*sources, *clamps))
    return f"What would hold here now, for you:\n\n{table}" + (f"\n\n{notes}" if notes else "")


def help_text(ceilings: str) -> str:
    """`ceilings`: what would hold here now, and why."""
    # A bar ends a table's cell even inside code.
    rows = "\n".join(f"| `{form.replace('|', _BAR)}` | {does} |" for form, does in HELP)
    return (
        f"| command | does |\n|---|---|\n{rows}\n\n"
        "Options: `cost=$10` `tokens=800k` `steps=50` `wall=20m`. The first line of a comment that starts "
        f"with `/agent` counts, outside code and quotes.\n\n{ceilings}"
    )
