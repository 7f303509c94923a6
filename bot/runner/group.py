"""A foreign command in a process group of its own, ended whole at a halt."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

WORDS_SECONDS = 1.0  # after a halt: time for the refusal to reach the command and for it to end by itself
TERM_SECONDS = 5.0


def bounded(command: Sequence[str], env: Mapping[str, str], halted: threading.Event) -> int:
    """Run a command until it ends or `halted` is set; nothing of its group outlives it. Its exit code.

    Raises FileNotFoundError. A command that was ended by a signal exits with 128 plus its number.
    """
    process = subprocess.Popen(list(command), env=dict(env), start_new_session=True)
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Ctrl-C and a cancelled job reach us, not the command's own session: pass them on.
        with contextlib.suppress(ValueError):  # not in the main thread
            previous[number] = signal.signal(number, lambda n, _f: _signal(process.pid, n))
    try:
        code = _wait(process, halted)
    finally:
        end(process)
        for number, handler in previous.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _wait(process: subprocess.Popen[bytes], halted: threading.Event) -> int:
    while True:
        try:
            return process.wait(0.05)
        except subprocess.TimeoutExpired:
            if halted.is_set():
                break
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(WORDS_SECONDS)
    end(process)
    return process.wait()


def end(process: subprocess.Popen[bytes], seconds: float = TERM_SECONDS) -> None:
    """SIGTERM to the group that `process` leads, some seconds, SIGKILL: also what the command left behind."""
    _signal(process.pid, signal.SIGTERM)
    until = time.monotonic() + seconds
    while time.monotonic() < until and _alive(process):
        time.sleep(0.02)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # a leader that has ended and is not reaped would keep its group alive
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
