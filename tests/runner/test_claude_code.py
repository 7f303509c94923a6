"""Claude Code itself as a run's engine in CI: real HTTP, a real gateway, as the agent's user."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.run_tokens import for_agent
from bot.runner.engines.claude_code import ClaudeCode
from bot.runner.isolation import agent_user
from bot.runner.runner import main_ci
from sandbox.characters.delegating import PART
from sandbox.processes import Started
from tests.peers import ENV, claude_code, left_of
from tests.runner import foreign
from tests.runner.foreign import AMPLE
from tests.runner.test_ci import Ci, job, talk_of
from tests.runner.world import RUN, TOKEN, Json, git, say, scripted
from tests.web.gates import Gate

pytestmark = [pytest.mark.peer, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    claude_code()


@contextmanager
def running(
    tmp_path: Path,
    character: str,
    ceilings: Ceilings,
    brief: Json | None = None,
    answers: int = 0,
    **api: Any,
) -> Iterator[tuple[Ci, Gate, str, Started]]:
    given = {"answers": answers, **api}
    with foreign.running(tmp_path, "claude-code", character, ceilings, brief or {}, **given) as all_of_it:
        yield all_of_it


SUBTASK = PART.partition("{")[0]


def test_it_fixes_the_bug_and_hands_in_a_change_with_which_the_tests_pass(tmp_path: Path) -> None:
    with running(tmp_path, "fixer", AMPLE) as (ci, gate, run, claude):
        assert main_ci(ci.env) == 0
        invoice, report = claude.invoice(), gate.report(run)
    result = ci.result()
    assert (result.outcome, result.reason, result.message) == ("done", None, "")
    assert "Fixed" in result.summary
    assert [file.path for file in result.changeset.files] == ["acme_calendar/years.py"]
    assert result.check is not None
    assert (result.check.exit_code, "unittest" in result.check.command) == (0, True)
    assert result.isolation == ("user" if agent_user() else "none")
    assert result.tool_calls > 3
    assert result.engine == f"claude-code {ClaudeCode().version}"
    assert report.spent.usd == Usd(invoice["total_nanos"])


@pytest.mark.parametrize(
    ("ceilings", "reason"),
    [
        pytest.param(Ceilings(Usd.parse("1.50"), 10_000_000, 1_000, 600), Reason.COST, id="dollars"),
        pytest.param(Ceilings(Usd.parse("50"), 150_000, 1_000, 600), Reason.TOKENS, id="tokens"),
        pytest.param(Ceilings(Usd.parse("50"), 10_000_000, 12, 600), Reason.STEPS, id="steps"),
        pytest.param(Ceilings(Usd.parse("50"), 10_000_000, 1_000, 30), Reason.WALL_CLOCK, id="time"),
    ],
)
def test_a_runaway_is_stopped_at_each_ceiling_with_all_its_processes_and_its_work_is_kept(
    tmp_path: Path, ceilings: Ceilings, reason: Reason
) -> None:
    brief = {"seconds_left": ceilings.seconds, "task": "Write lines, with pause=900 after each."}
    character = "steady" if reason is Reason.WALL_CLOCK else "tireless"  # at its deadline a command runs
    with running(tmp_path, character, ceilings, brief=brief) as (ci, gate, run, claude):
        report = foreign.halted_at(reason, ceilings, ci, gate, run, claude)
    if reason is not Reason.WALL_CLOCK:  # of that the runner hears by itself, and asks the gateway nothing
        assert report.reason is reason
    assert left_of(RUN) == [], "nothing of it is left"
    assert talk_of(ci.api.kept[-1]).session


def test_its_subagents_beside_each_other_never_spend_past_the_ceiling(tmp_path: Path) -> None:
    ceilings = Ceilings(Usd.parse("3"), 10_000_000, 1_000, 600)
    with running(tmp_path, "delegating", ceilings, answers=20_000) as (ci, gate, run, claude):
        assert main_ci(ci.env) == 0
        invoice, report = claude.invoice(), gate.report(run)
        asked = [request for request in claude.ask("/_sandbox/requests") if SUBTASK in json.dumps(request)]
    assert (ci.result().outcome, ci.result().reason) == ("halted", Reason.COST)
    assert len(asked) >= 2, "subagents were asked about, and not their giver alone"
    assert Usd.parse("1.5") < report.spent.usd == Usd(invoice["total_nanos"]) <= ceilings.usd
    assert left_of(RUN) == []


def planted(ci: Ci) -> None:
    """A head that plants settings of each kind, and a base branch that has its own."""

    def settings(whose: str) -> dict[str, str]:
        hook = {"hooks": [{"type": "command", "command": f"touch hook-of-{whose}"}]}
        server = {"command": "sh", "args": ["-c", f"touch server-of-{whose}; cat"]}
        env = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "OF": whose}
        told = {"hooks": {"SessionStart": [hook], "Stop": [hook]}, "env": env, "model": "opus"}
        return {
            "CLAUDE.md": f"MEMORY-OF-{whose}\n",
            "AGENTS.md": f"AGENTS-OF-{whose}\n",
            ".claude/settings.json": json.dumps(told),
            ".claude/settings.local.json": json.dumps(told),
            ".claude/agents/looker.md": f"---\nname: looker\ndescription: AGENT-OF-{whose}\n---\nLook.\n",
            ".claude/skills/look/SKILL.md": f"---\nname: look\ndescription: SKILL-OF-{whose}\n---\nLook.\n",
            ".mcp.json": json.dumps({"mcpServers": {"theirs": server}}),
            **({"acme_calendar/CLAUDE.md": "NESTED-OF-HEAD\n"} if whose == "HEAD" else {}),
        }

    foreign.branches(ci, settings)


def test_settings_come_from_the_base_branch_and_what_a_pull_request_plants_is_nothing_but_files(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "fixer", AMPLE) as (ci, _gate, _run, claude):
        planted(ci)
        assert main_ci(ci.env) == 0
        asked = json.dumps(claude.ask("/_sandbox/requests"))
    result = ci.result()
    assert result.outcome == "done", result
    made = sorted(file.path for file in result.changeset.files)
    assert made == ["acme_calendar/years.py", "hook-of-BASE", "server-of-BASE"]
    for known in ("MEMORY-OF-BASE", "AGENT-OF-BASE", "SKILL-OF-BASE"):
        assert known in asked, known
    assert "OF-HEAD" not in asked


PONG = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    said = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "theirs", "version": "1"}},
        "tools/list": {"tools": [{"name": "ping", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": "PONG-OF-BASE"}]},
    }.get(asked["method"], {})
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": said}), flush=True)
"""


