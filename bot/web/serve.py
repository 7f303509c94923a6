"""Web and worker together, for a laptop: two processes, as on a server, under one command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from bot.settings import set_up_mode
from bot.terminated import Terminated

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60
END_SECONDS = 8
LOOK_SECONDS = 0.2


def serve(env: Mapping[str, str], host: str, port: int) -> int:
    """Until SIGTERM, SIGINT, or the end of the web process; its exit code. A worker that died comes again.

    Prints one line of JSON, {"url": …}, when both are ready.
    """
    stop = Terminated()
    gunicorn = [sys.executable, "-m", "gunicorn", "--bind", f"{host}:{port}", "app:app"]
    web, worker = _start(gunicorn, env), _start(WORKER, env)
    try:
        url = f"http://{host}:{port}"
        if not _ready(url, web, stop, set_up_mode(env)):
            return web.poll() or (0 if stop.is_set() else 1)
        sys.stdout.write(json.dumps({"url": url}) + "\n")
        sys.stdout.flush()
        while not stop.wait(LOOK_SECONDS):
            if web.poll() is not None:
                return web.returncode or 1
            if worker.poll() is not None:
                stop.wait(1)  # not in a hurry, should it fail at its start
                worker = _start(WORKER, env)
        return 0
    finally:
        _end(web, worker)


WORKER = [sys.executable, "-m", "bot", "worker"]


def _start(command: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # stdout is this command's own: the children speak on stderr.
    return subprocess.Popen(command, env=dict(env), cwd=ROOT, stdout=sys.stderr)


def _ready(url: str, web: subprocess.Popen[bytes], stop: Terminated, waits: bool) -> bool:
    """Both are; or, of a service that waits for its App, the web process."""
    path = "/healthz" if waits else "/readyz"
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and web.poll() is None and not stop.wait(LOOK_SECONDS):
        try:
            with urllib.request.urlopen(f"{url}{path}", timeout=5) as answer:  # noqa: S310 - our own address
                if json.load(answer).get("ok" if waits else "workers"):
                    return True
        except (OSError, ValueError):
            continue
    return False


def _end(*children: subprocess.Popen[bytes]) -> None:
    for child in children:
        child.terminate()
    until = time.monotonic() + END_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
