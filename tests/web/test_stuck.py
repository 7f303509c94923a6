"""Through the gateway over HTTP: a run that goes round in circles is halted before it pays for more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anthropic
import pytest

from bot.core.ceilings import Reason
from bot.core.rules import Rules
from bot.core.rules import Stuck as Limits
from bot.stores.database import Database
from sandbox.processes import Started, start
from tests.core.transcript_parts import Json
from tests.core.transcripts import HEALTHY, STUCK
from tests.runner.world import git, plant
from tests.web.gates import Gate, gated

MODEL = "claude-opus-4-7"
# Claude Code's names, from a client that is not Claude Code.
TOOLS: Any = [
    {"name": name, "description": name, "input_schema": {"type": "object"}}
    for name in ("Bash", "Read", "Edit")
]


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="auto", invoice=tmp_path / "invoice") as started:
        yield started


@pytest.fixture
def gate(database: Database, claude: Started) -> Iterator[Gate]:
    with gated(database, claude.url) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = plant(tmp_path / "work")
    git(work, "init", "--quiet")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "first")
    return work


def use(folder: Path, name: str, given: Json) -> tuple[str, bool]:
    """What a tool does in the folder, and whether it fails, as Claude Code would say it."""
    if name == "Bash":
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        ran = subprocess.run(
            ["bash", "-c", given["command"]],
            cwd=folder,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        said = ran.stdout + ran.stderr
        return (f"Exit code {ran.returncode}\n{said}", True) if ran.returncode else (said, False)
    file = folder / given["file_path"]
    text = file.read_text()
    if name == "Read":
        return "\n".join(f"{n:6}\t{line}" for n, line in enumerate(text.split("\n")[:-1], 1)), False
    file.write_text(text.replace(given["old_string"], given["new_string"], 1))
    return f"The file {given['file_path']} has been updated successfully.", False


def work(gate: Gate, token: str, folder: Path, task: str, most: int = 30) -> anthropic.APIStatusError | None:
    """A plain client's loop: how the gateway ended it, if it did."""
    messages: list[Any] = [{"role": "user", "content": task}]
    with anthropic.Anthropic(base_url=gate.url, api_key=token, max_retries=0) as client:
        for _ in range(most):
            try:
                answer = client.messages.create(model=MODEL, max_tokens=8_000, tools=TOOLS, messages=messages)
            except anthropic.APIStatusError as error:
                return error
            results = []
            for call in answer.content:
                if call.type == "tool_use":
                    said, failed = use(folder, call.name, dict(call.input))
                    results.append(
                        {"type": "tool_result", "tool_use_id": call.id, "content": said, "is_error": failed}
                    )
            messages += [
                {"role": "assistant", "content": answer.to_dict()["content"]},
                {"role": "user", "content": results},
            ]
    return None


@pytest.mark.parametrize(
    ("character", "evidence"),
    [
        ("runaway", "failed the same way"),
        ("oscillating", "only undo and redo each other"),
        ("stuck", "gave the same result 4 times"),
    ],
)
def test_a_client_of_any_kind_is_halted_and_told_why(
    gate: Gate, claude: Started, folder: Path, character: str, evidence: str
) -> None:
    run, token = gate.run()
    error = work(gate, token, folder, f"character: {character}")
    assert error is not None
    assert error.status_code == 402
    told: Any = error.body
    assert told["error"]["reason"] == "stuck_loop"
    assert evidence in told["error"]["message"]
    account = gate.account(run)
    assert (account.state, account.reason) == ("halted", Reason.STUCK)
    assert account.message.startswith(f"halted at step {account.steps}: stuck_loop: ")
    # Nothing was spent on the turn that it was not allowed.
    assert account.held_steps == 0
    assert claude.invoice()["count"] == account.steps
    assert account.spent.nanos == claude.invoice()["total_nanos"]


def asked(gate: Gate, token: str, messages: Sequence[Json]) -> int:
    with anthropic.Anthropic(base_url=gate.url, api_key=token, max_retries=0) as client:
        try:
            client.messages.create(model=MODEL, max_tokens=2_000, tools=TOOLS, messages=list(messages))  # type: ignore[arg-type]
        except anthropic.APIStatusError as error:
            return error.status_code
    return 200


def test_every_gateway_sees_it_whatever_went_through_it_before(gate: Gate, claude: Started) -> None:
    claude.ask("/_sandbox/character", {"character": "echo"})
    for messages in (STUCK["the same command"][0], STUCK["aider"][0]):
        _, token = gate.run()
        assert asked(gate, token, messages) == 402
    for name in ("red, green, six times", "subagents, several at once", "only talk, the same over and over"):
        _, token = gate.run()
        assert asked(gate, token, HEALTHY[name]) == 200, name


def test_a_runs_own_rules_say_how_often_is_too_often(gate: Gate, claude: Started) -> None:
    claude.ask("/_sandbox/character", {"character": "echo"})
    for repeats, status in ((4, 402), (5, 200)):
        run, token = gate.run(rules=Rules(stuck=Limits(repeats=repeats)))
        assert asked(gate, token, STUCK["the same command"][0]) == status
        assert gate.account(run).rules.stuck.repeats == repeats
