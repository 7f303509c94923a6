"""Six kinds of drift between the ledger and an invoice, planted over HTTP, found, explained and resolved."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.core.drift import (
    CACHE_PRICE,
    DOUBLE,
    LATE,
    MISSING,
    OTHER_KEY,
    PRICE,
    UNEXPLAINED,
    Drift,
)
from bot.core.drift import MODEL as WRONG_MODEL
from bot.core.drift_words import sentence
from bot.core.money import Usd
from bot.core.times import DAY_MS as DAY
from bot.services import Services
from bot.stores.drifts import LOOK
from bot.stores.tables import drifts, looks
from bot.stories.durable import Story
from bot.stories.reconcile import Reconciled, daily, reconcile
from sandbox.processes import ROOT, Started, start
from tests.stories.reconciling import ADMIN, HOUR, MODEL, environment, used
from tests.web.gates import Gate, gated

HAIKU, OURS = "claude-haiku-4-5", "ANTHROPIC_API_KEY"
LONG = "The quick brown fox jumps over the lazy dog. " * 1500


@dataclass
class World:
    env: dict[str, str]
    claude: Started
    ready: Services
    gate: Gate

    def run(self, *characters: str, **asked: Any) -> str:
        return used(self.gate, self.claude, *(characters or ("echo",)), **asked)

    def plant(self, *faults: dict[str, Any]) -> None:
        self.claude.ask("/_sandbox/reports", list(faults))

    def look(self, later: int = 3 * DAY) -> Reconciled:
        """So long after now; what was kept is what was found, and looking again keeps it."""
        assert self.ready.usage is not None
        now = self.ready.database.now_ms()
        found = self.again(now, later)
        kept = self.rows()
        assert {each.drift for each in self.ready.drifts.read()} == set(found.drifts)
        again = self.again(now, later)
        assert (again.drifts, self.rows()) == (found.drifts, kept)
        assert not any(each.books for each in again.findings)
        return found

    def again(self, now: int, later: int) -> Reconciled:
        assert self.ready.usage is not None
        self.ready.usage._asked_at = None  # as if a minute had passed
        return reconcile(self.ready, now - HOUR, now + HOUR, now + later)

    def only(self, later: int = 3 * DAY) -> Drift:
        (found,) = self.look(later).drifts
        return found

    def nothing(self) -> None:
        """What was planted is taken away: all that stood is resolved."""
        self.plant()
        assert self.look().drifts == ()
        assert self.ready.drifts.read() == ()
        assert all(row["resolved_at"] for row in self.rows())

    def rows(self) -> list[dict[str, Any]]:
        with self.ready.database.read() as tx:
            return [dict(row) for row in tx.execute(sa.select(drifts).order_by(drifts.c.id)).mappings()]

    def billed(self, run: str) -> Usd:
        return Usd(sum(row["nanos"] for row in self.claude.invoice()["rows"] if row["user"] == run))


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    return tmp_path / "invoice"


@pytest.fixture
def world(migrated_url: str, private_key: str, invoice: Path) -> Iterator[World]:
    with start("claude", character="echo", invoice=invoice, admin_key=ADMIN, report_lag_ms=0) as claude:
        env = environment(migrated_url, claude, private_key)
        with (
            services.opened(settings.read(env), "test") as ready,
            gated(ready.database, claude.url, drain_seconds=2) as gate,
        ):
            yield World(env, claude, ready, gate)


def marked(ttl: str) -> dict[str, Any]:
    """A request whose prompt is written to the cache."""
    return {"system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": ttl}}]}


def test_each_kind_of_drift_is_found_explained_and_resolved_when_it_is_gone(world: World) -> None:
    other, run = world.run(), world.run("echo", "echo", **marked("5m"))
    rows = [row for row in world.claude.invoice()["rows"] if row["user"] == run]
    tokens = {
        name: sum(row[name] for row in rows) for name in ("cache_write_5m", "cache_read", "input", "output")
    }
    assert all(tokens.values())
    assert world.look().drifts == ()

    world.plant({"user": other, "copies": 2})
    found = world.only()
    assert (found.kind, found.key, found.model) == (MISSING, OURS, MODEL)
    assert (found.expected, found.invoiced) == (Usd(), world.billed(other))
    assert "no turn in the ledger explains it" in sentence(found)
    world.nothing()

    world.plant({"user": run, "model": HAIKU})
    found = world.only()
    assert (found.kind, found.model, found.part) == (WRONG_MODEL, MODEL, HAIKU)
    assert found.expected == world.billed(run) > found.invoiced > Usd()
    assert found.runs == (run,)
    assert f"exactly its {sum(tokens.values()):,} tokens as {HAIKU}" in sentence(found)
    world.nothing()

    world.plant({"user": run, "move": ["cache_write_5m", "cache_write_1h"]})
    found = world.only()
    assert (found.kind, found.part, found.runs) == (CACHE_PRICE, "cache_write_5m → cache_write_1h", (run,))
    assert found.usd == Usd(tokens["cache_write_5m"] * 3_750)
    assert "booked as 5-minute cache writes" in sentence(found)
    world.nothing()

    for part, price in (("cache_write_5m", 10_000), ("cache_read", 5_000)):
        world.plant({"prices": {part: price}})
        found = world.only()
        assert (found.kind, found.part, found.key, found.runs) == (CACHE_PRICE, part, "", (run,))
        assert (found.invoiced, found.expected_tokens) == (Usd(tokens[part] * price), tokens[part])
        assert "a million)" in sentence(found)
        assert "that is the price of" in found.hint
    world.nothing()

    world.plant({"user": other, "prices": {"input": 4_999}})
    found = world.only()
    assert (found.kind, found.part, found.usd.nanos < 0) == (PRICE, "input", True)
    world.nothing()

    with anthropic.Anthropic(api_key="sk-another-one", base_url=world.claude.url) as sdk:
        sdk.messages.create(model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    looked = world.look()
    (found,) = looked.drifts
    assert (found.kind, found.key.startswith("key "), found.invoiced) == (OTHER_KEY, True, world.billed(""))
    assert "It is not this service's spend" in sentence(found)
    assert looked.loud == Usd()


def test_all_at_once_in_the_same_minutes_are_taken_apart(world: World) -> None:
    world.claude.ask("/_sandbox/conduct", {"replays": True})
    double = world.run("echo", "echo")
    world.claude.ask("/_sandbox/conduct", {"replays": False})
    rewritten, lost, cached = (
        world.run(**asked) for asked in ({"system": LONG[:90]}, {"system": "x"}, marked("5m"))
    )
    late = world.run(model=HAIKU)
    with anthropic.Anthropic(api_key="sk-another-one", base_url=world.claude.url) as sdk:
        sdk.messages.create(model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    world.plant(
        {"user": rewritten, "model": "claude-sonnet-4-6"},
        {"user": lost, "copies": 2},
        {"user": late, "late_ms": 2 * HOUR},
        {"user": cached, "prices": {"cache_write_5m": 10_000}},
    )
    now = {each.kind: each for each in world.look(HOUR).drifts}
    # In the last hour of a day (UTC) that day is over an hour later, and the other key is known already.
    assert set(now) - {OTHER_KEY} == {DOUBLE, WRONG_MODEL, MISSING, LATE}
    assert (now[DOUBLE].runs, now[DOUBLE].expected) == ((double,), world.billed(double))
    assert (now[WRONG_MODEL].runs, now[WRONG_MODEL].part) == ((rewritten,), "claude-sonnet-4-6")
    assert (now[LATE].runs, now[MISSING].invoiced) == ((late,), world.billed(lost))
    world.claude.ask("/_sandbox/clock", {"advance_seconds": 3 * 3600})
    then = {each.kind: each for each in world.look().drifts}
    assert set(then) == {DOUBLE, WRONG_MODEL, MISSING, CACHE_PRICE, OTHER_KEY}
    assert then[CACHE_PRICE].runs == (cached,)
    assert {then[kind] for kind in (DOUBLE, WRONG_MODEL, MISSING)} < set(now.values())


def test_one_request_that_is_booked_twice_is_found_by_its_id(world: World) -> None:
    world.claude.ask("/_sandbox/conduct", {"replays": True})
    once, run = world.run(), world.run("echo", "echo")
    found = world.only(HOUR)
    assert (found.kind, found.runs) == (DOUBLE, (run,))
    assert (found.expected, found.invoiced) == (world.billed(run), Usd())
    assert world.gate.report(run).spent.usd == world.billed(run) * 2
    assert "the invoice has them once" in sentence(found)
    assert once not in sentence(found)


def test_what_is_late_is_not_judged_and_is_corrected_when_it_has_come(world: World) -> None:
    run, estimated = world.run(), world.run("reset", model=HAIKU)
    world.plant({"late_ms": 2 * HOUR})
    looked = world.look(HOUR)
    (found,) = looked.drifts
    assert (found.kind, found.runs, found.expected) == (LATE, (run,), world.billed(run))
    assert looked.loud == Usd()
    assert "not judged before it is a day old" in sentence(found)
    assert world.gate.report(estimated).spent.usd == Usd()
    world.claude.ask("/_sandbox/clock", {"advance_seconds": 3 * 3600})
    assert world.look(3 * HOUR).drifts == ()
    assert world.gate.report(estimated).spent.usd == world.billed(estimated) > Usd()
    assert [(row["kind"], bool(row["resolved_at"])) for row in world.rows()] == [(LATE, True)]
    # And what never comes is not explained.
    world.plant({"user": run, "copies": 0})
    found = world.only()
    assert (found.kind, found.runs) == (UNEXPLAINED, (run,))
    assert "ask Anthropic with its request ids" in sentence(found)


def test_a_reconciliation_that_is_killed_goes_on_the_next_time(world: World) -> None:
    run, estimated = world.run(), world.run("reset", model=HAIKU)
    world.plant({"user": run, "copies": 2})
    now = world.ready.database.now_ms()
    # In the midst of the estimate's correction, after it, and in the midst of the drift's row.
    for where in ("inside", "after", "inside"):
        died = subprocess.run(
            [
                sys.executable, "-m", "tests.chaos.dying_reconcile",
                str(now - HOUR), str(now + 3 * DAY), where,
            ],
            env=world.env, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert world.rows() == []
    assert world.only().kind == MISSING
    assert world.gate.report(estimated).spent.usd == world.billed(estimated)


def test_a_cost_report_that_cannot_be_read_is_said_and_the_ledger_is_compared_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run = world.run()
    world.plant({"user": run, "copies": 2})
    world.claude.ask("/_sandbox/conduct", {"tells_costs": False})
    looked = world.look()
    assert "prices and other keys were not looked at" in looked.unread
    assert [each.kind for each in looked.drifts] == [MISSING]
    later = f"{world.ready.database.clock} + {3 * DAY}"
    with services.opened(settings.read(world.env), "test", later) as ready:
        daily(Story("reconcile-later", ready, lambda name, do: do()))
    said = [getattr(record, "event", "") for record in caplog.records]
    assert [one for one in said if one.startswith("reconcile.")] == ["reconcile.unread", "reconcile.drift"]


@pytest.mark.parametrize(
    ("away", "back"),
    [
        pytest.param(0, 3, id="the next day"),
        pytest.param(10, 13, id="after ten days without a worker"),
        pytest.param(90, 31, id="a month at most"),
    ],
)
def test_the_day_s_story_looks_back_to_where_the_last_one_was(world: World, away: int, back: int) -> None:
    world.run()
    now = world.ready.database.now_ms()
    world.ready.looks.begin(LOOK)
    with world.ready.database.begin() as tx:
        tx.execute(sa.update(looks).values(through_at=now - away * DAY))
    assert daily(Story("reconcile-today", world.ready, lambda name, do: do())).startswith("corrected by")
    asked = [each for each in world.claude.ask("/_sandbox/requests") if "report" in each["path"]]
    first = datetime.fromtimestamp((now // DAY - back) * DAY / 1000, UTC)
    assert {each["query"]["starting_at"] for each in asked} == {f"{first:%Y-%m-%dT%H:%M:%SZ}"}
    assert world.ready.drifts.reconciled_at() is not None
    assert world.ready.looks.reached(LOOK) == pytest.approx(now, abs=HOUR)


def test_what_stands_is_summed_by_kind(world: World) -> None:
    run, other = world.run(), world.run(model=HAIKU)
    world.plant({"user": run, "copies": 3}, {"user": other, "copies": 0})
    world.look()
    told = {each.kind: each for each in world.ready.drifts.standing()}
    assert (told[MISSING].rows, told[MISSING].more, told[MISSING].less) == (1, world.billed(run) * 2, Usd())
    assert (told[UNEXPLAINED].more, told[UNEXPLAINED].less) == (Usd(), world.billed(other))
