"""Cursor's Admin API: usage events, spend by user, members; its rate limit, and faults on demand.

Shapes: cursor.com/docs/account/teams/admin-api and cursor.com/docs/api, copies of 2025-11 and of 2026.
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.claude.http import Played, Response, Writer
from sandbox.claude.reading import Request

EVENTS, SPEND, MEMBERS = "/teams/filtered-usage-events", "/teams/spend", "/teams/members"
LONGEST = 30 * 86_400_000  # ms of one request: "Date range cannot exceed 30 days"
MOST = 1_000  # of a page; no most is documented for events, so more is answered with that many


class Wrong(Exception):
    """The request cannot be answered: 400 with this sentence."""


@dataclass(slots=True)
class Fault:
    """What becomes of one request. `status`: that, with `body` or the usual words; `cut`: half the answer and
    then nothing; `body`: that text in place of the answer; `add`: events that came by just afterwards."""

    status: int = 200
    cut: bool = False
    body: str = ""
    retry_after: str = ""
    add: tuple[dict[str, Any], ...] = ()

    @staticmethod
    def read(wish: dict[str, Any]) -> Fault:
        return Fault(**(wish | {"add": tuple(wish.get("add", ()))}))


class Cursor:
    """One team. `events` in whatever order; they are told latest first."""

    def __init__(
        self,
        key: str,
        events: list[dict[str, Any]],
        a_minute: int = 20,
        cycle_start: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key = key
        self.events = events
        self.a_minute = a_minute
        self.cycle_start = cycle_start
        self.faults: deque[Fault] = deque()
        self.oldest = 0  # ms: what is older is told no more
        self.asked: list[dict[str, Any]] = []
        self._clock = clock
        self._times: deque[float] = deque()

    def handle(self, request: Request) -> Response | Played:
        if request.path.startswith("/_sandbox/"):
            return self._control(request)
        expected = "Basic " + base64.b64encode(f"{self.key}:".encode()).decode()
        if request.headers.get("authorization") != expected:
            return refusal(401, "Invalid API key")
        if (left := self._limited()) is not None:
            return refusal(429, "Rate limit exceeded. Please try again later.", left)
        fault = self.faults.popleft() if self.faults else Fault()
        try:
            answer = self._answer(request)
        except (Wrong, ValueError, KeyError, TypeError) as wrong:
            return refusal(400, str(wrong))
        self.events += fault.add
        if fault.status != 200:
            return refusal(fault.status, fault.body or "Something went wrong", fault.retry_after)
        body = fault.body.encode() if fault.body else json.dumps(answer).encode()
        if fault.cut:
            return Played(lambda pen: _half(pen, body))
        return Response(200, body)

    def _limited(self) -> str | None:
        """Seconds until there is room in the last minute; None: there is."""
        now = self._clock()
        while self._times and self._times[0] <= now - 60:
            self._times.popleft()
        if self.a_minute and len(self._times) >= self.a_minute:
            return str(int(self._times[0] + 60 - now) + 1)
        self._times.append(now)
        return None

    def _answer(self, request: Request) -> dict[str, Any]:
        match request.method, request.path:
            case "POST", path if path == EVENTS:
                return self._events(json.loads(request.body or b"{}"))
            case "POST", path if path == SPEND:
                return self._spend(json.loads(request.body or b"{}"))
            case "GET", path if path == MEMBERS:
                return {
                    "teamMembers": [{"name": n, "email": e, "role": "member"} for e, n in self._members()]
                }
        raise Wrong(f"{request.method} {request.path}: there is no such endpoint")

    def _events(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        since, until = asked.get("startDate", 0), asked.get("endDate", 2**53)
        if "startDate" in asked and until - since > LONGEST + 1:
            raise Wrong("Date range cannot exceed 30 days")
        shown = sorted(
            (
                event
                for event in self.events
                if max(since, self.oldest) <= int(event["timestamp"]) <= until
                and asked.get("email", event.get("userEmail")) == event.get("userEmail")
            ),
            key=lambda event: -int(event["timestamp"]),
        )
        page, size = _page(asked, 10)
        pages = max(1, -(-len(shown) // size))
        return {
            "totalUsageEventsCount": len(shown),
            "pagination": {
                "numPages": pages,
                "currentPage": page,
                "pageSize": size,
                "hasNextPage": page < pages,
                "hasPreviousPage": page > 1,
            },
            "usageEvents": shown[(page - 1) * size : page * size],
            "period": {"startDate": since, "endDate": until},
        }

    def _spend(self, asked: dict[str, Any]) -> dict[str, Any]:
        members = self._members()
        page, size = _page(asked, 100)
        return {
            "teamMemberSpend": [
                self._member(number, email, name)
                for number, (email, name) in enumerate(members, 1)
                if (page - 1) * size < number <= page * size
            ],
            "subscriptionCycleStart": self.cycle_start,
            "totalMembers": len(members),
            "totalPages": max(1, -(-len(members) // size)),
        }

    def _member(self, number: int, email: str, name: str) -> dict[str, Any]:
        mine = [
            event
            for event in self.events
            if event.get("userEmail") == email and int(event["timestamp"]) >= self.cycle_start
        ]
        return {
            "userId": number,
            "name": name,
            "email": email,
            "role": "member",
            "spendCents": round(sum(_cents(event) for event in mine if event.get("isChargeable", True))),
            "overallSpendCents": round(sum(_cents(event) for event in mine)),
            "fastPremiumRequests": len(mine),
            "hardLimitOverrideDollars": 0,
            "monthlyLimitDollars": None,
        }

    def _members(self) -> list[tuple[str, str]]:
        emails = {str(event["userEmail"]) for event in self.events if event.get("userEmail")}
        return [(email, email.partition("@")[0].title()) for email in sorted(emails)]

    def _control(self, request: Request) -> Response:
        """What Cursor itself would do out of sight. GET /_sandbox/state tells what there is and was asked."""
        wish = json.loads(request.body or b"null")
        match request.path.removeprefix("/_sandbox/"):
            case "events":  # all of them, from now on
                self.events = list(wish)
            case "faults":  # of the next requests, one each
                self.faults = deque(Fault.read(each) for each in wish)
            case "conduct":
                self.a_minute = int(wish.get("a_minute", self.a_minute))
                self.oldest = int(wish.get("oldest", self.oldest))
                self.cycle_start = int(wish.get("cycle_start", self.cycle_start))
            case _:
                pass
        told = {"events": self.events, "asked": self.asked, "faults": len(self.faults)}
        return Response(200, json.dumps(told).encode())


def refusal(status: int, sentence: str, retry_after: str = "") -> Response:
    words = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
    body = json.dumps({"error": words.get(status, "Internal Server Error"), "message": sentence})
    return Response(status, body.encode(), (("retry-after", retry_after),) if retry_after else ())


async def _half(pen: Writer, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    pen.raw(head.encode() + body[: len(body) // 2])
    pen.cut()


def _page(asked: dict[str, Any], size: int) -> tuple[int, int]:
    page, size = asked.get("page", 1), asked.get("pageSize", size)
    if not (isinstance(page, int) and page >= 1 and isinstance(size, int) and size >= 1):
        raise Wrong("page and pageSize must be positive integers")
    return page, min(size, MOST)


def _cents(event: dict[str, Any]) -> float:
    return float(event.get("chargedCents", event.get("tokenUsage", {}).get("totalCents", 0)))
