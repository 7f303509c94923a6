"""Monthly caps: what a person, a repository, a whole installation may spend (R20, R21, P4).

A cap stands over every run that was launched in its month: a live one counts with all that it may still
spend, an ended one with what it spent. So runs side by side cannot overdraw it together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from bot.core.money import ZERO, Usd

LEAST = Usd.parse("0.50")  # a launch that could get less than this is refused (P4)
SLICES = 4  # each acknowledgement opens a quarter of the cap more (P4)
NOTICE = 75  # percent of the cap at which its person is told, once a month (R21)


class Scope(StrEnum):
    """Whose spend a cap is over."""

    PERSON = "person"
    REPOSITORY = "repository"
    INSTALLATION = "installation"
    LINE = "line"
    SWEEP = "sweep"

    @property
    def monthly(self) -> bool:
        """Whether it begins anew each month; a sweep's total is one for as long as it takes."""
        return self is not Scope.SWEEP


@dataclass(frozen=True, slots=True)
class Caps:
    """The service policy's `caps`. `people` and `repositories` by their names in lower case.

    `everyone` is the cap of who is not named in `people`; None: nobody else has one. `accounts`: whose each
    e-mail address at Cursor is (the policy's `cursor`), both in lower case.
    """

    zone: str = "UTC"
    everyone: Usd | None = None
    people: Mapping[str, Usd] = field(default_factory=dict)
    repositories: Mapping[str, Usd] = field(default_factory=dict)
    installation: Usd | None = None
    acknowledge: str = "self"  # who opens a person's next slice: self | approver
    tiers: Mapping[str, Usd] = field(default_factory=dict)
    mention: bool = False  # the notice at 75 % mentions the person, so that GitHub tells them
    accounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A budget line (R22): its month, who may spend it, the variable of its key, how many runs at once.

    `members` in lower case; `key` "" is the key that the person's team has.
    """

    monthly: Usd
    members: frozenset[str]
    key: str = ""
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """People, in lower case, whose runs are sent with a key of their own, by the name of its variable."""

    members: frozenset[str]
    key: str


@dataclass(frozen=True, slots=True)
class Cap:
    """One cap that holds for a launch. `id`: GitHub's number of whose it is, a line's name or a sweep's id;
    `name`: how people call it; `accounts`: the e-mail addresses at Cursor whose use counts under it too."""

    scope: Scope
    id: str
    name: str
    usd: Usd
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A cap in a month ("" where it knows none): what is spent, what live runs may still spend, how often it
    was acknowledged. A run that waits holds nothing. `cursor`: the part of `spent` that Cursor's admin API
    tells of."""

    cap: Cap
    month: str
    spent: Usd
    held: Usd
    acknowledged: int = 0
    live: int = 0  # runs of that month: open or running
    cursor: Usd = ZERO

    @property
    def most(self) -> Usd:
        """The cap with the slices that were opened."""
        return self.cap.usd + slice_of(self.cap.usd) * self.acknowledged

    @property
    def left(self) -> Usd:
        """What a launch may be given."""
        return max(ZERO, self.most - self.spent - self.held)

    @property
    def reached(self) -> bool:
        """Nothing more can be launched under it."""
        return self.left < LEAST

    @property
    def percent(self) -> int:
        """How much of the cap is spent, rounded down: 100 is all of it."""
        return self.spent.nanos * 100 // self.most.nanos


@dataclass(frozen=True, slots=True)
class Spender:
    """One run's part of a month's spend, and where it is."""

    run: str
    repository: str
    thread: int | None
    task_class: str
    usd: Usd


@dataclass(frozen=True, slots=True)
class Opened:
    """A slice of a cap that somebody opened (R21): whose (`name`), by whom, why, how much, when in ms."""

    scope: str
    name: str
    by: str
    reason: str
    usd: Usd
    at: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What a launch gets: its ceiling in dollars, and a clamp in words where that is less than asked."""

    usd: Usd
    clamp: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """Why a launch gets nothing: the cap that leaves the least."""

    standing: Standing


def slice_of(cap: Usd) -> Usd:
    """What one acknowledgement opens; rounded down, for a cap is never beaten by rounding."""
    return Usd(cap.nanos // SLICES)


def period(cap: Cap, month: str) -> str:
    """What a cap counts of a launch in `month`: that month, or "" for as long as there are runs under it."""
    return month if cap.scope.monthly else ""


def month_of(now_ms: int, zone: str) -> str:
    """The month in which something happens, as people in `zone` count them: "2026-11"."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(zone)).strftime("%Y-%m")


def month_from(month: str, count: int) -> str:
    """So many months later: one from "2026-12" is "2027-01"."""
    at = int(month[:4]) * 12 + int(month[5:]) - 1 + count
    return f"{at // 12}-{at % 12 + 1:02d}"


@dataclass(frozen=True, slots=True)
class Names:
    """What a person and a repository were called in earlier runs, in lower case."""

    person: frozenset[str] = frozenset()
    repository: frozenset[str] = frozenset()


