"""What the bot answers to a comment, apart from a run's own report: whole texts, nothing left to guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core import caps, limits
from bot.core.caps import Spender, Standing
from bot.core.ceilings import Ceilings, span
from bot.core.commands import HELP, Malformed
from bot.core.limits import Resolved
from bot.core.money import ZERO, Usd, total
from bot.core.onboarding import WORKFLOW
from bot.core.outcomes import Spent
from bot.core.signals import MergedPull
from bot.core.untrusted import code
from bot.core.untrusted import line as on_one_line
from bot.core.waiting import Full

_BAR = "\\|"
NOTHING = "Nothing was started and nothing was spent."
MOST_ROWS = 100  # of a table of runs: GitHub takes 65,536 characters


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
    estimated: Usd = ZERO  # of `usd`

    @property
    def cost(self) -> str:
        return f"{self.usd} ({self.estimated} of it estimated)" if self.estimated else str(self.usd)


def malformed(problem: Malformed) -> str:
    return (
        f"I did not start: {problem.why}. The right form:\n\n```\n{problem.example}\n```\n\n"
        f"{NOTHING} `/agent help` lists the commands."
    )


def refused(why: str) -> str:
    """`why` may quote others."""
    return f"I did not start: {on_one_line(why, 1_000)}. {NOTHING}"


def policy_page(page: str) -> str:
    """Put after the refusal: the check run that marks the line."""
    return f" [The line is marked]({page})."


def no_workflow(branch: str, proposal: str) -> str:
    """The phrase for a repository that cannot run anything yet; `proposal`: its onboarding pull request."""
    todo = f"merge {proposal}, which adds it" if proposal else "add it, as docs/deploy.md of Tollgate says"
    return f"`{branch}` has no `{WORKFLOW}` yet, in which runs take place: {todo}, then write this again"


def late(hours: int) -> str:
    after = f"{hours} hours after it was written" if hours > 1 else "well after it was written"
    return (
        f"I did not do this: it reached me {after}, for GitHub or this service was away, and it may not be "
        f"what you want any more. {NOTHING} Write it again if you still want it."
    )


def not_entitled(role: str) -> str:
    return (
        "I did not start: an agent run needs write permission to this repository, and yours is "
        f"`{role}`. Somebody who has it may ask in your place. {NOTHING}"
    )


def nothing_left(spent: Spent, short: Mapping[str, str], clamps: Sequence[str]) -> str:
    """Why a run cannot go on under ceilings that leave too little, and the totals that would suffice."""
    enough = " ".join(f"{option}={total}" for option, total in short.items())
    used = f"{spent.usd}, {spent.tokens:,} tokens, {spent.steps} steps and {span(spent.seconds)}"
    bounds = f" ({'; '.join(clamps)})" if clamps else ""
    return (
        f"it has used {used} already, and the ceilings leave too little for its next request{bounds}. "
        f"`/agent resume {enough}` would suffice for that; more lets it get somewhere"
    )


def reached(standing: Standing) -> str:
    """Which cap is reached, on one line."""
    if standing.cap.scope is caps.Scope.SWEEP:
        return f"{standing.most} total ceiling reached"
    held = f", {standing.held} held by live runs" if standing.held else ""
    return f"{caps.whose(standing)} is reached: {caps.spent_of(standing)}{held}"


def cap_reached(standing: Standing, spenders: Sequence[Spender], opens: Sequence[str]) -> str:
    """Why nothing was started, what the month's money went on, and who may open the next slice."""
    rows = "\n".join(
        f"| `{one.run}` | {code(one.repository)}{f' #{one.thread}' if one.thread else ''} | "
        f"{one.task_class} | {one.usd} |"
        for one in spenders
    )
    table = (
        f"\n\nMost of it went on:\n\n| run | where | class | cost |\n|---|---|---|--:|\n{rows}"
        if rows
        else ""
    )
    return f"I did not start: {reached(standing)}. {NOTHING}{table}\n\n{what_then(standing, opens)}"


