"""Told to end, a process hears it, however often and whenever it is told."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from sandbox.processes import ROOT

# Threads look as well, and keep the main one from what it has to do: between two signals of a moment it has
# just begun with the first. With an Event that a handler sets, one of sixteen such processes waited for ever.
WAITS = """
import os, threading
from bot.terminated import Terminated
terminated = Terminated()
def look():
    while not terminated.is_set():
        sum(range(2000))
        terminated.wait(0.001)
for _ in range(12):
    threading.Thread(target=look, daemon=True).start()
print("ready", flush=True)
assert terminated.wait() and terminated.is_set() and terminated.wait(0.001)
print("over", flush=True)
os._exit(0)  # Python gives the signals their first meaning back before it ends
"""


@pytest.mark.parametrize("times", [2, 200])
def test_it_ends_however_often_it_is_told(times: int) -> None:
    for _ in range(40 if times == 2 else 3):
        with subprocess.Popen([sys.executable, "-c", WAITS], cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            for number in (signal.SIGTERM, signal.SIGINT) * (times // 2):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)
            assert select.select([process.stdout], [], [], 60)[0]
            assert process.stdout.readline() == b"over\n"


def test_it_is_not_over_before_it_is_told() -> None:
    asked = "from bot.terminated import Terminated; t = Terminated(); print(t.wait(0.01), t.is_set())"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
