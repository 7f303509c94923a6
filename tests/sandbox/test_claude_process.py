"""Starting the sandbox's programs, and what they say when they cannot be started."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.processes import ROOT, start


def test_it_is_there_when_the_block_begins_and_gone_when_it_ends() -> None:
    with start("claude", character="echo") as claude:
        assert claude.ask("/healthz")["status"] == "ok"
    assert claude.process.returncode == 0


def test_a_taken_port_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(RuntimeError, match=f"cannot listen on 127.0.0.1:{port}"),
            start("claude", port=port),
        ):
            pass


def test_an_unknown_character_is_refused_before_anything_listens() -> None:
    with pytest.raises(RuntimeError, match="'nobody' is not one of"), start("claude", character="nobody"):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_cleanly(number: signal.Signals) -> None:
    with (
        start("claude", character="echo") as claude,
        socket.create_connection(("127.0.0.1", int(claude.url.rpartition(":")[2]))),
    ):
        claude.process.send_signal(number)
        assert claude.process.wait(5) == 0


def test_the_log_is_kept_where_one_is_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "claude.log"
    with start("claude", character="echo", log=log):
        pass
    assert log.read_text() == ""


def test_help_names_every_character() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "sandbox", "claude", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("fixer", "runaway", "echo", "auto", "cuts"):
        assert f"\n    {name} " in run.stdout
