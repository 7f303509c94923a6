"""What `/api/v1/overview` takes and answers."""

from __future__ import annotations

from bot.core.reconcile import COUNTERS
from bot.web.dashboard.asked import BY, MOST_DAYS, NO_LINE
from bot.web.dashboard.shapes import (
    COST_BY,
    COUNT,
    DAY,
    NUMBER,
    TEXT,
    USD,
    YES,
    Parameter,
    by_name,
    maybe,
    record,
    rows,
    word,
)

WINDOW = {
    "days": Parameter("So many days up to now, or `all`; 30 without anything", TEXT),
    "since": Parameter(
        "The first day such as 2026-11-01, in the time zone of the caps; then `days` is void", DAY
    ),
    "until": Parameter(f"The day after the last, at most {MOST_DAYS:,} days after the first", DAY),
}
FILTERS = {
    "repo": Parameter("Only this repository, OWNER/NAME", TEXT),
    "class": Parameter("Only runs of this class", TEXT),
    "line": Parameter(f"Only runs on this budget line; {NO_LINE}: on none", TEXT),
    "developer": Parameter("Only this person's runs, by their login", TEXT),
}
TAKES = {**WINDOW, **FILTERS, "by": Parameter("What `shares` split the spend by", word(*BY))}

_TOKENS = {"type": "integer"}
_COUNTED = record(dict.fromkeys(COUNTERS, _TOKENS))
_CONTEXT = {"cost_by": COST_BY, "tokens": _COUNTED}
_RATE = record(
    {"name": TEXT, "runs": COUNT, "halted_by_a_ceiling": COUNT, "rate": maybe(NUMBER), "verdict": TEXT}
)
_TASKS = record(dict.fromkeys(("runs", "p50", "p90", "p99", "max"), COUNT) | {"histogram": rows(COUNT)})
PULL = {
    "repository": TEXT,
    "number": COUNT,
    "title": TEXT,
    "author": TEXT,
    "usd": USD,
    "runs": COUNT,
    "attempts": COUNT,
    "halted_usd": USD,
    "context_usd": USD,
    "outlier": YES,
    "causes": rows(TEXT),
    "reverted": YES,
}
_COST = {
    "direct": maybe(USD),
    "fully_loaded": maybe(USD),
    "merged": COUNT,
    "reverted": COUNT,
    "reverted_usd": USD,
    "band": rows(USD),
    "verdict": TEXT,
}
_EXHAUSTION = {
    "rate": maybe(NUMBER),
    "halted_by_a_ceiling": COUNT,
    "runs": COUNT,
    "by_ceiling": by_name(COUNT),
    "by_class": rows(_RATE),
    "by_repository": rows(_RATE),
    "verdict": TEXT,
    "badly_scoped": rows(record({"class": TEXT, "runs_above_80_steps": COUNT, "runs": COUNT})),
}
_SPEND = (
    dict.fromkeys(
        ("usd", "settled_usd", "estimated_usd", "pooled_usd", "attributed_usd", "unattributed_usd",
         "unmerged_usd", "elsewhere_usd", "halted_usd"),
        USD,
    )
    | {"halted_by": by_name(USD)}
    | _CONTEXT
)  # fmt: skip
_BEFORE = {
    "since": TEXT,
    "until": TEXT,
    "usd": USD,
    "halted_usd": USD,
    "merged": COUNT,
    "direct": maybe(USD),
    "fully_loaded": maybe(USD),
    "exhaustion_rate": maybe(NUMBER),
}
_SHARE = {"name": TEXT, "usd": USD, "runs": COUNT, "estimated_usd": USD, "halted_usd": USD, **_CONTEXT}
OVERVIEW = record(
    {
        "since": TEXT,
        "until": TEXT,
        "zone": TEXT,
        "only": by_name(TEXT),
        "cost_per_merged_pr": record(_COST),
        "budget_exhaustion": record(_EXHAUSTION),
        "spend": record(_SPEND),
        "tokens_per_task": {
            "type": "object",
            "properties": {"buckets": rows(COUNT), "success": _TASKS, "failure": _TASKS},
            "required": ["buckets"],
        },
        "days": rows(record({"date": TEXT, "usd": USD, "halted_usd": USD})),
        "by": maybe(word(*BY)),
        "shares": rows(record(_SHARE)),
        "merged": rows(record(PULL)),
        "before": maybe(record(_BEFORE)),
    }
)
