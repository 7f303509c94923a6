"""What happened, what it cost and what can be done next, a line each: for comments, checks, terminals."""

from __future__ import annotations

from collections.abc import Callable

from bot.core.ceilings import Reason, span
from bot.core.commands import CLASS_OF
from bot.core.money import ZERO, Usd
from bot.core.outcomes import Check, Report, Spent
from bot.core.untrusted import plain

VERBS = {name: verb for verb, name in CLASS_OF.items()}
LIVE = ("open", "running")
Row = tuple[str, str, str, int, str]


def outcome(report: Report, shown: Callable[[str], str] = plain) -> str:
    """`Done: tests pass`, `Halted at step 42: $10.00 cost ceiling reached`, `Lost: …`; no cost yet.

    `shown` makes the run's message fit for where it goes.
    """
    said = shown(report.message)
    match report.outcome:
        case "done":
            return f"Done: {_done(report)}"
        case "halted":
            return (
                f"Halted{said.removeprefix('halted')}" if said.startswith("halted") else _with("Halted", said)
            )
        case "failed":
            return _with("Failed", said)
        case "lost":
            return _with("Lost", said.removeprefix("was lost: "))
        case "refused":
            return _with("Refused", said)
        case "open":
            return "Waiting for its workflow to start"
        case _:
            return f"Running: step {report.spent.steps} of {report.ceilings.steps}"


def _with(word: str, said: str) -> str:
    return f"{word}: {said}" if said else word


def _done(report: Report) -> str:
    kind = report.published.kind if report.published else ""
    if kind == "held":
        return "its changes wait for a human"
    if report.check is not None:
        return f"tests {verdict(report.check)}"
    if kind == "pull_request":
        return "a pull request is open, no tests were run"
    if kind:
        return "the changes are committed, no tests were run"
    return "nothing was changed"


def verdict(check: Check) -> str:
    """`pass`, `still fail`, or `could not be run`: what a shell says of a command that is not there."""
    if check.exit_code in (126, 127):
        return "could not be run"
    return "still fail" if check.exit_code else "pass"


def spent(report: Report) -> str:
    """`$0.42 of $5.00 · 9 steps · 2m 10s`, with what is only estimated said beside it (M2)."""
    used = report.spent
    about = f" ({report.estimated} of it estimated)" if report.estimated else ""
    told = [f"{used.usd} of {report.ceilings.usd}{about}"]
    if report.outcome not in LIVE:
        told += [count(used.steps, "step"), span(used.seconds)]
    return " · ".join(told)


def count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def rows(report: Report) -> tuple[Row, ...]:
    """Each ceiling: its option's name, used, most, per cent used (rounded down), source."""
    most, used, sources = report.ceilings, report.spent, report.sources or {}
    found = [
        _ceiling("cost", str(used.usd), str(most.usd), used.usd.nanos, most.usd.nanos, sources.get("usd")),
        _whole("tokens", used.tokens, most.tokens, sources.get("tokens")),
        _whole("steps", used.steps, most.steps, sources.get("steps")),
        _ceiling(
            "wall",
            span(used.seconds),
            span(most.seconds),
            used.seconds,
            most.seconds,
            sources.get("seconds"),
        ),
    ]
    if most.cached_tokens is not None:
        found.append(_whole("cached", used.cache_read, most.cached_tokens, "policy"))
    return tuple(found)


def _ceiling(name: str, used: str, most: str, part: int, full: int, source: str | None) -> Row:
    return name, used, most, part * 100 // full if full > 0 else 100, source or ""


def _whole(name: str, used: int, most: int, source: str | None) -> Row:
    return _ceiling(name, f"{used:,}", f"{most:,}", used, most, source)


def counters(report: Report) -> tuple[tuple[str, str, str], ...]:
    """Each counter: its name, its tokens, its dollars; server tools have no tokens of their own."""
    used, by = report.spent, report.cost_by
    return (
        ("input", f"{used.input:,}", str(by.input)),
        ("cache write", _writes(used), str(by.cache_write)),
        ("cache read", f"{used.cache_read:,}", str(by.cache_read)),
        ("output", f"{used.output:,}", str(by.output)),
        ("server tools", "", str(by.server_tools)),
    )


def _writes(used: Spent) -> str:
    both = f"{used.cache_write_5m + used.cache_write_1h:,}"
    if not used.cache_write_1h:
        return both
    return f"{both} ({used.cache_write_5m:,} for 5 min, {used.cache_write_1h:,} for 1 h)"


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


def unsent(report: Report) -> str:
    """Why a run halts with something left: the next request's worst case would not have fitted (G3)."""
    used, most = report.spent, report.ceilings
    if report.outcome != "halted":
        return ""
    if report.reason is Reason.COST and report.needed is not None:
        left, needed = money(max(ZERO, most.usd - used.usd)), money(report.needed)
    elif report.reason is Reason.TOKENS and report.needed_tokens is not None:
        left = f"{max(0, most.tokens - used.tokens):,} tokens"
        needed = f"{report.needed_tokens:,} tokens"
    else:
        return ""
    return (
        f"{left} was left; the next request could have used {needed} had the prompt cache missed, "
        "so it was not sent."
    )


def next_step(report: Report) -> str:
    """What the developer can do now, in Markdown; "" where nothing is left to do."""
    again = f"`{command(report)} …`"
    match report.outcome:
        case "halted":
            return _after_halt(report, again)
        case "failed":
            return f"{again} starts it again; the reason above is what to look at first."
        case "lost":
            return f"What it cost until then is counted. {again} starts it again."
        case "done" if report.check is not None and report.check.exit_code:
            return (
                "The tests do not pass yet: the end of their output is below. Say what is missing with "
                f"{again}, or go on by hand."
            )
        case "done" if report.published is None:
            return f"If you had expected a change, say with {again} what is to be different."
        case _:
            return ""


def _after_halt(report: Report, again: str) -> str:
    option, called = raised(report)
    if option:
        return (
            f"`{command(report, option)} …` starts it again with twice the {called} ceiling, as far as your "
            "role allows it; a smaller task needs less."
        )
    match report.reason:
        case Reason.STUCK:
            return (
                f"It went round in circles. {again}, with a word on what it missed, starts it again. If it "
                "was on its way, `stuck` in the policy says when that counts."
            )
        case Reason.CACHED_TOKENS:
            return (
                "Its context was read too often: split the task, or have the policy raise `cached_tokens`. "
                f"{again} starts it again."
            )
        case Reason.UPSTREAM_LIMIT:
            return (
                "Not a ceiling of this run: the API key behind the service has reached its own limit. "
                f"Whoever runs the service can raise it; then {again} starts it again."
            )
        case Reason.BOUND_EXCEEDED:
            return (
                "Not your doing: one answer cost more than the most it was thought to cost, so the run was "
                f"stopped at once. Whoever runs the service sees it in its metrics. {again} starts it again."
            )
        case _:
            return f"{again} starts it again."
