"""What the agent made: its work tree compared with the commit that it began from, byte for byte.

The tree is walked by handles that follow no symbolic link, and git is asked only about the commit and about
the rules of .gitignore, in folders of ours: nothing that the agent wrote is executed or configures anything.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import select
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bot.core.changeset import Changeset, File
from bot.runner.isolation import User
from bot.runner.pristine import Entry, Pristine

MAX_FILE = 8 * 1024 * 1024
MAX_TOTAL = 16 * 1024 * 1024  # in base64 within the 32 MB of a result
MAX_FILES = 5_000
MAX_NOTES = 20
MAX_DEPTH = 60
SETTLED_NS = 1_000_000_000
# For all that git is asked of .gitignore: a rule can be made on which git 2.39 reads for years.
RULES_SECONDS = 20.0
LATE = "its .gitignore takes too long to be read"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


# Files that were found to be as in the commit, and how their inodes stood then.
Unchanged = dict[str, tuple[int, ...]]


def collect(
    pristine: Pristine,
    base: str,
    work: Path,
    user: User | None = None,
    unchanged: Unchanged | None = None,
    patience: float = RULES_SECONDS,
) -> tuple[Changeset, tuple[str, ...]]:
    """The changed files, and a sentence for each thing that was left out. Raises GitFailed.

    `unchanged` is remembered from look to look: what stands in it with the same inode is not read again.
    """
    before = pristine.files(base)
    with _rules(pristine, before, time.monotonic() + patience) as rules:
        walk = _Walk(before, rules, user, unchanged)
        handle = os.open(work, _DIRECTORY)
        try:
            walk.folder(handle, "")
        finally:
            os.close(handle)
    gone = sorted(set(before) - walk.seen)
    deleted = [File(path, "100644", None) for path in gone if before[path].kind == "blob"]
    files = sorted([*walk.changed, *deleted], key=lambda file: file.path)
    notes = walk.notes
    if len(notes) > MAX_NOTES:
        notes = [*notes[:MAX_NOTES], f"{len(notes) - MAX_NOTES} more things were left out"]
    return Changeset(base, tuple(files)), tuple(notes)


def to_json(changeset: Changeset) -> dict[str, Any]:
    """As a result carries it."""
    return {"base": changeset.base, "files": [_entry(file) for file in changeset.files]}


def _entry(file: File) -> dict[str, Any]:
    if file.content is None:
        return {"path": file.path, "deleted": True}
    if file.text is not None:
        return {"path": file.path, "mode": file.mode, "text": file.text}
    return {"path": file.path, "mode": file.mode, "base64": base64.b64encode(file.content).decode()}


class _Walk:
    """One pass over the work tree."""

    def __init__(
        self, before: dict[str, Entry], rules: _Rules, user: User | None, unchanged: Unchanged | None
    ) -> None:
        self.before, self.rules, self.user, self.unchanged = before, rules, user, unchanged
        self.folders = {
            path[:at] for path in before for at in range(len(path)) if path[at] == "/"
        }  # that the commit has
        self.seen: set[str] = set()
        self.changed: list[File] = []
        self.notes: list[str] = []
        self.bytes = 0

    def folder(self, handle: int, under: str) -> None:
        with os.scandir(handle) as entries:
            names = sorted(entry.name for entry in entries)
        if ".gitignore" in names:
            with suppress(OSError):
                self.rules.add(under, _content(handle, ".gitignore", 1 << 20, self.user) or b"")
        for name in names:
            if name.casefold() == ".git":
                continue
            path = under + name
            try:
                self._one(handle, name, path)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._keep(path)
                self.notes.append(f"{_shown(path)} could not be read: {error.strerror}")

    def _one(self, handle: int, name: str, path: str) -> None:
        status = os.stat(name, dir_fd=handle, follow_symlinks=False)
        entry = self.before.get(path)
        if stat.S_ISDIR(status.st_mode):
            if entry is not None and entry.kind == "commit":
                self.seen.add(path)  # a submodule stays as it is
            elif path in self.folders or not self.rules.ignore(path, folder=True):
                self._below(handle, name, path)
            return
        if entry is None and self.rules.ignore(path):
            return
        if not path.isprintable() or any("\udc80" <= c <= "\udcff" for c in path):
            self._keep(path)
            if entry is None:
                self.notes.append(f"{_shown(path)} was left out: its name is not plain text")
            return
        if stat.S_ISLNK(status.st_mode):
            self._file(path, entry, "120000", os.fsencode(os.readlink(name, dir_fd=handle)))
        elif not stat.S_ISREG(status.st_mode):
            self.notes.append(f"{_shown(path)} was left out: it is neither a file nor a link")
        elif status.st_size > MAX_FILE and (entry is None or entry.size != status.st_size):
            self._keep(path)
            self.notes.append(f"{_shown(path)} was left out: {status.st_size:,} bytes")
        elif self.unchanged is not None and self.unchanged.get(path) == _stamp(status):
            self.seen.add(path)
        else:
            mode = "100755" if status.st_mode & stat.S_IXUSR else "100644"
            content = _content(handle, name, None, self.user)
            if content is None:
                self._keep(path)
                self.notes.append(f"{_shown(path)} was left out: it does not belong to the agent")
            elif self._file(path, entry, mode, content) and self.unchanged is not None and _settled(status):
                self.unchanged[path] = _stamp(status)

    def _below(self, handle: int, name: str, path: str) -> None:
        if path.count("/") >= MAX_DEPTH:
            self._keep(path)
            self.notes.append(f"{_shown(path)} was left out: {MAX_DEPTH} folders deep")
            return
        below = os.open(name, _DIRECTORY, dir_fd=handle)
        try:
            if path not in self.folders and _has(below, ".git"):
                self.notes.append(f"{_shown(path)} was left out: it is a repository of its own")
                return
            self.folder(below, path + "/")
        finally:
            os.close(below)

    def _keep(self, path: str) -> None:
        """What could not be compared is not deleted, and not what lies below it either."""
        self.seen.add(path)
        if path in self.folders:
            self.seen |= {each for each in self.before if each.startswith(path + "/")}

    def _file(self, path: str, entry: Entry | None, mode: str, content: bytes) -> bool:
        """Take it in; whether it is as in the commit."""
        self.seen.add(path)
        if entry is not None and entry.mode == mode and entry.sha == _sha(content, len(entry.sha)):
            return True
        if len(self.changed) >= MAX_FILES or self.bytes + len(content) > MAX_TOTAL:
            self.notes.append(f"{_shown(path)} was left out: there is too much of it all")
            return False
        self.bytes += len(content)
        self.changed.append(File(path, mode, content))
        return False


class _Rules:
    """What .gitignore says: the commit's own rules, and then also those that the agent wrote.

    One cannot take back what the other ignores. Each is asked of a git that sees nothing but those
    files, in a folder of ours.
    """

    def __init__(self, commits: _Git, agents: _Git) -> None:
        self._commits, self._agents = commits, agents

    def add(self, under: str, text: bytes) -> None:
        """The work tree's own rules in a folder that is about to be walked."""
        self._agents.write(under, text)

    def ignore(self, path: str, folder: bool = False) -> bool:
        """Whether a path that the commit does not have is to be left out."""
        return self._commits.ignores(path, folder) or self._agents.ignores(path, folder)


