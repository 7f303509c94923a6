"""Actions on this machine: the real workflow file, executed by `act` in self-hosted mode, a folder a run.

What `act` does not do is done here: a run ends at its job's `timeout-minutes`, cancelling ends every process
of the run, and the workspace begins empty, as on GitHub's own machines.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

MARK = "SANDBOX_RUN"  # in the environment of every process of a run, so that none can hide
GRACE = 7.5  # seconds for a step to end by itself once it was told to, as on GitHub
SWEEP = 20.0  # seconds for the steps that always run


@dataclass(frozen=True)
class Job:
    """One run of one workflow file."""

    id: int
    git: Path  # the bare repository
    full_name: str
    branch: str
    sha: str
    workflow: str  # its path in the repository
    actor: str
    event: dict[str, Any]  # the event that started it, with its inputs
    env: dict[str, str]
    secrets: dict[str, str]
    timeout_seconds: float


@dataclass
class Watch:
    """What a run tells while it goes on: log lines, steps that begin and end."""

    begun: Callable[[], None]
    line: Callable[[str], None]
    step: Callable[[str, str | None], None]  # name, and its conclusion once it has one
    summary: Callable[[str], None]  # Markdown that a step added to the job's summary
    ended: Callable[[str], None]


@dataclass
class Running:
    job: Job
    cancelled: threading.Event = field(default_factory=threading.Event)
    timed_out: bool = False
    process: subprocess.Popen[str] | None = None


class Jobs(Protocol):
    """Who carries out jobs; `watch` hears of them from another thread."""

    def start(self, job: Job, watch: Watch) -> None: ...
    def cancel(self, id: int) -> None: ...
    def close(self) -> None: ...


class Actions:
    """Executes jobs, `at_once` at a time. `actions`: folders that stand for `owner/name@ref` in `uses:`."""

    def __init__(
        self,
        folder: Path,
        at_once: int,
        actions: dict[str, Path],
        act: str | None = None,
        grace: float = GRACE,
    ) -> None:
        self._folder = folder
        self._actions = actions
        self._act = act or find_act()
        self._grace = grace
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")
        self._lock = threading.Lock()
        self._running: dict[int, Running] = {}

    def start(self, job: Job, watch: Watch) -> None:
        """Queues a job; `watch` hears of it from another thread."""
        running = Running(job)
        with self._lock:
            self._running[job.id] = running
        self._pool.submit(self._run, running, watch)

    def cancel(self, id: int) -> None:
        """Tells a run's steps to end, then ends every process of it."""
        with self._lock:
            running = self._running.get(id)
        if running is not None and not running.cancelled.is_set():
            running.cancelled.set()
            threading.Thread(target=self._end, args=(running,), name=f"cancel-{id}", daemon=True).start()

    def close(self) -> None:
        """Ends everything at once."""
        with self._lock:
            live = list(self._running.values())
        for running in live:
            running.cancelled.set()
            if running.process is not None:
                running.process.kill()
            end_processes(running.job.id, self._folder / str(running.job.id))
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, running: Running, watch: Watch) -> None:
        job = running.job
        folder = self._folder / str(job.id)
        conclusion = "failure"
        try:
            if running.cancelled.is_set():
                conclusion = "cancelled"
                return
            watch.begun()
            command, env = self._prepare(folder, job)
            conclusion = self._execute(running, command, env, watch)
        except (OSError, subprocess.SubprocessError) as error:
            watch.line(f"The runner could not start this run: {error}")
        finally:
            end_processes(job.id, folder)
            with self._lock:
                self._running.pop(job.id, None)
            shutil.rmtree(folder, ignore_errors=True)
            watch.ended(conclusion)

    def _prepare(self, folder: Path, job: Job) -> tuple[list[str], dict[str, str]]:
        """The run's folder: a checkout for act to read the workflow in, its own home, its secrets."""
        folder.mkdir(parents=True, mode=0o755)
        checkout, home = folder / "checkout", folder / "home"
        home.mkdir()
        quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # noqa: TID251

        def git(*args: str) -> None:
            subprocess.run(["git", *args], check=True, capture_output=True, env=quiet)

        git(
            "clone",
            "--quiet",
            "--shared",
            "--no-checkout",
            "--branch",
            job.branch,
            str(job.git),
            str(checkout),
        )
        git("-C", str(checkout), "checkout", "--quiet", "-B", job.branch, job.sha)
        # act reads owner and name from the remote's URL, and knows only this form for http.
        git("-C", str(checkout), "remote", "set-url", "origin", f"https://github.com/{job.full_name}.git")
        event, env_file, secret_file = folder / "event.json", folder / "env", folder / "secrets"
        event.write_text(json.dumps(job.event), encoding="utf-8")
        for path, values in ((env_file, job.env), (secret_file, job.secrets)):
            path.touch(mode=0o600)
            path.write_text("".join(f"{k}={dotenv(v)}\n" for k, v in values.items()), encoding="utf-8")
        command = [self._act, "workflow_dispatch", "--json"]
        command += ["--directory", str(checkout), "--workflows", job.workflow, "--eventpath", str(event)]
        command += ["--platform", "ubuntu-latest=-self-hosted", "--actor", job.actor]
        command += ["--defaultbranch", job.branch]
        command += ["--action-offline-mode", "--no-cache-server", "--artifact-server-addr", "127.0.0.1"]
        command += ["--action-cache-path", str(folder / "work")]
        command += ["--env-file", str(env_file), "--secret-file", str(secret_file)]
        # Not there: act would look for these beside us.
        command += ["--input-file", str(folder / "none"), "--var-file", str(folder / "none")]
        for name, source in self._actions.items():
            copy = folder / "actions" / name.replace("/", "-")
            copy_checkout(source, copy)
            command += ["--local-repository", f"{name}={copy}"]
        search = os.environ.get("PATH", os.defpath)  # noqa: TID251 - the machine's programs are the job's
        search = os.pathsep.join([str(Path(sys.executable).parent), search])
        return command, {"PATH": search, "HOME": str(home), "LANG": "C.UTF-8", MARK: mark(job.id)}

    def _execute(self, running: Running, command: list[str], env: dict[str, str], watch: Watch) -> str:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        with process:
            running.process = process
            if running.cancelled.is_set():
                self._end(running)
            limit = threading.Timer(running.job.timeout_seconds, self._time_out, args=(running,))
            limit.daemon = True
            limit.start()
            try:
                for line in process.stdout or ():
                    read(line, watch)
                code = process.wait()
            finally:
                limit.cancel()
        if running.timed_out:
            return "timed_out"
        if running.cancelled.is_set():
            return "cancelled"
        return "success" if code == 0 else "failure"

    def _time_out(self, running: Running) -> None:
        running.timed_out = True
        self._end(running)

    def _end(self, running: Running) -> None:
        """As GitHub does: an interrupt, some seconds, then the end; what is `always()` still runs."""
        process = running.process
        if process is None or process.poll() is not None:
            return
        steps = children(process.pid)
        for number, seconds in ((signal.SIGINT, self._grace), (signal.SIGTERM, self._grace / 3)):
            for pid in steps:
                send(pid, number)
            wait_until(lambda: not any(alive(pid) for pid in steps), seconds)
        process.send_signal(
            signal.SIGINT
        )  # act ends what is left of the step and goes on to what always runs
        wait_until(lambda: process.poll() is not None, SWEEP)
        end_processes(running.job.id, self._folder / str(running.job.id))
        process.kill()


