"""What an import from Cursor came to, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.core.cursor import NOBODY, SOURCE, Outcome
from bot.core.money import CENT, ZERO, Usd, total
from bot.core.untrusted import printable


@dataclass(frozen=True, slots=True)
class Cycle:
    """Cursor's own sums of its billing cycle since `since` (ms), and what is booked of the same time."""

    since: int
    told: Mapping[str, Usd]
    booked: Mapping[str, Usd]

    @property
    def apart(self) -> Mapping[str, tuple[Usd, Usd]]:
        """Told and booked of each account where they differ by a cent or more: Cursor tells whole cents."""
        cent = Usd(CENT)
        both = {
            email: (self.told.get(email, ZERO), self.booked.get(email, ZERO))
            for email in sorted(self.told.keys() | self.booked.keys())
        }
        return {email: pair for email, pair in both.items() if abs((pair[0] - pair[1]).nanos) >= cent.nanos}


@dataclass(frozen=True, slots=True)
class Imported:
    """An import of [since, until) ms.

    `kept`: what is booked of a time that Cursor tells nothing of any more; `unpriced`: events without an
    amount; `unread`: why `cycle` is not there, if so.
    """

    since: int
    until: int
    outcome: Outcome
    kept: Usd = ZERO
    unpriced: int = 0
    cycle: Cycle | None = None
    unread: str = ""


def as_line(outcome: Outcome) -> str:
    """`12 events and 1 correction booked, $3.20 more`."""
    events, corrections = (
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((outcome.events, "event"), (outcome.corrections, "correction"))
    )
    if not (outcome.events or outcome.corrections):
        return "nothing new"
    change = f"{outcome.usd} more" if outcome.usd >= ZERO else f"{-outcome.usd} less"
    return f"{events} and {corrections} booked, {change}"


def as_text(found: Imported) -> str:
    """For people, on a terminal."""
    since, until = (
        f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}" for ms in (found.since, found.until)
    )
    lines = [f"Cursor, {since} to {until} UTC: {as_line(found.outcome)}, {SOURCE}."]
    if found.outcome.corrections:
        lines.append(
            f"Told otherwise than before: {found.outcome.corrected} in all, each in a row of its own."
        )
    if found.kept:
        lines.append(f"{found.kept} is booked of a time that Cursor tells nothing of any more; it stands.")
    if found.unpriced:
        lines.append(f"{found.unpriced} events have no amount: what a plan includes, by requests.")
    if found.cycle is not None:
        lines += _cycle(found.cycle)
    if found.unread:
        lines.append(found.unread)
    return printable("\n".join(lines))


def as_json(found: Imported) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    cycle = found.cycle
    return {
        "since_ms": found.since,
        "until_ms": found.until,
        "events": found.outcome.events,
        "corrections": found.outcome.corrections,
        "usd": found.outcome.usd.exact,
        "corrected_usd": found.outcome.corrected.exact,
        "kept_usd": found.kept.exact,
        "unpriced": found.unpriced,
        "cycle": None
        if cycle is None
        else {
            "since_ms": cycle.since,
            "told_usd": total(cycle.told.values()).exact,
            "booked_usd": total(cycle.booked.values()).exact,
            "apart": [
                {"email": email, "told_usd": told.exact, "booked_usd": booked.exact}
                for email, (told, booked) in cycle.apart.items()
            ],
        },
        "unread": found.unread,
    }


def _cycle(cycle: Cycle) -> list[str]:
    since = f"{datetime.fromtimestamp(cycle.since / 1000, UTC):%Y-%m-%d}"
    told, booked = total(cycle.told.values()), total(cycle.booked.values())
    lines = [f"Cursor's own sum of its billing cycle since {since}: {told}; booked of it: {booked}."]
    return lines + [
        f"  {email or NOBODY}: Cursor {mine}, booked {ours}" for email, (mine, ours) in cycle.apart.items()
    ]
