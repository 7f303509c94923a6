"""The successors of the Admin API's reports, which are asked where those are no longer served.

Shapes: anthropic SDK 2.13.0, resources/beta/organization/analytics/{usage,cost}.py and their types: a beta,
under `anthropic-version: 2026-10-21`. One row for each bucket and combination of groups, of which there are
five at most; cost in fractional cents, before credits, with and without discounts. Workspaces are not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from bot.core.times import DAY_MS, MINUTE_MS

HEADERS = {"anthropic-version": "2026-10-21", "anthropic-beta": "analytics-usage-cost-2026-08-24"}
USAGE, COST = "/v1/organizations/analytics/usage", "/v1/organizations/analytics/cost"
GROUPS = {
    USAGE: ("api_key_id", "model", "inference_geo", "service_tier", "context_window"),
    COST: ("model", "service_tier", "token_type", "cost_type"),
}
# Of a width its name, and the longest range that may be asked for.
WIDTHS = {MINUTE_MS: ("1m", DAY_MS), DAY_MS: ("1d", 31 * DAY_MS)}
ROWS = 1000  # a page, the most there is

Query = list[tuple[str, str]]
Get = Callable[[str, Query, dict[str, str]], dict[str, Any]]


def pages(
    get: Get, path: str, since: int, until: int, width: int, key_ids: list[str]
) -> Iterator[dict[str, Any]]:
    """Each page of a report over [since, until), ms; `width`: of a bucket."""
    name, longest = WIDTHS[width]
    for first in range(since, until, longest):
        query = [
            ("starting_at", rfc3339(first)),
            ("ending_at", rfc3339(min(until, first + longest))),
            ("time_bucket_width", name),
            ("order_by", "time"),
            ("order", "asc"),
            ("limit", str(ROWS)),
            *(("group_by[]", group) for group in GROUPS[path]),
            *(("api_key_ids[]", id) for id in key_ids),
        ]
        page: Query = []
        while True:
            answer = get(path, [*query, *page], HEADERS)
            yield answer
            if not answer.get("has_more"):
                break
            page = [("page", str(answer.get("next_page")))]


def row(item: dict[str, Any]) -> dict[str, Any]:
    """One of their rows as the reports before them have it; the price is the list's, before discounts."""
    group, usage, cost = (item.get(name) for name in ("group", "usage", "cost"))
    told = dict(group) if isinstance(group, dict) else {}
    if isinstance(usage, dict):
        told |= usage
    if isinstance(cost, dict):
        told |= {"amount": cost.get("list_amount"), "currency": cost.get("currency")}
    return told


def rfc3339(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
