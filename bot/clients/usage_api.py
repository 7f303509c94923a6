"""Anthropic's Admin API, as far as it tells what was used and billed: two reports and the list of API keys.

Shapes: platform.claude.com/docs/en/api/admin/{usage_report,cost_report} (copies of 2026-08-22), for
`anthropic-version: 2023-06-01`. Where these are gone, their successors of 2026-10-21 are asked. The list of
keys is the same in both (anthropic SDK 2.13.0, types/organization/api_key.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx2

from bot.clients import analytics_api
from bot.clients.analytics_api import rfc3339
from bot.clients.patient import Unanswered, ask
from bot.core.invoice import SEARCHES, Billed
from bot.core.money import CENT, Usd
from bot.core.times import DAY_MS, MINUTE_MS
from bot.core.usage import Usage

VERSION = "2023-06-01"
MINUTES = 1440  # of buckets a page, the most there is
DAYS = 31  # the same
KEYS = 1000  # a page, the most there is
PAGES = 400
TIMEOUT = 60.0
EVERY = 60.0  # seconds between two reports: "once per minute for sustained use" (docs: usage-cost-api)
GROUPS = ("api_key_id", "model", "inference_geo", "service_tier", "context_window")
USAGE, COST = "/v1/organizations/usage_report/messages", "/v1/organizations/cost_report"
_PARTS = {
    "uncached_input_tokens": "input",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_5m",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
    "cache_read_input_tokens": "cache_read",
    "output_tokens": "output",
}

Query = list[tuple[str, str]]
Say = Callable[[str, int], None]  # which report, and how many pages of it are read


def silent(report: str, pages: int) -> None:
    """For who needs no progress."""


class UsageError(Exception):
    """The report could not be read, or a key not be found in it. A sentence, never with a key in it."""


class Gone(UsageError):
    """There is nothing at that address, or no more."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one bucket has for a key, a model and where it ran. `at`: its start, ms since the epoch.

    `key_id`: "" for what no key asked, as in the Console. `long`: of requests whose input was above 200,000
    tokens. `workspace`: "" for the default one, and where it was not asked for.
    """

    at: int
    key_id: str
    usage: Usage
    long: bool
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of ours as the organization lists it. `created_at`: ms; before it, its name meant another."""

    id: str
    created_at: int


