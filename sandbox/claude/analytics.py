"""The reports' successors, a beta: one row for each bucket and combination of groups, ordered by time.

Shapes: anthropic SDK 2.13.0, resources/beta/organization/analytics/{usage,cost}.py and their types.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from sandbox.claude.admin import (
    SIZES,
    TOKENS,
    at_of,
    cents,
    dimension,
    key_id,
    said,
    snapped,
    time_of,
    total,
    whole,
)
from sandbox.claude.checks import Refused
from sandbox.claude.faults import COUNTERS, Told

USAGE, COST = "/v1/organizations/analytics/usage", "/v1/organizations/analytics/cost"
BETA, VERSION = "analytics-usage-cost-2026-08-24", "2026-10-21"
_GROUPS = ("api_key_id", "model", "inference_geo", "service_tier", "context_window", "workspace_id")
_FANNED = ("cost_type", "token_type")  # of cost; they count for no limit
_MOST = {"1m": timedelta(days=1), "1h": timedelta(days=31), "1d": timedelta(days=31)}


def serves(path: str) -> bool:
    return path in (USAGE, COST)


def report(
    path: str, query: str, headers: dict[str, str], rows: Iterable[Told], by_start: bool
) -> dict[str, Any]:
    """The answer to one GET. Raises Refused."""
    asked = parse_qsl(query, keep_blank_values=True)
    if headers.get("anthropic-version") != VERSION or BETA not in headers.get("anthropic-beta", ""):
        raise Refused(f"this endpoint is in beta: send anthropic-version {VERSION} and anthropic-beta {BETA}")
    one = dict(asked)
    groups = [value for name, value in asked if name == "group_by[]"]
    fanned = [group for group in groups if group in _FANNED and path == COST]
    plain = [group for group in groups if group not in fanned]
    if wrong := [group for group in plain if group not in _GROUPS]:
        raise Refused(f"group_by: {wrong[0]!r} is not a dimension")
    if len(plain) > 5:
        raise Refused("group_by: at most 5 dimensions")
    width = one.get("time_bucket_width", "")
    if width not in SIZES or "ending_at" not in one:
        raise Refused("time_bucket_width: one of 1m, 1h, 1d, and ending_at with it")
    since, until = time_of(one.get("starting_at"), "starting_at"), time_of(one["ending_at"], "ending_at")
    if until - since > _MOST[width]:
        raise Refused(f"the range may span at most {_MOST[width].days} days with buckets of {width}")
    wanted = {value for name, value in asked if name == "api_key_ids[]"}
    found: dict[tuple[Any, ...], list[Told]] = defaultdict(list)
    for each in rows:
        at = snapped(at_of(each, by_start), SIZES[width])
        if since <= at < until and (not wanted or key_id(each.row.key) in wanted):
            found[at, *(dimension(each, group) for group in plain)].append(each)
    limit = whole(one.get("limit", "20"), 1, 1000)
    start = whole(one.get("page", "0"), 0, 10**9)
    places = sorted(found, key=lambda place: tuple(map(str, place)))
    data = [
        item
        for place in places[start : start + limit]
        for item in _items(path, place, plain, fanned, found[place], SIZES[width])
    ]
    more = start + limit < len(places)
    return {"data": data, "has_more": more, "next_page": str(start + limit) if more else None}


def _items(
    path: str, place: tuple[Any, ...], plain: list[str], fanned: list[str], rows: list[Told], size: timedelta
) -> Iterable[dict[str, Any]]:
    at: datetime = place[0]
    group = dict.fromkeys((*_GROUPS, *(_FANNED if path == COST else ()))) | dict(
        zip(plain, place[1:], strict=True)
    )
    base = {"starting_at": said(at), "ending_at": said(at + size)}
    if path == USAGE:
        counts = {counter: total(rows, counter) for counter in COUNTERS}
        yield base | {
            "group": group,
            "usage": {
                "uncached_input_tokens": counts["input"],
                "cache_creation": {
                    "ephemeral_5m_input_tokens": counts["cache_write_5m"],
                    "ephemeral_1h_input_tokens": counts["cache_write_1h"],
                },
                "cache_read_input_tokens": counts["cache_read"],
                "output_tokens": counts["output"],
                "server_tool_use": {"web_search_requests": 0},
                "total_tokens": sum(counts.values()),
                "requests": len(rows),
            },
        }
        return
    parts = [(counter,) for counter in COUNTERS if total(rows, counter)] if fanned else [COUNTERS]
    for part in parts:
        amount = cents(sum(each.nanos(counter) for each in rows for counter in part))
        kinds = {"cost_type": "tokens", "token_type": TOKENS[part[0]]} if fanned else {}
        yield base | {
            "group": group | {name: kinds[name] for name in fanned},
            "cost": {
                "amount": amount,
                "list_amount": amount,
                "currency": "USD",
                "requests": None if fanned else len(rows),
            },
        }
