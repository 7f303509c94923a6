"""What happened, what it cost and what can be done next, a line each: for comments, checks, terminals."""

from __future__ import annotations

from collections.abc import Callable

from bot.core.ceilings import Reason, span
from bot.core.money import ZERO
from bot.core.offers import DECISIONS, LIVE, command, money, offers
from bot.core.outcomes import Check, Report, Spent
from bot.core.untrusted import plain

Row = tuple[str, str, str, int, str]
# Why a program's own figure is another one: of most, and of those that count in a way of their own.
_READ = (
    "it adds up the answers that it has read to their end, by the prices that it came with. An answer that "
    "was cut off, one of an earlier attempt, an estimate and a price of your own are counted here alone"
)
_OWN = {
    "aider": "it takes the tokens that were written to and read from the cache for fresh input, at the full "
    "price, and adds their own price to that"
}


def outcome(report: Report, shown: Callable[[str], str] = plain) -> str:
    """`Done: tests pass`, `Halted at step 42: $10.00 cost ceiling reached`, `Lost: …`; no cost yet.

    `shown` makes the run's message fit for where it goes.
    """
    said = shown(report.message)
    settled = f"; {report.settled}" if report.settled else ""
    return _ended(report, said) + settled


def _ended(report: Report, said: str) -> str:
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
        case "queued":
            return f"Queued: {ordinal(report.position)} in line" if report.position else "Queued"
        case "open":
            return "Waiting for its workflow to start"
        case _:
            return f"Running: step {report.spent.steps} of {report.ceilings.steps}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`."""
    last = 0 if 10 < number % 100 < 20 else number % 10
    return f"{number:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def _with(word: str, said: str) -> str:
    return f"{word}: {said}" if said else word


def _done(report: Report) -> str:
    kind = report.published.kind if report.published else ""
    if report.task_class == "split":
        return f"split into {count(len(report.pieces), 'piece')}" if report.pieces else "no list of pieces"
    if kind in ("held", "refused"):
        return "its changes wait for a human"
    if report.check is not None:
        return f"tests {verdict(report.check)}"
    if kind == "patch":
        return "the changes are a patch, no tests were run"
    if kind == "pull_request":
        return "a pull request is open, no tests were run"
    if kind == "tree":
        return "the changes are in the working tree, no tests were run"
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


def own(report: Report) -> str:
    """What an engine of others says that it cost, beside what is counted here, and why they may differ."""
    said, counted = report.own, report.spent.usd
    if said is None:
        return ""
    by = f"{plain(report.engine, 60)} itself says that this attempt cost {said}"
    if said == counted:
        return f"{by}, as is counted here."
    differs = f"{counted - said} less" if said < counted else f"{said - counted} more"
    return f"{by}, {differs} than is counted here for the run: {_OWN.get(report.engine, _READ)}."


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
    """What there is to know for the next step, and the commands that apply, in Markdown; "" where nothing is
    left to do."""
    if report.settled or report.outcome in LIVE:
        return ""
    offered = offers(report)
    listed = "What you can do now:\n\n" + "\n".join(f"- {offer}" for offer in offered) if offered else ""
    return "\n\n".join(part for part in (_hint(report), listed, _buttons(report)) if part)


def _buttons(report: Report) -> str:
    """That what decides about the work is a button too, of the run's check run."""
    verbs = [f"`{offer.command}`" for offer in offers(report) if offer.command in DECISIONS]
    if not verbs:
        return ""
    are = "are buttons" if len(verbs) > 1 else "is a button"
    return f"{' and '.join(verbs)} {are} on the page of its check run, too."


def _hint(report: Report) -> str:
    again = f"`{command(report)} …`"
    match report.outcome:
        case "failed":
            return "The reason above is what to look at first."
        case "lost":
            return "What it cost until then is counted."
        case "done" if report.task_class == "split":
            return _after_split(report, again)
        case "done" if report.check is not None and report.check.exit_code:
            return (
                "The tests do not pass yet: the end of their output is below. Say what is missing with "
                f"{again}, or go on by hand."
            )
        case "done" if report.published is None:
            return f"If you had expected a change, say with {again} what is to be different."
        case "halted":
            return _after_halt(report.reason)
        case _:
            return ""


def _after_split(report: Report, again: str) -> str:
    if report.pieces:
        return (
            "Nothing of it is started yet: each piece is a comment with its class's command and its words, "
            "here or on an issue of its own."
        )
    return (
        "No check list could be read from its answer, whose lines have to be `- [ ] (bugfix) what to do`. "
        f"Its words are below; {again}, with a word on what is to be split, starts it again."
    )


def _after_halt(reason: Reason | None) -> str:
    match reason:
        case Reason.STUCK:
            return (
                "It went round in circles: say with a word or two what it has missed. If it was on its way, "
                "`stuck` in the policy says when that counts."
            )
        case Reason.CACHED_TOKENS:
            return (
                "Its context was read too often: a smaller task needs less, or the policy can raise "
                "`cached_tokens`."
            )
        case Reason.UPSTREAM_LIMIT:
            return (
                "Not a ceiling of this run: the API key behind the service has reached its own limit. "
                "Whoever runs the service can raise it."
            )
        case Reason.BOUND_EXCEEDED:
            return (
                "Not your doing: one answer cost more than the most it was thought to cost, so the run was "
                "stopped at once. Whoever runs the service sees it in its metrics."
            )
        case _:
            return ""
