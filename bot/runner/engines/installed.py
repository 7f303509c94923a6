"""Where programs of others are: installed once a machine and version, where no agent's user can write."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from bot.runner import group
from bot.runner.engines import Ground
from bot.runner.isolation import ours_alone, tool_env

READY = "ready"  # is there when all of it is
SECONDS = 600.0
TERM_SECONDS = 2.0
SHARED = Path("/var/lib/tollgate/engines")  # root's: the agent's user can enter it and change nothing


class NotInstalled(Exception):
    """Why it is not there; a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Install:
    """How a program gets into an empty folder. `needs`: programs that must be there, with what gives them."""

    needs: Mapping[str, str]
    files: Path  # a folder whose files are put there first: a lock with the hashes of all that is fetched
    commands: Callable[[Path], Sequence[Sequence[str]]]


def engines_folder(env: Mapping[str, str]) -> Path:
    """Where programs are installed: TOLLGATE_ENGINES, else root's place or this user's own cache."""
    if named := env.get("TOLLGATE_ENGINES", "").strip():
        return Path(named)
    if os.geteuid() == 0:
        return SHARED
    cache = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME") or "~").expanduser() / ".cache")
    return Path(cache) / "tollgate" / "engines"


def installed(name: str, version: str, install: Install, ground: Ground, stop: threading.Event) -> Path:
    """The folder that has it. Raises NotInstalled, soon also where `stop` is set."""
    where = ground.engines / f"{name}-{version}"
    try:
        ground.engines.mkdir(mode=0o755, parents=True, exist_ok=True)
        _ours(ground.engines)
        with _one_at_a_time(ground.engines, stop):
            if where.exists():
                _ours(where)
            if not (where / READY).exists():
                _fill(where, install, ground, stop)
    except OSError as error:
        raise NotInstalled(f"{where} cannot be used: {error}") from error
    return where


def _fill(where: Path, install: Install, ground: Ground, stop: threading.Event) -> None:
    path = _path(ground)
    for needed, hint in install.needs.items():
        if shutil.which(needed, path=path) is None:
            raise NotInstalled(f"it needs {needed}, and there is none here: {hint}")
    shutil.rmtree(where, ignore_errors=True)  # of one that was cut off
    where.mkdir(mode=0o755)
    shutil.copytree(install.files, where, dirs_exist_ok=True)
    for command in install.commands(where):
        _run(command, where, {**ground.env, "PATH": path}, stop)
    _readable(where)
    (where / READY).touch()


def _path(ground: Ground) -> str:
    """The folders of PATH in which the agent's user has nothing of its own: an earlier run may have left it a
    program there, and we are root."""
    path, user = ground.env.get("PATH", os.defpath), ground.user
    if user is None:
        return path

    def theirs(folder: Path) -> bool:
        try:
            above = any(each.stat().st_uid == user.uid for each in (folder, *folder.parents))
            with os.scandir(folder) as found:
                return above or any(one.stat(follow_symlinks=False).st_uid == user.uid for one in found)
        except OSError:
            return True

    folders = [each for each in path.split(os.pathsep) if each.startswith("/")]
    return os.pathsep.join(each for each in folders if not theirs(Path(each).resolve())) or os.defpath


def _run(command: Sequence[str], where: Path, env: Mapping[str, str], stop: threading.Event) -> None:
    """In a group of its own, which is gone at the end: what goes on would write in our folder."""
    until = time.monotonic() + SECONDS
    with (
        TemporaryDirectory(prefix="tollgate-install-") as home,  # for the caches of what fetches it
        TemporaryFile() as output,
    ):
        process = subprocess.Popen(
            list(command),
            cwd=where,
            env=tool_env(env, Path(home)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                if stop.wait(0.05):
                    raise NotInstalled("the run was ended before it was there")
                if time.monotonic() > until:
                    raise NotInstalled(f"{command[0]} did not end within {SECONDS:g} s")
        finally:
            group.end(process, TERM_SECONDS)
        if process.returncode:
            output.seek(0)
            raise NotInstalled(f"{command[0]} said: {_why(output.read().decode('utf-8', 'replace'))}")


def _why(said: str) -> str:
    """What it says of errors, else its last words; npm's last are where its log is."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and "complete log" not in line]
    errors = [line for line in lines if "error" in line.lower()]
    return "; ".join(errors or lines[-1:] or ["nothing"])[:300]


def _ours(folder: Path) -> None:
    """Raises NotInstalled where somebody else could have put a program."""
    if not ours_alone(folder):
        raise NotInstalled(f"{folder} is not a folder that only this user can write in")


def _readable(where: Path) -> None:
    """Whatever the umask was: the agent's user runs it."""
    for folder, folders, files in os.walk(where):
        for name in (*folders, *files):
            path = Path(folder) / name
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod((mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o022)


@contextmanager
def _one_at_a_time(folder: Path, stop: threading.Event) -> Iterator[None]:
    """Two jobs of a machine may want it at once: one installs, the other waits."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    until = time.monotonic() + SECONDS
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.wait(0.2) or time.monotonic() > until:
                    raise NotInstalled(
                        "another job of this machine is installing it, and does not end"
                    ) from None
        yield
    finally:
        os.close(handle)
