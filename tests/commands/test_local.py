"""One machine: `exec` bounds any program, `run` works on a checkout, and both say what it cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam

from bot.clients.anthropic import Key
from bot.commands.local import opened
from bot.core.ceilings import CLASSES
from bot.core.prices import PriceBook
from sandbox import world
from sandbox.processes import ROOT, Started, start
from tests.core.transcript_parts import sh, talk
from tests.laptops import ONE, Ran, greedy, program

KEY = "sk-ant-real"


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="echo", key=KEY, invoice=tmp_path / "i", answer_tokens=300) as started:
        yield started


def environment(claude: Started, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ANTHROPIC")}  # noqa: TID251 - a child's
    return {**kept, "ANTHROPIC_BASE_URL": claude.url, "ANTHROPIC_API_KEY": KEY, **more}


def bot(tmp_path: Path, env: dict[str, str], verb: str, *words: str) -> Ran:
    report = tmp_path / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bot", verb, "--report", str(report), *words]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    told = json.loads(report.read_text()) if report.exists() else {}
    return Ran(done.returncode, done.stdout, done.stderr, told)


STREAM = """
    import anthropic
    with anthropic.Anthropic(max_retries=0).messages.stream(
        model="claude-opus-4-7", max_tokens=500, messages=[{"role": "user", "content": "one"}]
    ) as stream:
        for event in stream:
            pass
"""


def test_thirty_two_requests_at_once_never_cost_more_and_the_report_is_the_invoice(
    tmp_path: Path, claude: Started
) -> None:
    ran = bot(
        tmp_path,
        environment(claude),
        "exec",
        "--cost",
        "1",
        "--steps",
        "1M",
        "--",
        *program(tmp_path, greedy(32)),
    )
    invoice = claude.invoice()["total_nanos"]
    assert ran.code == 3
    assert "$1.00 cost ceiling reached" in ran.err
    assert 900_000_000 < invoice <= 1_000_000_000
    assert nanos(ran.report["spent"]["usd"]) == invoice
    assert ran.report["reason"] == "cost_ceiling"
    assert ran.report["estimated_usd"] == "0"


def test_the_commands_own_output_and_exit_code_pass_through(tmp_path: Path, claude: Started) -> None:
    ran = bot(
        tmp_path, environment(claude), "exec", "--", *program(tmp_path, ONE + "    raise SystemExit(7)\n")
    )
    assert (ran.code, ran.out) == (7, "300\n")
    assert ran.report["outcome"] == "failed"
    assert ran.report["spent"]["steps"] == 1


def test_no_variable_of_ours_leads_the_command_past_the_gateway(tmp_path: Path, claude: Started) -> None:
    elsewhere = {
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "CLAUDE_CODE_USE_VERTEX": "1",
        "CLAUDE_CODE_USE_FOUNDRY": "1",
        "CLAUDE_CODE_USE_ANTHROPIC_AWS": "1",
        "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-mine",
        "ANTHROPIC_UNIX_SOCKET": "elsewhere",
    }
    words = program(tmp_path, "import json, os\nprint(json.dumps(dict(os.environ)))")
    kept = {"CLAUDE_CODE_USE_POWERSHELL_TOOL": "1"}
    ran = bot(tmp_path, environment(claude, **elsewhere, **kept), "exec", "--cost", "1", "--", *words)
    found = json.loads(ran.out)
    assert not elsewhere.keys() & found.keys()
    assert kept.items() <= found.items()


def test_the_command_gets_a_token_that_is_worth_nothing_elsewhere_and_never_the_key(
    tmp_path: Path, claude: Started
) -> None:
    show = program(tmp_path, "import os, json; print(json.dumps(dict(os.environ)))")
    ran = bot(tmp_path, environment(claude, ANTHROPIC_AUTH_TOKEN="sk-other"), "exec", "--", *show)
    seen = json.loads(ran.out)
    assert seen["ANTHROPIC_API_KEY"].startswith("run_")
    assert seen["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    assert KEY not in ran.out
    assert "sk-other" not in ran.out


@pytest.mark.parametrize(
    ("words", "env", "says"),
    [
        pytest.param(["--cost", "0"], {}, "cost", id="a ceiling of nothing"),
        pytest.param(["--cost", "lots"], {}, "not an amount", id="a malformed ceiling"),
        pytest.param([], {"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY", id="no key"),
        pytest.param([], {"ANTHROPIC_COST_BUDGET": "lots"}, "not an amount", id="a malformed budget"),
        pytest.param(["--model-prices", "PRICES"], {}, "needs exactly", id="a wrong price file"),
        pytest.param(["--policy", "POLICY"], {}, "line 2: `stuck.repeats`", id="a wrong policy"),
        pytest.param(["--policy", "nowhere.yml"], {}, "does not exist", id="no policy where one is named"),
    ],
)
@pytest.mark.parametrize("verb", ["exec", "run"])
def test_what_cannot_be_started_says_why_and_nothing_was_spent(
    tmp_path: Path, claude: Started, verb: str, words: list[str], env: dict[str, str], says: str
) -> None:
    prices, policy = tmp_path / "prices.json", tmp_path / "agent.yml"
    prices.write_text('{"claude-opus-4-7": {"input": "15"}}')
    policy.write_text("stuck:\n  repeats: 1\n")
    words = [{"PRICES": str(prices), "POLICY": str(policy)}.get(word, word) for word in words]
    ran = bot(tmp_path, environment(claude, **env), verb, *words, "--", "true")
    assert ran.code == 4
    assert says in ran.err
    assert claude.invoice()["total_nanos"] == 0


def test_a_command_that_does_not_exist_is_said(tmp_path: Path, claude: Started) -> None:
    ran = bot(tmp_path, environment(claude), "exec", "--", "no-such-command-here")
    assert ran.code == 4
    assert "there is no such command" in ran.err


def test_budgets_of_the_environment_are_ceilings(tmp_path: Path, claude: Started) -> None:
    env = environment(claude, ANTHROPIC_COST_BUDGET="0.75", ANTHROPIC_TOKEN_BUDGET="9k")
    ran = bot(tmp_path, env, "exec", "--", "true")
    assert ran.report["ceilings"] == {"usd": "0.75", "tokens": 9_000, "steps": 50, "seconds": 1_200}
    ran = bot(tmp_path, env, "exec", "--cost", "0.5", "--", "true")
    assert ran.report["ceilings"]["usd"] == "0.5"


ASK = """
    import sys, anthropic
    try:
        client = anthropic.Anthropic(max_retries=0)
        client.messages.create(model="claude-opus-4-7", max_tokens=1_000, **{asked})
    except anthropic.APIStatusError as error:
        print(error.status_code)
    else:
        print(200)
