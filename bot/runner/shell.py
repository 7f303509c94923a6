"""A shell for the agent: every command a process group of its own; directory and environment are carried on.

Not one long-lived bash: a command that hangs, exits or breaks its terminal takes nothing with it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.runner import group
from bot.runner.isolation import User, as_user, end_marked
from bot.runner.output import Output

COMMAND_SECONDS = 300.0
TERM_SECONDS = 1.0
LINGER_SECONDS = 0.3  # for the last output, where a background process keeps the pipe open
MARK = "TOLLGATE_COMMAND"

# The command comes by a file descriptor: an argument may have 128 KB at most, and stdin is /dev/null. What it
# exports, its functions and its directory are written down by the agent's own user and read by it alone.
# Builtins only: each program that is started here is a millisecond or two of every step.
_WRAPPER = f"""
state=$1; root=$2
cd -- "$root" || exit 1
if [ -s "$state/cwd" ]; then
IFS= read -r -d '' __given < "$state/cwd"; cd -- "${{__given%?}}" 2>/dev/null
fi
IFS= read -r -d '' __given <&$3; eval "exec $3<&-"
if [ -s "$state/env" ]; then . "$state/env" 2>/dev/null; fi
trap "exec 2>/dev/null; unset {MARK}
{{ export -p; declare -f; }} > '$state/new' && pwd > '$state/cwd'" EXIT
set --; unset state root
eval "unset __given
$__given"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command. `exit_code` is None where it was ended by us; then `ended` says why."""

    output: str
    exit_code: int | None
    seconds: float
    ended: str = ""


class Shell:
    """`run` one command at a time; `close` ends everything that was started, also in the background."""

    def __init__(
        self,
        root: Path,
        env: Mapping[str, str],
        user: User | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.root, self._env, self._user = root, dict(env), user
        self._bash = shutil.which("bash") or "/bin/bash"
        # The agent's user may not rename or replace the folder that holds its state.
        self._place = Path(tempfile.mkdtemp(prefix="tollgate-shell-", dir=scratch))
        self._place.chmod(0o711)
        self._state = self._place / "state"
        self._nonce = secrets.token_hex(8)
        self._groups: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []
        self._count = 0
        self._fresh()

    def run(
        self,
        command: str,
        stop: threading.Event | None = None,
        seconds: float = COMMAND_SECONDS,
        at: Path | None = None,
    ) -> Ran:
        """Run a command until it ends, its time is over or `stop` is set.

        `at`: there for once, with the environment of the beginning and leaving none behind.
        """
        self._count += 1
        mark = f"{MARK}={self._nonce}.{self._count}"
        began = time.monotonic()
        output = Output()
        process = self._start(command, mark, at)
        self._groups.append(process)
        reader = threading.Thread(target=_read, args=(process, output), daemon=True)
        reader.start()
        self._readers.append(reader)
        ended = _wait(process, began + seconds, stop)
        if ended:
            group.end(process, TERM_SECONDS)
            end_marked(mark)
        self._keep(whole=not ended and process.returncode >= 0)
        reader.join(LINGER_SECONDS)
        self._groups = [each for each in self._groups if each is not process or reader.is_alive()]
        why = {"time": f"its time of {seconds:g} s is over", "stop": "the run ends", "": ""}[ended]
        return Ran(output.text(), None if ended else process.returncode, time.monotonic() - began, why)

    @property
    def cwd(self) -> Path:
        """Where the next command will run."""
        with contextlib.suppress(OSError, ValueError):
            handle = os.open(self._state / "cwd", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return Path(os.read(handle, 4096).decode().removesuffix("\n") or self.root)
            finally:
                os.close(handle)
        return self.root

    def restart(self) -> None:
        """As new: what runs is ended, directory and environment are the first ones again."""
        self.end()
        self._fresh()

    def end(self) -> None:
        """End all that runs, also in the background; directory and environment stay as they are."""
        for process in self._groups:
            group.end(process, TERM_SECONDS)
        end_marked(f"{MARK}={self._nonce}.", prefix=True)
        for reader in self._readers:
            reader.join(5)
        self._groups, self._readers = [], []

    def close(self) -> None:
        self.end()
        shutil.rmtree(self._place, ignore_errors=True)

    def _start(self, command: str, mark: str, at: Path | None) -> subprocess.Popen[bytes]:
        state = str(self._state if at is None else os.devnull)
        name, _, value = mark.partition("=")
        with tempfile.TemporaryFile() as given:
            given.write(command.replace("\0", "").encode("utf-8", "replace"))
            given.seek(0)
            handle = given.fileno()
            script = [_WRAPPER, "bash", state, str(at or self.root), str(handle)]
            return subprocess.Popen(
                [self._bash, "--noprofile", "--norc", "-c", *script],
                env=self._env | {name: value},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(handle,),
                **as_user(self._user),
            )

    def _keep(self, whole: bool) -> None:
        """What the next command begins with; what was cut off in the middle is as if it had not been."""
        with contextlib.suppress(OSError):
            if whole:
                (self._state / "new").rename(self._state / "env")
            else:
                (self._state / "new").unlink()

    def _fresh(self) -> None:
        shutil.rmtree(self._state, ignore_errors=True)
        self._state.mkdir(mode=0o700)
        if self._user:
            os.chown(self._state, self._user.uid, self._user.gid)


def _read(process: subprocess.Popen[bytes], output: Output) -> None:
    if process.stdout is None:
        return
    with process.stdout as stream:
        while data := os.read(stream.fileno(), 65_536):
            output.add(data)


def _wait(process: subprocess.Popen[bytes], until: float, stop: threading.Event | None) -> str:
    """ "" when it has ended by itself, else why it should be ended."""
    with _watched(process) as ended:
        while True:
            if ended(0.05):
                return ""
            if stop is not None and stop.is_set():
                return "stop"
            if time.monotonic() >= until:
                return "time"


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], bool]]:
    """A question to ask again and again: has it ended, within so many seconds?

    Popen.wait(seconds) sleeps, longer each time, and notices a command of 4 ms after 8.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        yield lambda seconds: _ended(process, seconds)
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        yield lambda seconds: bool(poll.poll(seconds * 1000)) and _ended(process, None)
    finally:
        os.close(handle)


def _ended(process: subprocess.Popen[bytes], seconds: float | None) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False
