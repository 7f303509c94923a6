"""What others can do to `exec` and `run`: who shares the machine, and who wrote what a terminal shows."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.processes import ROOT
from tests.runner.world import plant, say, scripted, sh

NOBODY = 65534


def bot(url: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    env = {"PATH": os.defpath, "HOME": "/nonexistent", "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk"}
    command = [sys.executable, "-m", "bot", *words]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=120, check=False)


@contextmanager
def loose_umask() -> Iterator[None]:
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def test_no_name_of_a_file_that_the_agent_made_steers_the_terminal(tmp_path: Path) -> None:
    repo = plant(tmp_path / "repo")
    made = r"touch $'a\e[2J\e]0;x\ab' $'c\nDone: tests pass' $'d\xff'"
    with scripted([sh(made)], [say("I made them.")]) as (url, _):
        ran = bot(url, "run", "--repo", str(repo), "Make three files")
    assert ran.returncode == 0, ran.stderr
    said = [line for line in ran.stderr.decode().splitlines() if line.startswith("changed: ")]
    assert said == ["changed: a [2J ]0;x b", "changed: c Done: tests pass", "changed: d"], ran.stderr
    assert b"\x1b" not in ran.stderr.replace(b"\x1b[2m", b"").replace(b"\x1b[0m", b"")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder away")
@pytest.mark.parametrize("whose", ["another's", "everybody's"])
def test_a_state_that_somebody_else_may_write_in_starts_nothing_and_touches_nothing(
    tmp_path: Path, whose: str
) -> None:
    """Whose folder it is may have a link in it by the name of what we write."""
    state, mine = tmp_path / "state", tmp_path / "mine"
    mine.write_text("precious\n")
    state.mkdir()
    for name in ("lock", "ledger.db"):
        (state / name).symlink_to(mine)
    if whose == "another's":
        os.chown(state, NOBODY, NOBODY)
    else:
        state.chmod(0o777)
    ran = bot("http://127.0.0.1:1", "exec", "--state", str(state), "--", "true")
    assert ran.returncode == 4, ran.stderr
    assert b"is not a folder that only this user can write in" in ran.stderr
    assert mine.read_text() == "precious\n"


def test_what_was_asked_and_done_is_read_by_nobody_else_of_the_machine(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    with loose_umask():
        ran = bot("http://127.0.0.1:1", "exec", "--state", str(state), "--", "true")
    assert ran.returncode == 0, ran.stderr
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in state.iterdir()}
    assert modes["ledger.db"] == 0
    assert {name for name, mode in modes.items() if mode} <= {"lock"}
