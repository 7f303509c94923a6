"""An engine that is a program of others: what all of them share, whatever the program is called.

One is added by a file beside this one with a Program and the Session that it starts, an entry in
`BY_NAME` of named.py, and its name in `ENGINES` of bot/core/commands.py; docs/agents.md has the steps. The
program says how it is installed, what it is started with, and what its lines mean. The rest is here: it runs
as the agent's user with one secret in its environment, the run's token; it is ended with all that it has
started when the run ends; and whether the run was halted the gateway says, not its exit code.
"""

from __future__ import annotations

import json
import queue
import secrets
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

import httpx2

from bot.core.money import Usd
from bot.runner import group
from bot.runner.engines import Ending, Event, Ground, Task, Tell, Workspace
from bot.runner.engines.installed import Install, NotInstalled, installed
from bot.runner.isolation import as_user, end_marked, end_of

MARK = "TOLLGATE_ENGINE"
MAX_LINE = 8 * 1024 * 1024  # of its output; what is longer is not looked at
AHEAD = 8  # lines that it may be ahead of us: then it waits, and our memory is ours
MAX_WORDS = 30_000  # characters of what it says that are passed on: more than a result has room for
LAST_WORDS = 40  # lines of its errors that are kept
TERM_SECONDS = 2.0
LINGER_SECONDS = 1.0  # for its last lines, where something of it keeps the pipe open
OVER_SECONDS = 120.0  # of silence after it has said its last: a subagent may still wait for an answer
ASK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Start:
    """How a program is started. `env` goes over the tools' own; the run's token is the one secret in it."""

    command: Sequence[str]
    env: Mapping[str, str]
    stdin: str = ""


class Session(Protocol):
    """One work of a program, from its start to its end."""

    @property
    def start(self) -> Start: ...

    @property
    def over(self) -> bool:
        """Whether it has said its last: all that it has to do is to end."""

    def hear(self, line: str) -> Iterable[Event]:
        """What a line of its output says has happened. What cannot be read has not."""

    def ended(self, code: int, errors: str) -> Ending:
        """How it ended by itself, by its exit code and the last lines of its errors. The code is below 0 for
        a signal, and 0 for one that was over and did not end.

        Where the gateway knows of a halt, only what it did and said is taken from here.
        """


class Program(Protocol):
    """A program of others. `version` is pinned: what is installed is this one and no other."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def settings(self) -> tuple[str, ...]:
        """As an engine's: what of a repository it obeys, and is given from the base branch."""

    @property
    def install(self) -> Install: ...

    def session(self, task: Task, ground: Ground, where: Path, ran: Callable[[str, bool], None]) -> Session:
        """Prepare one work. `where`: it is installed there; `ran`: is told each command, and if it failed."""


class Foreign:
    """The engine that a Program is."""

    native = False

    def __init__(self, program: Program, patience: float = OVER_SECONDS) -> None:
        self._program, self._patience = program, patience
        self.name, self.version, self.settings = program.name, program.version, program.settings

    def work(self, task: Task, workspace: Workspace, tell: Tell, stop: threading.Event) -> Ending:
        """Until it ends by itself or is ended; what it did stays in the tree."""
        if task.ground is None:
            return Ending("failed", message=f"{self.name} needs a place to work in")
        before = _standing(task)
        if before.halted is not None:
            return before.halted
        try:
            where = installed(self.name, self.version, self._program.install, task.ground, stop)
            session = self._program.session(task, task.ground, where, workspace.ran)
            with _running(session.start, task.ground) as process:
                code = _listen(process, session, tell, stop, self._patience)
        except NotInstalled as error:
            if stop.is_set():
                return Ending("halted", message="stopped")
            why = f"{self.name} {self.version} could not be installed, and nothing was spent: {error}"
            return Ending("failed", message=why)
        except OSError as error:
            return Ending("failed", message=f"{self.name} could not be started: {error}")
        own = session.ended(code, process.errors())
        if stop.is_set():
            return replace(own, outcome="halted", reason=None, message="stopped")
        after = _standing(task)
        if after.halted is not None:
            return replace(own, outcome="halted", reason=after.halted.reason, message=after.halted.message)
        if own.outcome == "done" and after.steps is not None and after.steps == before.steps:
            message = (
                f"{self.name} ended without one answer of the model: {process.errors() or 'no word why'}"
            )
            return replace(own, outcome="failed", message=message)
        return own


