"""One machine: a bounded run without the service, for `exec`, `run` and a workflow step.

The ledger is an SQLite file in a state directory; the gateway listens on loopback inside this process. The
same directory continues the same counters after a crash: what was in flight then is charged whole.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bot.clients.anthropic import Key, Upstream
from bot.core.ceilings import NATIVE_ENGINE, Ceilings, Reason, halt_message
from bot.core.money import Usd
from bot.core.prices import PriceBook
from bot.core.reports import Check, Report
from bot.core.rules import STRICTEST, Rules
from bot.runner.beside import beside
from bot.runner.isolation import ours_alone
from bot.stores import opening
from bot.stores.account import Account
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from bot.stories.spend import Spend
from bot.web.embedded import Embedded
from bot.web.gateway import Gateway

CUT_SECONDS = 0.5  # after the wall clock: its answer has had its time, what it cost is then estimated


class CannotStart(Exception):
    """Why nothing was started; nothing was spent."""


@dataclass(slots=True)
class Local:
    """A run that is open on this machine. `halted` is set when a ceiling is reached."""

    run: str
    token: str
    url: str
    runs: Runs
    ledger: Ledger
    spend: Spend
    model: str = ""
    halted: threading.Event = field(default_factory=threading.Event)
    # The policy's word on these is the service's to give.
    effort: str | None = None
    context: int | None = None

    @property
    def ceilings(self) -> Ceilings:
        return self.account().ceilings

    def outcome(self) -> str:
        """How it stands: running, done, halted, failed."""
        return self.report().outcome

    def account(self) -> Account:
        return self.ledger.account_of(self.run)

    def report(self) -> Report:
        return self.runs.report(self.run)

    def keep(self, summary: str, check: Check | None, tool_calls: int, own: Usd | None = None) -> None:
        """What the agent says of its work and of its cost, and whether its tests pass."""
        result = {
            "summary": summary,
            "check": asdict(check) if check else None,
            "isolation": "none",
            "own_usd": own.exact if own is not None else None,
        }
        self.runs.set(self.run, result=result, tool_calls=tool_calls)

    def ended(self, outcome: str, reason: str | None, message: str) -> None:
        """How the native agent says that it ended: done, failed, or halted near one of its ceilings."""
        if outcome == "halted" and reason is not None:
            account = self.account()
            words = halt_message(Reason(reason), account.steps, account.ceilings, message)
            self.runs.end(self.run, "halted", reason=Reason(reason), message=words)
        else:
            self.end("done" if outcome == "done" else "failed", message)

    def open_slice(self) -> None:
        """The agent has been told to wrap up (G10)."""
        self.ledger.open_slice(self.run, self.ledger.account_of(self.run).attempt)

    def end(self, state: str, message: str = "") -> None:
        """The command has ended; a halt that came first stands."""
        self.runs.end(self.run, state, message=message)


@contextmanager
def opened(
    *,
    origin: str,
    ceilings: Ceilings,
    sources: dict[str, str],
    prices: PriceBook,
    upstream: str,
    key: Key,
    state: Path,
    engine: str,
    model: str,
    task: str = "",
    task_class: str = "default",
    actor: str = "",
    rules: Rules = STRICTEST,
) -> Iterator[Local]:
    """A running run behind an embedded gateway; at the end every stream is settled. Raises CannotStart."""
    with locked(state):
        database = Database(f"sqlite:///{state / 'ledger.db'}")
        try:
            opening.check_to_migrate(database)
            database.migrate()
            runs, ledger = Runs(database), Ledger(database, "local")
            token = new_token()
            new = NewRun(
                id=new_id(),
                origin=origin,
                ceilings=ceilings,
                task_class=task_class,
                engine=engine,
                model=model,
                price_book=prices.version,
                task=task,
                actor=actor,
                sources=sources,
                rules=rules,
                # A program of others has an end of its own, of which nobody tells it (G10).
                keeps_back=origin in ("run", "step") and engine == NATIVE_ENGINE,
            )
            run = _continued(runs, ledger, new) or _fresh(runs, new)
            account = ledger.account_of(run)
            if not runs.claim(run, account.attempt, token_hash(token)):
                raise CannotStart(f"the run {run} in {state} cannot be continued")
            spend = Spend(ledger, prices)
            local = Local(run, token, "", runs, ledger, spend, model)

            def on_halt(_account: Account) -> None:
                local.halted.set()

            gateway = Gateway(spend, Upstream(upstream), lambda _: key, on_halt)
            served = Embedded(gateway)
            try:
                with served, _clock(local):
                    local.url = served.url
                    yield local
                    if local.account().reason is Reason.WALL_CLOCK:
                        served.patience = CUT_SECONDS
            finally:
                _settled(ledger, run, served.patience)
                ledger.close()
        except opening.Unusable as error:
            raise CannotStart(str(error)) from error
        finally:
            database.close()


def _fresh(runs: Runs, new: NewRun) -> str:
    runs.open(new)
    return new.id


def _continued(runs: Runs, ledger: Ledger, new: NewRun) -> str | None:
    """The run that this state directory holds: orphans charged, ceilings and rules as they are given now."""
    run = runs.latest()
    if run is None:
        return None
    ledger.expire(run)
    runs.reopen(run, ledger.account_of(run).attempt, new)
    return run


def _settled(ledger: Ledger, run: str, seconds: float) -> None:
    """What is in flight at the end, and whose client has not left, has so long to end or is charged whole."""
    until = time.monotonic() + seconds
    try:
        while ledger.account_of(run).held_steps and time.monotonic() < until:
            time.sleep(0.02)
    finally:  # also at a second Ctrl-C
        ledger.expire(run)


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Nobody else works on this state meanwhile. Raises CannotStart where somebody does."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)  # what was asked and done is in it
    if not ours_alone(state.resolve()):
        # Whoever can write there has counters go on that are theirs, or has us write over a file of ours.
        raise CannotStart(
            f"{state} is not a folder that only this user can write in: make it yours, chmod 700"
        )
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(f"another process runs on the state in {state}") from error
        yield


def _clock(local: Local) -> AbstractContextManager[None]:
    """Halt the run at its deadline even if it asks for nothing any more (G7)."""

    def watch(over: threading.Event) -> None:
        account = local.account()
        if not over.wait(max(0.0, (account.deadline_at - account.now) / 1000)):
            local.spend.halt(local.account(), Reason.WALL_CLOCK)
            local.halted.set()

    return beside(watch)


def watched(
    local: Local, progress: Callable[[Account], None], every: float = 1.0
) -> AbstractContextManager[None]:
    """Call `progress` with the run's account whenever it has changed, about once a second."""

    def watch(over: threading.Event) -> None:
        last = None
        while not over.wait(every):
            account = local.account()
            seen = (account.steps, account.spent, account.held_steps)
            if seen != last:
                last = seen
                progress(account)

    return beside(watch)
