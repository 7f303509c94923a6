"""Cursor's Admin API, as far as it tells what a team used and what that is charged.

Shapes: cursor.com/docs/account/teams/admin-api and cursor.com/docs/api, copies of 2025-11 and of 2026: both
are read. The later one has `chargedCents`, "to reconcile event-level costs with /teams/spend totals"; the
earlier only what the model cost. Amounts are cents with fractions; times are milliseconds, UTC.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import httpx2

from bot.clients.patient import Unanswered, ask, pause_for
from bot.core.cursor import Amounts, Event, Key
from bot.core.money import CENT, Usd
from bot.core.times import DAY_MS

EVENTS, SPEND = "/teams/filtered-usage-events", "/teams/spend"
PAGE = 500  # events: no most is documented; what is answered is gone by, whatever was asked for
PAGES = 10_000
A_MINUTE = 20  # requests of a team, documented
READINGS = 3  # of what goes on changing while it is read
BEFORE = 30 * DAY_MS  # the longest time that one request may ask for
TIMEOUT = 60.0
MOST_CENTS = 10**9  # of one event or one person: more is no amount
MOST_TOKENS = 10**12
LONGEST_EMAIL = 320
EARLIEST, LATEST = 1_262_304_000_000, 4_102_444_800_000  # 2010 and 2100, ms: outside is no time

Say = Callable[[str, int], None]  # which report, and which page of it is asked for


def silent(report: str, page: int) -> None:
    """For who needs no progress."""


class CursorError(Exception):
    """What Cursor tells could not be read. A sentence, never with a key in it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What Cursor itself says that each account has spent since `since` (ms), by e-mail in lower case."""

    since: int
    by_email: Mapping[str, Usd]


class CursorApi:
    """The Admin API of one team. One thread at a time."""

    def __init__(
        self,
        base_url: str,
        admin_key: str,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._http = httpx2.Client(
            base_url=base_url, auth=(admin_key, ""), timeout=TIMEOUT, transport=transport, trust_env=False
        )
        self._key = admin_key
        self._wait, self._clock = wait, clock
        self._asked: deque[float] = deque(maxlen=A_MINUTE)

    def close(self) -> None:
        self._http.close()

    def events(self, since: int, until: int, say: Say = silent) -> tuple[Event, ...]:
        """Every event of [since, until) ms, at most 30 days, read whole. Raises CursorError.

        Pages are counted from the latest event on: one that comes while they are read moves all others. So
        they are read anew until their number is the one that is told, or they are the same twice.
        """
        before: list[Event] | None = None
        for _ in range(READINGS):
            found, whole = self._reading(since, until, say)
            if whole or (whole is None and found == before):
                return tuple(event for event in found if since <= event.key.at < until)
            before = found
        raise CursorError(
            f"what Cursor's Admin API tells at {EVENTS} changed each of the {READINGS} times that it was "
            "read. Nothing of it was booked; the next import reads it again."
        )

    def older(self, before: int) -> bool:
        """Whether it still tells of anything in the thirty days before that time. Raises CursorError."""
        asked = {"startDate": before - BEFORE, "endDate": before - 1, "page": 1, "pageSize": 1}
        found = _list(self._post(EVENTS, asked), "usageEvents")
        return any(_event(each).key.at < before for each in found)

    def spent(self, say: Say = silent) -> Spent:
        """What each account has spent in the current billing cycle, included use too where that is told.

        Raises CursorError.
        """
        found: dict[str, Usd] = {}
        for page in range(1, PAGES + 1):
            answer = self._post(SPEND, {"page": page, "pageSize": PAGE}, partial(say, SPEND, page))
            for member in _list(answer, "teamMemberSpend"):
                cents = member.get("overallSpendCents", member.get("spendCents"))
                found[_email(member, "email")] = Usd(_nanos(cents, "spendCents"))
            if page >= _whole(answer.get("totalPages"), "totalPages", PAGES):
                return Spent(_time(answer.get("subscriptionCycleStart"), "subscriptionCycleStart"), found)
        raise CursorError(f"{SPEND} has more than {PAGES} pages")

    def _reading(self, since: int, until: int, say: Say) -> tuple[list[Event], bool | None]:
        """The pages as they are now, in order of the events; whether that is all of them, None: not told."""
        # Whether the ends belong to it is not documented: one more on either side, and left out afterwards.
        window = {"startDate": since - 1, "endDate": until}
        found: list[Event] = []
        counts = set()
        pages = 0
        for answer in self._pages(window, say):
            found += [_event(each) for each in _list(answer, "usageEvents")]
            counts.add(_count(answer))
            pages += 1
        if counts == {None}:
            return sorted(found), True if pages == 1 else None
        return sorted(found), counts == {len(found)}

    def _pages(self, window: dict[str, int], say: Say) -> Iterator[dict[str, Any]]:
        for page in range(1, PAGES + 1):
            asked = window | {"page": page, "pageSize": PAGE}
            answer = self._post(EVENTS, asked, partial(say, EVENTS, page))
            yield answer
            more = _object(answer.get("pagination"), "pagination").get("hasNextPage")
            if more is False:
                return
            if more is not True:
                raise CursorError(
                    f"page {page} of {EVENTS} does not say whether there is another (hasNextPage)"
                )
            if not answer["usageEvents"]:
                raise CursorError(f"page {page} of {EVENTS} is empty, and says that another one follows")
        raise CursorError(f"{EVENTS} has more than {PAGES} pages; ask for fewer days")

    def _post(
        self, path: str, body: dict[str, int], say: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        def send() -> httpx2.Response:
            say()
            self._pace()
            return self._http.post(path, json=body)

        try:
            return _object(_json(ask(send, self._why, self._wait, _pause), path), path)
        except Unanswered as why:
            raise CursorError(
                f"Cursor's Admin API {why} at {path}. Nothing of it was booked; the next import reads it "
                "again."
            ) from why

    def _pace(self) -> None:
        if len(self._asked) == A_MINUTE and (left := self._asked[0] + 60 - self._clock()) > 0:
            self._wait(left)
        self._asked.append(self._clock())

    def _why(self, answer: httpx2.Response) -> str:
        """Status and the API's own words; should they quote the key, without it."""
        try:
            told = answer.json()
            said = str(told.get("message") or told.get("error") or "")
        except (ValueError, AttributeError, RecursionError):
            said = ""
        said = " ".join(said.replace(self._key, "…").split())[:300]
        refused = answer.status_code in (401, 403)
        hint = ": is CURSOR_ADMIN_KEY (still) an admin key of the team?" if refused else ""
        return f"answered {answer.status_code}" + (f" ({said})" if said else "") + hint