class UsageApi:
    """The Admin API of one organization. One thread at a time."""

    def __init__(
        self,
        base_url: str,
        admin_key: str,
        wait: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        headers = {"x-api-key": admin_key, "anthropic-version": VERSION}
        self._http = httpx2.Client(
            base_url=base_url, headers=headers, timeout=TIMEOUT, transport=transport, trust_env=False
        )
        self._wait = wait
        self._asked_at: float | None = None

    def close(self) -> None:
        self._http.close()

    def known(self, keys: Mapping[str, str]) -> dict[str, KnownKey]:
        """Each key in the organization's list, by name; `keys` are values by name. Raises UsageError.

        Nothing but the hint of a key tells which it is: `sk-ant-api03-R2D...igAA`.
        """
        listed = list(self._listed())
        found: dict[str, KnownKey] = {}
        for name, value in keys.items():
            alike = [key for key in listed if _hints_at(key.get("partial_key_hint"), value)]
            if len(alike) != 1:
                why = "no key" if not alike else f"{len(alike)} keys"
                raise UsageError(
                    f"{name} cannot be told apart in the organization's list of API keys: {why} of the "
                    f"{len(listed)} there look like it. Nothing was changed; is the admin key of the same "
                    "organization?"
                )
            known = KnownKey(str(alike[0].get("id")), _milliseconds(alike[0], "created_at"))
            if known in found.values():
                raise UsageError(f"{name} is the same key as another of ours. Nothing was changed.")
            found[name] = known
        return found

    def names(self) -> dict[str, str]:
        """What the organization calls each of its keys, by id. Raises UsageError."""
        return {str(key.get("id")): str(key.get("name") or "") for key in self._listed()}

    def report(self, since: int, until: int, key_ids: Sequence[str], say: Say = silent) -> Iterator[Counted]:
        """What these keys used, minute by minute, [since, until) in ms. Raises UsageError."""
        self._pause()
        query = [
            ("bucket_width", "1m"),
            ("limit", str(MINUTES)),
            *(("group_by[]", group) for group in GROUPS),
            *(("api_key_ids[]", id) for id in key_ids),
        ]
        for at, row in self._rows(USAGE, since, until, MINUTE_MS, query, say):
            yield _counted(at, row)

    def days(self, since: int, until: int, say: Say = silent) -> Iterator[Counted]:
        """What all keys of the organization used, day by day (UTC), as `report`."""
        groups = (("group_by[]", group) for group in (*GROUPS, "workspace_id"))
        query = [("bucket_width", "1d"), ("limit", str(DAYS)), *groups]
        for at, row in self._rows(USAGE, since, until, DAY_MS, query, say):
            yield _counted(at, row)

    def costs(self, since: int, until: int, say: Say = silent) -> Iterator[Billed]:
        """What the organization was billed, day by day (UTC), [since, until) in ms. Raises UsageError."""
        groups = (("group_by[]", group) for group in ("workspace_id", "description"))
        query = [("bucket_width", "1d"), ("limit", str(DAYS)), *groups]
        for at, row in self._rows(COST, since, until, DAY_MS, query, say):
            yield _billed(at, row)

    def _rows(
        self, path: str, since: int, until: int, width: int, query: Query, say: Say
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row of a report, with the start of its bucket (ms). `width`: of a bucket."""
        try:
            yield from self._before(path, since, until, width, query, say)
        except Gone:
            yield from self._since(path, since, until, width, query, say)

    def _before(
        self, path: str, since: int, until: int, width: int, query: Query, say: Say
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        # "Buckets that end before": one more, should that leave out one that ends just then.
        window = [("starting_at", rfc3339(since)), ("ending_at", rfc3339(until + width))]
        page: Query = []
        for number in range(1, PAGES + 1):
            try:
                answer = self._get(path, [*window, *query, *page])
            except Gone as error:
                if number > 1:  # what was read of it is not to be read twice
                    raise UsageError(str(error)) from error
                raise
            say(path, number)
            for bucket in _list(answer, "data"):
                at = _milliseconds(bucket, "starting_at")
                if since <= at < until:
                    for row in _list(bucket, "results"):
                        yield at, row
            if not answer.get("has_more"):
                return
            page = [("page", str(answer.get("next_page")))]
        raise UsageError(f"the report at {path} has more than {PAGES} pages; ask for fewer days")

    def _since(
        self, path: str, since: int, until: int, width: int, query: Query, say: Say
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        path = analytics_api.COST if path == COST else analytics_api.USAGE
        ids = [value for name, value in query if name == "api_key_ids[]"]
        for number, answer in enumerate(
            analytics_api.pages(self._get, path, since, until, width, ids), start=1
        ):
            if number > PAGES:
                raise UsageError(f"the report at {path} has more than {PAGES} pages; ask for fewer days")
            say(path, number)
            for item in _list(answer, "data"):
                yield _milliseconds(item, "starting_at"), analytics_api.row(item)

    def _listed(self) -> Iterator[dict[str, Any]]:
        query: Query = [("limit", str(KEYS))]
        for _ in range(PAGES):
            answer = self._get("/v1/organizations/api_keys", query)
            yield from _list(answer, "data")
            if not answer.get("has_more"):
                return
            query = [("limit", str(KEYS)), ("after_id", str(answer.get("last_id")))]
        raise UsageError(f"the organization has more than {PAGES * KEYS} API keys")

    def _pause(self) -> None:
        now = time.monotonic()
        if self._asked_at is not None and (left := self._asked_at + EVERY - now) > 0:
            self._wait(left)
        self._asked_at = time.monotonic()

    def _get(self, path: str, query: Query, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        def send() -> httpx2.Response:
            return self._http.get(path, params=tuple(query), headers=headers)

        try:
            return _object(path, ask(send, _why, self._wait))
        except Unanswered as why:
            said = f"Anthropic's Admin API {why} at {path}. Nothing was changed; try again later."
            raise Gone(said) if why.status in (404, 410) else UsageError(said) from why


def _hints_at(hint: Any, key: str) -> bool:
    start, dots, end = hint.partition("...") if isinstance(hint, str) else ("", "", "")
    told = len(start) + len(end)
    return bool(dots and told) and told <= len(key) and key.startswith(start) and key.endswith(end)


def _counted(at: int, row: dict[str, Any]) -> Counted:
    writes, tools = row.get("cache_creation"), row.get("server_tool_use")
    return Counted(
        at=at,
        key_id=str(row.get("api_key_id") or ""),
        usage=Usage(
            input=_tokens(row, "uncached_input_tokens"),
            cache_write_5m=_tokens(writes, "ephemeral_5m_input_tokens"),
            cache_write_1h=_tokens(writes, "ephemeral_1h_input_tokens"),
            cache_read=_tokens(row, "cache_read_input_tokens"),
            output=_tokens(row, "output_tokens"),
            web_searches=_tokens(tools, "web_search_requests") if tools else 0,
            model=str(row.get("model") or ""),
            geo=str(row.get("inference_geo") or ""),
            service_tier=str(row.get("service_tier") or ""),
        ),
        long=row.get("context_window") == "200k-1M",
        workspace=str(row.get("workspace_id") or ""),
    )


def _billed(at: int, row: dict[str, Any]) -> Billed:
    kind = str(row.get("cost_type") or "")
    part = _PARTS.get(str(row.get("token_type")), "") if kind == "tokens" else ""
    if row.get("currency") != "USD":
        raise UsageError(f"a line of the cost report is in {row.get('currency')!r}, and not in US dollars")
    if kind == "tokens" and not (part and row.get("model")):
        raise UsageError("a line of the cost report says neither of which model nor of which tokens it is")
    amount, rounded = _cents(row.get("amount"))
    return Billed(
        at=at,
        workspace=str(row.get("workspace_id") or ""),
        model=str(row.get("model") or ""),
        part=SEARCHES if kind == "web_search" else part,
        tier=str(row.get("service_tier") or ""),
        amount=amount,
        rounded=rounded,
    )


def _cents(text: Any) -> tuple[Usd, int]:
    """An amount in cents, "123.45" for $1.2345, and what one of its last digit is in nano-dollars."""
    try:
        cents = Decimal(text if isinstance(text, str) else "")
        exponent = cents.as_tuple().exponent
        if not isinstance(exponent, int):  # NaN and infinity
            raise InvalidOperation
    except InvalidOperation as error:
        raise UsageError(f"the cost report has {text!r} in the place of an amount of cents") from error
    return Usd(round(cents * CENT)), max(1, int(CENT * Decimal(10) ** min(exponent, 0)))


def _tokens(row: Any, name: str) -> int:
    count = row.get(name) if isinstance(row, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UsageError(f"a row of the usage report has no {name}: missing is never zero")
    return count


def _list(answer: Any, name: str) -> list[dict[str, Any]]:
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"an answer of Anthropic's Admin API has no list {name!r}")
    return found


def _object(path: str, answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"Anthropic's Admin API answered {path} with something that is no JSON object")
    return found


def _milliseconds(said: dict[str, Any], name: str) -> int:
    try:
        return round(datetime.fromisoformat(str(said.get(name))).timestamp() * 1000)
    except ValueError as error:
        raise UsageError(f"an answer of Anthropic's Admin API has no time {name!r}") from error


def _why(answer: httpx2.Response) -> str:
    """Status and the API's own words, which quote no key."""
    try:
        said = answer.json()["error"]["message"]
    except (ValueError, LookupError, TypeError):
        said = ""
    return f"answered {answer.status_code}" + (f" ({str(said)[:300]})" if said else "")
