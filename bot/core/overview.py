"""The page that a lead reads: the signals of one window, as text and as JSON, from the same values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.core.money import Usd, total
from bot.core.reconcile import COUNTERS, Sums
from bot.core.signals import BADLY_SCOPED, BAND, BUCKETS, MergedPull, Rate, Share, Signals, Tokens, judge_cost

MOST = 20  # merged pull requests that are listed as text; JSON has all of them
BAR = 30  # characters of the longest bar
WIDTH = 31  # of what stands before a figure


def as_json(signals: Signals) -> dict[str, Any]:
    """For machines: money as decimal strings, everything that as_text has and more."""
    rate = signals.exhaustion
    return {
        "since": signals.since,
        "until": signals.until,
        "zone": signals.zone,
        "only": _only(signals),
        "cost_per_merged_pr": {
            "direct": _exact(signals.direct),
            "fully_loaded": _exact(signals.fully_loaded),
            "merged": signals.merges.pulls,
            "reverted": signals.merges.reverted,
            "reverted_usd": signals.merges.reverted_usd.exact,
            "band": [BAND[0].exact, BAND[1].exact],
            "verdict": judge_cost(signals.direct),
        },
        "budget_exhaustion": {
            "rate": None if rate.value is None else round(rate.value, 4),
            "halted_by_a_ceiling": rate.exhausted,
            "runs": rate.runs,
            "by_ceiling": signals.halts_by_ceiling(),
            "by_class": [_rate(one) for one in signals.exhaustion_by("task_class")],
            "by_repository": [_rate(one) for one in signals.exhaustion_by("repository")],
            "verdict": rate.verdict,
            "badly_scoped": [
                {"class": name, "runs_above_80_steps": long, "runs": runs}
                for name, long, runs in signals.badly_scoped
            ],
        },
        "spend": {
            "usd": signals.spent.exact,
            "settled_usd": (signals.spent - signals.estimated).exact,
            "estimated_usd": signals.estimated.exact,
            "pooled_usd": signals.pooled.exact,
            "attributed_usd": (signals.spent - signals.unattributed).exact,
            "unattributed_usd": signals.unattributed.exact,
            "unmerged_usd": signals.unmerged.exact,
            "elsewhere_usd": signals.elsewhere.exact,
            "halted_usd": signals.halted.exact,
            "halted_by": {reason: usd.exact for reason, usd in signals.halted_by().items()},
            **_context(signals.sums),
        },
        "tokens_per_task": {
            "buckets": list(BUCKETS),
            **{
                one.outcome: {
                    "runs": one.runs,
                    "p50": one.p50,
                    "p90": one.p90,
                    "p99": one.p99,
                    "max": one.most,
                    "histogram": list(one.histogram),
                }
                for one in signals.tokens
            },
        },
        "days": [
            {"date": day.date, "usd": day.usd.exact, "halted_usd": day.halted.exact} for day in signals.days
        ],
        "by": signals.by,
        "shares": [
            {
                "name": share.name,
                "usd": share.usd.exact,
                "runs": share.runs,
                "estimated_usd": share.estimated.exact,
                "halted_usd": share.halted.exact,
                **_context(share.sums),
            }
            for share in signals.shares
        ],
        "merged": [_pull(pull) for pull in signals.merged],
    }


def as_text(signals: Signals) -> str:
    """For people, on a terminal."""
    head = f"Window: {signals.since} to {signals.until} ({signals.zone})"
    if given := ", ".join(f"{name} {value}" for name, value in _only(signals).items()):
        head += f", only {given}"
    if not (signals.parts or signals.merged or signals.ended):
        return f"{head}\n\n{nothing(signals)}"
    blocks = [
        [head],
        [*_costs(signals), *_exhaustion(signals)],
        list(_spend(signals)),
        list(_tokens(signals.tokens)),
        list(_days(signals)),
        list(_merged(signals)),
        list(_shares(signals)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def nothing(signals: Signals) -> str:
    """What to do where there is nothing to tell."""
    if _only(signals) or signals.since != "the beginning":
        return "Nothing was spent and nothing ended here. Try a longer window, or leave a filter out."
    return (
        "Nothing was spent yet. `/agent fix` on a pull request starts a first run; on this machine "
        '`python -m bot run --cost 2 "…"` does, with a ledger of its own.'
    )


def _costs(signals: Signals) -> Iterator[str]:
    merges = signals.merges
    direct, loaded = signals.direct, signals.fully_loaded
    yield _row(
        "Cost per merged pull request",
        f"direct {direct or '-'}, fully loaded {loaded or '-'}   ({merges.pulls} merged with a run)",
    )
    yield _row("", judge_cost(direct))
    if merges.reverted:
        text = f"{merges.reverted} of the merged, {merges.reverted_usd} (they count all the same)"
        yield _row("Reverted since", text)


def _exhaustion(signals: Signals) -> Iterator[str]:
    rate = signals.exhaustion
    share = "-" if rate.value is None else f"{rate.value:.1%}"
    yield _row(
        "Budget exhaustion rate", f"{share}   ({rate.exhausted} of {rate.runs} runs halted by a ceiling)"
    )
    yield _row("", rate.verdict)
    counts = {
        "Halts by ceiling": signals.halts_by_ceiling(),
        "Halts by class": {one.name: one.exhausted for one in signals.exhaustion_by("task_class")},
    }
    for title, found in counts.items():
        if listed := ", ".join(f"{name} {count}" for name, count in sorted(found.items()) if count):
            yield _row(title, listed)
    for what in ("task_class", "repository"):
        for one in signals.exhaustion_by(what):
            # What is healthy, or too little to judge by, is not worth a line.
            if (
                one.value is not None
                and one.verdict.startswith(("above", "below"))
                and len(signals.ended) > 1
            ):
                yield _row(
                    f"  {one.name or '(this machine)'}", f"{one.value:.1%} of {one.runs}: {one.verdict}"
                )
    for name, long, runs in signals.badly_scoped:
        yield _row(
            f"  {name}",
            f"{long} of {runs} runs needed more than {BADLY_SCOPED} steps: badly scoped, split them",
        )


def _spend(signals: Signals) -> Iterator[str]:
    estimated = f" ({signals.estimated} of it estimated)" if signals.estimated else ""
    yield _row("Spend", f"{signals.spent}{estimated}")
    yield _row("  of merged pull requests", f"{signals.spent - signals.unattributed}")
    yield _row(
        "  unattributed",
        f"{signals.unattributed} ({signals.unmerged} on what has not merged, "
        f"{signals.elsewhere} on no issue or pull request)",
    )
    if signals.pooled:
        yield _row("  corrected, of no run", f"{signals.pooled} (estimates of several runs, reconciled)")
    if signals.halted:
        by = ", ".join(f"{reason} {usd}" for reason, usd in signals.halted_by().items())
        yield _row("  of runs that were halted", f"{signals.halted} ({by})")
    sums = signals.sums
    if sums.usd:
        for title, nanos, tokens in counters(sums):
            yield _row(f"  {title}", f"{Usd(nanos)} ({_share(nanos, sums.usd.nanos)}){tokens}")


def counters(sums: Sums) -> Iterator[tuple[str, int, str]]:
    """What it was spent for: the name, nano-dollars, and how many tokens, in words."""
    written = sums.cache_write_5m + sums.cache_write_1h
    yield "context read from the cache", sums.cost_read_nanos, f"   {sums.cache_read:,} tokens"
    yield "context written to it", sums.cost_write_nanos, f"   {written:,} tokens"
    yield "fresh input", sums.cost_input_nanos, f"   {sums.input:,} tokens"
    yield "output", sums.cost_output_nanos, f"   {sums.output:,} tokens"
    if sums.cost_tools_nanos:
        yield "server tools", sums.cost_tools_nanos, ""


def _tokens(found: tuple[Tokens, ...]) -> Iterator[str]:
    for one in found:
        yield _row(
            f"Tokens per task, {one.outcome}",
            f"median {one.p50:,}, nine in ten at most {one.p90:,}, p99 {one.p99:,}, most {one.most:,}"
            f"   ({_count(one.runs, 'run')})",
        )
        shown = [at for at, count in enumerate(one.histogram) if count]
        for at in range(shown[0], shown[-1] + 1):
            label = f"below {_short(BUCKETS[at])}" if at < len(BUCKETS) else f"from {_short(BUCKETS[-1])}"
            count = one.histogram[at]
            yield f"  {label:>12}  {_bar(count, max(one.histogram))}{count}"


def _days(signals: Signals) -> Iterator[str]:
    if len(signals.days) < 2:
        return
    yield f"Spend by day ({signals.zone})"
    most = max(day.usd.nanos for day in signals.days)
    for day in signals.days:
        halted = f"   {day.halted} of it on runs that were halted" if day.halted else ""
        yield f"  {day.date}  {day.usd!s:>12}  {_bar(day.usd.nanos, most)}{halted}".rstrip()


def _merged(signals: Signals) -> Iterator[str]:
    if not signals.merged:
        return
    yield "Merged pull requests, dearest first"
    for pull in signals.merged[:MOST]:
        mark = "   outlier" if pull.outlier else ""
        if pull.outlier and pull.causes:
            mark += f": {', '.join(pull.causes)}"
        mark += "   reverted" if pull.reverted else ""
        where = f"{pull.repository}#{pull.number}  {pull.title}"
        yield f"  {pull.usd!s:>12}  {where}  ({_count(pull.runs, 'run')}){mark}"
    if more := signals.merged[MOST:]:
        yield f"  {total(pull.usd for pull in more)!s:>12}  {len(more)} more: --json lists them"


def _shares(signals: Signals) -> Iterator[str]:
    if not signals.by:
        return
    yield f"Spend by {signals.by}"
    for share in signals.shares:
        yield f"  {share.usd!s:>12}  {share.name}  ({_about(share)})"
    if signals.pooled:
        yield f"  {signals.pooled!s:>12}  (corrected, of no run)"


def _about(share: Share) -> str:
    told = [_count(share.runs, "run")]
    if share.halted:
        told.append(f"{share.halted} on halted ones")
    if share.estimated:
        told.append(f"{share.estimated} estimated")
    return ", ".join(told)


def _only(signals: Signals) -> dict[str, str]:
    """The filters that were given, but for what the reader may see: that is not told."""
    only = signals.only
    given = {
        "repository": only.repository,
        "class": only.task_class,
        "developer": only.developer,
        "line": None if only.line is None else only.line or "(none)",
    }
    return {name: value for name, value in given.items() if value}


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "name": rate.name,
        "runs": rate.runs,
        "halted_by_a_ceiling": rate.exhausted,
        "rate": None if rate.value is None else round(rate.value, 4),
        "verdict": rate.verdict,
    }


def _pull(pull: MergedPull) -> dict[str, Any]:
    return {
        "repository": pull.repository,
        "number": pull.number,
        "title": pull.title,
        "author": pull.author,
        "usd": pull.usd.exact,
        "runs": pull.runs,
        "attempts": pull.attempts,
        "halted_usd": pull.halted.exact,
        "context_usd": pull.context.exact,
        "outlier": pull.outlier,
        "causes": list(pull.causes) if pull.outlier else [],
        "reverted": pull.reverted,
    }


def _context(sums: Sums) -> Mapping[str, Any]:
    return {
        "cost_by": {
            "input": Usd(sums.cost_input_nanos).exact,
            "cache_write": Usd(sums.cost_write_nanos).exact,
            "cache_read": Usd(sums.cost_read_nanos).exact,
            "output": Usd(sums.cost_output_nanos).exact,
            "server_tools": Usd(sums.cost_tools_nanos).exact,
        },
        "tokens": {name: getattr(sums, name) for name in COUNTERS},
    }


def _row(name: str, text: str) -> str:
    return f"{name:<{WIDTH - 1}} {text}"


def _bar(value: int, most: int) -> str:
    length = -(-value * BAR // most) if value > 0 and most > 0 else 0
    return "█" * length + (" " if length else "")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"


def _short(count: int) -> str:
    return f"{count // 1_000_000}M" if count >= 1_000_000 else f"{count // 1000}k"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _exact(usd: Usd | None) -> str | None:
    return None if usd is None else usd.exact