def what_then(standing: Standing, opens: Sequence[str]) -> str:
    """Who may open more of a reached cap, and what else does."""
    more = caps.slice_of(standing.cap.usd)
    if opens:
        who = " or ".join(code(name) for name in opens)
        then = f"`/agent ack` with a reason, by {who}, opens {more} more; the next month opens the cap anew."
    else:
        then = "The service's policy names nobody who may open more (`approvers`); the next month does."
    if standing.held:
        then += " Live runs give back what they do not spend."
    return then


def full(why: Full) -> str:
    return f"I did not start: {why}. {NOTHING} Say it again when one of them has ended."


def acknowledged(opened: Sequence[Standing], reason: str) -> str:
    """What was opened, and for whom."""
    rows = "\n".join(
        f"- {caps.whose(one)}: {caps.slice_of(one.cap.usd)} more, now {one.most}, of which {one.left} is free"
        for one in opened
    )
    why = f"The reason is kept with it: {on_one_line(reason, 200)}. " if reason.strip() else ""
    still = any(one.reached for one in opened)  # a cap that was lowered may be reached by more than a slice
    more = " a cap is still reached, so acknowledge once more, then" if still else ""
    return f"Acknowledged and recorded:\n\n{rows}\n\n{why}Nothing was started;{more} ask for the run again."


def nothing_reached(standings: Sequence[Standing]) -> str:
    return f"There is nothing to acknowledge, no cap is reached:\n\n{month(standings)}"


def may_not_open(barred: Sequence[tuple[Standing, Sequence[str]]]) -> str:
    """Caps are reached that the commenter may not open, each with those who may."""
    nobody = "nobody: the service's policy names no `approvers`"
    return "\n\n".join(
        f"{reached(one)}. It is opened by {' or '.join(code(name) for name in who) or nobody}."
        for one, who in barred
    )


def no_caps() -> str:
    return "There is nothing to acknowledge: no monthly cap holds for you here."


def month(standings: Sequence[Standing]) -> str:
    """How the month stands, a line a cap."""
    return "\n".join(
        f"- {caps.whose(one)}: {caps.spent_of(one)} ({one.percent} %)"
        + (f", {one.held} held by live runs" if one.held else "")
        for one in standings
    )


def busy(line: Line) -> str:
    if line.state == "queued":
        return (
            f"A run waits in line on this thread already: [`{line.run}`]({line.url}), asked for by "
            f"{line.actor}. `/agent stop` takes it out of the line. {NOTHING}"
        )
    return (
        f"A run is live on this thread already: [`{line.run}`]({line.url}), asked for by {line.actor}, "
        f"{line.cost} of {line.ceiling} so far. Wait for its report, or end it with `/agent stop`. {NOTHING}"
    )


def started(line: Line) -> str:
    """Said in the thread of a review comment, where a run's report is not."""
    if line.state == "queued":
        return f"Run [`{line.run}`]({line.url}) waits in line: that comment tells its place, and how it ends."
    return (
        f"Started run [`{line.run}`]({line.url}), at most {line.ceiling} and {line.most_steps} steps: "
        "that comment becomes its report."
    )


def approved(sha: str, url: str, author: str, fork: bool) -> str:
    """What an approval covers, in full."""
    where = (
        "What a run makes of it is shown as a patch in its report: no commit of this pull request becomes a "
        "branch here, where other workflows would run it with the repository's secrets"
        if fork
        else "What a run makes of it is committed as on any other pull request"
    )
    return (
        f"Approved: [`{sha}`]({url}), and nothing else that {code(author)} pushes here. A run that somebody "
        "with write permission starts may execute this commit's code in this repository's agent workflow, "
        f"which holds no secret and no right to push unless you gave it one. {where}. {NOTHING} "
        "`/agent fix` and its siblings start a run now."
    )


def not_approved(why: str) -> str:
    """`why` may quote others."""
    return f"Nothing was approved: {on_one_line(why, 1_000)}. {NOTHING}"


def stopping(line: Line) -> str:
    return (
        f"Stopping run [`{line.run}`]({line.url}): no further request to the model is let through. "
        "What it has made so far is kept, and its report says where."
    )


def taken_out(line: Line) -> str:
    return f"Took run [`{line.run}`]({line.url}) out of the line before it began. Its report says the rest."


def nothing_to_stop() -> str:
    return "There is no live run on this thread to stop."


