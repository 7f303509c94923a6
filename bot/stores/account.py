"""What gateway and ledger speak of: a run's account, what a request asks of it, the hold that it gets, and
what its answer turned out to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import Ceilings, Reason, less_kept_back
from bot.core.money import Usd
from bot.core.prices import Cost
from bot.core.rules import STRICTEST, Rules
from bot.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Account:
    """A run as the gateway needs it: what may be spent, what is, what is in flight. `now` by the database."""

    run: str
    attempt: int
    state: str
    reason: Reason | None
    message: str
    ceilings: Ceilings
    spent: Usd
    held: Usd
    spent_tokens: int
    held_tokens: int
    steps: int
    held_steps: int
    cached: int
    started_at: int
    deadline_at: int
    now: int
    rules: Rules = STRICTEST
    kept_back: bool = False
    key_name: str = ""  # of the key that its requests are sent with; "": the default

    @property
    def within(self) -> Ceilings:
        """What holds may come up to now: the ceilings, less what is kept back for wrapping up (G10)."""
        return less_kept_back(self.ceilings) if self.kept_back else self.ceilings


@dataclass(frozen=True, slots=True)
class Ask:
    """The worst case of one request, and what to remember of it."""

    nanos: int
    tokens: int
    cached: int
    max_tokens: int
    model: str
    prefix: str
    clamped: int | None = None
    price_book: str = ""
    key_name: str = ""
    alone: bool = False  # only where nothing else of the run is in flight


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that was taken. `account` is the run just after it."""

    turn: int
    ask: Ask
    account: Account


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an answer turned out to be. `estimated`: no usage was told, the cost is an upper bound."""

    cost: Cost
    usage: Usage
    estimated: bool
    ending: str
    status: int = 200
    model: str = ""
    stop_reason: str | None = None
    request_id: str | None = None
    raw_usage: dict[str, Any] | None = None

    def beats(self, ask: Ask) -> bool:
        """It was more than its hold."""
        return self.cost.total.nanos > ask.nanos or self.usage.metered > ask.tokens


def whole_hold(ask: Ask, ending: str, status: int = 0, request_id: str | None = None) -> Settlement:
    """What is charged when nothing was told: the hold (G5). Its tokens count as the bound had them."""
    cost = Cost(input=Usd(ask.nanos))
    usage = Usage(input=ask.tokens - ask.max_tokens, output=ask.max_tokens, model=ask.model)
    return Settlement(cost, usage, True, ending, status, ask.model, request_id=request_id)


# The columns of `runs` that make an account; the database's time comes after them.
COLUMNS = (
    "id, attempt, state, reason, message, ceiling_nanos, ceiling_tokens, ceiling_steps, ceiling_seconds, "
    "ceiling_cached_tokens, spent_nanos, held_nanos, spent_tokens, held_tokens, steps, held_steps, "
    "cache_read, started_at, deadline_at, rules, kept_back, key_name"
)


def from_row(row: Sequence[Any]) -> Account:
    """From COLUMNS and the time."""
    (run, attempt, state, reason, message, usd, tokens, most_steps, seconds, most_cached, spent,
     held, spent_tokens, held_tokens, steps, held_steps, cached, started, deadline,
     rules, kept_back, key_name, now) = row  # fmt: skip
    return Account(
        run,
        attempt,
        state,
        Reason(reason) if reason else None,
        message,
        Ceilings(Usd(usd), tokens, most_steps, seconds, most_cached),
        Usd(spent),
        Usd(held),
        spent_tokens,
        held_tokens,
        steps,
        held_steps,
        cached,
        started or 0,
        deadline or 0,
        now,
        Rules.parse(rules),
        bool(kept_back),
        key_name,
    )
