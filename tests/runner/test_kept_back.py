"""What is kept back for wrapping up is there when the agent is told to (G10): engine, gateway and ledger."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import pytest

from bot.core.ceilings import Ceilings, Reason, less_kept_back
from bot.core.money import Usd
from bot.runner import prompts
from bot.runner.engines import Ending, Event
from bot.runner.engines.opus import Opus
from bot.stores.account import Account, Ask, Hold
from bot.stores.database import Database
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id, new_token, token_hash
from sandbox.processes import start
from tests.runner.test_opus import Bench
from tests.runner.world import MODEL, task
from tests.web.gates import Gate, gated

MANY = 10**7


def opened(gate: Gate, ceilings: Ceilings) -> tuple[str, str]:
    run, token = new_id(), new_token()
    new = NewRun(run, "github", ceilings, "default", "opus", MODEL, "test", keeps_back=True)
    assert gate.runs.open(new)
    assert gate.runs.claim(run, 1, token_hash(token), 1)
    return run, token


@dataclass(frozen=True)
class Worked:
    ending: Ending
    told_after: list[int]  # steps; when told to wrap up
    account: Account


def worked(database: Database, character: str, ceilings: Ceilings, hears: bool = True) -> Worked:
    """The native engine before a real gateway and the sandbox's Claude; `hears`: the service its event."""
    told: list[int] = []
    with start("claude", character=character) as claude, gated(database, claude.url) as gate:
        run, token = opened(gate, ceilings)

        def tell(event: Event) -> None:
            if event.kind == "wrap_up":
                told.append(gate.account(run).steps)
                if hears:
                    gate.ledger.open_slice(run, 1)

        given = replace(task(gate.url, ceilings, system=prompts.system("default")), token=token)
        ending = Opus().work(given, Bench(), tell, threading.Event())
        assert gate.account(run).spent == Usd(claude.invoice()["total_nanos"])
        return Worked(ending, told, gate.account(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("usd", "tokens", "steps", "reason"),
    [
        ("0.5", MANY, 1_000, Reason.COST),
        ("5", MANY, 1_000, Reason.COST),
        ("50", 100_000, 1_000, Reason.TOKENS),
        ("50", 500_000, 1_000, Reason.TOKENS),
        ("50", MANY, 20, Reason.STEPS),
        ("50", MANY, 70, Reason.STEPS),
    ],
)
@pytest.mark.parametrize("character", ["runaway", "defiant"])
def test_before_every_halt_the_agent_was_told_to_wrap_up_and_could_still_answer(
    database: Database, character: str, usd: str, tokens: int, steps: int, reason: Reason
) -> None:
    ceilings = Ceilings(Usd.parse(usd), tokens, steps, 3_600)
    found = worked(database, character, ceilings)
    account, ending = found.account, found.ending
    assert len(found.told_after) == 1
    assert account.steps > found.told_after[0], "what was kept back paid for an answer"
    assert (ending.wrapped_up if character == "runaway" else account.reason) == reason
    assert ending.outcome == ("done" if character == "runaway" else "halted")
    assert account.spent <= ceilings.usd
    assert account.spent_tokens <= ceilings.tokens
    assert account.steps <= ceilings.steps


def test_a_service_that_does_not_hear_of_it_keeps_it_back_and_the_agent_ends(database: Database) -> None:
    found = worked(database, "defiant", Ceilings(Usd.parse("50"), MANY, 20, 3_600), hears=False)
    assert (found.ending.outcome, found.ending.reason, found.account.steps) == ("halted", Reason.STEPS, 19)
    assert "kept back" in (found.ending.message or "")
    assert found.account.state == "running", "the runner's result says how it ended"


@pytest.mark.parametrize("part", ["usd", "tokens", "steps", "cached"])
def test_no_hold_reaches_what_is_kept_back_before_it_is_opened_and_each_reaches_it_then(
    database: Database, part: str
) -> None:
    ceilings = Ceilings(Usd(1_000_000_007), 100_003, 35, 600, 50_021)
    within = less_kept_back(ceilings)
    over = {
        "usd": Ask(within.usd.nanos + 1, 1, 0, 1, MODEL, ""),
        "tokens": Ask(1, within.tokens + 1, 0, 1, MODEL, ""),
        "cached": Ask(1, 1, (within.cached_tokens or 0) + 1, 1, MODEL, ""),
        "steps": Ask(1, 1, 0, 1, MODEL, ""),
    }[part]
    just = replace(over, nanos=min(over.nanos, within.usd.nanos), tokens=min(over.tokens, within.tokens))
    just = replace(just, cached=min(over.cached, within.cached_tokens or 0))
    with gated(database, "http://127.0.0.1:9") as gate:
        run, _ = opened(gate, ceilings)
        if part == "steps":
            for _ in range(within.steps - 1):
                assert isinstance(gate.ledger.hold(run, 1, just), Hold)
        fits = gate.ledger.hold(run, 1, just)
        assert isinstance(fits, Hold)
        if part != "steps":
            gate.ledger.release(fits, 500, "error")
        assert isinstance(gate.ledger.hold(run, 1, over), Account)
        gate.ledger.open_slice(run, 1)
        assert isinstance(gate.ledger.hold(run, 1, over), Hold)


def test_of_each_ceiling_a_thirty_third_is_kept_back_and_of_a_single_step_none() -> None:
    found = less_kept_back(Ceilings(Usd.parse("33"), 3_300, 20, 600))
    assert found == Ceilings(Usd.parse("32"), 3_200, 19, 600)
    assert less_kept_back(Ceilings(Usd.parse("1"), 1, 1, 60)).steps == 1
    assert less_kept_back(Ceilings(Usd.parse("1"), 2, 2, 60)).steps == 1
