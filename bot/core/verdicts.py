"""What the bot answers where a person decides about partial work, by a command or by a button."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.offers import LIVE
from bot.core.outcomes import Published
from bot.core.replies import Line
from bot.core.untrusted import code, several
from bot.core.untrusted import line as on_one_line


def nothing_to_decide(verb: str, last: Line | None, published: Published | None) -> str:
    """There is nothing to accept or discard: why, with what there is."""
    if last is None:
        return f"There is nothing to {verb}: no run has ended on this thread."
    run = f"run [`{last.run}`]({last.url})"
    if published is None:
        return f"There is nothing to {verb}: the last one, {run}, left no changes."
    return (
        f"There is nothing to {verb}: what the last one, {run}, has made is published already, "
        f"{_place(published)}."
    )


def decide_later(verb: str, line: Line) -> str:
    """Its work is not whole yet."""
    if line.state in LIVE:
        return (
            f"Run [`{line.run}`]({line.url}) is live, so there is nothing to {verb} yet. Wait for its "
            "report, or end it with `/agent stop`."
        )
    return (
        f"Run [`{line.run}`]({line.url}) has ended, but its report is not there yet. "
        f"`/agent {verb}` can be said again as soon as it is."
    )


def may_not_decide(who: str, role: str) -> str:
    return (
        f"{code(who)} pressed a button that takes write permission to this repository, and has the role "
        f"`{role}`. Nothing was changed."
    )


def old_button(line: Line) -> str:
    return (
        f"That button is of an earlier attempt of run [`{line.run}`]({line.url}), which has gone on since. "
        "Its last report says what can be done now. Nothing was changed."
    )


def held_back(why: Sequence[str], needs: str, role: str) -> str:
    """`needs`: the role that it takes to let it through, "" if no role does."""
    reasons = several(why, 1_300)
    if not needs:
        return f"{reasons}. That is let through by no command: who wants it has to push it themselves"
    return f"{reasons}. Letting that through takes the role {needs}, and yours is {role}"


def settled_already(line: Line, how: str, who: str, published: Published | None) -> str:
    """`how`: accepted | discarded."""
    by = f" by {on_one_line(who, 60)}" if who else ""
    where = f", and is {_place(published)}" if published is not None and how == "accepted" else ""
    return f"What run [`{line.run}`]({line.url}) had made was {how} already{by}{where}. Nothing was changed."


def accepted(line: Line, published: Published) -> str:
    note = f" Because {on_one_line(published.note, 500)}." if published.note else ""
    return f"Accepted what run [`{line.run}`]({line.url}) had made: it is {_place(published)}.{note}"


def not_accepted(line: Line, why: str, published: Published | None) -> str:
    """It stays as it was; `why` may quote others."""
    aside = published is not None and published.kind == "branch"
    kept = (
        f"It is still {_place(published)}" if published is not None and aside else "It is kept with the run"
    )
    return (
        f"What run [`{line.run}`]({line.url}) had made could not be accepted: {on_one_line(why, 1_500)}. "
        f"{kept}; `/agent discard` drops it. Nothing was changed."
    )


def discarded(line: Line, left: str) -> str:
    """`left`: a branch that somebody else has added to; it is not ours to remove."""
    rest = f" The branch {code(left)} stays: somebody has added to it." if left else ""
    return (
        f"Discarded what run [`{line.run}`]({line.url}) had made: it can neither be accepted nor resumed any "
        f"more.{rest} What it has cost stays counted: {line.cost}."
    )


def _place(published: Published) -> str:
    ref = code(published.ref)
    match published.kind:
        case "pushed":
            return f"committed to [{ref}]({published.url})"
        case "pull_request":
            return f"[a pull request]({published.url}) from {ref}"
        case "patch":
            return "as a patch in its report"
        case _:
            return f"kept on [{ref}]({published.url})"
