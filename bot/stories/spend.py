"""One request to the model: its worst case is held, it is forwarded, what it used is settled.

Contention is not exhaustion (G1): a request that would fit if nothing else were in flight waits its turn,
first come first served, with no transaction open. Only when nothing else of its run is in flight is
`max_tokens` lowered (G2) or the run halted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn

from bot.clients.anthropic import ClientGone
from bot.core import meter, stuck
from bot.core.ceilings import Reason, halt_message, left_of
from bot.core.meter import Bound, Request
from bot.core.money import Usd
from bot.core.prices import PriceBook, UnknownModel
from bot.core.usage import Answer, Usage
from bot.logs import Log
from bot.stores.account import Account, Ask, Hold, Settlement, whole_hold
from bot.stores.ledger import End, Ledger
from bot.stores.runs import agent_token_hash, token_hash
from bot.stories.lane import LOOK_EVERY, Gone, Lane

PATIENCE = 240.0  # seconds a request may wait for others of its run (G1)

log = Log("gateway")
Count = Callable[[], int | None]  # the upstream's estimate of a request's input, if it tells one


class NoRun(Exception):
    """The token belongs to no run, or to one that has ended by itself: 401."""


class Halted(Exception):
    """The run is halted: 402 with its message, and nothing was spent."""

    def __init__(self, account: Account) -> None:
        super().__init__(account.message)
        self.account = account


class KeptBack(Exception):
    """What is left is kept back until the agent has been told to wrap up: 402, but no halt (G10)."""

    def __init__(self, account: Account, ceiling: Reason) -> None:
        most = account.ceilings
        used = account.spent, account.spent_tokens, account.steps, account.cached
        self.account, self.ceiling = account, ceiling
        self.left = left_of(ceiling, most, *used)
        super().__init__(f"{self.left} left, which is kept back for wrapping up. Nothing was spent")


class Crowded(Exception):
    """Others of the same run held the rest for the whole of PATIENCE: 429 with retry-after."""

    def __init__(self, account: Account) -> None:
        super().__init__("other requests of this run hold what is left of its ceilings; try again shortly")
        self.account = account


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may leave, with `clamped` for its max_tokens if that is given, until `deadline`
    (time.monotonic)."""

    hold: Hold
    request: Request
    deadline: float
    bound: Bound
    clamped_by: Reason | None = None

    @property
    def clamped(self) -> int | None:
        return self.hold.ask.clamped


