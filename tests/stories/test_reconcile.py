"""The ledger against the upstream's report, over HTTP: a correction stands beside what it corrects."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.core import overview as words
from bot.core import statement
from bot.core.ceilings import Reason
from bot.core.drift import day_of
from bot.core.money import ZERO
from bot.core.reconcile import Finding, Sums
from bot.core.times import DAY_MS
from bot.services import Services
from bot.stores.database import Database
from bot.stores.tables import pool_corrections, turns
from bot.stories.durable import Story, name_of
from bot.stories.reconcile import LOOSE, daily, enqueue, reconcile
from sandbox.processes import ROOT, Started, start
from tests.stories.reconciling import ADMIN, HOUR, KEY, MODEL, environment, used
from tests.web.gates import Gate, gated


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    return tmp_path / "invoice"


@pytest.fixture
def claude(invoice: Path) -> Iterator[Started]:
    with start("claude", character="echo", invoice=invoice, key=KEY, admin_key=ADMIN) as started:
        started.ask("/_sandbox/conduct", {"report_lag_ms": 0})
        yield started


@pytest.fixture
def env(migrated_url: str, claude: Started, private_key: str) -> dict[str, str]:
    return environment(migrated_url, claude, private_key)


@pytest.fixture
def ready(env: dict[str, str]) -> Iterator[Services]:
    with services.opened(settings.read(env), "test") as opened:
        yield opened


@pytest.fixture
def gate(ready: Services, claude: Started) -> Iterator[Gate]:
    with gated(ready.database, claude.url, drain_seconds=2) as made:
        yield made


def look(ready: Services, at: int | None = None) -> tuple[Finding, ...]:
    """An hour later, when the report has everything; as a minute in between would be asked for, anew."""
    assert ready.usage is not None
    ready.usage._asked_at = None
    now = (ready.database.now_ms() if at is None else at) + HOUR
    return reconcile(ready, now - 3 * HOUR, now, now).findings


def billed(claude: Started, run: str) -> int:
    return sum(row["nanos"] for row in claude.invoice()["rows"] if row["user"] == run)


def rows(ready: Services, run: str) -> list[Any]:
    with ready.database.read() as tx:
        return list(tx.execute(sa.select(turns).where(turns.c.run == run).order_by(turns.c.id)).mappings())


@pytest.mark.parametrize("by_start", [False, True], ids=["counted when billed", "counted when asked"])
def test_a_run_that_alone_has_estimates_is_its_invoice_afterwards(
    gate: Gate, claude: Started, ready: Services, by_start: bool
) -> None:
    claude.ask("/_sandbox/conduct", {"report_by_start": by_start})
    other, run = used(gate, claude, "echo"), used(gate, claude, "echo", "reset", "truncated")
    before = rows(ready, run)
    assert gate.report(run).spent.usd.nanos > billed(claude, run)
    (finding,) = look(ready)
    report = gate.report(run)
    assert report.spent.usd.nanos == billed(claude, run)
    assert (report.estimated, finding.runs, finding.drift) == (ZERO, (run,), Sums())
    assert sum(turn.usd.nanos for turn in report.turns) == report.spent.usd.nanos
    assert gate.report(other).spent.usd.nanos == billed(claude, other)
    # Both entries are kept, and each estimate has its own.
    after = rows(ready, run)
    assert after[: len(before)] == before
    assert [row["corrects"] for row in after[len(before) :]] == [
        row["id"] for row in before if row["state"] == "estimated"
    ]
    assert not any(each.books or each.drift for each in look(ready))
    assert rows(ready, run) == after


def test_several_runs_estimates_are_corrected_as_a_pool_and_the_signals_total_is_the_invoice(
    gate: Gate, claude: Started, ready: Services
) -> None:
    ran = [used(gate, claude, "reset"), used(gate, claude, "echo", "reset")]
    before = [gate.report(run).spent for run in ran]
    (finding,) = look(ready)
    assert [gate.report(run).spent for run in ran] == before
    assert finding.pool.usd.nanos == claude.invoice()["total_nanos"] - sum(s.usd.nanos for s in before) < 0
    told = ready.signals.read(by="developer")
    assert told.spent.nanos == claude.invoice()["total_nanos"]
    assert sum(share.usd.nanos for share in told.shares) + told.pooled.nanos == told.spent.nanos
    assert told.unattributed == told.spent
    assert "(corrected, of no run)" in words.as_text(told)
    assert words.as_json(told)["spend"]["pooled_usd"] == told.pooled.exact
    assert not any(each.books for each in look(ready))


def test_a_halted_run_stays_halted_when_its_spend_is_corrected(
    gate: Gate, claude: Started, ready: Services
) -> None:
    run = used(gate, claude, "reset")
    ready.runs.set(run, state="running")
    ready.runs.end(run, "halted", reason=Reason.COST, message="halted at step 1")
    look(ready)
    account = gate.account(run)
    assert account.spent.nanos == billed(claude, run)
    assert (account.state, account.reason, account.message) == ("halted", Reason.COST, "halted at step 1")


def test_other_use_of_the_key_is_shown_and_not_booked(gate: Gate, claude: Started, ready: Services) -> None:
    run = used(gate, claude, "reset")
    held = gate.report(run).spent
    claude.ask("/_sandbox/character", {"character": "echo"})
    with anthropic.Anthropic(api_key=KEY, base_url=claude.url, max_retries=0) as sdk:
        for _ in range(10):
            sdk.messages.create(
                model=MODEL, max_tokens=9_000, messages=[{"role": "user", "content": "hello" * 500}]
            )
    (finding,) = look(ready)
    assert gate.report(run).spent == held
    assert finding.drift.usd.nanos == claude.invoice()["total_nanos"] - held.usd.nanos > 0


def test_an_estimate_of_another_key_that_had_the_name_then_is_left_as_it_stands(
    gate: Gate, claude: Started, ready: Services
) -> None:
    run = used(gate, claude, "reset")
    held = gate.report(run).spent
    long_ago = 1_700_000_000_000  # before the sandbox's keys were created
    with ready.database.begin() as tx:
        tx.execute(sa.update(turns).values(held_at=long_ago, settled_at=long_ago))
    (finding,) = look(ready, long_ago)
    assert "not the one of that name" in finding.left
    with ready.database.begin() as tx:
        now = ready.database.now_ms()
        tx.execute(sa.update(turns).values(held_at=now, settled_at=now, key_name="ANTHROPIC_API_KEY_OLD"))
    assert not any(each.books for each in look(ready))
    assert gate.report(run).spent == held


def test_what_the_gateway_hears_after_all_is_exact_and_takes_the_pool_back(
    gate: Gate, claude: Started, ready: Services
) -> None:
    ran = [used(gate, claude, "reset"), used(gate, claude, "reset")]
    look(ready)
    # As the ledger's own correction leaves it when an answer's end is heard late.
    for run in ran:
        usage = next(row for row in claude.invoice()["rows"] if row["user"] == run)
        (turn,) = rows(ready, run)
        with ready.database.begin() as tx:
            row = {n: turn[n] for n in turn if n not in ("id", "state", "corrects", "ending", "nanos")}
            row |= {
                "hold_nanos": 0,
                "hold_tokens": 0,
                "tokens": 0,
                "cost_output_nanos": usage["output"] * 25_000,
            }
            row |= {"input": usage["input"] - turn["input"], "output": usage["output"] - turn["output"]}
            row |= {"cost_input_nanos": usage["nanos"] - usage["output"] * 25_000 - turn["nanos"]}
            row |= {"nanos": usage["nanos"] - turn["nanos"]}
            tx.execute(
                sa.insert(turns).values(**row, state="corrected", corrects=turn["id"], ending="stream")
            )
    (finding,) = look(ready)
    assert (finding.ledger + finding.correction, finding.drift) == (finding.invoice, Sums())
    with ready.database.read() as tx:
        assert tx.execute(sa.select(sa.func.sum(pool_corrections.c.nanos))).scalar_one() == 0


def test_the_day_s_reconciliation_is_enqueued_once_and_its_story_says_what_came_of_it(
    gate: Gate, claude: Started, ready: Services
) -> None:
    used(gate, claude, "echo")
    for _ in range(2):
        enqueue(ready)
    with ready.database.read() as tx:
        query = "SELECT name FROM {}workflow_status WHERE workflow_uuid LIKE 'reconcile-%'"
        schema = "" if ready.database.kind == "sqlite" else "dbos."
        assert tx.execute(sa.text(query.format(schema))).all() == [(name_of(daily),)]
    told = daily(Story("reconcile-today", ready, lambda name, do: do()))
    assert told == "corrected by $0.00, drift $0.00"


def test_without_a_report_the_day_s_story_says_so_and_nothing_is_changed(
    claude: Started, ready: Services
) -> None:
    claude.stop()
    assert ready.usage is not None
    ready.usage._wait = lambda seconds: None
    assert "did not answer" in daily(Story("reconcile-today", ready, lambda name, do: do()))


# -- the command --


def command(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", "reconcile", *words],
        env=env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def an_hour_ago(database: Database, invoice: Path) -> None:
    """All that happened, happened an hour earlier."""
    told = [json.loads(line) for line in invoice.read_text().splitlines()]
    for row in told:
        row["at"], row["asked_at"] = row["at"] - HOUR, row["asked_at"] - HOUR
    invoice.write_text("".join(json.dumps(row) + "\n" for row in told))
    moved = {"held_at": turns.c.held_at - HOUR, "settled_at": turns.c.settled_at - HOUR}
    with database.begin() as tx:
        tx.execute(sa.update(turns).values(moved))


def test_the_command_corrects_and_prints_a_table_and_json(
    gate: Gate, claude: Started, ready: Services, env: dict[str, str], invoice: Path
) -> None:
    run, other = used(gate, claude, "echo", "reset"), used(gate, claude, "echo", model="claude-haiku-4-5")
    fresh = command(env)
    assert "1 left for the next time: too fresh for the report" in fresh.stdout
    claude.stop()
    an_hour_ago(ready.database, invoice)
    with start("claude", character="echo", invoice=invoice, key=KEY, admin_key=ADMIN) as later:
        env = env | {"ANTHROPIC_BASE_URL": later.url}
        done = command(env)
        assert done.returncode == 0, done.stderr
        assert f"corrected {run}" in done.stdout
        assert "corrected by -$" in done.stderr
        assert gate.report(run).spent.usd.nanos == billed(later, run)
        line = next(d for d in json.loads(command(env, "--json").stdout)["days"] if d["model"] == MODEL)
        assert line["ledger"] == line["invoice"]
        assert (line["correction"]["usd"], line["drift"]["usd"], line["runs"]) == ("0", "0", [])
        assert ADMIN not in done.stdout + done.stderr
        later.ask("/_sandbox/reports", [{"user": other, "copies": 2}])
        told = command(env)
        assert (told.returncode, "missing_run" in told.stdout) == (3, True)
        assert "no turn in the ledger explains it" in told.stdout
        assert "usage_report/messages: page 1" in told.stderr
        enough = command(env, "--json", "--threshold", "$100")
        (drift,) = json.loads(enough.stdout)["drifts"]
        assert (enough.returncode, drift["kind"], drift["expected_usd"]) == (0, "missing_run", "0")
        assert command(env, "--threshold", "much").returncode == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"ANTHROPIC_ADMIN_KEY": ""}, "ANTHROPIC_ADMIN_KEY is not set", id="no admin key"),
        pytest.param({"ANTHROPIC_ADMIN_KEY": "sk-wrong"}, "answered 401", id="another"),
        pytest.param({"ANTHROPIC_API_KEY": "sk-other"}, "ANTHROPIC_API_KEY cannot be told", id="not ours"),
    ],
)
def test_what_keeps_the_command_from_its_report_is_said(
    ready: Services, env: dict[str, str], changed: dict[str, str], said: str
) -> None:
    done = command(env | changed)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stretch_that_goes_on_beyond_what_is_looked_at_is_left_and_a_quiet_model_is_corrected(
    gate: Gate, claude: Started, ready: Services
) -> None:
    run = used(gate, claude, "reset")
    dense, _ = gate.run()
    gate.runs.end(dense, "done")
    (quiet,) = rows(ready, run)
    kept = {
        name: quiet[name] for name in quiet if name not in ("id", "run", "model", "model_asked", "prefix")
    }
    at = quiet["held_at"]
    with ready.database.begin() as tx:
        tx.execute(
            sa.insert(turns),
            [
                kept
                | {"run": dense, "model_asked": "claude-haiku-4-5", "held_at": at - hours * HOUR}
                | {"settled_at": at - (hours - 2) * HOUR}
                for hours in range(36 * 24, 1, -2)
            ],
        )
    told = {finding.stretch.model: finding for finding in look(ready)}
    assert told["claude-haiku-4-5"].left == LOOSE
    assert (told[MODEL].left, told[MODEL].runs) == ("", (run,))
    assert gate.report(run).spent.usd.nanos == billed(claude, run)
    assert not [row for row in rows(ready, dense) if row["state"] == "corrected"]


def test_what_differs_in_a_stretch_of_days_is_kept_once_it_has_ended(
    gate: Gate, claude: Started, ready: Services
) -> None:
    """Round the clock from Monday to Friday: only then can it be compared, and its first day is long past."""
    run = used(gate, claude, "echo")
    (once,) = rows(ready, run)
    kept = {name: once[name] for name in once if name not in ("id", "model", "model_asked", "prefix")}
    other, ended = "claude-haiku-4-5", once["held_at"] - 2 * DAY_MS
    with ready.database.begin() as tx:
        tx.execute(
            sa.insert(turns),
            [
                kept | {"model": other, "model_asked": other, "held_at": at, "settled_at": at + 2 * HOUR}
                for at in range(ended - 5 * DAY_MS, ended, 2 * HOUR)
            ],
        )
    assert ready.usage is not None
    now = ready.database.now_ms() + HOUR
    told = reconcile(ready, now - 3 * DAY_MS, now, now)
    [found] = [each for each in told.drifts if each.model == other]
    assert found.usd.nanos == -60 * once["nanos"]
    assert found.day == day_of(ended + 2 * HOUR)
    assert [each.drift for each in ready.drifts.read() if each.drift.model == other] == [found]
    (line,) = [each for each in statement.lines(told.findings) if each.model == other]
    assert line.day == found.day
