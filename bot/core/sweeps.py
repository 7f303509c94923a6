"""A sweep as people see it: one comment over all of its items, live while it lasts and final after (R23)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core import caps, limits
from bot.core.caps import Standing
from bot.core.ceilings import Ceilings, Reason
from bot.core.headlines import count
from bot.core.money import Usd, total
from bot.core.offers import BROKEN_OFF, money
from bot.core.replies import NOTHING
from bot.core.untrusted import cell, code, line

BAR = 20
MOST = 60_000  # characters of the comment; GitHub takes 65,536 and refuses more
WIDTHS = (100, 50, 20)  # of a title: the first with which the comment is no longer
MOST_CLAMPS = 20
CEILINGS = {
    Reason.COST: "cost",
    Reason.TOKENS: "tokens",
    Reason.STEPS: "steps",
    Reason.WALL_CLOCK: "wall",
}  # that an option raises


@dataclass(frozen=True, slots=True)
class Entry:
    """One item: its run as it stands. `pull` and `url`: its pull request, or where its report is."""

    number: int
    title: str
    state: str
    reason: Reason | None
    message: str
    usd: Usd
    estimated: Usd
    begun: bool  # its workflow was sent off
    pull: int | None = None
    url: str = ""
    published: str = ""  # reports.Published's kind
    settled: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether the sweep has still to go on with it."""
        return self.pull is None and not self.settled and self.state in (*BROKEN_OFF, "refused")

    @property
    def word(self) -> str:
        """How it stands, in the words of the table."""
        if self.pull is not None:
            return "done"
        if self.settled == "discarded":
            return "discarded"
        match self.state:
            case "queued":
                return "waiting"
            case "open" | "running":
                return "running"
            case "done" if self.published:
                return "waits for a person"
            case "done":
                return "nothing to change"
            case "refused":
                return "not begun"
            case "halted" if not self.begun:
                return "not begun"
            case "halted" if self.reason is not None and self.reason is not Reason.STOPPED:
                return f"halted: {self.reason.replace('_', ' ')}"
            case "halted":
                return "stopped"
            case other:
                return other


@dataclass(frozen=True, slots=True)
class Told:
    """A sweep, whole. `each`: the ceilings of every item; `month`: how its budget line stands."""

    sweep: str
    attempt: int
    actor: str
    line: str
    parallel: int
    total: Usd
    each: Ceilings
    entries: tuple[Entry, ...]
    live: bool
    stopped_by: str = ""
    month: Standing | None = None
    clamps: tuple[str, ...] = ()
    resumed_by: str = ""

    @property
    def done(self) -> int:
        """Items whose pull request is open: that is what a ticked box means."""
        return sum(entry.pull is not None for entry in self.entries)

    @property
    def spent(self) -> Usd:
        return total(entry.usd for entry in self.entries)

    @property
    def unfinished(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.unfinished)


def marker(sweep: str, attempt: int) -> str:
    """The first line of its comment."""
    return f"<!-- tollgate-sweep:{sweep}:{attempt} -->"


def comment(told: Told) -> str:
    """The whole comment, as it stands."""
    texts = (_comment(told, width) for width in WIDTHS)
    return next((text for text in texts if len(text) <= MOST), _comment(told, WIDTHS[-1]))


def _comment(told: Told, width: int) -> str:
    parts = (
        marker(told.sweep, told.attempt),
        f"**{headline(told)}** · {told.spent} of {told.total}",
        _asked(told),
        _progress(told),
        _table(told.entries, width),
        _money(told),
        _next(told),
        _clamps(told.clamps),
        f"<sub>sweep `{told.sweep}`{f', attempt {told.attempt}' if told.attempt > 1 else ''}</sub>",
    )
    return "\n\n".join(part for part in parts if part)


def headline(told: Told) -> str:
    """`Sweeping: 3 of 20 done`, `Halted: $20.00 total ceiling reached`; no cost yet."""
    done = f"{told.done} of {len(told.entries)} done"
    if told.live:
        halting = f", {halted(told)}" if halted(told) else ""
        return f"Sweeping: {done}{halting}"
    if why := halted(told):
        return f"Halted: {why}; {done}"
    return f"Swept: {done}"


def halted(told: Told) -> str:
    """Why no more of it begins; "" where nothing stands in the way."""
    if told.stopped_by:
        return f"stopped by {line(told.stopped_by, 60)}"
    barred = (entry for entry in told.entries if entry.word == "not begun")
    return next((line(_cause(entry.message)) for entry in barred), "")


def _cause(message: str) -> str:
    """Without the words for where a run was: it had not begun."""
    return message.partition(": ")[2] if message.startswith("halted at step") else message