def applying(
    caps: Caps,
    person: tuple[int, str],
    repository: tuple[int, str],
    installation: int,
    line: tuple[str, Line] | None = None,
    before: Names = Names(),
) -> tuple[Cap, ...]:
    """Every cap that a launch has to fit under; `person` and `repository` as (GitHub's number, name).

    On a `line` its month takes the place of the person's. Of the names in the file that either has or had the
    one with the least counts: people rename themselves, and admins their repositories.
    """
    found = []
    if line is not None:
        found.append(of_line(*line))
    elif (own := of_person(caps, person, before.person)) is not None:
        found.append(own)
    if (its := of_repository(caps, repository, before.repository)) is not None:
        found.append(its)
    if caps.installation is not None:
        found.append(of_installation(installation, caps.installation))
    return tuple(found)


def of_person(caps: Caps, person: tuple[int, str], before: frozenset[str] = frozenset()) -> Cap | None:
    """A person's own month; `before`: what they were called in earlier runs."""
    usd = _least(caps.people, person[1], before, caps.everyone)
    if usd is None:
        return None
    return Cap(Scope.PERSON, str(person[0]), person[1], usd, accounts_of(caps, person[1], before))


def accounts_of(caps: Caps, person: str, before: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The e-mail addresses at Cursor of somebody who is called this, or was."""
    names = {person.lower(), *before}
    return tuple(sorted(email for email, login in caps.accounts.items() if login in names))


def of_repository(
    caps: Caps, repository: tuple[int, str], before: frozenset[str] = frozenset()
) -> Cap | None:
    """A month of all runs in a repository."""
    usd = _least(caps.repositories, repository[1], before, None)
    return None if usd is None else Cap(Scope.REPOSITORY, str(repository[0]), repository[1], usd)


def of_lines(lines: Mapping[str, Line], person: str) -> tuple[Cap, ...]:
    """The months of the budget lines that this person may use."""
    return tuple(of_line(name, line) for name, line in lines.items() if person.lower() in line.members)


def of_installation(id: int, usd: Usd) -> Cap:
    return Cap(Scope.INSTALLATION, str(id), "the whole installation", usd)


def of_line(name: str, line: Line) -> Cap:
    """A budget line's month."""
    return Cap(Scope.LINE, name, f"the line {name}", line.monthly)


def _least(named: Mapping[str, Usd], name: str, before: frozenset[str], otherwise: Usd | None) -> Usd | None:
    return min((named[one] for one in {name.lower(), *before} if one in named), default=otherwise)


def key_of(person: str, line: Line | None, teams: Mapping[str, Team]) -> str:
    """The variable of the key that a run is sent with: the line's, else the team's, else "" (the default).

    Of two teams with the same person the first in the file counts.
    """
    if line is not None and line.key:
        return line.key
    return next((team.key for team in teams.values() if person.lower() in team.members), "")


def fit(asked: Usd, standings: Sequence[Standing], spent: Usd = ZERO) -> Fit | Reached:
    """A launch under all of them: clamped to what the tightest leaves, refused where that is too little.

    `spent`: what the same run has spent in earlier attempts, which `asked` contains and `standings` do not.
    """
    tightest = min(standings, key=lambda one: one.left, default=None)
    if tightest is None or asked <= tightest.left:
        return Fit(asked)
    if tightest.left - spent < min(LEAST, asked - spent):
        return Reached(tightest)
    left = f"{whose(tightest)} leaves: {tightest.left} of {tightest.most}"
    return Fit(tightest.left, f"cost: {asked} is more than what {left}")


def held_only(asked: Usd, standings: Sequence[Standing], spent: Usd = ZERO) -> bool:
    """Whether what is refused would fit if live runs gave back all that they hold."""
    free = [replace(one, held=ZERO) for one in standings]
    return isinstance(fit(asked, free, spent), Fit)


def whose(standing: Standing) -> str:
    """`alice's cap for 2026-11`."""
    cap = standing.cap
    name = f"{cap.name}'s cap" if cap.scope is Scope.PERSON else f"the cap of {cap.name}"
    return f"{name} for {standing.month}" if standing.month else name


def spent_of(standing: Standing) -> str:
    """`$50.00 of $200.00 spent`, and how much of it with Cursor."""
    elsewhere = f", {standing.cursor} of it with Cursor" if standing.cursor else ""
    return f"{standing.spent} of {standing.most} spent{elsewhere}"


def due(standing: Standing) -> bool:
    """Whether its person is to be told that most of the month's money is gone; once a month is enough."""
    return standing.spent.nanos * 100 >= standing.cap.usd.nanos * NOTICE


def notice(standing: Standing, mention: bool) -> str:
    """What its person is told then. With `mention` GitHub notifies them."""
    who = f"@{standing.cap.name}" if mention else standing.cap.name
    used = f"{standing.spent} of {standing.most} for {standing.month} ({standing.percent} %)"
    if standing.cursor:
        used += f", {standing.cursor} of it with Cursor"
    after = (
        "the cap is reached: further runs are refused until `/agent ack` or the next month"
        if standing.reached
        else "at 100 % further runs are refused until `/agent ack` or the next month"
    )
    return f"{who} has spent {used}; {after}."
