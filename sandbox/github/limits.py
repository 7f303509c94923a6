"""GitHub's rate limits, for tests that ask for them: so many requests an hour, so much content a minute.

Source: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, read 2026-11: about 80 requests
a minute and 500 an hour may create content, each installation for itself; 5,000 requests an hour in all.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from dataclasses import dataclass, field

from flask import request

from sandbox.github.access import Caller, Refused

MINUTE, HOUR = 60.0, 3600.0
CONTENT = re.compile(
    r"/(comments|replies|reactions|check-runs|pulls|issues|labels|merge|dispatches|contents)\b|/git/(commits|refs)"
)
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach "
    "out to GitHub Support for help, please include the request ID."
)


class Limited(Refused):
    """A 403 that says when to come back, or does not."""

    def __init__(self, message: str, headers: dict[str, str]) -> None:
        super().__init__(403, message)
        self.headers = headers


@dataclass
class Account:
    """What one installation has used."""

    content: deque[float] = field(default_factory=deque)
    asked: deque[float] = field(default_factory=deque)
    limited_until: float = 0.0
    defied: int = 0  # requests while it was told to wait: what may get an App banned
    content_most: int = 0  # content made within any minute


@dataclass
class Limits:
    """None: that one does not hold. `silent`: a secondary limit does not say when to come back."""

    per_minute: int | None = None
    per_hour: int | None = None
    requests_per_hour: int | None = None
    silent: bool = False
    accounts: defaultdict[int, Account] = field(default_factory=lambda: defaultdict(Account))

    def of(self, caller: Caller) -> Account | None:
        token = caller.token
        return self.accounts[token.installation.id] if token and token.installation else None

    def check(self, caller: Caller, now: float) -> None:
        """Counts a request of an installation. Raises Limited."""
        mine = self.of(caller)
        if mine is None or caller.kind != "installation":
            return
        if now < mine.limited_until:
            mine.defied += 1
            raise self._secondary(mine, now)
        keep(mine.asked, now - HOUR)
        if self.requests_per_hour is not None and len(mine.asked) >= self.requests_per_hour:
            raise Limited("API rate limit exceeded for installation.", {})
        mine.asked.append(now)
        if request.method == "GET" or not CONTENT.search(request.path):
            return
        keep(mine.content, now - HOUR)
        lately = sum(at > now - MINUTE for at in mine.content)
        if (self.per_minute is not None and lately >= self.per_minute) or (
            self.per_hour is not None and len(mine.content) >= self.per_hour
        ):
            mine.limited_until = now + MINUTE
            raise self._secondary(mine, now)
        mine.content.append(now)
        mine.content_most = max(mine.content_most, lately + 1)

    def headers(self, caller: Caller, now: float, ahead: float) -> dict[str, str]:
        """x-ratelimit-…, of an installation that has a limit here; the reset by the clock of answers, which
        `now` is ahead of."""
        mine = self.of(caller)
        if mine is None or self.requests_per_hour is None:
            return {}
        used = len(mine.asked)
        return {
            "x-ratelimit-limit": str(self.requests_per_hour),
            "x-ratelimit-remaining": str(max(0, self.requests_per_hour - used)),
            "x-ratelimit-used": str(used),
            "x-ratelimit-reset": str(int((mine.asked[0] if mine.asked else now) + HOUR - ahead) + 1),
        }

    def _secondary(self, mine: Account, now: float) -> Limited:
        wait = {} if self.silent else {"retry-after": str(int(mine.limited_until - now) + 1)}
        return Limited(SECONDARY, wait)


def keep(times: deque[float], since: float) -> None:
    while times and times[0] <= since:
        times.popleft()
