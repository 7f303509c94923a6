"""What monitoring may know: every metric by name, with its kind, its labels and what it says.

Values are whole numbers until the very end: nano-dollars and milliseconds, `scale` of them to a dollar or a
second. Counters never fall: what is corrected later stands beside them. No label names a person, a run, a
thread or a text of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.money import NANOS

SECOND = 1000
WINDOW_DAYS = 30
MODEL, TOKEN_TYPE = "gen_ai_request_model", "gen_ai_token_type"  # as OpenTelemetry's conventions call them

Labels = tuple[str, ...]
Samples = Mapping[Labels, int | float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `kind`: counter | gauge; a counter's name ends in _total."""

    name: str
    kind: str
    help: str
    labels: Labels = ()
    scale: int = 1


def _counter(name: str, help: str, *labels: str, scale: int = 1) -> Family:
    return Family(f"tollgate_{name}_total", "counter", help, labels, scale)


def _gauge(name: str, help: str, *labels: str, scale: int = 1) -> Family:
    return Family(f"tollgate_{name}", "gauge", help, labels, scale)


_WORK = ("repository", "task_class", "engine", MODEL, "line")
_LAST = f"of the last {WINDOW_DAYS} days"

# What was done, since the beginning.
COST = _counter("cost_usd", "Dollars charged, as first booked.", *_WORK, scale=NANOS)
COST_BY_KIND = _counter(
    "cost_by_kind_usd", "The same dollars by what they were for.", "repository", MODEL, "kind", scale=NANOS
)
CORRECTIONS = _gauge(
    "cost_corrections_usd",
    "Dollars by which later corrections changed what was first booked; usually negative.",
    *_WORK,
    scale=NANOS,
)
POOLED = _gauge(
    "cost_pool_corrections_usd",
    "Dollars that reconciliation corrected of several runs at once, of no run.",
    scale=NANOS,
)
ESTIMATED = _gauge(
    "cost_estimated_usd",
    "Dollars of it that are an upper bound which nothing has corrected yet; the rest is settled.",
    "repository",
    scale=NANOS,
)
TOKENS = _counter(
    "tokens", "Tokens as first booked, by counter.", "repository", "task_class", MODEL, TOKEN_TYPE
)
STEPS = _counter("steps", "Requests to a model that were answered.", "repository", "task_class", "engine")
TOOL_CALLS = _counter("tool_calls", "Tool calls of agents.", "repository", "task_class", "engine")
OPENED = _counter("runs_opened", "Runs opened.", "repository", "task_class", "engine", "origin")
REFUSALS = _counter("refusals", "Commands that started nothing.", "reason")
MISSED = _counter("deliveries_missed", "Deliveries of GitHub's that did not come and were found in its log.")

