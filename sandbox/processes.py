"""Starting the sandbox's programs as the separate processes they are, from tests, the demo and benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent


class Started:
    """A program that serves: its URL and process, and a word with its own (never the product's) routes."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process

    def ask(self, path: str, body: object = None) -> Any:
        """JSON of `path` (POST when a body is given). Raises urllib.error.HTTPError above 399."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  always the loopback URL of our own process
            self.url + path, data, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def invoice(self) -> Any:
        """What the sandbox's Claude has billed: `{"total_nanos": int, "count": int, "rows": [...]}`."""
        return self.ask("/invoice")

    def stop(self, wait: float = 10) -> int:
        """SIGTERM, and SIGKILL after `wait` seconds; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(wait)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(10)


@contextmanager
def start(
    program: str, *flags: str, port: int = 0, wait: float = 20, log: Path | None = None, **options: object
) -> Iterator[Started]:
    """Run `python -m sandbox PROGRAM` until the block ends; yields when it has printed its URL.

    `start("claude", character="echo", invoice=path, answer_tokens=50)`: each option becomes a flag such as
    `--answer-tokens 50` (True: the bare flag; None and False: left out). Raises RuntimeError, with what the
    program wrote, when it does not come up.
    """
    command = [sys.executable, "-m", "sandbox", program, "--port", str(port), *flags]
    for name, value in options.items():
        if value is None or value is False:
            continue
        command.append("--" + name.replace("_", "-"))
        if value is not True:
            command.append(str(value))
    with serving(command, wait=wait, log=log) as started:
        yield started


@contextmanager
def serving(
    command: list[str],
    *,
    wait: float = 20,
    log: Path | None = None,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Started]:
    """Run any program that says `{"url": …}` in one line of its stdout when it is ready."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as home:
        out, err = Path(home) / "out", log or Path(home) / "err"
        with out.open("wb") as stdout, err.open("ab") as stderr:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=cwd, env=env)
        started = Started("", process)
        try:
            with out.open("rb") as written:
                started.url = _said(written, process, wait, err)
            yield started
        finally:
            started.stop()


def _said(written: IO[bytes], process: subprocess.Popen[bytes], wait: float, err: Path) -> str:
    heard, end = b"", time.monotonic() + wait
    while time.monotonic() < end:
        ended = process.poll() is not None
        heard += written.read()
        for line in heard.split(b"\n")[:-1]:
            if line.startswith(b"{"):
                return str(json.loads(line)["url"])
        if ended:
            break
        time.sleep(0.01)
    tail = (heard + err.read_bytes()).decode(errors="replace")[-4000:]
    raise RuntimeError(f"{' '.join(process.args)} did not come up: {tail}")  # type: ignore[arg-type]
