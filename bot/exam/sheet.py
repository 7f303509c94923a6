"""What people and programs read of an exam, as whole text, from its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.ceilings import span
from bot.core.money import ZERO, Usd
from bot.core.untrusted import cut, printable
from bot.exam.paper import DIFFICULTIES
from bot.exam.sitting import Over, Result, Terms

LIVE = "Live sitting: {model} at {upstream}. It costs money: at most {total}."
SCRIPTED = (
    "Scripted sitting{why}: no model takes this exam, the sandbox's character {character!r} does. "
    "Its score says nothing about any model."
)
NO_KEY = " (ANTHROPIC_API_KEY is not set)"
BOUNDS = "Each task: at most {usd}, {tokens:,} tokens, {steps} steps, {time}; all {count} together {total}."
COLUMNS = ("task", "language", "difficulty", "verdict", "cost", "steps", "time")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole exam. `character`: "" in a live sitting; `invoice`: the sandbox's own bill."""

    terms: Terms
    results: Sequence[Result]
    character: str = ""
    invoice: Usd | None = None
    over: Over | None = None

    @property
    def usd(self) -> Usd:
        return sum((each.usd for each in self.results), ZERO)

    @property
    def estimated(self) -> Usd:
        return sum((each.report.estimated for each in self.results if each.report), ZERO)

    @property
    def steps(self) -> int:
        return sum(each.report.spent.steps for each in self.results if each.report)

    def count(self, *verdicts: str) -> int:
        return sum(each.verdict in verdicts for each in self.results)


def first(terms: Terms, character: str, count: int, chosen: bool) -> list[str]:
    """Before anything is asked: who sits, and what it may cost. `chosen`: the character was asked for."""
    most = terms.ceilings
    bounds = BOUNDS.format(
        usd=most.usd,
        tokens=most.tokens,
        steps=most.steps,
        time=span(most.seconds),
        count=count,
        total=terms.total,
    )
    if character:
        return [SCRIPTED.format(character=character, why="" if chosen else NO_KEY), bounds]
    live = LIVE.format(model=terms.model, upstream=terms.upstream, total=terms.total)
    return [live, bounds]


def line(result: Result) -> str:
    """One task, when it is done."""
    words = f"{result.verdict:<8}  {result.exercise.name}"
    if result.report:
        spent = result.report.spent
        words += f" · {spent.usd} · {spent.steps} steps · {span(spent.seconds)}"
    return f"{words} · {_plain(result.why)}" if result.why else words


def table(sheet: Sheet) -> str:
    """The end: a row a task, the score, what it cost."""
    rows = [COLUMNS, *(_row(each) for each in sheet.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.rjust(width) if column > 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *_score(sheet)])


def as_json(sheet: Sheet) -> dict[str, object]:
    """For programs. Money as decimal strings with every digit."""
    most = sheet.terms.ceilings
    return {
        "sitting": "scripted" if sheet.character else "live",
        "character": sheet.character or None,
        "model": sheet.terms.model,
        "engine": sheet.terms.engine,
        "ceilings": {
            "usd": most.usd.exact,
            "tokens": most.tokens,
            "steps": most.steps,
            "seconds": most.seconds,
        },
        "total_usd": sheet.terms.total.exact,
        "tasks": [_task(each) for each in sheet.results],
        "solved": sheet.count("solved"),
        "sat": sum(each.sat for each in sheet.results),
        "skipped": sheet.count("skipped"),
        "not_sat": sheet.count("not sat"),
        "usd": sheet.usd.exact,
        "estimated_usd": sheet.estimated.exact,
        "steps": sheet.steps,
        "invoice_usd": sheet.invoice.exact if sheet.invoice is not None else None,
        "ended_early": sheet.over.why if sheet.over else None,
    }


def _row(result: Result) -> tuple[str, ...]:
    exercise, spent = result.exercise, result.report.spent if result.report else None
    used = (str(spent.usd), str(spent.steps), span(spent.seconds)) if spent else ("", "", "")
    return (exercise.name, exercise.language, exercise.difficulty, result.verdict, *used)


def _score(sheet: Sheet) -> list[str]:
    sat = [each for each in sheet.results if each.sat]
    others = [f"{sheet.count(name)} {name}" for name in ("skipped", "not sat") if sheet.count(name)]
    about = f" ({sheet.estimated} of it estimated)" if sheet.estimated else ""
    said = [f"solved {sheet.count('solved')} of {len(sat)}", *others]
    lines = [f"{' · '.join(said)} · {sheet.usd}{about} · {sheet.steps} steps"]
    lines += [_by(called, sat) for called in ("language", "difficulty")] if sat else []
    if sheet.invoice is not None:
        lines.append(_against(sheet.usd, sheet.invoice))
    if sheet.over:
        lines.append(f"The exam ended before its end: {_plain(sheet.over.why)}")
    return lines


def _by(called: str, sat: Sequence[Result]) -> str:
    def key(result: Result) -> str:
        return str(getattr(result.exercise, called))

    of = Counter(map(key, sat))
    solved = Counter(key(each) for each in sat if each.verdict == "solved")
    order = [*filter(of.get, DIFFICULTIES), *sorted(of.keys() - set(DIFFICULTIES))]
    return f"by {called}: " + " · ".join(f"{name} {solved[name]} of {of[name]}" for name in order)


def _against(ledger: Usd, invoice: Usd) -> str:
    if ledger == invoice:
        return f"The sandbox's invoice: ${invoice.exact}, equal to the ledgers to the nano-dollar."
    return f"The sandbox's invoice: ${invoice.exact}, the ledgers: ${ledger.exact}."


def _task(result: Result) -> dict[str, object]:
    exercise, report = result.exercise, result.report
    return {
        "name": exercise.name,
        "title": exercise.title,
        "language": exercise.language,
        "difficulty": exercise.difficulty,
        "trap": exercise.trap,
        "verdict": result.verdict,
        "why": result.why,
        "run": report.run if report else None,
        "usd": result.usd.exact,
        "estimated_usd": report.estimated.exact if report else "0",
        "tokens": report.spent.tokens if report else 0,
        "steps": report.spent.steps if report else 0,
        "tool_calls": report.spent.tool_calls if report else 0,
        "seconds": report.spent.seconds if report else 0,
        "changed": list(result.changed),
    }


def _plain(words: str) -> str:
    return cut(" ".join(printable(words).split()), 300)
