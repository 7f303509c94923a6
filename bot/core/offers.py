"""What a person can do with a run now: exactly the commands that apply.

The one table of it: by state, by reason and by what work there is.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.ceilings import Reason
from bot.core.commands import CLASS_OF
from bot.core.money import Usd
from bot.core.outcomes import Report

VERBS = {name: verb for verb, name in CLASS_OF.items()}
LIVE = ("queued", "open", "running")
BROKEN_OFF = ("halted", "failed", "lost", "refused")
UNDECIDED = ("branch", "refused", "held")  # the kinds of Published that wait for a person
# The commands that decide about it, by the names of the buttons that do the same.
DECISIONS = {"/agent accept": "accept", "/agent discard": "discard"}
TOO_BIG = (Reason.COST, Reason.TOKENS, Reason.STEPS, Reason.WALL_CLOCK, Reason.CACHED_TOKENS)


@dataclass(frozen=True, slots=True)
class Offer:
    """A command as it is typed (without further words), and what it does."""

    command: str
    does: str
    words: bool = False  # it is better with some words of one's own

    def __str__(self) -> str:
        return f"`{self.command}{' …' if self.words else ''}` {self.does}"


def offers(report: Report) -> tuple[Offer, ...]:
    """The commands that apply to it as it stands."""
    if report.outcome == "queued":
        return (Offer("/agent stop", "takes it out of the line"),)
    if report.outcome in LIVE:
        return (Offer("/agent stop", "ends it and keeps what it has made"),)
    if report.settled:
        return ()
    return (*_again(report), *_decisions(report), *_split(report))


def _again(report: Report) -> tuple[Offer, ...]:
    """How its work goes on: from where it stopped if that is kept, else from the start."""
    if report.outcome not in BROKEN_OFF:
        return ()
    option, called = raised(report)
    most = f" with twice the {called} ceiling, as far as your role allows it" if option else ""
    if not report.resumable:
        return (*_ack(report), Offer(command(report, option), f"starts it again{most}", words=True))
    if report.reason is Reason.CACHED_TOKENS:
        return ()  # no option raises that one
    resume = " ".join(filter(None, ("/agent resume", option)))
    stuck = report.reason is Reason.STUCK
    goes_on = f"goes on from where it stopped{most}; what it has spent counts on"
    return (*_ack(report), Offer(resume, goes_on, words=stuck))


def _ack(report: Report) -> tuple[Offer, ...]:
    if report.reason is not Reason.CAP_REACHED:
        return ()
    return (Offer("/agent ack", "opens the next quarter of the cap, by whoever may", words=True),)


def _decisions(report: Report) -> tuple[Offer, ...]:
    published = report.published
    if published is None or published.kind not in UNDECIDED:
        return ()
    does = "publishes what it has made, where a finished run's changes go"
    if published.kind == "held":
        does = (
            f"publishes it all the same, where a finished run's changes go; that takes the role "
            f"`{published.needs}` or a greater one"
        )
    accept = (Offer("/agent accept", does),) if published.kind != "held" or published.needs else ()
    return (*accept, Offer("/agent discard", "drops what it has made"))


def _split(report: Report) -> tuple[Offer, ...]:
    if report.outcome != "halted" or report.reason not in TOO_BIG or report.task_class == "split":
        return ()
    return (
        Offer("/agent split", "makes a check list of smaller pieces of the task, in a short planning run"),
    )


# -- a start that is like the last one --


def command(report: Report, option: str = "") -> str:
    """The comment that starts the same class of run again."""
    return " ".join(filter(None, ("/agent", VERBS.get(report.task_class, "run"), option)))


def raised(report: Report) -> tuple[str, str]:
    """The option that doubles the ceiling that halted it, and what that is called; else two blanks."""
    most = report.ceilings
    match report.reason:
        case Reason.COST:
            return f"cost={money(most.usd * 2)}", "cost"
        case Reason.TOKENS:
            return f"tokens={tokens(most.tokens * 2)}", "token"
        case Reason.STEPS:
            return f"steps={most.steps * 2}", "step"
        case Reason.WALL_CLOCK:
            return f"wall={wall(most.seconds * 2)}", "wall-clock"
        case _:
            return "", ""


def money(amount: Usd) -> str:
    """As an option takes it: no thousands' commas, no cents that are nothing."""
    return str(amount).replace(",", "").removesuffix(".00")


def tokens(number: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def wall(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
