"""A foreign command in a process group of its own, ended whole at a halt.

On a terminal it is the one in front, as a shell's job is: Ctrl-C, Ctrl-Z and a changed size are its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from bot.runner.isolation import end_marked

MARK = "TOLLGATE_BOUND"  # in the environment of all that is bounded
WORDS_SECONDS = 1.0  # after a halt: time for the refusal to reach the command and for it to end by itself
TERM_SECONDS = 5.0


def bounded(command: Sequence[str], env: Mapping[str, str], halted: threading.Event) -> int:
    """Run a command until it ends or `halted` is set; nothing of its group, or with its mark, outlives it.

    Its exit code: of one that was ended by a signal, 128 plus the signal's number. Raises FileNotFoundError.
    """
    nonce = secrets.token_hex(8)
    with _terminal() as terminal:
        process = subprocess.Popen(
            list(command),
            env={**env, MARK: nonce},
            start_new_session=terminal is None,
            process_group=0 if terminal else None,
        )
        previous = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Ctrl-C and a cancelled job reach us where the command has a session of its own: pass them on.
            with contextlib.suppress(ValueError):  # not in the main thread
                previous[number] = signal.signal(number, lambda n, _f: _signal(process.pid, n))
        try:
            if terminal:
                terminal.give(process.pid)
            code = _wait(process, halted, terminal)
        finally:
            end(process)
            end_marked(f"{MARK}={nonce}")
            for number, handler in previous.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def interactive() -> bool:
    """Whether a person sits before us: the terminal is ours to give."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


class _Terminal:
    """Whose it is, and how it was set."""

    def __init__(self) -> None:
        self._own = os.getpgrp()
        self._set = termios.tcgetattr(0)
        self._theirs = self._set

    def give(self, group: int) -> None:
        # Who is not in front may do this only while the signal for trying it is blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):  # it has ended already
                os.tcsetpgrp(0, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def back(self) -> None:
        """Ours, and as it was: a program that was killed has not put it right."""
        self.give(self._own)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, self._set)

    def stopped(self, group: int, number: int) -> None:
        """The command was stopped: stop as well, and go on with it when our shell says so."""
        front = os.tcgetpgrp(0)
        if number not in (signal.SIGTTIN, signal.SIGTTOU) or front not in (self._own, group):
            with contextlib.suppress(termios.error):
                self._theirs = termios.tcgetattr(0)
            self.back()
            os.kill(os.getpid(), signal.SIGSTOP)
            front = os.tcgetpgrp(0)
        if front in (self._own, group):  # else it was sent into the background
            self.give(group)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self._theirs)
        _signal(group, signal.SIGCONT)


@contextlib.contextmanager
def _terminal() -> Iterator[_Terminal | None]:
    if not interactive():
        yield None
        return
    sys.stdout.flush()
    terminal = _Terminal()
    try:
        yield terminal
    finally:
        terminal.back()


def _wait(process: subprocess.Popen[bytes], halted: threading.Event, terminal: _Terminal | None) -> int:
    while True:
        try:
            return process.wait(0.05)
        except subprocess.TimeoutExpired:
            if halted.is_set():
                break
        if terminal:
            stopped = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG)
            if stopped is not None:
                terminal.stopped(process.pid, stopped.si_status)
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