def status(live: Line | None, place: str = "") -> str:
    """`place`: of a run in line, which it is and what it waits for."""
    if live is None:
        return "No run is live on this thread. `/agent cost` shows what it has cost so far."
    if place:
        return (
            f"Run [`{live.run}`]({live.url}) ({live.task_class}, asked for by {live.actor}) is {place} "
            "It costs nothing until it starts; `/agent stop` takes it out of the line."
        )
    return (
        f"Run [`{live.run}`]({live.url}) ({live.task_class}, asked for by {live.actor}) is {live.state}: "
        f"step {live.steps} of {live.most_steps}, {live.cost} of {live.ceiling}."
    )


def _linked(line: Line) -> str:
    """A run on a laptop has no page."""
    return f"[`{line.run}`]({line.url})" if line.url else f"`{line.run}`, on a laptop"


def cost(
    lines: Sequence[Line],
    standings: Sequence[Standing] = (),
    counts: Mapping[str, str] | None = None,
    merged: MergedPull | None = None,
) -> str:
    """What all runs of a thread have cost, each of the latest ones, and how the month stands.

    `counts`: by run, the merged pull request that its cost counts for, or why it counts for this one.
    `merged`: this thread, if it is one that runs count for; `lines` then are those too that were elsewhere.
    """
    stand = f"\n\nThis month:\n\n{month(standings)}" if standings else ""
    if not lines:
        return f"No run has been started on this thread: it has cost nothing.{stand}"
    counts = counts or {}
    estimated = total(line.estimated for line in lines)
    about = f", {estimated} of it estimated" if estimated else ""
    rows = [
        f"| {_linked(line)} | {line.actor} | {line.task_class} | "
        f"{line.state}{f' ({line.reason})' if line.reason else ''} | {line.steps} | {line.cost} | "
        f"{counts.get(line.run, 'not merged')} |"
        for line in lines[-MOST_ROWS:]
    ]
    head = "| run | asked for by | class | state | steps | cost | counts |\n|---|---|---|---|--:|--:|---|"
    left_out = len(lines) - len(rows)
    rest = f"\n\n{left_out:,} earlier runs are in the sum and not in the table." if left_out else ""
    if merged is not None:
        said = (
            f"This pull request is merged{' and was reverted since' if merged.reverted else ''}. It has cost "
            f"**{merged.usd}** in {_runs(merged.runs)}{about}: those on it, on the issues that it closes and "
            "on attempts before it."
        )
    else:
        cost = total(line.usd for line in lines)
        said = f"This thread has cost **{cost}** in {_runs(len(lines))}{about}."
    return "\n".join([f"{said}\n", head, *rows]) + rest + stand


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"


def holding(rows: Sequence[tuple[str, Resolved]], role: str, most: Ceilings) -> str:
    """The ceilings that would hold here now for whoever asked, by class; why; and the most they may set."""
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
    chosen = [f"a `{name}` run is a `{found.task_class}` run, by label" for name, found in rows
              if found.task_class != name]  # fmt: skip
    clamps = sorted({clamp for _, found in rows for clamp in found.clamps})
    table = "| class | cost | tokens | steps | wall |\n|---|--:|--:|--:|--:|\n" + "\n".join(lines)
    notes = "\n".join(f"- {note}" for note in (*chosen, *sources, *clamps))
    cost, tokens, steps, wall = (limits.described(kind, most) for kind, _ in limits.KINDS)
    return (
        f"What would hold here now, for you:\n\n{table}"
        + (f"\n\n{notes}" if notes else "")
        + f"\n\nWith your role (`{role}`) you may set at most {cost}, {tokens} tokens, {steps} steps and "
        f"{wall}; a label by somebody with a greater role may set more."
    )


def help_text(ceilings: str) -> str:
    """`ceilings`: what would hold here now, and why."""
    # A bar ends a table's cell even inside code.
    rows = "\n".join(f"| `{form.replace('|', _BAR)}` | {does} |" for form, does in HELP)
    return (
        f"| command | does |\n|---|---|\n{rows}\n\n"
        "Options: `cost=$10` `tokens=800k` `steps=50` `wall=20m` `line=NAME`. The first line of a comment "
        f"that starts with `/agent` counts, outside code and quotes.\n\n{ceilings}"
    )