class Spend:
    """The gateway's own story; one for each process."""

    def __init__(self, ledger: Ledger, prices: PriceBook) -> None:
        self.ledger = ledger
        self.prices = prices
        self._lanes: dict[str, Lane] = {}
        self._lock = threading.Lock()
        self._beating = False

    def account(self, token: str) -> Account:
        """The live run of a token, its runner's or its agent's. Raises NoRun, Halted; a run past its deadline
        is halted here (G7)."""
        account = None
        if token:
            account = self.ledger.account(token_hash(token)) or self.ledger.account(agent_token_hash(token))
        if account is None:
            raise NoRun("this key is not the token of a run")
        self._check(account)
        return account

    def admit(
        self,
        account: Account,
        request: Request,
        key: str = "",
        gone: Gone = lambda: False,
        count: Count = lambda: None,
    ) -> Admission:
        """Hold the worst case of a request, by the rules of its run.

        `key` names the one that it is sent with. Raises meter.Refused, Halted, KeptBack, NoRun, Crowded,
        ClientGone.
        """
        loop = stuck.judge(request.messages, account.rules.stuck)
        if loop is not None:  # before a hold: nothing is spent on a turn of a run that goes round in circles
            raise Halted(self.halt(account, Reason.STUCK, loop.evidence))
        models = (request.model, *(beyond.model for beyond in request.beyond if beyond.model))
        try:
            price, *others = (self.prices.price(model, _utc(account.now)) for model in models)
        except UnknownModel as error:
            raise meter.Refused(f"this request cannot be priced: {error}") from error
        previous = self.ledger.previous(account, request.prefixes)
        bound = meter.bound(request, price, previous, account.rules, others)

        def looser(now: Account) -> Bound:
            match account.rules.admission:
                case "expected":
                    return meter.expected(bound, request, price, previous, now.now)
                case "counted" if _might_fit(now, request, bound):
                    tokens = count()
                    return bound if tokens is None else meter.counted(bound, request, tokens)
                case _:
                    return bound

        until = time.monotonic() + min(PATIENCE, (account.deadline_at - account.now) / 1000)
        self._beat()
        with self._turn(account, until, gone) as lane:
            hold, bound = self._take(account, request, bound, looser, key, until, lane, gone)
        # Of the hold's own time: since the account was read, a body may have come in slowly, or others first.
        deadline = time.monotonic() + (hold.account.deadline_at - hold.account.now) / 1000
        by = None if hold.ask.clamped is None else _tightest(hold.account, bound)
        return Admission(hold, request, deadline, bound, by)

    def _take(
        self,
        account: Account,
        request: Request,
        bound: Bound,
        looser: Callable[[Account], Bound],
        key: str,
        until: float,
        lane: Lane,
        gone: Gone,
    ) -> tuple[Hold, Bound]:
        """The hold, and the bound that it holds: where the strict one does not fit, what the rules admit."""
        first, strict, max_tokens = bound, True, request.max_tokens
        while True:
            if gone():
                raise ClientGone
            seen = lane.released
            clamped = max_tokens if max_tokens < request.max_tokens else None
            taken = self.ledger.hold(
                account.run, account.attempt, self._ask(request, bound, key, max_tokens, clamped)
            )
            if isinstance(taken, Hold):
                return taken, bound
            if taken.attempt != account.attempt:
                raise NoRun(f"attempt {account.attempt} of this run is over; {taken.attempt} goes on")
            self._check(taken)
            if taken.held_steps:
                if time.monotonic() >= until:
                    raise Crowded(taken)
                lane.wait(seen, LOOK_EVERY)
                # What was expected of the cache may not hold any more.
                bound, strict, max_tokens = first, True, request.max_tokens
                continue
            # Nothing else is in flight: what does not fit now never will.
            if strict:
                strict, bound = False, looser(taken)
                if bound is not first:
                    continue
            max_tokens = self._largest(taken, request, bound)

    def _check(self, account: Account) -> None:
        """Raises Halted or NoRun unless the run may still ask."""
        if account.state == "halted":
            raise Halted(account)
        if account.state != "running":
            raise NoRun(f"this run has ended ({account.state}); its token is worth nothing any more")
        if account.now >= account.deadline_at:
            raise Halted(self.halt(account, Reason.WALL_CLOCK))

    def _largest(self, account: Account, request: Request, bound: Bound) -> int:
        """The max_tokens that fits what remains. Raises Halted or KeptBack by the ceiling with too little."""
        within = account.within
        if account.steps >= within.steps:
            self._refuse(account, Reason.STEPS)
        cached = within.cached_tokens
        if cached is not None and account.cached + _cached(request, bound) > cached:
            self._refuse(account, Reason.CACHED_TOKENS)
        nanos = (within.usd - account.spent).nanos
        tokens = within.tokens - account.spent_tokens
        fits, least = min(request.max_tokens, bound.fits(nanos, tokens)), meter.floor(request)
        if fits < least:
            needed = (bound.nanos(least), bound.tokens(least))
            self._refuse(account, _tightest(account, bound), needed)
        return fits

    def _refuse(self, account: Account, ceiling: Reason, needed: tuple[int, int] | None = None) -> NoReturn:
        if account.kept_back:
            raise KeptBack(account, ceiling)
        raise Halted(self.halt(account, ceiling, needed=needed))

    def _ask(self, request: Request, bound: Bound, key: str, max_tokens: int, clamped: int | None) -> Ask:
        return Ask(
            nanos=bound.nanos(max_tokens),
            tokens=bound.tokens(max_tokens),
            cached=_cached(request, bound),
            max_tokens=max_tokens,
            model=request.model,
            prefix=request.prefix if request.followable else "",
            clamped=clamped,
            price_book=self.prices.version,
            key_name=key,
            alone=bool(bound.doubt),
        )

    def halt(
        self,
        account: Account,
        reason: Reason,
        detail: str | None = None,
        needed: tuple[int, int] | None = None,
    ) -> Account:
        """Halt the run in the words that every door shows."""
        message = halt_message(reason, account.steps, account.ceilings, detail)
        return self.ledger.halt(account.run, account.attempt, reason, message, needed)

    # -- after the answer --

    def release(self, admission: Admission, status: int, ending: str) -> None:
        """Nothing was charged: the answer was an error, or the request never left (G5)."""
        self.ledger.release(admission.hold, status, ending)
        self._wake(admission.hold.account.run)

    def settle(
        self, admission: Admission, answer: Answer, ending: str, request_id: str | None = None
    ) -> Account:
        """Book what the answer used; halt the run if that beat the bound (G4) or our clamp cut it short."""
        hold = admission.hold
        if answer.unstarted:
            self.release(admission, 200, "error first")
            return self.ledger.account_of(hold.account.run)
        what = self._settlement(admission, answer, ending, request_id)
        account = self.ledger.settle(hold, what, self._end(admission, answer, what))
        self._wake(account.run)
        return account

    def _end(self, admission: Admission, answer: Answer, what: Settlement) -> End | None:
        """Why the run may halt with this answer; None: it does not."""
        beaten, short = what.beats(admission.hold.ask), answer.stop_reason == "max_tokens"
        if not beaten and not (short and admission.clamped is not None):
            return None

        def end(booked: Account) -> tuple[Reason, str] | None:
            reason, detail = Reason.BOUND_EXCEEDED, admission.bound.doubt or None
            if not beaten:
                # Cut short by us: that is a halt, never a silently short answer. With something kept back,
                # the agent is first to wrap up: a header has told it why its answer is short.
                if booked.kept_back or booked.attempt != admission.hold.account.attempt:
                    return None
                reason, detail = admission.clamped_by or Reason.COST, None
            return reason, halt_message(reason, booked.steps, booked.ceilings, detail)

        return end

    def _settlement(
        self, admission: Admission, answer: Answer, ending: str, request_id: str | None
    ) -> Settlement:
        ask, usage = admission.hold.ask, answer.usage
        if usage is None:
            return whole_hold(ask, ending, 200, request_id)
        told = answer.finished and answer.output_told
        if admission.request.beyond and not told:
            # What the server did beside the answer may be more than was told so far.
            return replace(whole_hold(ask, ending, 200, request_id), raw_usage=answer.raw)
        if answer.refused_before_output and not usage.others:
            usage = Usage(model=usage.model)  # not billed though tokens are told (facts: refusals)
        if not told:
            # Cut after message_start: the input is known, the output may be all that was allowed.
            usage = replace(usage, output=max(usage.output, ask.max_tokens))
        try:
            cost = self.prices.cost(usage, _utc(admission.hold.account.now))
        except UnknownModel:
            return replace(whole_hold(ask, ending, 200, request_id), model=usage.model, raw_usage=answer.raw)
        if cost.total:
            cost = replace(cost, server_tools=cost.server_tools + Usd(admission.bound.unseen))
        return Settlement(
            cost=cost,
            usage=usage,
            estimated=not told,
            ending=ending,
            model=usage.model,
            stop_reason=answer.stop_reason,
            request_id=request_id,
            raw_usage=answer.raw,
        )

    def _beat(self) -> None:
        """From this process's first request on, its holds are renewed: those of a dead process expire."""
        with self._lock:
            if self._beating:
                return
            self._beating = True
        threading.Thread(target=self._renew, name="leases", daemon=True).start()

    def _renew(self) -> None:
        while True:
            time.sleep(self.ledger.lease_ms / 3000)
            try:
                self.ledger.renew()
            except Exception:  # the database may be away for a while; the next beat tries again
                log.exception("leases_not_renewed", "the leases of requests in flight could not be renewed")

    # -- waiting --

    @contextmanager
    def _turn(self, account: Account, until: float, gone: Gone) -> Iterator[Lane]:
        """First come, first served among a run's requests in this process. Raises Crowded, ClientGone."""
        with self._lock:
            lane = self._lanes.setdefault(account.run, Lane())
            lane.users += 1
        try:
            if not lane.enter(until, gone):
                raise Crowded(account)
            try:
                yield lane
            finally:
                lane.leave()
        finally:
            with self._lock:
                lane.users -= 1
                if not lane.users:
                    self._lanes.pop(account.run, None)

    def _wake(self, run: str) -> None:
        with self._lock:
            lane = self._lanes.get(run)
        if lane is not None:
            lane.wake()


def _cached(request: Request, bound: Bound) -> int:
    """Without a cache mark nothing is read from the cache; with one, all of the input may be."""
    return bound.input if request.short_cache or request.long_cache else 0


def _might_fit(account: Account, request: Request, bound: Bound) -> bool:
    """Whether a smaller input could make the request fit at all."""
    ceilings = account.within
    nanos, tokens = (ceilings.usd - account.spent).nanos, ceilings.tokens - account.spent_tokens
    least = meter.floor(request)
    return account.steps < ceilings.steps and replace(bound, input=0).fits(nanos, tokens) >= least


def _tightest(account: Account, bound: Bound) -> Reason:
    """Which of the two ceilings on an answer's length leaves less."""
    ceilings = account.within
    by_money = bound.fits((ceilings.usd - account.spent).nanos, 1 << 80)
    by_tokens = bound.fits(1 << 80, ceilings.tokens - account.spent_tokens)
    return Reason.COST if by_money <= by_tokens else Reason.TOKENS


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
