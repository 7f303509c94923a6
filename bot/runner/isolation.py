"""Who the agent's tools run as, and what they see of our environment (S1)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AGENT = "tollgate-agent"
END_SECONDS = 2.0  # after them a process that cannot be ended is left
# What a tool may need to find its toolchain. Everything else stays here, whatever it is called.
_KEPT = {
    "PATH", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "NODE_PATH", "NVM_DIR",
    "GOROOT", "GOPATH", "CARGO_HOME", "RUSTUP_HOME", "JAVA_HOME", "ANDROID_HOME", "DOTNET_ROOT", "GEM_HOME",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "RUNNER_TRACKING_ID",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL",
    "PIP_CONFIG_FILE", "NPM_CONFIG_REGISTRY",
}  # fmt: skip
_KEPT_PREFIXES = ("LC_", "JAVA_HOME_", "GOROOT_")
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# An address with a user in it; a proxy's may lack the scheme (curl(1)).
_CREDENTIALS = re.compile(r"://[^/\s]*@|\A[^/\s]*:[^/\s]*@|\A[^/\s]+@[^/\s]*[:.]")


@dataclass(frozen=True, slots=True)
class User:
    """Another user of this machine, without sudo and without our groups."""

    name: str
    uid: int
    gid: int


def tool_env(env: Mapping[str, str], home: Path, user: str = "") -> dict[str, str]:
    """The environment of the agent's tools: all is left out but a list, so no token, key or OIDC variable."""
    kept = {
        name: value
        for name, value in env.items()
        if (name in _KEPT or name.startswith(_KEPT_PREFIXES)) and not _CREDENTIALS.search(value)
    }
    name = user or env.get("USER", "")
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        **kept,
        "HOME": str(home),
        "TERM": "dumb",
        "CI": "true",
        # Nobody is there to scroll, to write, or to be asked.
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "EDITOR": "true",
        "VISUAL": "true",
        "GIT_EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
        "DEBIAN_FRONTEND": "noninteractive",
        "PIP_NO_INPUT": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"USER": name, "LOGNAME": name} if name else {}),
    }


def as_user(user: User | None) -> dict[str, Any]:
    """How subprocess.Popen starts a process of the agent's: in a session of its own, without our groups."""
    own: dict[str, Any] = {"start_new_session": True, "umask": 0o022}
    return own | ({"user": user.uid, "group": user.gid, "extra_groups": []} if user else {})


def agent_user() -> User | None:
    """The user that tools run as, made if it is missing; None where we are not root or cannot make one."""
    if os.geteuid() != 0:
        return None
    try:
        return _known()
    except KeyError:
        pass
    if shutil.which("useradd") is None:
        return None
    made = subprocess.run(
        ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", AGENT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    try:
        return _known()  # also where another job of this machine was quicker
    except KeyError:
        if made.returncode:
            return None
        raise


def _known() -> User:
    entry = pwd.getpwnam(AGENT)
    if entry.pw_uid == 0:
        raise KeyError(AGENT)  # a machine where that name is root's isolates nothing
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def may_become_root() -> bool:
    """Whether sudo asks for no password and lets our environment pass, as on GitHub's own machines."""
    if os.geteuid() == 0 or shutil.which("sudo") is None:
        return False
    asked = ["sudo", "-n", "--preserve-env", "true"]
    tried = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    return tried.returncode == 0


def ours_alone(folder: Path) -> bool:
    """Whether it is a folder, and no link, that only this user can write in. Raises OSError."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def end_marked(mark: str, *, prefix: bool = False) -> None:
    """SIGKILL to every process with `mark` in the environment it was started with, until none is left."""
    wanted = mark.encode()

    def marked(process: Path) -> bool:
        entries = (process / "environ").read_bytes().split(b"\0")
        return any(entry.startswith(wanted) for entry in entries) if prefix else wanted in entries

    _end_all(marked)


def adopt_orphans() -> bool:
    """Make whatever loses its parent below this process a child of this process (Linux); else False."""
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


@contextlib.contextmanager
def outlived_by_none() -> Iterator[None]:
    """Nothing that is started in the block is there after it, however far it went (Linux)."""
    adopt_orphans()
    try:
        yield
    finally:
        end_descendants()


def end_of(user: User) -> None:
    """SIGKILL to all of this user's that this process has started."""
    end_descendants(lambda process: process.stat().st_uid == user.uid)


def end_descendants(which: Callable[[Path], bool] = lambda process: True) -> None:
    """SIGKILL to all that this process has started, however far they went; none can hide once adopted."""
    own = os.getpid()

    def below(process: Path) -> bool:
        pid = int(process.name)
        if not which(process):
            return False
        while pid > 1:
            # "pid (name) state ppid …"; a name may hold spaces and parentheses.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if pid == int(process.name) and fields[0] == b"Z":
                return False
            pid = int(fields[1])
            if pid == own:
                return True
        return False

    _end_all(below)


def _end_all(condition: Callable[[Path], bool]) -> None:
    until = time.monotonic() + END_SECONDS
    while (pids := list(_found(condition))) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _found(condition: Callable[[Path], bool]) -> Iterator[int]:
    own = os.getpid()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != own and condition(entry):
                yield int(entry.name)
        except (OSError, IndexError):  # it has ended, or is not ours to read
            continue
