"""Which window and which runs an address asks for: the words of `python -m bot metrics`, and `days`.

`days=30` is today and the 29 days before, which is also what is shown where nothing is said; `days=all` is
everything since the beginning. `since` is the first day, `until` the one after the last; beside them `days`
does not count. Between the two are MOST_DAYS at most: pages draw each. `line=(none)` is: on no line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.core.signals import Only
from bot.services import Services
from bot.web.answers import Problem
from bot.web.who import Visitor

DAYS = (7, 30, 90)
ALL = "all"
PRESETS = (*((str(days), f"{days} days") for days in DAYS), (ALL, "All"))
MOST_DAYS = 3_660
NO_LINE = "(none)"
BY = ("developer", "repo", "class", "engine", "model", "line")
LONG = 200  # characters of a filter
NO_WINDOW = "`since` is the first day and `until` the one after the last: this is none"
TOO_LONG = f"from `since` to `until` are at most {MOST_DAYS:,} days; `days={ALL}` is everything"
TOO_FAR = date(2900, 1, 1)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)  # of the ways to write one (ISO 8601) the one


@dataclass(frozen=True, slots=True)
class Window:
    """[since, until) in ms; `first` and `last` are the days of it as people in `zone` count them. `days`: as
    the address says it, "" where it names two days."""

    since: int
    until: int
    first: date
    last: date
    days: str
    zone: str

    @property
    def before(self) -> tuple[int, int] | None:
        """The one that is as long and ends where this one begins; of everything there is none."""
        return (2 * self.since - self.until, self.since) if self.days != ALL else None

    @property
    def called(self) -> str:
        """`the 30 days before`: what it is compared with."""
        length = (self.last - self.first).days + 1
        return f"the {length} days before" if length > 1 else "the day before"


def text(args: Mapping[str, str], name: str) -> str:
    """A filter as it is given, "" if it is not. Raises Problem 400."""
    given = args.get(name, "").strip()
    if len(given) > LONG or not given.isprintable():
        raise Problem(400, f"`{name}` is no filter that could fit anything")
    return given


def word(args: Mapping[str, str], name: str, words: tuple[str, ...], otherwise: str = "") -> str:
    """One of these. Raises Problem 400."""
    given = text(args, name)
    if given and given not in words:
        raise Problem(400, f"`{name}` is {', '.join(words[:-1])} or {words[-1]}, not {given[:40]!r}")
    return given or otherwise


def window(args: Mapping[str, str], now_ms: int, zone: str) -> Window:
    """Raises Problem 400."""
    local = ZoneInfo(zone)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(local).date()
    days, since, until = text(args, "days"), _day(args, "since"), _day(args, "until")
    length = _number(days)
    if days == ALL and not since and not until:
        return Window(0, now_ms + 1, date(1970, 1, 1), today, ALL, zone)
    last = until - timedelta(days=1) if until else today
    if since is None:
        first = last - timedelta(days=length - 1)
    elif since > last:
        raise Problem(400, NO_WINDOW)
    elif (last - since).days >= MOST_DAYS:
        raise Problem(400, TOO_LONG)
    else:
        first = since
    end = _midnight(until, local) if until else now_ms + 1
    named = "" if since or until else days or str(DAYS[1])
    return Window(_midnight(first, local), end, first, last, named, zone)


def only(args: Mapping[str, str], visitor: Visitor, by_person: bool) -> Only:
    """The runs that count of those that the visitor may see sums of; `by_person`: told apart by person.

    People may look at themselves wherever it was. Raises Problem 400.
    """
    repository, developer, line = text(args, "repo"), text(args, "developer"), text(args, "line")
    own = developer.lower() == visitor.login.lower()
    asked_apart = by_person or bool(developer)
    return Only(
        repository=repository,
        task_class=text(args, "class"),
        line=on_line(line),
        developer=developer,
        visible=None if own else visitor.sight.sums(by_person=asked_apart, named=bool(repository)),
        person=visitor.person if own else None,
    )


def choices(services: Services, visitor: Visitor) -> dict[str, Any]:
    """What a form offers of the filters that take any name: the names that the visitor may see."""
    policy, login = services.policy, visitor.login.lower()
    lines = [name for name, line in policy.lines.items() if visitor.sight.line(login in line.members)]
    return {
        "repositories": sorted(one.repo.full_name for one in visitor.access),
        "classes": sorted(policy.classes),
        "lines": [*sorted(lines), NO_LINE],
    }


def on_line(given: str) -> str | None:
    """The budget line of a filter: "" is none, None is any."""
    return None if not given else "" if given == NO_LINE else given


def between(args: Mapping[str, str], zone: str) -> tuple[int | None, int | None]:
    """When the days `since` and `until` begin (ms); None for one that is not given. Raises Problem 400."""
    since, until, local = _day(args, "since"), _day(args, "until"), ZoneInfo(zone)
    if since and until and since >= until:
        raise Problem(400, NO_WINDOW)
    return (_midnight(since, local) if since else None, _midnight(until, local) if until else None)


def _day(args: Mapping[str, str], name: str) -> date | None:
    given = text(args, name)
    if not given:
        return None
    try:
        found = date.fromisoformat(given if _DAY.fullmatch(given) else "")
    except ValueError:
        raise Problem(400, f"`{name}` is a day such as 2026-11-30, not {given[:40]!r}") from None
    if not date(1971, 1, 1) <= found < TOO_FAR:
        raise Problem(400, f"`{name}` is a day of a year in which there can be a ledger")
    return found


def _number(days: str) -> int:
    if days in ("", ALL):
        return DAYS[1]
    if not (days.isascii() and days.isdigit() and 1 <= int(days[:5]) <= MOST_DAYS):
        raise Problem(400, f"`days` is a number up to {MOST_DAYS:,}, or {ALL}, not {days[:40]!r}")
    return int(days)


def _midnight(day: date, local: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=local).timestamp() * 1000)