def one_line(told: Told, url: str) -> str:
    """For `/agent status`, and for who starts something beside it."""
    return (
        f"Sweep [`{told.sweep}`]({url}), asked for by {line(told.actor, 60)}: {_counted(told.entries)}, "
        f"{told.spent} of {told.total} spent"
    )


def in_the_way(told: Told, url: str) -> str:
    """The answer to whoever starts something beside a live sweep."""
    return f"{one_line(told, url)}. Wait for its end, or halt all of it with `/agent stop`. {NOTHING}"


def stopping(told: Told, url: str) -> str:
    """The answer to `/agent stop`."""
    return (
        f"Stopping all of it. {one_line(told, url)}. No further request to the model is let through and "
        "nothing more begins; what is made so far is kept, and `/agent resume` goes on with it."
    )


def _asked(told: Told) -> str:
    cost, tokens, steps, wall = (limits.described(name, told.each) for name, _ in limits.KINDS)
    by = f"Resumed by {code(told.resumed_by)}. " if told.resumed_by else ""
    return (
        f"{by}A sweep over {count(len(told.entries), 'item')}, asked for by {code(told.actor)}, "
        f"{told.parallel} at a time, on the budget line {code(told.line)}. Each item is a run of its own of "
        f"at most {cost}, {tokens} tokens, {steps} steps and {wall}, with a pull request of its own; all of "
        f"them together spend at most {told.total}."
    )


def _progress(told: Told) -> str:
    filled = BAR * told.done // max(1, len(told.entries))
    return f"```text\n{'█' * filled}{'░' * (BAR - filled)}  {_counted(told.entries)}\n```"


def _counted(entries: Sequence[Entry]) -> str:
    """`3 of 20 done · 4 running · 13 waiting`"""
    words = Counter(entry.word.partition(":")[0] for entry in entries)
    done = words.pop("done", 0)
    rest = [f"{number} {word}" for word, number in words.items()]
    return " · ".join([f"{done} of {len(entries)} done", *rest])


def _table(entries: Sequence[Entry], width: int) -> str:
    rows = ["| | item | state | | cost |", "|--:|---|---|---|--:|"]
    for entry in entries:
        link = (
            f"[#{entry.pull}]({entry.url})" if entry.pull else f"[report]({entry.url})" if entry.url else ""
        )
        cost = str(entry.usd) if entry.begun or entry.usd else ""
        about = f" ({entry.estimated} estimated)" if entry.estimated else ""
        rows.append(
            f"| {entry.number} | {cell(entry.title, width)} | {entry.word} | {link} | {cost}{about} |"
        )
    return "\n".join(rows)


def _money(told: Told) -> str:
    month = told.month
    if month is None:
        return ""
    held = f", {month.held} held by live runs" if month.held else ""
    return (
        f"The line {code(told.line)} has spent {month.spent} of {month.most} for {month.month}{held}. "
        "No person's own cap is touched."
    )


def _next(told: Told) -> str:
    if told.live:
        return (
            "`/agent stop` here halts all of it; what is made so far is kept. A box above is ticked when the "
            "item's pull request is opened: whether that is merged is for people to say."
        )
    left = told.unfinished
    waits = any(entry.word == "waits for a person" for entry in told.entries)
    review = (
        ["Review and merge the pull requests: what each item has cost follows its own."] if told.done else []
    )
    if waits:
        review.append("What waits for a person is said in its report; `/agent accept` lets it through.")
    if not left:
        return " ".join(review)
    option = _option(told)
    again = f"`/agent resume{f' {option}' if option else ''}` goes on with what is not finished"
    more = f" ({count(len(left), 'item')}); options are new totals, and what was spent counts on."
    raised = {CEILINGS[entry.reason] for entry in left if entry.reason in CEILINGS and entry.begun}
    if raised:
        names = " ".join(f"`{name}=`" for _, name in limits.KINDS if name in raised)
        more += f" An item that was halted at a ceiling goes on only under a higher one ({names})."
    return " ".join([again + more, *review])


def _option(told: Told) -> str:
    """What has to be raised before anything goes on."""
    out = told.total - told.spent < caps.LEAST
    return f"total={money(told.total * 2)}" if out and not told.stopped_by else ""


def _clamps(clamps: Sequence[str]) -> str:
    if not clamps:
        return ""
    rows = [f"- {line(one)}" for one in clamps[:MOST_CLAMPS]]
    if more := len(clamps) - len(rows):
        rows.append(f"- and {more} more of this kind")
    return "Where this differs from what was asked for:\n\n" + "\n".join(rows)
