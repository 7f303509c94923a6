"""The commit that the agent works on: fetched with the job's token, handed over without it."""

from __future__ import annotations

import base64
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bot.runner.isolation import User
from bot.runner.pristine import GitFailed, Pristine

DEPTH = 50  # commits of history for `git log` and `git blame`
TRIES = 3
MOST_SETTINGS, MOST_SETTING = 200, 1 << 20  # files of a branch that an engine obeys, and bytes of one


@dataclass(frozen=True, slots=True)
class Place:
    """A run's folders: `git` is out of the agent's reach, `work` and `home` are the agent's, `aside` it may
    read."""

    top: Path
    git: Path
    work: Path
    home: Path
    aside: Path


@contextmanager
def place(user: User | None, name: str, run: str) -> Iterator[Place]:
    """The folders of a run, gone at its end. `name` is the repository's: what the model sees of the path.

    The same for each attempt, where that can be had: the path stands in the conversation.
    """
    top, lock = _top(run)
    try:
        top.chmod(0o711 if user else 0o700)
        work = top / "work" / (_safe(name) or "repository")
        made = Place(top, top / "git", work, top / "home", top / "aside")
        made.work.mkdir(mode=0o755, parents=True)
        made.home.mkdir(mode=0o700)
        made.aside.mkdir(mode=0o755)
        if user:
            os.chown(made.home, user.uid, user.gid)  # `work` follows when it is filled
        yield made
    finally:
        shutil.rmtree(top, ignore_errors=True)
        os.close(lock)


def _top(run: str) -> tuple[Path, int]:
    """A folder that is new and ours, under the run's own name if that can be had, and a lock on it."""
    # Not under the job's own folders: the agent's user may not be able to enter those.
    top = Path(tempfile.gettempdir()).resolve() / f"tollgate-{run}"
    with suppress(OSError):
        left = _locked(top)
        try:
            if os.fstat(left).st_uid == os.geteuid():
                shutil.rmtree(top)  # of an attempt that was killed: nobody holds its lock any more
        finally:
            os.close(left)
    try:
        top.mkdir(mode=0o700)
        return top, _locked(top)
    except OSError:
        top = Path(tempfile.mkdtemp(prefix="tollgate-")).resolve()
        return top, _locked(top)


def _locked(folder: Path) -> int:
    """A handle of a folder, locked; the lock ends with this process. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def fetch(
    git_dir: Path,
    url: str,
    sha: str,
    token: str,
    env: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Pristine:
    """A git directory that has the commit and some of its history. Raises GitFailed."""
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", sha):
        raise GitFailed(f"{sha[:80]!r} is not the SHA of a commit")
    pristine = Pristine.create(git_dir, env, sha256=len(sha) == 64)
    # Any commit that a ref reaches may be asked for; a fork's pull request is reached by its own.
    _fetched(pristine, url, sha, token, DEPTH, f"the commit {sha[:12]}", sleep)
    return pristine


def settings_of(
    pristine: Pristine, url: str, branch: str, token: str, names: Sequence[str]
) -> dict[str, bytes]:
    """What a branch has of these files and folders ("x/") now, by path. Raises GitFailed."""
    _fetched(pristine, url, f"refs/heads/{branch}", token, 1, f"the branch {branch}")
    commit = pristine.run("rev-parse", "FETCH_HEAD").decode().strip()
    found = {
        path: entry
        for path, entry in pristine.files(commit).items()
        if (path in names or path.startswith(tuple(name for name in names if name.endswith("/"))))
        and entry.kind == "blob"
        and entry.mode != "120000"
        and entry.size <= MOST_SETTING
    }
    if len(found) > MOST_SETTINGS:
        raise GitFailed(f"the branch {branch} has {len(found)} files of {', '.join(names)}: too many")
    return dict(zip(found, pristine.blobs(list(found.values())), strict=True))


def _fetched(
    pristine: Pristine,
    url: str,
    what: str,
    token: str,
    depth: int,
    called: str,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    for left in reversed(range(TRIES)):
        try:
            pristine.run(
                "fetch", "--quiet", "--no-tags", f"--depth={depth}", "--", url, what,
                env=_authorization(url, token),
            )  # fmt: skip
            return
        except GitFailed as error:
            if not left:
                raise GitFailed(f"{called} cannot be fetched: {error}") from error
            sleep(2.0 ** (TRIES - left))


def _authorization(url: str, token: str) -> dict[str, str]:
    """By the environment of that one git: an argument is for every user of the machine to see."""
    if not token:
        return {}
    given = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {given}",
    }


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", name).strip(".-")[:60]
