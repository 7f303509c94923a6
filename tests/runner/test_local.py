"""The native agent on a local checkout, behind a real gateway, with the sandbox's Claude for a mind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.clients.anthropic import Key
from bot.commands.local import Local, opened
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.prices import PriceBook
from bot.core.reports import Report
from bot.runner.engines import Event
from bot.runner.local import LocalResult, run_local
from sandbox.processes import Started, start
from tests.runner.world import AMPLE, MODEL, git, plant, say, scripted, sh

ROOT = Path(__file__).parent.parent.parent
ENV = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "ANTHROPIC_API_KEY": "sk-ant-mine"}


@contextmanager
def bounded(upstream: str, state: Path, ceilings: Ceilings = AMPLE) -> Iterator[Local]:
    with opened(
        origin="run",
        ceilings=ceilings,
        sources={},
        prices=PriceBook(),
        upstream=upstream,
        key=Key("ANTHROPIC_API_KEY", "sk-test"),
        state=state,
        engine="opus",
        model=MODEL,
    ) as local:
        yield local


def worked(
    claude: Started, folder: Path, ceilings: Ceilings = AMPLE, events: list[Event] | None = None
) -> tuple[LocalResult, Report]:
    told = events if events is not None else []
    with bounded(claude.url, folder / "state", ceilings) as local:

        def tell(event: Event) -> None:
            if event.kind == "wrap_up":
                local.open_slice()
            told.append(event)

        result = run_local(
            "the tests fail: fix it",
            folder / "work",
            local.url,
            local.token,
            model=MODEL,
            ceilings=ceilings,
            env=ENV,
            on_event=tell,
            halted=local.halted,
        )
        local.end(result.outcome, result.ending.message or "")
    return result, local.runs.report(local.run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    git(plant(tmp_path / "work"), "init", "--quiet")
    return tmp_path


def test_a_seeded_bug_is_fixed_checked_and_paid_to_the_nano_dollar(folder: Path) -> None:
    events: list[Event] = []
    with start("claude", character="fixer") as claude:
        result, report = worked(claude, folder, events=events)
        invoice = claude.invoice()
    assert result.outcome == "done", result.ending
    assert result.check is not None
    assert result.check.exit_code == 0
    assert "unittest" in result.check.command
    assert result.changed == ("acme_calendar/years.py",)
    assert report.spent.usd == Usd(invoice["total_nanos"])
    assert report.spent.steps == invoice["count"] == result.ending.turns
    assert result.tool_calls == sum(event.kind == "tool" for event in events) > 3
    assert all(turn.cache_read for turn in report.turns[1:])


def test_one_who_is_wrong_and_sure_of_it_does_not_pass_the_check(folder: Path) -> None:
    with start("claude", character="wrong") as claude:
        result, _ = worked(claude, folder)
    assert "All tests pass now" in result.summary
    assert result.check is not None
    assert result.check.exit_code != 0


@pytest.mark.parametrize("character", ["tireless", "defiant"])
def test_one_without_an_end_halts_under_its_ceiling_with_its_work_kept(folder: Path, character: str) -> None:
    ceilings = Ceilings(Usd.parse("0.5"), 500_000, 50, 600)
    events: list[Event] = []
    with start("claude", character=character) as claude:
        result, report = worked(claude, folder, ceilings, events)
        invoice = claude.invoice()
    assert result.outcome == "halted"
    assert result.ending.reason == "cost_ceiling"
    assert [event.kind for event in events].count("wrap_up") == 1
    assert result.changed
    assert Usd(0) < report.spent.usd == Usd(invoice["total_nanos"]) <= ceilings.usd
    if character == "defiant":
        assert report.outcome == "halted"
        assert result.ending.message == report.message
        assert report.message.endswith("$0.50 cost ceiling reached")


@pytest.mark.parametrize(
    ("character", "evidence"),
    [
        ("runaway", "failed the same way 4 times"),
        ("oscillating", "the last 4 edits only undo and redo each other"),
        ("stuck", "gave the same result 4 times"),
    ],
)
def test_who_goes_round_in_circles_is_halted_with_the_reason(
    folder: Path, character: str, evidence: str
) -> None:
    events: list[Event] = []
    with start("claude", character=character) as claude:
        result, report = worked(claude, folder, Ceilings(Usd.parse("20"), 5_000_000, 80, 600), events)
        invoice = claude.invoice()
    assert (result.outcome, result.ending.reason) == ("halted", "stuck_loop")
    assert report.message == f"halted at step {report.spent.steps}: {report.message.partition(': ')[2]}"
    assert "stuck_loop: " in report.message
    assert evidence in report.message
    tries = [event for event in events if event.kind == "tool" and "view" not in event.text]
    assert len(tries) <= 2 + 2 * 6  # a look around, then at most six repetitions of two calls
    assert report.spent.usd == Usd(invoice["total_nanos"])
    assert report.spent.steps == invoice["count"]


def test_at_the_step_ceiling_no_further_request_is_answered(folder: Path) -> None:
    with start("claude", character="defiant") as claude:
        result, report = worked(claude, folder, Ceilings(Usd.parse("5"), 500_000, 4, 600))
        invoice = claude.invoice()
    assert report.spent.steps == invoice["count"] == 4
    assert (result.outcome, result.ending.reason) == ("halted", "step_ceiling")


def test_a_halt_ends_the_command_that_runs(folder: Path) -> None:
    halted = threading.Event()
    with scripted([sh("touch begun; sleep 600"), say("Waiting.")], [say("Never.")]) as (url, script):

        def listen(event: Event) -> None:
            if event.kind == "turn":
                threading.Timer(0.5, halted.set).start()

        result = run_local(
            "wait",
            folder / "work",
            url,
            "token",
            model=MODEL,
            ceilings=AMPLE,
            env=ENV,
            on_event=listen,
            halted=halted,
        )
    assert result.outcome == "halted"
    assert len(script.requests) == 1
    assert result.changed == ("begun",)


def test_the_agents_commands_see_no_key(folder: Path) -> None:
    with scripted([sh("env > seen")], [say("Done.")]) as (url, _):
        run_local("look", folder / "work", url, "run_secret", model=MODEL, ceilings=AMPLE, env=ENV)
    seen = (folder / "work" / "seen").read_text()
    assert "sk-ant" not in seen
    assert "run_secret" not in seen


def test_ctrl_c_ends_the_command_that_runs_and_the_report_says_so(folder: Path) -> None:
    report = folder / "report.json"
    command = [sys.executable, "-m", "bot", "run", "--cost", "1", "--report", str(report)]
    with scripted([sh("touch begun; sleep 98755")], [say("Never.")]) as (url, script):
        env = ENV | {"ANTHROPIC_BASE_URL": url, "HOME": str(folder)}
        with subprocess.Popen(
            [*command, "--repo", str(folder / "work"), "wait"], cwd=ROOT, env=env, stderr=subprocess.PIPE
        ) as process:
            until = time.monotonic() + 60
            while not (folder / "work" / "begun").exists():
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode == 3
    assert len(script.requests) == 1
    said = json.loads(report.read_text())
    assert (said["outcome"], said["reason"]) == ("halted", "stopped")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 98755" not in listed
