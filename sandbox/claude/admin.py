"""The Admin API of the sandbox: the usage report made of the invoice, and the list of API keys.

Shapes: platform.claude.com/docs/en/api/admin/{usage_report,api_keys} (copies of 2026-08-22).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from sandbox.claude.checks import Refused
from sandbox.claude.invoice import Invoice, Row

MINUTE = 60_000
_WIDTHS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}  # buckets a page: usually, at most
_GROUPS = ("api_key_id", "model", "inference_geo", "service_tier", "context_window", "workspace_id")
_PATHS = ("/v1/organizations/usage_report/messages", "/v1/organizations/api_keys")


def serves(path: str) -> bool:
    return path in _PATHS


def answer(
    path: str, query: str, invoice: Invoice, keys: dict[str, str], now: int, lag_ms: int, by_start: bool
) -> dict[str, Any]:
    """The answer to one GET. `keys`: values of API keys and the marks that the invoice knows them by.

    `lag_ms`: how far the report is behind `now`; `by_start`: a request is counted in the minute in which it
    was asked, else in the one in which it was billed. Raises Refused.
    """
    asked = parse_qsl(query, keep_blank_values=True)
    if path == _PATHS[1]:
        return _keys(dict(asked), keys)
    ready = [row for row in invoice.rows if row.at <= now - lag_ms and row.ended != "refused"]
    return _report(asked, ready, by_start)


def _keys(asked: dict[str, str], keys: dict[str, str]) -> dict[str, Any]:
    known = [_key(value, mark) for value, mark in sorted(keys.items(), key=lambda pair: pair[1])]
    start = 0
    if after := asked.get("after_id"):
        start = next((i + 1 for i, key in enumerate(known) if key["id"] == after), len(known))
    limit = _whole(asked.get("limit", "20"), 1, 1000)
    page = known[start : start + limit]
    return {
        "data": page,
        "has_more": start + limit < len(known),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _key(value: str, mark: str) -> dict[str, Any]:
    shown = min(16, len(value) // 2)
    return {
        "type": "api_key",
        "id": _id(mark),
        "name": f"key {mark[:4]}",
        "partial_key_hint": f"{value[:shown]}...{value[-4:]}",
        "status": "active",
        "created_at": "2026-01-01T00:00:00Z",
        "created_by": None,
        "expires_at": None,
        "workspace_id": None,
    }


def _report(asked: list[tuple[str, str]], rows: list[Row], by_start: bool) -> dict[str, Any]:
    one = dict(asked)
    width = one.get("bucket_width", "1d")
    if width not in _WIDTHS:
        raise Refused(f"bucket_width: {width!r} is not one of 1m, 1h, 1d")
    size = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}[width]
    limit = _whole(one.get("limit", str(_WIDTHS[width][0])), 1, _WIDTHS[width][1])
    since = _snapped(_time(one.get("page") or one.get("starting_at"), "starting_at"), size)
    until = _time(one["ending_at"], "ending_at") if "ending_at" in one else since + limit * size
    groups = [value for name, value in asked if name == "group_by[]"]
    wanted = {value for name, value in asked if name == "api_key_ids[]"}
    if wrong := [group for group in groups if group not in _GROUPS]:
        raise Refused(f"group_by: {wrong[0]!r} is not a dimension")
    found: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        if not wanted or _id(row.key) in wanted:
            at = datetime.fromtimestamp((row.asked_at if by_start else row.at) / 1000, UTC)
            found[_snapped(at, size)].append(row)
    data: list[dict[str, Any]] = []
    while since < until and len(data) < limit:
        data.append(
            {
                "starting_at": _said(since),
                "ending_at": _said(since + size),
                "results": _results(found[since], groups) if since in found else [],
            }
        )
        since += size
    return {"data": data, "has_more": since < until, "next_page": _said(since) if since < until else None}


def _results(rows: list[Row], groups: list[str]) -> list[dict[str, Any]]:
    parts: dict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row in rows:
        parts[tuple(_dimension(row, group) if group in groups else None for group in _GROUPS)].append(row)
    return [
        dict(zip(_GROUPS, named, strict=True))
        | {
            "uncached_input_tokens": sum(row.input for row in some),
            "cache_creation": {
                "ephemeral_5m_input_tokens": sum(row.cache_write_5m for row in some),
                "ephemeral_1h_input_tokens": sum(row.cache_write_1h for row in some),
            },
            "cache_read_input_tokens": sum(row.cache_read for row in some),
            "output_tokens": sum(row.output for row in some),
            "server_tool_use": {"web_search_requests": 0},
        }
        for named, some in parts.items()
    ]


def _dimension(row: Row, group: str) -> str | None:
    total = row.input + row.cache_write_5m + row.cache_write_1h + row.cache_read
    return {
        "api_key_id": _id(row.key),
        "model": row.model,
        "inference_geo": row.inference_geo,
        "service_tier": row.service_tier,
        "context_window": "200k-1M" if total > 200_000 else "0-200k",
        "workspace_id": None,
    }[group]


def _id(mark: str) -> str:
    return f"apikey_01{mark}"


def _snapped(at: datetime, size: timedelta) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (at - midnight) // size * size


def _time(text: str | None, name: str) -> datetime:
    if text is None:
        raise Refused(f"{name}: Field required")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise Refused(f"{name}: {text!r} is not an RFC 3339 time") from None


def _said(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise Refused(f"limit: {text!r} is not a number from {least} to {most}")
    return int(text)
