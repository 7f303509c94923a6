"""What a reconciliation found, in words: ledger, correction, invoice and drift by day, key and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.core.reconcile import COUNTERS, Finding, Sums, total

HEAD = ("day (UTC)", "key", "model", "ledger before", "correction", "invoice", "drift")


@dataclass(frozen=True, slots=True)
class Line:
    """One day of one key and model, over the stretches that began on it."""

    day: str
    key: str
    model: str
    found: tuple[Finding, ...]

    def sums(self, of: str) -> Sums:
        """`of`: ledger, correction, pool, invoice or drift; what was left for later is in none of them."""
        return total(getattr(each, of) for each in self.found if not each.left)

    @property
    def runs(self) -> tuple[str, ...]:
        """Those that were corrected, each once."""
        return tuple(dict.fromkeys(run for each in self.found for run in each.runs))

    @property
    def left(self) -> dict[str, int]:
        """Why stretches are left for the next time, and how many each."""
        counted: dict[str, int] = defaultdict(int)
        for each in self.found:
            if each.left:
                counted[each.left] += 1
        return dict(counted)


def lines(findings: Iterable[Finding]) -> tuple[Line, ...]:
    days: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for each in findings:
        day = datetime.fromtimestamp(each.stretch.since / 1000, UTC).strftime("%Y-%m-%d")
        days[day, each.stretch.key, each.stretch.model].append(each)
    return tuple(Line(*place, tuple(found)) for place, found in sorted(days.items()))


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """For machines: money as decimal strings, tokens by counter."""
    return [
        {
            "day": line.day,
            "key": line.key,
            "model": line.model,
            **{of: _exact(line.sums(of)) for of in ("ledger", "correction", "pool", "invoice", "drift")},
            "runs": list(line.runs),
            "left": line.left,
        }
        for line in lines(findings)
    ]


def as_text(findings: Iterable[Finding]) -> str:
    """For people, on a terminal."""
    shown = lines(findings)
    if not shown:
        return "Neither the ledger nor the usage report has anything in this window."
    rows = [HEAD]
    for line in shown:
        money = (line.sums(of).usd for of in ("ledger", "correction", "invoice", "drift"))
        rows.append((line.day, line.key, line.model, *map(str, money)))  # type: ignore[arg-type]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    said = [sentence for line in shown for sentence in _sentences(line)]
    return "\n".join([*(row.rstrip() for row in text), *([""] if said else []), *said])


def _sentences(line: Line) -> list[str]:
    place = f"{line.day} {line.key} {line.model}"
    said = []
    if line.runs:
        said.append(f"{place}: corrected {', '.join(line.runs)}")
    if pool := line.sums("pool"):
        said.append(f"{place}: {pool.usd} booked to no run: several had estimates in the same minutes")
    if drift := line.sums("drift"):
        more = "more" if min(drift.parts) >= 0 else "other" if max(drift.parts) > 0 else "less"
        told = ", ".join(f"{name} {getattr(drift, name):+,}" for name in COUNTERS if getattr(drift, name))
        said.append(f"{place}: the report has {more} than the ledger can explain ({told} tokens); not booked")
    said += [f"{place}: {count} left for the next time: {why}" for why, count in line.left.items()]
    return said


def _exact(sums: Sums) -> dict[str, Any]:
    return {"usd": sums.usd.exact, **{name: getattr(sums, name) for name in COUNTERS}}