class _Git:
    """One `git check-ignore` that is asked again and again."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], until: float) -> None:
        self._folder, self._process, self._until = folder, process, until
        self._late = False

    def write(self, under: str, text: bytes) -> None:
        place = self._folder / under
        place.mkdir(parents=True, exist_ok=True)
        (place / ".gitignore").write_bytes(text)

    def ignores(self, path: str, folder: bool) -> bool:
        """Raises OSError where git does not say so in time."""
        if folder:  # a rule that ends in a slash is for folders alone
            (self._folder / path).mkdir(parents=True, exist_ok=True)
        asked, said = self._process.stdin, self._process.stdout
        if asked is None or said is None:
            return False
        if self._late:
            raise OSError(errno.ETIMEDOUT, LATE)
        asked.write(b"./" + os.fsencode(path) + b"\0")  # `:(glob)x` would be pathspec magic, and git's end
        asked.flush()
        if not select.select([said], [], [], max(0.0, self._until - time.monotonic()))[0]:
            self._late = True
            raise OSError(errno.ETIMEDOUT, LATE)
        # With --verbose --non-matching: source, line, pattern, path, each ended by a zero byte.
        _source, _line, pattern, _path = (_field(said) for _ in range(4))
        return bool(pattern) and not pattern.startswith(b"!")


@contextmanager
def _rules(pristine: Pristine, before: dict[str, Entry], until: float) -> Iterator[_Rules]:
    named = {
        path.removesuffix(".gitignore"): entry
        for path, entry in before.items()
        if path.rpartition("/")[2] == ".gitignore" and entry.mode in ("100644", "100755")
    }
    with _asked(pristine, until) as commits, _asked(pristine, until) as agents:
        for under, text in zip(named, pristine.blobs(list(named.values())), strict=True):
            commits.write(under, text)
        yield _Rules(commits, agents)


@contextmanager
def _asked(pristine: Pristine, until: float) -> Iterator[_Git]:
    with (
        tempfile.TemporaryDirectory(prefix="tollgate-rules-") as folder,
        subprocess.Popen(
            pristine.command("check-ignore", "--no-index", "--stdin", "-z", "--verbose", "--non-matching"),
            env=pristine.environment(work=Path(folder)),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            yield _Git(Path(folder), process, until)
        finally:
            process.kill()  # it may be reading still
            with suppress(OSError):  # nobody is there to take what it was asked last
                process.communicate()


def _field(stream: Any) -> bytes:
    field = bytearray()
    while (byte := stream.read(1)) != b"\0":
        if not byte:
            raise OSError(0, "git ended while it was asked what to ignore")
        field += byte
    return bytes(field)


def _content(handle: int, name: str, most: int | None, user: User | None) -> bytes | None:
    """The bytes of a regular file of the user, up to `most`; None of anything else."""
    opened = os.open(name, _FILE, dir_fd=handle)
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        # A hard link to a file that the agent may not read would be read for it.
        if not stat.S_ISREG(status.st_mode) or (user is not None and status.st_uid != user.uid):
            return None
        return file.read(most if most is not None else -1)


def _has(handle: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=handle, follow_symlinks=False)
    except OSError:
        return False
    return True


def _settled(status: os.stat_result) -> bool:
    # One that is changed twice within a tick of the clock would look the same.
    return time.time_ns() - status.st_ctime_ns > SETTLED_NS


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _sha(content: bytes, digits: int) -> str:
    algorithm = hashlib.sha256 if digits == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _shown(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path)


# -- the other way, for a run that goes on --


def apply(changeset: Changeset, root: Path) -> None:
    """Put the files of a changeset into a tree that is laid out at its base; no link in it leads out.

    Raises ValueError for a path that is not inside a tree.
    """
    for file in sorted(changeset.files, key=lambda file: file.content is not None):  # deletions first
        parts = file.path.split("/")
        if any(part in ("", ".", "..") or part.casefold() == ".git" for part in parts):
            raise ValueError(f"{file.path} is not a path inside the tree")
        handle = os.open(root, _DIRECTORY)
        try:
            handle = _enter(handle, parts[:-1], make=file.content is not None)
            if handle >= 0:
                _put(handle, parts[-1], file)
        finally:
            if handle >= 0:
                os.close(handle)


def _enter(handle: int, parts: list[str], make: bool) -> int:
    """The handle of a folder below, instead of the one given; -1 if it is not there and not to be made."""
    for part in parts:
        try:
            below = os.open(part, _DIRECTORY, dir_fd=handle)
        except OSError:  # nothing there, or a file or link where a folder is to be
            if not make:
                os.close(handle)
                return -1
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=handle)
            os.mkdir(part, 0o755, dir_fd=handle)
            below = os.open(part, _DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = below
    return handle


def _put(handle: int, name: str, file: File) -> None:
    with suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=handle)
    if file.content is None:
        return
    _clear(handle, name)
    if file.mode == "120000":
        os.symlink(os.fsdecode(file.content), name, dir_fd=handle)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    opened = os.open(name, flags, 0o755 if file.mode == "100755" else 0o644, dir_fd=handle)
    with os.fdopen(opened, "wb") as out:
        out.write(file.content)


def _clear(handle: int, name: str) -> None:
    """Remove a folder that deletions have left empty, with the empty ones in it."""
    try:
        below = os.open(name, _DIRECTORY, dir_fd=handle)
    except OSError:
        return
    try:
        for each in os.listdir(below):
            _clear(below, each)
    finally:
        os.close(below)
    with suppress(OSError):  # a file is still in it
        os.rmdir(name, dir_fd=handle)