"""
TALK = [{"role": "user", "content": "one"}]
SEARCHING = {
    "messages": TALK,
    "tools": [{"type": "web_search_20260209", "name": "web_search", "max_uses": 2}],
}
TWICE = {
    "messages": talk(*[sh("ls", "a.py")] * 2),
    "tools": [{"name": "bash", "input_schema": {"type": "object"}}],
}
LONG = {"messages": TALK, "system": "a word or two and then some more of them " * 1_500}


@pytest.mark.parametrize(
    ("policy", "asked", "without", "within"),
    [
        pytest.param("allow: {web_search: {uses: 2, tokens: 1k}}", SEARCHING, "400", "200", id="allow"),
        pytest.param("stuck: {repeats: 2}", TWICE, "200", "402", id="stuck"),
        pytest.param("admission: counted", LONG, "402", "200", id="admission"),
    ],
)
def test_a_policy_holds_here_too(
    tmp_path: Path, claude: Started, policy: str, asked: dict[str, Any], without: str, within: str
) -> None:
    file = tmp_path / "agent.yml"
    file.write_text(policy)
    asking = program(tmp_path, ASK.format(asked=asked))
    for words, status in ([], without), (["--policy", str(file)], within):
        ran = bot(tmp_path, environment(claude), "exec", "--cost", "0.2", *words, "--", *asking)
        assert ran.out.split() in ([status], [])  # at a halt it may be ended before it says so
        assert (ran.code == 3) is (status == "402")
        assert (ran.report["spent"]["steps"] == 1) is (status == "200")


@pytest.mark.parametrize("verb", ["exec", "run"])
def test_a_policys_class_holds_where_nothing_is_given(tmp_path: Path, claude: Started, verb: str) -> None:
    file = tmp_path / "agent.yml"
    file.write_text("classes:\n  default: {cost: $3, wall: 5m}\n")
    words = [] if verb == "exec" else ["--repo", str(tmp_path)]
    ran = bot(
        tmp_path, environment(claude), verb, "--policy", str(file), "--wall", "4m", *words, "--", "true"
    )
    assert ran.report["ceilings"] == {"usd": "3", "tokens": 800_000, "steps": 50, "seconds": 240}
    assert "from policy" in ran.err


def test_a_price_file_rules(tmp_path: Path, claude: Started) -> None:
    prices = tmp_path / "prices.json"
    row = {
        "input": "15",
        "cache_write_5m": "18.75",
        "cache_write_1h": "30",
        "cache_read": "1.50",
        "output": "75",
    }
    prices.write_text(json.dumps({"claude-opus-4-7": row}))
    ran = bot(
        tmp_path, environment(claude), "exec", "--model-prices", str(prices), "--", *program(tmp_path, ONE)
    )
    assert nanos(ran.report["spent"]["usd"]) == 3 * claude.invoice()["total_nanos"]
    assert "file" in ran.report["price_book"]


def test_the_same_state_goes_on_with_the_same_counters(tmp_path: Path, claude: Started) -> None:
    state = ["--state", str(tmp_path / "state"), "--steps", "3"]
    one = program(tmp_path, ONE)
    first = bot(tmp_path, environment(claude), "exec", *state, "--", *one)
    second = bot(tmp_path, environment(claude), "exec", *state, "--", *one)
    assert (first.report["spent"]["steps"], second.report["spent"]["steps"]) == (1, 2)
    assert first.report["run"] == second.report["run"]
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700, "it is for its owner alone"
    assert nanos(second.report["spent"]["usd"]) == claude.invoice()["total_nanos"]
    bot(tmp_path, environment(claude), "exec", *state, "--", *one)
    halted = bot(tmp_path, environment(claude), "exec", *state, "--", *one)
    assert (halted.code, halted.report["reason"]) == (3, "step_ceiling")


def test_after_a_crash_what_was_in_flight_is_charged_whole(tmp_path: Path, claude: Started) -> None:
    claude.ask("/_sandbox/character", {"character": "slow", "manner": {"event_ms": 2_000}})
    state = tmp_path / "state"
    command = [sys.executable, "-m", "bot", "exec", "--state", str(state), "--", *program(tmp_path, ONE)]
    process = subprocess.Popen(
        command, env=environment(claude), cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(lambda: claude.ask("/healthz")["in_flight"] == 1)
    process.kill()
    process.wait()
    subprocess.run(["pkill", "-f", str(tmp_path / "program.py")], check=False)
    claude.ask("/_sandbox/character", {"character": "echo"})
    ran = bot(tmp_path, environment(claude), "exec", "--state", str(state), "--", "true")
    spent = nanos(ran.report["spent"]["usd"])
    assert spent == nanos(ran.report["estimated_usd"]) > 0
    wait_for(lambda: claude.ask("/healthz")["in_flight"] == 0)
    assert spent >= claude.invoice()["total_nanos"]


def test_two_processes_do_not_share_a_state(tmp_path: Path, claude: Started) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-m", "bot", "exec", "--state", str(state), "--", "sleep", "30"]
    first = subprocess.Popen(command, env=environment(claude), cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (state / "ledger.db").exists())
        ran = bot(tmp_path, environment(claude), "exec", "--state", str(state), "--", "true")
        assert ran.code == 4
        assert "another process" in ran.err
    finally:
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) != 0


def test_the_wall_clock_ends_a_command_that_asks_for_nothing_with_all_its_children(
    tmp_path: Path, claude: Started
) -> None:
    mark = f"8{os.getpid()}"
    hiding = program(
        tmp_path,
        f"""
        import subprocess, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sh", "-c", "trap '' TERM; sleep {mark}; sleep {mark}"])
        time.sleep({mark})
        """,
    )
    ran = bot(tmp_path, environment(claude), "exec", "--wall", "1s", "--", *hiding)
    assert ran.code == 3
    assert ran.report["reason"] == "wall_clock_ceiling"
    assert subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True, check=False).returncode == 1


def test_an_answer_that_never_ends_is_cut_at_the_wall_clock_and_estimated(
    tmp_path: Path, claude: Started
) -> None:
    claude.ask("/_sandbox/character", {"character": "pings"})
    ran = bot(tmp_path, environment(claude), "exec", "--wall", "6s", "--", *program(tmp_path, STREAM))
    assert (ran.code, ran.report["reason"]) == (3, "wall_clock_ceiling")
    assert "wall-clock ceiling reached" in ran.err
    assert nanos(ran.report["estimated_usd"]) == nanos(ran.report["spent"]["usd"]) > 0


def test_what_its_client_still_waits_for_at_the_end_is_read_and_counted(
    tmp_path: Path, claude: Started
) -> None:
    claude.ask("/_sandbox/character", {"character": "slow", "manner": {"event_ms": 50}})
    with opened(
        origin="run",
        ceilings=CLASSES["default"],
        sources={},
        prices=PriceBook(),
        upstream=claude.url,
        key=Key("ANTHROPIC_API_KEY", KEY),
        state=tmp_path / "state",
        engine="opus",
        model="claude-opus-4-7",
    ) as local:
        asking = threading.Thread(target=ask, args=(local.url, local.token))
        asking.start()
        wait_for(lambda: claude.ask("/healthz")["in_flight"] == 1)
        local.end("failed", "interrupted")
    asking.join(20)
    assert local.report().spent.usd.nanos == claude.invoice()["total_nanos"] > 0
    assert local.report().spent.steps == 1


def test_run_fixes_a_bug_in_a_plain_checkout(tmp_path: Path, claude: Started) -> None:
    claude.ask("/_sandbox/character", {"character": "fixer"})
    repo = checkout(tmp_path)
    assert passes(repo) is False
    ran = bot(
        tmp_path, environment(claude), "run", "--cost", "2", "--repo", str(repo), "Fix the failing test"
    )
    assert ran.code == 0
    assert passes(repo) is True
    assert "Done: tests pass" in ran.err
    assert nanos(ran.report["spent"]["usd"]) == claude.invoice()["total_nanos"]


def test_run_says_that_the_tests_still_fail_after_a_wrong_fix(tmp_path: Path, claude: Started) -> None:
    claude.ask("/_sandbox/character", {"character": "wrong"})
    repo = checkout(tmp_path)
    ran = bot(
        tmp_path, environment(claude), "run", "--cost", "2", "--repo", str(repo), "Fix the failing test"
    )
    assert passes(repo) is False
    assert "tests still fail" in ran.err


def test_run_halts_and_keeps_what_was_made(tmp_path: Path, claude: Started) -> None:
    claude.ask("/_sandbox/character", {"character": "defiant"})
    ran = bot(
        tmp_path, environment(claude), "run", "--cost", "0.30", "--repo", str(checkout(tmp_path)), "Fix it"
    )
    assert ran.code == 3
    assert "$0.30 cost ceiling reached" in ran.err
    assert "changed: " in ran.err
    assert nanos(ran.report["spent"]["usd"]) == claude.invoice()["total_nanos"] <= 300_000_000


# -- --


def checkout(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    for path, text in {**world.FILES, **world.branch_files("leap")}.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=repo, check=True)
    subprocess.run(["git", "add", "--all"], cwd=repo, check=True)
    return repo


def passes(repo: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest"], cwd=repo, capture_output=True, check=False
    )
    return done.returncode == 0


def ask(url: str, token: str) -> None:
    client = anthropic.Anthropic(api_key=token, base_url=url, max_retries=0)
    one: MessageParam = {"role": "user", "content": "one"}
    with suppress(anthropic.AnthropicError, httpx2.HTTPError), client:
        list(client.messages.create(model="claude-opus-4-7", max_tokens=500, messages=[one], stream=True))


def nanos(usd: str) -> int:
    whole, _, part = usd.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0") or 0)


def wait_for(true: Any) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