def _event(told: dict[str, Any]) -> Event:
    usage = told.get("tokenUsage")
    tokens = {} if usage is None else _object(usage, "tokenUsage")
    nanos, priced = _charged(told, tokens)
    amounts = Amounts(
        nanos,
        _tokens(tokens, "inputTokens"),
        _tokens(tokens, "outputTokens"),
        _tokens(tokens, "cacheWriteTokens"),
        _tokens(tokens, "cacheReadTokens"),
    )
    at = _time(told.get("timestamp"), "timestamp")
    return Event(
        Key(at, _email(told, "userEmail"), _text(told, "model"), _text(told, "kind")), amounts, priced
    )


def _charged(told: dict[str, Any], tokens: dict[str, Any]) -> tuple[int, bool]:
    """Nano-dollars, and whether any amount is told. What was billed by tokens must have one."""
    if told.get("chargedCents") is not None:
        return _nanos(told["chargedCents"], "chargedCents"), True
    if tokens.get("totalCents") is None:
        if told.get("isTokenBasedCall") is not False:
            raise CursorError(
                "an event of Cursor's Admin API has neither chargedCents nor tokenUsage.totalCents: missing "
                "is never zero"
            )
        return 0, False
    fee = told.get("cursorTokenFee")
    model = _nanos(tokens["totalCents"], "totalCents")
    return model + (0 if fee is None else _nanos(fee, "cursorTokenFee")), True


def _nanos(cents: Any, name: str) -> int:
    amount = Decimal(cents) if isinstance(cents, int | Decimal) and not isinstance(cents, bool) else None
    if amount is None or abs(amount) > MOST_CENTS:
        raise CursorError(
            f"Cursor's Admin API has {_shown(cents)} in the place of an amount of cents ({name})"
        )
    return round(amount * CENT)  # to the nearest: 40.16699999999999 is what a float makes of 40.167


def _tokens(usage: dict[str, Any], name: str) -> int:
    """They are shown and cost nothing by themselves; what is not told of them is none."""
    return _whole(usage.get(name) or 0, name, MOST_TOKENS)


def _time(told: Any, name: str) -> int:
    """Milliseconds; events have them as text."""
    text = str(told) if isinstance(told, int | str) and not isinstance(told, bool) else ""
    plain = text.isascii() and text.isdigit() and len(text) <= 15
    if not plain or not EARLIEST <= int(text) < LATEST:
        raise CursorError(f"Cursor's Admin API has {_shown(told)} in the place of a time in ms ({name})")
    return int(text)


def _email(told: dict[str, Any], name: str) -> str:
    return _text(told, name, LONGEST_EMAIL).lower()


def _text(told: dict[str, Any], name: str, most: int = 100) -> str:
    found = told.get(name)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > most or not found.isprintable():
        raise CursorError(f"Cursor's Admin API has {_shown(found)} in the place of a text ({name})")
    return found.strip()


def _count(answer: dict[str, Any]) -> int | None:
    told = answer.get("totalUsageEventsCount")
    return None if told is None else _whole(told, "totalUsageEventsCount", 10**9)


def _whole(told: Any, name: str, most: int) -> int:
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told <= most:
        raise CursorError(f"Cursor's Admin API has {_shown(told)} in the place of a whole number ({name})")
    return told


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CursorError(f"an answer of Cursor's Admin API has no list {name!r}")
    return found


def _object(found: Any, name: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise CursorError(f"an answer of Cursor's Admin API has no object {name!r}")
    return found


def _json(answer: httpx2.Response, path: str) -> Any:
    """Every digit of an amount as it is told."""
    try:
        return json.loads(answer.content, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CursorError(f"Cursor's Admin API answered {path} with something that is no JSON") from error


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _shown(told: Any) -> str:
    return ascii(told)[:60]


def _pause(answer: httpx2.Response, tried: int) -> float:
    """Longer after too many requests: they are counted by the minute."""
    return pause_for(answer, 15.0 * tried if answer.status_code == 429 else 2.0**tried)