def told(line: str) -> dict[str, Any]:
    """The object that a line of JSON is; an empty one where it is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def dollars(said: Any) -> Usd | None:
    """What a program says that it has cost; None where that is no amount."""
    try:
        return Usd.parse(f"{said:.9f}") if isinstance(said, int | float) and said >= 0 else None
    except (ValueError, OverflowError):
        return None


# -- the program --


class _Process:
    """A program that runs, and the last that it said of its errors."""

    def __init__(self, popen: subprocess.Popen[bytes], ends: Callable[[], None]) -> None:
        self.popen, self._ends = popen, ends
        self.lines: queue.Queue[str | None] = queue.Queue(AHEAD)  # None: there are no more
        self._unheard = threading.Event()  # nobody listens any more
        self._errors: deque[str] = deque(maxlen=LAST_WORDS)
        self._threads = [
            threading.Thread(target=target, args=(stream,), daemon=True)
            for target, stream in ((self._read, popen.stdout), (self._read_errors, popen.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def errors(self) -> str:
        return "\n".join(self._errors)[-2_000:].strip()

    def end(self) -> None:
        """It and all that it has started."""
        self._unheard.set()
        group.end(self.popen, TERM_SECONDS)
        self._ends()
        for thread in self._threads:
            thread.join(LINGER_SECONDS)

    def _read(self, stream: IO[bytes]) -> None:
        for line in _lines(stream):
            self._put(line)
        self._put(None)

    def _put(self, line: str | None) -> None:
        while not self._unheard.is_set():
            with suppress(queue.Full):
                self.lines.put(line, timeout=0.1)
                return

    def _read_errors(self, stream: IO[bytes]) -> None:
        for line in _lines(stream):
            self._errors.append(line.rstrip()[-MAX_WORDS:])


def _lines(stream: IO[bytes]) -> Iterator[str]:
    whole = True
    with stream:
        while line := stream.readline(MAX_LINE):
            ends = line.endswith(b"\n")
            if whole and (ends or len(line) < MAX_LINE):
                yield line.decode("utf-8", "replace")
            whole = ends


@contextmanager
def _running(start: Start, ground: Ground) -> Iterator[_Process]:
    """The program in a session of its own; at the end nothing of it is left. Raises OSError."""
    nonce = secrets.token_hex(8)
    popen = subprocess.Popen(
        list(start.command),
        env={**ground.env, "HOME": str(ground.home), **start.env, MARK: nonce},
        cwd=ground.work,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **as_user(ground.user),
    )

    def ends() -> None:
        end_marked(f"{MARK}={nonce}")
        if ground.user is not None:  # whatever hid its mark: nobody else of this run is that user now
            end_of(ground.user)

    process = _Process(popen, ends)
    threading.Thread(target=_give, args=(popen, start.stdin), daemon=True).start()
    try:
        yield process
    finally:
        process.end()


def _give(popen: subprocess.Popen[bytes], words: str) -> None:
    """Beside us: who does not read must not keep us."""
    if popen.stdin is not None:
        try:
            with popen.stdin as stream:
                stream.write(words.encode("utf-8", "replace"))
        except OSError:
            return  # it has ended without reading it, and says why


def _listen(process: _Process, session: Session, tell: Tell, stop: threading.Event, patience: float) -> int:
    """Tell what it says until it ends or `stop` is set; its exit code.

    One that is over and says nothing for so many seconds (`patience`) is ended: that is no failure of it.
    """
    until = None  # when it is ended, or nobody listens any more to what it has left behind
    heard = time.monotonic()

    def hangs() -> bool:
        return session.over and time.monotonic() > heard + patience

    while until is None or time.monotonic() < until:
        over = process.popen.poll() is not None
        if until is None and (over or stop.is_set()):
            until = time.monotonic() + (LINGER_SECONDS if over else group.WORDS_SECONDS)
        if until is None and hangs():
            process.end()
            return 0
        try:
            line = process.lines.get(timeout=0.05)
        except queue.Empty:
            continue
        if line is None:
            break
        heard = time.monotonic()
        for event in session.hear(line):
            tell(event)
    while until is None and process.popen.poll() is None and not stop.wait(0.05):
        if hangs():  # it has closed its output and goes on
            process.end()
            return 0
    process.end()
    return process.popen.returncode


# -- the gateway --


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where the run stands: halted, or how many steps are left of it, as far as the gateway says so."""

    halted: Ending | None = None
    steps: int | None = None


def _standing(task: Task) -> _Standing:
    """What the gateway says of the run: by the list of models, which costs nothing."""
    headers = {"x-api-key": task.token, "anthropic-version": "2023-06-01"}
    try:
        with httpx2.Client(timeout=ASK_SECONDS) as http:
            answer = http.get(f"{task.base_url.rstrip('/')}/v1/models", headers=headers)
        left = answer.headers.get("tollgate-remaining-steps")
        if answer.status_code == 402:
            error = answer.json()["error"]
            return _Standing(Ending("halted", reason=error.get("reason"), message=str(error["message"])))
        return _Standing(steps=int(left) if left is not None else None)
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return _Standing()
