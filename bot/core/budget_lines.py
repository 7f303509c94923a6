"""Budget lines in a month: how each stands, at which pace, and who spends it (R22)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.caps import Line, Opened, Standing
from bot.core.money import Usd
from bot.core.rollup import Part, at_this_pace


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One line of the policy in one month. `spenders` are people (`Part.id`: GitHub's number), dearest first,
    as far as they may be seen; `elapsed`: the part of the month that is over, 1 for a whole one."""

    name: str
    line: Line
    standing: Standing
    elapsed: float
    spenders: tuple[Part, ...] = ()
    opened: tuple[Opened, ...] = ()

    @property
    def projected(self) -> Usd | None:
        """The whole month at this pace; None while hardly any of it is over."""
        return at_this_pace(self.standing.spent, self.elapsed)

    @property
    def verdict(self) -> str:
        """What is worth a word about it; "" for a line that is where it should be."""
        standing, pace = self.standing, self.projected
        if standing.reached:
            return "reached: nothing more starts on it until an approver's `/agent ack` or the next month"
        if self.elapsed < 1 and pace is not None and pace > standing.most:
            return f"at this pace it comes to {pace} by the end of the month, more than its {standing.most}"
        return ""


def as_json(month: str, lines: Sequence[BudgetLine], gone: Sequence[Part]) -> dict[str, Any]:
    """For machines: money as decimal strings. `gone`: what was spent on lines that there are no more."""
    return {
        "month": month,
        "lines": [
            {
                "name": one.name,
                "monthly_usd": one.line.monthly.exact,
                "most_usd": one.standing.most.exact,
                "spent_usd": one.standing.spent.exact,
                "held_usd": one.standing.held.exact,
                "left_usd": one.standing.left.exact,
                "projected_usd": None if one.projected is None else one.projected.exact,
                "percent": one.standing.percent,
                "reached": one.standing.reached,
                "acknowledged": one.standing.acknowledged,
                "live": one.standing.live,
                "concurrency": one.line.concurrency,
                "members": sorted(one.line.members),
                "spenders": [_part(part) for part in one.spenders],
            }
            for one in lines
        ],
        "gone": [_part(part) for part in gone],
    }


def _part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "usd": part.usd.exact, "tasks": part.tasks}
