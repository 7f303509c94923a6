"""Anthropic's Admin API, as far as it tells what was used: the usage report and the list of API keys.

Shapes: platform.claude.com/docs/en/api/admin/usage_report (copy of 2026-08-22), for `anthropic-version:
2023-06-01`, which is what is sent. The keys' list is the same in 2026-10-21 (anthropic SDK 2.13.0,
types/organization/api_key.py); that version's own usage report is another address, a beta, and not asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2

from bot.core.reconcile import MINUTE
from bot.core.usage import Usage

VERSION = "2023-06-01"
MINUTES = 1440  # of buckets a page, the most there is
KEYS = 1000  # a page, the most there is
PAGES = 400
TIMEOUT = 60.0
EVERY = 60.0  # seconds between two reports: "once per minute for sustained use" (docs: usage-cost-api)
TRIES = 4
LONGEST_WAIT = 120.0
GROUPS = ("api_key_id", "model", "inference_geo", "service_tier", "context_window")


class UsageError(Exception):
    """The report could not be read, or a key not be found in it. A sentence, never with a key in it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one minute's bucket has for a key, a model and where it ran. `at`: its start, ms since the epoch.

    `long`: of requests whose input was above 200,000 tokens.
    """

    at: int
    key_id: str
    usage: Usage
    long: bool


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

    def report(self, since: int, until: int, key_ids: Sequence[str]) -> Iterator[Counted]:
        """What these keys used, minute by minute, [since, until) in ms. Raises UsageError."""
        self._pause()
        query: list[tuple[str, str]] = [
            ("starting_at", _rfc3339(since)),
            # "Buckets that end before": one more, should that leave out one that ends just then.
            ("ending_at", _rfc3339(until + MINUTE)),
            ("bucket_width", "1m"),
            ("limit", str(MINUTES)),
            *(("group_by[]", group) for group in GROUPS),
            *(("api_key_ids[]", id) for id in key_ids),
        ]
        page: list[tuple[str, str]] = []
        for _ in range(PAGES):
            answer = self._get("/v1/organizations/usage_report/messages", [*query, *page])
            for bucket in _list(answer, "data"):
                at = _milliseconds(bucket, "starting_at")
                if at < until:
                    for row in _list(bucket, "results"):
                        yield _counted(at, row)
            if not answer.get("has_more"):
                return
            page = [("page", str(answer.get("next_page")))]
        raise UsageError(f"the usage report has more than {PAGES} pages; ask for fewer days")

    def _listed(self) -> Iterator[dict[str, Any]]:
        query = [("limit", str(KEYS))]
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

    def _get(self, path: str, query: list[tuple[str, str]]) -> dict[str, Any]:
        for tried in range(1, TRIES + 1):
            try:
                answer = self._http.get(path, params=tuple(query))
            except httpx2.HTTPError as error:
                why, pause = f"did not answer ({type(error).__name__})", 2.0**tried
            else:
                if answer.status_code == 200:
                    return _object(path, answer)
                why, pause = _why(answer), _pause_for(answer, tried)
                if answer.status_code not in (408, 429) and answer.status_code < 500:
                    break
            if tried < TRIES:
                self._wait(min(LONGEST_WAIT, pause))
        raise UsageError(f"Anthropic's Admin API {why} at {path}. Nothing was changed; try again later.")


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
    )


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


def _rfc3339(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _why(answer: httpx2.Response) -> str:
    """Status and the API's own words, which quote no key."""
    try:
        said = answer.json()["error"]["message"]
    except (ValueError, LookupError, TypeError):
        said = ""
    return f"answered {answer.status_code}" + (f" ({str(said)[:300]})" if said else "")


def _pause_for(answer: httpx2.Response, tried: int) -> float:
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else 2.0**tried
