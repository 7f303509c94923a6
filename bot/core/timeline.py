"""The requests of a run, one after the other: what each held, what it used, what went back (R2, R5, M2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.money import ZERO, Usd, total

ANSWERED = ("settled", "estimated")
KINDS = {
    "settled": "answered, and charged what it used",
    "estimated": "never said what it used: charged its whole bound",
    "corrected": "the truth came later: the difference",
    "released": "not answered: nothing was charged",
    "held": "in flight",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A row of the ledger: a request to the model, or the correction of one. Times in ms since the epoch.

    `state`: a key of KINDS; `step`: None if it is none; `corrects`: the id of the request that it corrects;
    `mended`: a later row corrects it; `ending`: how its answer ended, in docs/gateway.md's words.
    """

    id: int
    attempt: int
    state: str
    step: int | None
    corrects: int | None
    held_at: int
    settled_at: int | None
    model_asked: str
    model: str | None
    max_tokens: int
    clamped_max_tokens: int | None
    hold: Usd
    hold_tokens: int
    usd: Usd
    tokens: int
    input: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    output: int
    status: int | None
    stop_reason: str | None
    ending: str | None
    request_id: str | None
    price_book: str
    mended: bool = False

    @property
    def charged(self) -> bool:
        return self.state in ANSWERED or self.state == "corrected"

    @property
    def back(self) -> Usd:
        """What of its hold nobody can spend but the run itself, again."""
        return max(ZERO, self.hold - self.usd) if self.state in (*ANSWERED, "released") else ZERO

    @property
    def at(self) -> int:
        """When it was booked; of one in flight when it was sent."""
        return self.held_at if self.settled_at is None else self.settled_at


@dataclass(frozen=True, slots=True)
class Point:
    """How much of each ceiling was used once a request was booked; `seconds` without the time between
    attempts (G7)."""

    request: Request
    usd: Usd
    tokens: int
    steps: int
    cached: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Holds:
    """All requests of one kind, together."""

    kind: str
    requests: int
    held: Usd
    used: Usd
    back: Usd


@dataclass(frozen=True, slots=True)
class Timeline:
    """`requests` as they were booked, those in flight last. `started_at`: when the attempt `attempt`, the
    last, would have begun had it been the only one (None: it has not)."""

    requests: tuple[Request, ...]
    started_at: int | None
    attempt: int

    @property
    def points(self) -> tuple[Point, ...]:
        """Of those that were charged; the last one is what the run has spent."""
        found: list[Point] = []
        usd, tokens, steps, cached, seconds = ZERO, 0, 0, 0, 0.0
        for request, elapsed in zip(self.requests, self._elapsed(), strict=True):
            if not request.charged:
                continue
            usd, tokens, cached = usd + request.usd, tokens + request.tokens, cached + request.cache_read
            steps, seconds = steps + (request.state in ANSWERED), max(seconds, elapsed)
            found.append(Point(request, usd, tokens, steps, cached, seconds))
        return tuple(found)

    @property
    def in_flight(self) -> tuple[Request, ...]:
        return tuple(request for request in self.requests if request.state == "held")

    @property
    def holds(self) -> tuple[Holds, ...]:
        """By kind, those that there are."""
        found = []
        for kind in KINDS:
            mine = [request for request in self.requests if request.state == kind]
            sums = [total(getattr(one, name) for one in mine) for name in ("hold", "usd", "back")]
            if mine:
                found.append(Holds(kind, len(mine), *sums))
        return tuple(found)

    def _elapsed(self) -> list[float]:
        """Seconds from the beginning of the run to each booking.

        Of an attempt before the last one only its requests are known: it counts from the first of them. A
        correction comes when nothing runs any more, and takes no time.
        """
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for request in self.requests:
            if request.state == "corrected":
                continue
            attempt = request.attempt
            first[attempt] = min(first.get(attempt, request.held_at), request.held_at)
            last[attempt] = max(last.get(attempt, request.at), request.at)
        before, begins = 0, {}
        for attempt in sorted(first):
            begins[attempt] = first[attempt] - before
            if attempt == self.attempt and self.started_at is not None:
                begins[attempt] = min(begins[attempt], self.started_at)
            before = last[attempt] - begins[attempt]
        return [
            0.0 if one.state == "corrected" else max(0, one.at - begins[one.attempt]) / 1000
            for one in self.requests
        ]


def in_order(rows: Sequence[Mapping[str, Any]], started_at: int | None, attempt: int) -> Timeline:
    """From rows of the ledger with its columns' names, whatever their order."""
    mended = {row["corrects"] for row in rows if row["corrects"] is not None}
    requests = [
        Request(
            hold=Usd(row["hold_nanos"]),
            usd=Usd(row["nanos"]),
            mended=row["id"] in mended,
            **{name: row[name] for name in _PLAIN},
        )
        for row in rows
    ]
    requests.sort(key=lambda one: (one.settled_at is None, one.at, one.id))
    return Timeline(tuple(requests), started_at, attempt)


def request_json(request: Request) -> dict[str, Any]:
    """For machines: money as decimal strings."""
    told = {name: getattr(request, name) for name in _PLAIN if name not in ("held_at", "settled_at")}
    return told | {
        "hold_usd": request.hold.exact,
        "usd": request.usd.exact,
        "back_usd": request.back.exact,
        "held_ms": request.held_at,
        "settled_ms": request.settled_at,
        "mended": request.mended,
    }


_PLAIN = (
    "id", "attempt", "state", "step", "corrects", "held_at", "settled_at", "model_asked", "model",
    "max_tokens", "clamped_max_tokens", "hold_tokens", "tokens", "input", "cache_write_5m", "cache_write_1h",
    "cache_read", "output", "status", "stop_reason", "ending", "request_id", "price_book",
)  # fmt: skip
