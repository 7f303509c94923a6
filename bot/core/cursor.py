"""What Cursor's admin API tells of a team, and what is booked of it (R33): events, and corrections of them.

An event has no id. Its moment, account, model and kind say which it is; of several that are alike in these,
how many there are. Nothing that is booked is changed: what is told otherwise later is a further row with the
difference, and what is told no more is one that takes all of it back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bot.core.money import ZERO, Usd

SOURCE = "as Cursor's admin API tells; not metered here, and on no invoice of Anthropic's"
NOBODY = "no e-mail"  # what is told of no account: a team's own agents


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which event it is. `at`: ms since the epoch; `email`: in lower case, "" where none is told."""

    at: int
    email: str
    model: str
    kind: str


@dataclass(frozen=True, slots=True, order=True)
class Amounts:
    """What it came to: nano-dollars and tokens."""

    nanos: int = 0
    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.nanos + other.nanos,
            self.input + other.input,
            self.output + other.output,
            self.cache_write + other.cache_write,
            self.cache_read + other.cache_read,
        )

    def __neg__(self) -> Amounts:
        return Amounts(-self.nanos, -self.input, -self.output, -self.cache_write, -self.cache_read)


NOTHING = Amounts()


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One, as it is told now. `priced`: False where no amount is told of it, as of what a plan includes."""

    key: Key
    amounts: Amounts
    priced: bool = True


@dataclass(frozen=True, slots=True)
class Booked:
    """One, as it is booked with all its corrections. `id`: of its first row; `month`: in which it counts."""

    id: int
    key: Key
    month: str
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be booked. `corrects`: the first row of an event that is told otherwise now."""

    key: Key
    month: str
    amounts: Amounts
    corrects: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What booking came to: rows of events and of corrections, their sum; `corrected`: that of the latter."""

    events: int = 0
    corrections: int = 0
    usd: Usd = ZERO
    corrected: Usd = ZERO

    @staticmethod
    def of(rows: Collection[Row]) -> Outcome:
        """What these rows came to."""
        corrected = [row.amounts.nanos for row in rows if row.corrects is not None]
        whole = sum(row.amounts.nanos for row in rows)
        return Outcome(len(rows) - len(corrected), len(corrected), Usd(whole), Usd(sum(corrected)))

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.events + other.events,
            self.corrections + other.corrections,
            self.usd + other.usd,
            self.corrected + other.corrected,
        )


def differences(
    booked: Iterable[Booked], told: Iterable[Event], month_of: Callable[[int], str]
) -> Iterator[Row]:
    """What makes `booked` to what is told; both of the same time. Nothing where they are one already.

    A correction counts in the month of what it corrects.
    """
    before: dict[Key, list[Booked]] = defaultdict(list)
    now: dict[Key, list[Amounts]] = defaultdict(list)
    for one in booked:
        before[one.key].append(one)
    for event in told:
        now[event.key].append(event.amounts)
    for key in sorted(before.keys() | now.keys()):
        were, are = sorted(before[key], key=lambda one: (one.amounts, one.id)), sorted(now[key])
        for one in list(were):
            if one.amounts in are:
                are.remove(one.amounts)
                were.remove(one)
        for one in were:
            becomes = are.pop(0) if are else NOTHING
            if becomes != one.amounts:
                yield Row(key, one.month, becomes + -one.amounts, one.id)
        for amounts in are:
            yield Row(key, month_of(key.at), amounts)


@dataclass(frozen=True, slots=True)
class Share:
    """A person's part of a month with Cursor. `person`: GitHub's number, 0 where no run of theirs tells it;
    `known`: False for an e-mail address that the policy gives to nobody, and then `name` is that address."""

    name: str
    usd: Usd
    person: int = 0
    known: bool = True

    @property
    def called(self) -> str:
        """For people."""
        return self.name or NOBODY


def shares(
    by_email: Mapping[str, Usd],
    accounts: Mapping[str, str],
    people: Mapping[int, str],
    called: Mapping[int, Collection[str]],
) -> tuple[Share, ...]:
    """Whose it is, dearest first, nothing left out and nothing twice.

    `accounts`: logins by e-mail, both in lower case; `people`: latest names by number; `called`: every name
    that they had, in lower case. Whoever has a login now is meant before whoever had it once.
    """
    number: dict[str, int] = {}
    for id in sorted(people):
        for name in called.get(id, ()):
            number.setdefault(name, id)
    number |= {people[id].lower(): id for id in sorted(people, reverse=True)}
    whose: dict[tuple[str, int, bool], Usd] = defaultdict(lambda: ZERO)
    for email, usd in by_email.items():
        login = accounts.get(email)
        id = number.get(login, 0) if login is not None else 0
        name = people[id] if id else login or email
        whose[name, id, login is not None] += usd
    found = (Share(name, usd, id, known) for (name, id, known), usd in whose.items() if usd)
    return tuple(sorted(found, key=lambda one: (-one.usd.nanos, one.name)))
