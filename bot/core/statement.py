"""What a reconciliation found: ledger, correction, invoice by day, key and model, and each drift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.drift import Drift, day_of
from bot.core.drift_words import sentence
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
        day = day_of(each.stretch.until - 1)
        days[day, each.stretch.key, each.stretch.model].append(each)
    return tuple(Line(*place, tuple(found)) for place, found in sorted(days.items()))


def as_json(findings: Iterable[Finding], drifts: Iterable[Drift] = (), unread: str = "") -> dict[str, Any]:
    """For machines: money as decimal strings, tokens by counter."""
    return {"days": _days(findings), "drifts": [drift_as_json(each) for each in drifts], "unread": unread}


def drift_as_json(drift: Drift) -> dict[str, Any]:
    return {
        "day": drift.day,
        "key": drift.key,
        "model": drift.model,
        "kind": drift.kind,
        "part": drift.part,
        "expected_usd": drift.expected.exact,
        "invoiced_usd": drift.invoiced.exact,
        "drift_usd": drift.usd.exact,
        "expected_tokens": drift.expected_tokens,
        "invoiced_tokens": drift.invoiced_tokens,
        "runs": list(drift.runs),
        "explanation": sentence(drift),
        "alarm": drift.loud,
    }


def _days(findings: Iterable[Finding]) -> list[dict[str, Any]]:
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


def as_text(findings: Iterable[Finding], drifts: Iterable[Drift] = (), unread: str = "") -> str:
    """For people, on a terminal."""
    shown, found = lines(findings), tuple(drifts)
    if not shown and not found:
        return "Neither the ledger nor the usage report has anything in this window."
    rows: list[tuple[str, ...]] = [HEAD]
    for line in shown:
        money = (line.sums(of).usd for of in ("ledger", "correction", "invoice", "drift"))
        rows.append((line.day, line.key, line.model, *map(str, money)))
    said = [sentence for line in shown for sentence in _sentences(line)]
    if found:
        said += ["", *_table([DRIFT_HEAD, *map(_drift_row, found)]), ""]
        said += [f"{each.day} {each.kind}: {sentence(each)}" for each in found]
    said += [unread] if unread else []
    return "\n".join([*_table(rows), *([""] if said and said[0] else []), *said])


DRIFT_HEAD = ("day (UTC)", "kind", "key", "model", "expected", "invoiced", "drift")


def _drift_row(drift: Drift) -> tuple[str, ...]:
    money = (drift.expected, drift.invoiced, drift.usd)
    return (drift.day, drift.kind, drift.key or "(all keys)", drift.model or "(any)", *map(str, money))


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _sentences(line: Line) -> list[str]:
    place = f"{line.day} {line.key} {line.model}"
    said = []
    if line.runs:
        said.append(f"{place}: corrected {', '.join(line.runs)}")
    if pool := line.sums("pool"):
        said.append(f"{place}: {pool.usd} booked to no run: several had estimates in the same minutes")
    said += [f"{place}: {count} left for the next time: {why}" for why, count in line.left.items()]
    return said


def _exact(sums: Sums) -> dict[str, Any]:
    return {"usd": sums.usd.exact, **{name: getattr(sums, name) for name in COUNTERS}}
