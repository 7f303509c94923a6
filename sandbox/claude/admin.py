"""The Admin API of the sandbox: usage and cost reports made of the invoice, and the list of API keys.

Shapes: platform.claude.com/docs/en/api/admin/{usage_report,cost_report,api_keys} (copies of 2026-08-22).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from sandbox.claude.checks import Refused
from sandbox.claude.faults import COUNTERS, Fault, Told, mark, told
from sandbox.claude.invoice import Invoice

_WIDTHS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}  # buckets a page: usually, at most
SIZES = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
_GROUPS = ("api_key_id", "model", "inference_geo", "service_tier", "context_window", "workspace_id")
_COST_GROUPS = ("workspace_id", "description")
USAGE, COST, _KEYS = (
    "/v1/organizations/usage_report/messages",
    "/v1/organizations/cost_report",
    "/v1/organizations/api_keys",
)
TOKENS = dict(
    zip(
        COUNTERS,
        (
            "uncached_input_tokens",
            "cache_creation.ephemeral_5m_input_tokens",
            "cache_creation.ephemeral_1h_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
        ),
        strict=True,
    )
)
_CENT = 10_000_000  # nano-dollars

Results = Callable[[list[Told], list[str]], list[dict[str, Any]]]


class Reports:
    """What the organization is told of its use. `keys`: values of API keys and the marks of the invoice."""

    def __init__(self, invoice: Invoice, keys: dict[str, str]) -> None:
        self.faults: tuple[Fault, ...] = ()
        self._invoice = invoice
        self._keys = keys

    @staticmethod
    def serves(path: str) -> bool:
        return path in (USAGE, COST, _KEYS)

    def set(self, wish: Any) -> list[Any]:
        """What they get wrong from now on: `[{"user": RUN, "model": MODEL}, …]`, see `faults.Fault`."""
        self.faults = tuple(Fault.read(each) for each in wish)
        return list(wish)

    def rows(self, until: int) -> list[Told]:
        """What they know of what was billed until then, ms."""
        billed = (row for row in self._invoice.rows if row.ended != "refused")
        return told(billed, self.faults, until)

    def answer(self, path: str, query: str, now: int, lag_ms: int, by_start: bool) -> dict[str, Any]:
        """The answer to one GET. `now`: ms; `lag_ms`: how far the reports are behind it.

        `by_start`: a request is counted in the minute in which it was asked, else in the one in which it was
        billed. Raises Refused.
        """
        asked = parse_qsl(query, keep_blank_values=True)
        if path == _KEYS:
            others = {fault.key: mark(fault.key) for fault in self.faults if fault.key}
            return _listed(dict(asked), self._keys | others)
        rows = self.rows(now - lag_ms)
        if path == COST:
            if dict(asked).get("bucket_width", "1d") != "1d":
                raise Refused("bucket_width: the cost report has days only")
            return _buckets(asked, rows, by_start, _COST_GROUPS, _costs)
        wanted = {value for name, value in asked if name == "api_key_ids[]"}
        mine = [each for each in rows if not wanted or key_id(each.row.key) in wanted]
        return _buckets(asked, mine, by_start, _GROUPS, _used)


def _listed(asked: dict[str, str], keys: dict[str, str]) -> dict[str, Any]:
    known = [_key(value, mark) for value, mark in sorted(keys.items(), key=lambda pair: pair[1])]
    start = 0
    if after := asked.get("after_id"):
        start = next((i + 1 for i, key in enumerate(known) if key["id"] == after), len(known))
    limit = whole(asked.get("limit", "20"), 1, 1000)
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
        "id": key_id(mark),
        "name": f"key {mark[:4]}",
        "partial_key_hint": f"{value[:shown]}...{value[-4:]}",
        "status": "active",
        "created_at": "2026-01-01T00:00:00Z",
        "created_by": None,
        "expires_at": None,
        "workspace_id": None,
    }


def _buckets(
    asked: list[tuple[str, str]], rows: Iterable[Told], by_start: bool, dimensions: Iterable[str], of: Results
) -> dict[str, Any]:
    one = dict(asked)
    width = one.get("bucket_width", "1d")
    if width not in _WIDTHS:
        raise Refused(f"bucket_width: {width!r} is not one of 1m, 1h, 1d")
    size = SIZES[width]
    limit = whole(one.get("limit", str(_WIDTHS[width][0])), 1, _WIDTHS[width][1])
    since = snapped(time_of(one.get("page") or one.get("starting_at"), "starting_at"), size)
    until = time_of(one["ending_at"], "ending_at") if "ending_at" in one else since + limit * size
    groups = [value for name, value in asked if name == "group_by[]"]
    if wrong := [group for group in groups if group not in dimensions]:
        raise Refused(f"group_by: {wrong[0]!r} is not a dimension")
    found: dict[datetime, list[Told]] = defaultdict(list)
    for each in rows:
        found[snapped(at_of(each, by_start), size)].append(each)
    data: list[dict[str, Any]] = []
    while since < until and len(data) < limit:
        data.append(
            {
                "starting_at": said(since),
                "ending_at": said(since + size),
                "results": of(found[since], groups) if since in found else [],
            }
        )
        since += size
    return {"data": data, "has_more": since < until, "next_page": said(since) if since < until else None}


def _used(rows: list[Told], groups: list[str]) -> list[dict[str, Any]]:
    parts: dict[tuple[str | None, ...], list[Told]] = defaultdict(list)
    for each in rows:
        parts[tuple(dimension(each, group) if group in groups else None for group in _GROUPS)].append(each)
    return [
        dict(zip(_GROUPS, named, strict=True))
        | {
            "uncached_input_tokens": total(some, "input"),
            "cache_creation": {
                "ephemeral_5m_input_tokens": total(some, "cache_write_5m"),
                "ephemeral_1h_input_tokens": total(some, "cache_write_1h"),
            },
            "cache_read_input_tokens": total(some, "cache_read"),
            "output_tokens": total(some, "output"),
            "server_tool_use": {"web_search_requests": 0},
        }
        for named, some in parts.items()
    ]


def _costs(rows: list[Told], groups: list[str]) -> list[dict[str, Any]]:
    """`inference_geo` is null: the report is not grouped by it (same page)."""
    parts: dict[tuple[str | None, ...], int] = defaultdict(int)
    for each in rows:
        for counter in COUNTERS:
            if not getattr(each.row, counter):
                continue
            named: tuple[str | None, ...] = (None,) * 5
            if "description" in groups:
                window = dimension(each, "context_window")
                geo = " (US)" if each.row.inference_geo == "us" else ""
                text = f"{each.model.name} Usage - {TOKENS[counter]}{geo}"
                named = (text, each.row.model, TOKENS[counter], window, each.row.service_tier)
            parts[named] += each.nanos(counter)
    return [
        {
            "amount": cents(nanos),
            "currency": "USD",
            "cost_type": "tokens" if text else None,
            "description": text,
            "model": model,
            "token_type": token_type,
            "context_window": window,
            "service_tier": tier,
            "inference_geo": None,
            "workspace_id": None,
        }
        for (text, model, token_type, window, tier), nanos in parts.items()
    ]


def cents(nanos: int) -> str:
    return f"{nanos // _CENT}.{nanos % _CENT:07d}".rstrip("0").rstrip(".")


def total(rows: Iterable[Told], counter: str) -> int:
    return sum(getattr(each.row, counter) for each in rows)


def dimension(each: Told, group: str) -> str | None:
    row = each.row
    prompt = row.input + row.cache_write_5m + row.cache_write_1h + row.cache_read
    return {
        "api_key_id": key_id(row.key),
        "model": row.model,
        "inference_geo": row.inference_geo,
        "service_tier": row.service_tier,
        "context_window": "200k-1M" if prompt > 200_000 else "0-200k",
        "workspace_id": None,
    }[group]


def at_of(each: Told, by_start: bool) -> datetime:
    return datetime.fromtimestamp((each.row.asked_at if by_start else each.row.at) / 1000, UTC)


def key_id(mark: str) -> str:
    return f"apikey_01{mark}"


def snapped(at: datetime, size: timedelta) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (at - midnight) // size * size


def time_of(text: str | None, name: str) -> datetime:
    if text is None:
        raise Refused(f"{name}: Field required")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise Refused(f"{name}: {text!r} is not an RFC 3339 time") from None


def said(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def whole(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise Refused(f"limit: {text!r} is not a number from {least} to {most}")
    return int(text)
