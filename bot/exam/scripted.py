"""A character of the sandbox in the model's place: a separate process, of which only the URL is known."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.core.money import Usd

ROOT = Path(__file__).parent.parent.parent
ENDING_SECONDS = 10.0


class NoSandbox(Exception):
    """The sandbox did not come up; a sentence."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """A sandbox's Claude that serves."""

    url: str

    def invoice(self) -> Usd:
        """What it has billed, by its own count."""
        with urllib.request.urlopen(f"{self.url}/invoice?limit=0", timeout=30) as answer:  # noqa: S310  loopback
            return Usd(int(json.load(answer)["total_nanos"]))


@contextmanager
def scripted(character: str) -> Iterator[Scripted]:
    """`python -m sandbox claude --character …` until the block ends. Raises NoSandbox."""
    command = [sys.executable, "-m", "sandbox", "claude", "--character", character]
    with tempfile.TemporaryFile() as errors:
        # A session of its own: Ctrl-C is for us, and its bill is asked for after it.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        with process:
            try:
                said = process.stdout.readline() if process.stdout else b""
                if not said.startswith(b"{"):
                    process.wait(ENDING_SECONDS)
                    errors.seek(0)
                    last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                    raise NoSandbox(f"the sandbox did not come up: {''.join(last)}")
                yield Scripted(json.loads(said)["url"])
            finally:
                process.terminate()
                try:
                    process.wait(ENDING_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
