"""A gateway over real HTTP between a client and the sandbox's Claude, on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.clients.anthropic import Key, Upstream
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.prices import PriceBook
from bot.core.reports import Report
from bot.core.rules import STRICTEST, Rules
from bot.stores.account import Account
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from bot.stories.spend import Spend
from bot.web.embedded import Embedded
from bot.web.gateway import Gateway

AMPLE = Ceilings(Usd.parse("10"), 10_000_000, 10_000, 3600)


@dataclass(frozen=True)
class Gate:
    url: str
    runs: Runs
    ledger: Ledger
    gateway: Gateway

    def run(self, ceilings: Ceilings = AMPLE, rules: Rules = STRICTEST) -> tuple[str, str]:
        """Open and claim a run; its id and token."""
        run, token = new_id(), new_token()
        new = NewRun(run, "github", ceilings, "default", "opus", "claude-opus-4-7", "test", rules=rules)
        assert self.runs.open(new)
        assert self.runs.claim(run, 1, token_hash(token), 1)
        return run, token

    def account(self, run: str) -> Account:
        return self.ledger.account_of(run)

    def report(self, run: str) -> Report:
        return self.runs.report(run)


@contextmanager
def gated(
    database: Database,
    upstream: str,
    drain_seconds: float = 20,
    key: Callable[[str], Key | None] = lambda _: Key("ANTHROPIC_API_KEY", "sk-test"),
) -> Iterator[Gate]:
    ledger = Ledger(database, "test")
    gateway = Gateway(Spend(ledger, PriceBook()), Upstream(upstream), key, drain_seconds=drain_seconds)
    try:
        with Embedded(gateway) as served:
            yield Gate(served.url, Runs(database), ledger, gateway)
    finally:
        ledger.close()