# How things stand now.
RUNS = _gauge(
    "runs",
    "Runs by how they stand; a resumed run is live again, so this is no counter.",
    *("repository", "task_class", "engine", "state", "reason"),
)
WAITED = _gauge(
    "runs_queued_oldest_seconds", "How long the run that is first in line for room has waited.", scale=SECOND
)
HALTED_AT = _gauge(
    "halted_timestamp_seconds", "When a run was last halted for this reason.", "reason", scale=SECOND
)
HELD = _gauge("held_usd", "Dollars that requests in flight may cost at most.", scale=NANOS)
IN_FLIGHT = _gauge("requests_in_flight", "Requests to a model that are in flight.")
UNSPENT = _gauge("live_unspent_usd", "Dollars that live runs may still spend.", scale=NANOS)
SERVED = _gauge(
    "gateway_recent_requests",
    "Requests that the gateway ended in the last 5 minutes, by booking and the upstream's status.",
    *("booked", "status"),
)
SERVED_SECONDS = _gauge(
    "gateway_recent_seconds",
    "How long those of them took that were answered: the mean and the longest.",
    "statistic",
    scale=SECOND,
)
STORIES = _gauge("stories", "Durable stories that are queued, told, put aside, or have failed.", "state")
OLDEST = _gauge(
    "stories_oldest_seconds",
    "How long the oldest story that is queued or being told is there.",
    scale=SECOND,
)
LOG_READ = _gauge(
    "delivery_log_read_timestamp_seconds",
    "When GitHub's log of deliveries was last read to its end.",
    scale=SECOND,
)
WORKERS = _gauge("workers", "Durable workers that are alive.")
DISK_FREE = _gauge(
    "database_disk_free_bytes", "Bytes left on the disk of an SQLite file for who is not root."
)
PAUSED = _gauge("paused", "Switches that keep runs from starting: of a repository, or of everything.")
LIMITED = _gauge("github_limited_installations", "Installations that GitHub makes wait.")
CAP = _gauge("cap_usd", "This month's cap with what was acknowledged.", "scope", "name", scale=NANOS)
CAP_SPENT = _gauge("cap_spent_usd", "Spent of this month's cap.", "scope", "name", scale=NANOS)
CAP_HELD = _gauge("cap_held_usd", "What live runs may still spend of it.", "scope", "name", scale=NANOS)
CAP_LIVE = _gauge("cap_live_runs", "Live runs under it.", "scope", "name")
DRIFTS = _gauge(
    "reconciliation_drifts",
    f"Differences between ledger and invoice that stand, of the days {_LAST}, by kind.",
    "kind",
)
DRIFT = _gauge(
    "reconciliation_drift_usd",
    "Dollars of them: what the invoice has more, and what it has less than the ledger.",
    *("kind", "invoice"),
    scale=NANOS,
)
RECONCILED = _gauge(
    "reconciled_timestamp_seconds",
    "When ledger and invoice were last compared to the end; 0: never.",
    scale=SECOND,
)
CURSOR_THROUGH = _gauge(
    "cursor_imported_timestamp_seconds",
    "Up to when all that Cursor's admin API tells was imported; only where CURSOR_ADMIN_KEY is set.",
    scale=SECOND,
)
BOOK = _gauge("price_book_info", "The price book that is in use.", "version")

# By whether the policy's `cursor.people` says whose account it is: known | unknown.
CURSOR = _gauge(
    "cursor_month_usd",
    "Dollars used with Cursor in this month, as its admin API tells; in no other metric but people's caps.",
    "account",
    scale=NANOS,
)

# A window that ends now, as `python -m bot metrics` counts it.
WINDOW_KNOWN = _gauge(
    "window_known", "1: the figures of the window are there; 0: they took too long to count."
)
SPENT = _gauge("window_spent_usd", f"Dollars spent {_LAST}, corrections too.", scale=NANOS)
UNATTRIBUTED = _gauge(
    "window_unattributed_usd", f"Dollars {_LAST} that belong to no merged pull request.", scale=NANOS
)
HALTED_SPEND = _gauge(
    "window_halted_usd", f"Dollars {_LAST} on runs that were halted.", "reason", scale=NANOS
)
MERGED = _gauge("window_merged_pull_requests", f"Merged pull requests {_LAST} with a run.", "repository")
OUTLIERS = _gauge("window_outlier_pull_requests", "Those of them above the usual band.", "repository")
PER_PULL = _gauge(
    "window_cost_per_merged_pull_request_usd",
    f"Dollars for each merged pull request {_LAST}: direct, and fully loaded with what never merged.",
    "loading",
    scale=NANOS,
)
PER_PULL_BY_REPOSITORY = _gauge(
    "window_direct_cost_per_merged_pull_request_usd",
    "The direct one by repository.",
    "repository",
    scale=NANOS,
)
ENDED = _gauge("window_ended_runs", f"Runs that ended {_LAST}.", "task_class")
EXHAUSTED = _gauge("window_exhausted_runs", "Those of them that a ceiling ended.", "task_class")
BY_CEILING = _gauge("window_ceiling_halts", "The same by ceiling.", "reason")
TASK_TOKENS = _gauge(
    "window_task_tokens",
    f"Tokens of a task that ended {_LAST}, by whether it succeeded; percentiles that occurred.",
    *("outcome", "percentile"),
)

ALL = tuple(value for value in tuple(globals().values()) if isinstance(value, Family))