def test_the_base_branchs_servers_may_be_used_without_asking(tmp_path: Path) -> None:
    ping: Json = {"type": "tool_use", "id": "toolu_1", "name": "mcp__theirs__ping", "input": {}}
    with scripted([ping], [say("Done.")]) as (url, script), job(tmp_path / "job", url) as ci:
        ci.env["PATH"] += os.pathsep + ENV["PATH"]
        planted(ci)
        source = ci.folder / "source"
        git(source, "checkout", "--quiet", "release")
        servers = {"mcpServers": {"theirs": {"command": "python3", "args": ["-c", PONG]}}}
        (source / ".mcp.json").write_text(json.dumps(servers))
        git(source, "commit", "--quiet", "--all", "--message", "a server")
        git(source, "push", "--quiet", str(ci.folder / "acme" / "calendar.git"), "release")
        ci.api.brief |= {"engine": "claude-code"}
        assert main_ci(ci.env) == 0
    assert ci.result().outcome == "done"
    assert "PONG-OF-BASE" in json.dumps(script.requests[-1])


def test_a_further_attempt_goes_on_with_its_own_session(tmp_path: Path) -> None:
    few = Ceilings(Usd.parse("5"), 500_000, 4, 600)
    with running(tmp_path / "1", "steady", few) as (first, _gate, _run, _claude):
        assert main_ci(first.env) == 0
    assert (first.result().outcome, first.result().reason) == ("halted", Reason.STEPS)
    [*_, changes] = [kept["changeset"] for kept in first.api.kept if kept.get("changeset", {}).get("files")]
    left = {"transcript": first.api.kept[-1]["transcript"], "changeset": changes}
    brief: Json = {"attempt": 2, "resumed": {"why": "halted at step 4", "text": "go on"}}
    with running(tmp_path / "2", "steady", AMPLE, brief=brief, left=left) as (ci, gate, run, claude):
        ci.env["TOLLGATE_ATTEMPT"] = "2"
        assert main_ci(ci.env) == 0
        steps, asked = gate.report(run).spent.steps, json.dumps(claude.ask("/_sandbox/requests"))
    result = ci.result()
    assert result.outcome == "done", result
    [file] = result.changeset.files
    assert file.text is not None
    assert [line.split()[-1] for line in file.text.splitlines()] == [str(n) for n in range(1, 10)]
    assert steps < 9, "it has not begun anew"
    assert "fix the failing test" in asked, "the conversation of the first attempt is before it"


def test_its_commands_find_no_secret_but_a_token_that_asks_the_model_and_no_more(tmp_path: Path) -> None:
    look: Json = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "Bash",
        "input": {"command": "env > seen; id -un"},
    }
    with scripted([look], [say("Done.")]) as (url, script), job(tmp_path / "job", url) as ci:
        ci.env["PATH"] += os.pathsep + ENV["PATH"]
        ci.api.brief |= {"engine": "claude-code"}
        assert main_ci(ci.env) == 0
    result = ci.result()
    assert result.outcome == "done", result
    [file] = result.changeset.files
    seen = file.text or ""
    for secret in (TOKEN, ci.env["GITHUB_TOKEN"], "ACTIONS_ID_TOKEN", "GITHUB_", "oidc"):
        assert secret not in seen
    assert set(script.tokens) == {for_agent(TOKEN)}
    if agent_user() is not None:
        assert f"USER={agent_user().name}" in seen  # type: ignore[union-attr]


def test_where_it_cannot_be_installed_the_run_fails_with_the_reason_and_costs_nothing(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "bash"):
        (programs / name).symlink_to(shutil.which(name) or name)
    with running(tmp_path, "fixer", AMPLE) as (ci, _gate, _run, claude):
        ci.env |= {"PATH": str(programs), "TOLLGATE_ENGINES": str(tmp_path / "engines")}
        assert main_ci(ci.env) == 0
        invoice = claude.invoice()
    assert (ci.result().outcome, invoice["count"]) == ("failed", 0)
    assert "it needs npm, and there is none here: add a step with Node.js" in ci.result().message