def find_act() -> str:
    """The `act` beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "act"
    return str(beside) if beside.exists() else (shutil.which("act") or "act")


def dotenv(value: str) -> str:
    """A value as act's env files want it."""
    if value.replace("_", "").replace("-", "").replace(".", "").isalnum():
        return value
    return "'" + value + "'" if "'" not in value else json.dumps(value).replace("$", "\\$")


def read(line: str, watch: Watch) -> None:
    """One line of act's JSON log, told on as a step, a line, or nothing."""
    try:
        said = json.loads(line)
    except ValueError:
        watch.line(line.rstrip())
        return
    text = str(said.get("msg", "")).rstrip("\n")
    if said.get("raw_output"):
        watch.line(text)
        return
    match said.get("command"):
        case "summary":
            watch.summary(str(said.get("content", "")))
            return
        case "error" | "warning" | "notice" as kind:
            watch.line(f"{kind.capitalize()}: {said.get('arg', '')}")
            return
        case "group":
            watch.line(f"▸ {said.get('arg', '')}")
            return
        case _:
            pass
    inside = len(said.get("stepID") or said.get("stepid") or ()) > 1  # within a composite action
    if "step" in said and said.get("stage", "Main") == "Main" and not inside:
        name = str(said["step"]).partition("\n")[0]  # one without a name is called by its whole script
        if "stepResult" in said:
            watch.step(name, said["stepResult"])
        elif text.lstrip().startswith("⭐"):
            watch.step(name, None)
    if said.get("level") in ("error", "fatal") or (said.get("level") == "warning" and "docker" not in text):
        watch.line(text)


def copy_checkout(source: Path, to: Path) -> None:
    """What git knows of a folder and does not ignore (else all but the bulky), without its history."""
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        bulky = shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".*_cache")
        shutil.copytree(source, to, ignore=bulky, symlinks=True)
        return
    to.mkdir(parents=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (source / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, to / name)


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it."""

    pid: int
    parent: int
    marked: bool
    folder: str


def look(mark: bytes) -> Iterable[Process]:
    """Every process of this machine that we may look at. Linux; elsewhere none are found this way."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            state, parent = after_name.split()[:2]
            if state == "Z":
                continue
            marked = mark in (entry / "environ").read_bytes()
            yield Process(int(entry.name), int(parent), marked, os.readlink(entry / "cwd"))
        except OSError:
            continue


def mark(id: int) -> str:
    """A run's mark: its id is unique in one sandbox only, and several may be up on one machine."""
    return f"{os.getpid()}.{id}"


def processes(id: int, folder: Path) -> list[int]:
    """The processes of a run: by its mark, by where they work, and what those have started."""
    seen = list(look(f"{MARK}={mark(id)}\0".encode()))
    found = {p.pid for p in seen if p.marked or Path(p.folder).is_relative_to(folder)} - {os.getpid()}
    while more := {p.pid for p in seen if p.parent in found} - found:
        found |= more
    return sorted(found)


def children(pid: int) -> list[int]:
    return [p.pid for p in look(b"\0\0") if p.parent == pid]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet asked for its code does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def end_processes(id: int, folder: Path) -> None:
    """Kills every process of a run, until there are none: what dies may have just started another."""
    for _ in range(20):
        found = processes(id, folder)
        if not found:
            return
        for pid in found:
            send(pid, signal.SIGKILL)
        time.sleep(0.02)


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
