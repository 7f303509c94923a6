"""The foreign programs that tests drive: installed as the product does it, or skipped with the reason."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from bot.runner.engines import Ground
from bot.runner.engines.aider import Aider
from bot.runner.engines.claude_code import ClaudeCode, program
from bot.runner.engines.foreign import Program
from bot.runner.engines.installed import NotInstalled, engines_folder, installed

ENV = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(Path.home())}  # noqa: TID251


def peer(foreign: Program) -> Path:
    """Where it is installed on this machine, once for all tests; skips them where it cannot be."""
    for needed, hint in foreign.install.needs.items():
        if shutil.which(needed) is None:
            pytest.skip(f"{foreign.name} is not tested here: it needs {needed} ({hint})")
    ground = Ground(Path(), Path(), Path(), engines_folder(ENV), ENV)
    try:
        return installed(foreign.name, foreign.version, foreign.install, ground, threading.Event())
    except NotInstalled as error:
        pytest.skip(f"{foreign.name} is not tested here: {error}")


def claude_code() -> Path:
    """The program of Claude Code."""
    return program(peer(ClaudeCode()))


def aider() -> Path:
    """The program that Aider's own environment has."""
    return peer(Aider()) / "venv" / "bin" / "aider"


def left_of(run: str) -> list[str]:
    """The processes of this machine that have a run's folder in their environment: its home is there."""
    folder, found = f"/tollgate-{run}/".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if folder in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended
            continue
    return found
