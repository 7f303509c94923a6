"""`python -m bot exam` over real HTTP: who is counted as solved, what it costs, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bot.cli import main
from bot.core.money import Usd
from bot.exam import paper
from bot.exam.sitting import Purse
from sandbox.processes import ROOT, Started, start
from tests.commands.test_local import nanos, wait_for

KEY = "sk-ant-real"
NAMES = [each.name for each in paper.read()]


@dataclass(frozen=True)
class Sat:
    code: int
    out: str
    err: str
    json: dict[str, Any]

    @property
    def verdicts(self) -> dict[str, str]:
        return {each["name"]: each["verdict"] for each in self.json["tasks"]}

    @property
    def reasons(self) -> set[str]:
        return {each["why"] for each in self.json["tasks"]}


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ANTHROPIC")}  # noqa: TID251 - a child's
    return {**kept, **more}


def sit(*words: str, **env: str) -> Sat:
    command = [sys.executable, "-m", "bot", "exam", "--json", *words]
    done = subprocess.run(
        command, env=environment(**env), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    return Sat(done.returncode, done.stdout, done.stderr, json.loads(done.stdout) if done.stdout else {})


def only(*names: str) -> list[str]:
    return [word for name in names for word in ("--only", name)]


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    """What stands for the real API where a key is set."""
    with start("claude", character="examinee", key=KEY, invoice=tmp_path / "invoice") as started:
        yield started


def live(claude: Started, key: str = KEY) -> dict[str, str]:
    return {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": claude.url}


@pytest.mark.slow
def test_one_who_knows_the_answers_solves_every_task_and_the_ledgers_are_the_invoice() -> None:
    sat = sit("--jobs", "2")
    assert sat.code == 0, sat.err
    assert set(sat.verdicts.values()) <= {"solved", "skipped"}, sat.err
    assert set(sat.verdicts) == set(NAMES)
    assert sat.json["solved"] == sat.json["sat"] > 8
    assert nanos(sat.json["invoice_usd"]) == nanos(sat.json["usd"]) > 0
    assert nanos(sat.json["usd"]) == sum(nanos(each["usd"]) for each in sat.json["tasks"])
    assert "equal to the ledgers to the nano-dollar" in sat.err


@pytest.mark.slow
def test_one_who_cures_symptoms_passes_the_tests_and_solves_nothing() -> None:
    one_a_language = only("same-name", "half-a-release", "paid-twice")
    sat = sit(*one_a_language, "--jobs", "3", "--character", "symptom")
    assert (sat.code, set(sat.verdicts.values())) == (0, {"unsolved"}), sat.err
    assert sat.reasons == {"its test passes, the hidden tests fail"}
    assert nanos(sat.json["invoice_usd"]) == nanos(sat.json["usd"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("character", "why"),
    [
        ("gives-up", "it changed nothing"),
        ("bends-tests", "it changed test_archive.py, which has to stay as it is"),
    ],
)
def test_who_claims_and_who_gives_up_have_solved_nothing(character: str, why: str) -> None:
    sat = sit(*only("last-page"), "--character", character)
    assert (sat.code, sat.verdicts, sat.reasons) == (0, {"last-page": "unsolved"}, {why})
    assert sat.json["character"] == character
    assert nanos(sat.json["invoice_usd"]) == nanos(sat.json["usd"]) > 0


def test_the_first_line_says_that_no_model_sits() -> None:
    command = [sys.executable, "-m", "bot", "exam", *only("exactly-a-kilo")]
    done = subprocess.run(
        command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    first, *_ = done.stdout.decode().splitlines()
    assert first.startswith("Scripted sitting (ANTHROPIC_API_KEY is not set): no model takes this exam")
    assert "'examinee'" in first
    assert "solved 1 of 1" in done.stdout.decode()


def test_with_a_key_its_own_address_is_asked_and_the_ledger_is_its_invoice(
    claude: Started, tmp_path: Path
) -> None:
    keep = tmp_path / "kept"
    sat = sit(*only("quiet-customers", "last-page"), "--keep", str(keep), **live(claude))
    assert (sat.code, sat.json["sitting"], sat.json["solved"]) == (0, "live", 2), sat.err
    assert sat.err.startswith(f"Live sitting: claude-opus-4-7 at {claude.url}. It costs money: at most $2.00")
    assert nanos(sat.json["usd"]) == claude.invoice()["total_nanos"] == ledgers(keep)
    assert "range(0, len(entries), size)" in (keep / "last-page/work/archive/pages.py").read_text()
    assert "Ran 4 tests" in (keep / "last-page/judged.txt").read_text()


@pytest.mark.slow
def test_a_character_that_is_asked_for_sits_also_where_a_key_is_set(claude: Started) -> None:
    sat = sit(*only("last-page"), "--character", "gives-up", **live(claude))
    assert sat.json["sitting"] == "scripted"
    assert claude.invoice()["count"] == 0


@pytest.mark.slow
def test_a_task_that_the_total_does_not_cover_is_not_begun(claude: Started) -> None:
    sat = sit(*only("last-page", "same-name"), "--cost", "1", "--total", "1", **live(claude))
    assert (sat.code, sat.verdicts) == (3, {"last-page": "solved", "same-name": "not sat"})
    assert "of the total of $1.00 only $0.9" in sat.json["ended_early"]
    assert nanos(sat.json["usd"]) == claude.invoice()["total_nanos"]


@pytest.mark.slow
def test_the_environments_budget_is_the_total() -> None:
    sat = sit(*only("last-page"), "--character", "gives-up", ANTHROPIC_COST_BUDGET="0.30")
    assert (sat.json["total_usd"], sat.json["ceilings"]["usd"]) == ("0.3", "0.3")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ceiling", "says"),
    [(["--steps", "2"], "2 step ceiling reached"), (["--cost", "0.02"], "$0.02 cost ceiling reached")],
)
def test_a_task_that_reaches_a_ceiling_is_halted_and_the_exam_goes_on(ceiling: list[str], says: str) -> None:
    sat = sit(*only("first-come", "last-page"), *ceiling)
    assert (sat.code, set(sat.verdicts.values())) == (0, {"halted"})
    assert all(says in why for why in sat.reasons)
    assert nanos(sat.json["invoice_usd"]) == nanos(sat.json["usd"])


@pytest.mark.slow
def test_where_there_are_no_answers_the_exam_ends(claude: Started) -> None:
    sat = sit(*only("last-page", "same-name"), **live(claude, key="sk-ant-another"))
    assert (sat.code, sat.verdicts) == (1, {"last-page": "failed", "same-name": "not sat"}), sat.err
    assert sat.json["ended_early"].startswith("no answers: ")
    assert sat.json["usd"] == "0"


@pytest.mark.slow
def test_a_task_whose_language_is_missing_is_skipped_and_not_failed(tmp_path: Path) -> None:
    for name in ("python3", "bash", "sh", "git"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    sat = sit(*only("first-come"), PATH=str(tmp_path))
    assert (sat.code, sat.verdicts, sat.reasons) == (
        0,
        {"first-come": "skipped"},
        {"node: not on this machine"},
    )
    assert (sat.json["skipped"], sat.json["sat"]) == (1, 0)
    assert "solved 0 of 0 · 1 skipped" in sat.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["--only", "no-such"], "there is no task no-such; there are double-booked", id="task"),
        pytest.param(["--cost", "0"], "would start nothing", id="a ceiling of nothing"),
        pytest.param(["--total", "0"], "would start nothing", id="a total of nothing"),
        pytest.param(["--engine", "abacus"], "there is no engine 'abacus'", id="engine"),
        pytest.param(["--character", "nobody"], "the sandbox did not come up", id="character"),
        pytest.param(["--keep", str(ROOT / "docs")], "is not empty", id="a directory in use"),
        pytest.param(["--jobs", "0"], "jobs", id="no jobs"),
    ],
)
def test_what_cannot_be_started_says_why(words: list[str], says: str) -> None:
    told = CliRunner().invoke(main, ["exam", *words], env={"ANTHROPIC_API_KEY": None})
    assert told.exit_code == 4
    assert says in told.stderr
    assert told.stdout == ""


@pytest.mark.slow
def test_ctrl_c_ends_in_order_with_what_is_known(claude: Started, tmp_path: Path) -> None:
    claude.ask("/_sandbox/character", {"character": "slow", "manner": {"event_ms": 300}})
    keep = tmp_path / "kept"
    command = [sys.executable, "-m", "bot", "exam", "--json", *only("last-page", "same-name")]
    with subprocess.Popen(
        [*command, "--keep", str(keep)],
        env=environment(**live(claude)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_for(lambda: claude.ask("/healthz")["in_flight"] == 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    told = json.loads(out)
    assert [each["verdict"] for each in told["tasks"]] == ["halted", "not sat"]
    assert {each["why"] for each in told["tasks"]} == {told["ended_early"]} == {"interrupted"}
    wait_for(lambda: claude.ask("/healthz")["in_flight"] == 0)
    assert nanos(told["usd"]) == ledgers(keep) >= claude.invoice()["total_nanos"] > 0


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100)), max_size=12))
def test_a_purse_never_gives_out_more_than_there_is(takes: list[tuple[int, int]]) -> None:
    purse, spent = Purse(Usd(100)), 0
    for amount, part in takes:
        left = purse.take(Usd(amount))
        assert (left is None) == (spent + amount <= 100)
        if left is None:
            used = amount * part // 100
            purse.put_back(Usd(amount - used))
            spent += used
        else:
            assert left == Usd(100 - spent)


def test_who_finds_the_purse_empty_waits_for_what_is_put_back() -> None:
    purse = Purse(Usd(10))
    assert purse.take(Usd(8)) is None
    found: list[Usd | None] = []
    waiting = threading.Thread(target=lambda: found.append(purse.take(Usd(5))))
    waiting.start()
    assert found == []
    purse.put_back(Usd(6))
    waiting.join(20)
    assert found == [None]


def ledgers(keep: Path) -> int:
    """What all ledgers that were kept say was spent, in nano-dollars."""
    total = 0
    for file in keep.glob("*/ledger/ledger.db"):
        database = sqlite3.connect(file)
        total += database.execute("SELECT sum(spent_nanos) FROM runs").fetchone()[0]
        database.close()
    return total
