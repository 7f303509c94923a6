"""Runs whose requests went through the real ledger: held, settled, estimated, given back, corrected."""

from __future__ import annotations

from typing import Any

from bot.core.ceilings import Reason, halt_message
from bot.core.money import Usd
from bot.core.prices import Cost
from bot.core.usage import Usage
from bot.stores.account import Ask, Hold, Settlement
from bot.stores.runs import new_token, token_hash
from tests.web.dashboard_world import World

MODEL = "claude-opus-4-7"


def begun(world: World, login: str, ceiling: str = "5", **more: Any) -> str:
    """A run that its runner has claimed, with nothing spent."""
    more = {"steps": 0, "cost_read_nanos": 0} | more
    run = world.run(login, "0", state="open", ceiling=ceiling, **more)
    assert world.services.runs.claim(run, 1, token_hash(new_token()), 1)
    return run


def sent(world: World, run: str, cents: int = 30, clamped: int | None = None, attempt: int = 1) -> Hold:
    """A request on its way, that may cost so many cents."""
    ask = Ask(cents * 10_000_000, 40_000, 0, clamped or 8_192, MODEL, "p", clamped, price_book="2026-11-01")
    taken = world.services.ledger.hold(run, attempt, ask)
    assert isinstance(taken, Hold), taken
    return taken


def used(cents: int, **more: Any) -> Settlement:
    """An answer that has cost so many cents, most of it for reading and writing the cache."""
    part = Usd(cents * 1_000_000)
    cost = Cost(input=part, cache_write=part * 3, cache_read=part * 2, output=part * 4)
    usage = Usage(input=310, cache_write_5m=1_200, cache_read=18_000, output=640, model=MODEL)
    told = {"stop_reason": "tool_use", "model": MODEL} | more
    return Settlement(cost, usage, False, "json", request_id="req_1", **told)


def step(world: World, run: str, cents: int, held: int = 30, **more: Any) -> None:
    world.services.ledger.settle(sent(world, run, held), used(cents, **more))


def every_kind(world: World, login: str, steps: int = 12, **more: Any) -> str:
    """A run that is halted after one request of every kind, and some usual ones."""
    run, ledger = begun(world, login, **more), world.services.ledger
    for number in range(steps):
        step(world, run, 2 + number % 5)
    ledger.release(sent(world, run), 529, "overloaded_error")
    lost = sent(world, run, 25)
    ledger.expire(run)
    step(world, run, 3, model="claude-haiku-4-5")
    ledger.settle(lost, used(9))  # the truth comes late
    ledger.settle(sent(world, run, 20, clamped=2_048), used(4, stop_reason="max_tokens"))
    sent(world, run, 35)
    ledger.expire(run)
    step(world, run, 2, stop_reason="end_turn")
    account = ledger.account_of(run)
    words = halt_message(Reason.COST, account.steps, account.ceilings)
    ledger.halt(run, 1, Reason.COST, words, (40_000_000, 9_000))
    world.services.runs.finished(run, 1)
    return run
