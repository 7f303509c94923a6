"""The text editor of the agent (text_editor_20250728), confined to the workspace.

Every path is walked from the workspace's own directory handle, one component at a time, no symbolic link
followed by the system: a link is read and walked again from inside, so it cannot lead out, and nothing that
the agent changes meanwhile matters.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bot.runner.isolation import User
from bot.runner.output import bounded_text

MAX_FILE = 5 * 1024 * 1024
MAX_LINKS = 40
MAX_LISTED = 500
VIEW_HEAD, VIEW_TAIL = 60_000, 20_000
NEAR = 4  # lines shown around an edit
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class EditError(Exception):
    """A sentence for the model: why nothing was changed or shown."""


class Editor:
    """`run` one command of the tool. With a user, only files of that user are touched."""

    def __init__(self, root: Path, user: User | None = None) -> None:
        self.root, self._user = root, user
        self._aliases = tuple(dict.fromkeys((str(root), str(root.resolve()))))

    def run(self, given: dict[str, Any]) -> str:
        """What the model reads. Raises EditError."""
        command, path = given.get("command"), given.get("path")
        if not isinstance(path, str) or not path:
            raise EditError("path is missing")
        try:
            match command:
                case "view":
                    return self._view(path, given.get("view_range"))
                case "create":
                    return self._create(path, _text(given, "file_text"))
                case "str_replace":
                    return self._replace(path, _text(given, "old_str"), _text(given, "new_str", ""))
                case "insert":
                    return self._insert(path, given.get("insert_line"), _text(given, "insert_text"))
                case _:
                    raise EditError(f"there is no command {command!r}: view, create, str_replace or insert")
        except FileNotFoundError as error:
            raise EditError(f"{path} does not exist") from error
        except UnicodeDecodeError as error:
            raise EditError(f"{path} is not text in UTF-8") from error
        except OSError as error:
            raise EditError(f"{path}: {error.strerror}") from error

    # -- commands --

    def _view(self, path: str, view_range: Any) -> str:
        with self._parent(path) as (parent, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                handle = os.open(name, _DIRECTORY, dir_fd=parent)
                try:
                    listed = list(_listing(handle, "", 2))
                finally:
                    os.close(handle)
                more = f"\n… more than {MAX_LISTED} entries" if len(listed) > MAX_LISTED else ""
                return "\n".join([f"{path}, two levels deep:", *listed[:MAX_LISTED]]) + more
            lines = self._read(parent, name, path).split("\n")
        if lines[-1] == "":
            lines.pop()
        first, last = _range(view_range, len(lines))
        return bounded_text(_numbered(lines[first - 1 : last], first), VIEW_HEAD, VIEW_TAIL)

    def _create(self, path: str, text: str) -> str:
        with self._parent(path, make=True) as (parent, name):
            self._write(parent, name, path, text, os.O_CREAT)
        return f"{path} is written, {text.count(chr(10)) + 1} lines."

    def _replace(self, path: str, old: str, new: str) -> str:
        if not old:
            raise EditError("old_str is empty; to add text use insert")
        with self._parent(path) as (parent, name):
            text = self._read(parent, name, path)
            found = text.count(old)
            if found != 1:
                why = "does not stand in" if not found else f"stands {found} times in"
                raise EditError(
                    f"old_str {why} {path}; nothing was changed. It must stand there exactly once"
                )
            before, after = text.split(old)
            self._write(parent, name, path, before + new + after)
        return f"{path} is changed. It now reads:\n{_around(before + new + after, before, new)}"

    def _insert(self, path: str, line: Any, text: str) -> str:
        with self._parent(path) as (parent, name):
            lines = self._read(parent, name, path).splitlines(keepends=True)
            if not isinstance(line, int) or isinstance(line, bool) or not 0 <= line <= len(lines):
                raise EditError(f"insert_line must be a number from 0 to {len(lines)}; nothing was changed")
            before = "".join(lines[:line])
            if before and not before.endswith("\n"):
                before += "\n"
            new = text if text.endswith("\n") or line == len(lines) else text + "\n"
            after = "".join(lines[line:])
            self._write(parent, name, path, before + new + after)
        return f"{path} is changed. It now reads:\n{_around(before + new + after, before, new)}"

    # -- files --

    def _read(self, parent: int, name: str, path: str) -> str:
        with self._opened(parent, name, path, os.O_RDONLY) as handle:
            size = os.fstat(handle).st_size
            if size > MAX_FILE:
                raise EditError(f"{path} is {size:,} bytes; look at pieces of it with the shell")
            data = b""
            while len(data) <= MAX_FILE and (part := os.read(handle, 1 << 20)):
                data += part
        if b"\0" in data:
            raise EditError(f"{path} is not text")
        return data.decode("utf-8")

    def _write(self, parent: int, name: str, path: str, text: str, more: int = 0) -> None:
        data = text.encode("utf-8", "surrogateescape")
        with self._opened(parent, name, path, os.O_WRONLY | more) as handle:
            os.ftruncate(handle, 0)
            while data:
                data = data[os.write(handle, data) :]

    @contextmanager
    def _opened(self, parent: int, name: str, path: str, flags: int) -> Iterator[int]:
        new = False
        wanted = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if flags & os.O_CREAT:
            with suppress(FileExistsError):
                handle = os.open(name, wanted | os.O_EXCL, 0o644, dir_fd=parent)
                new = True
        if not new:
            handle = os.open(name, wanted & ~os.O_CREAT, dir_fd=parent)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise EditError(f"{path} is not a file")
            if new and self._user:
                os.fchown(handle, self._user.uid, self._user.gid)
            elif self._user and status.st_uid != self._user.uid:
                # A hard link can lead out where a symbolic one cannot.
                raise EditError(f"{path} is not a file of this workspace")
            yield handle
        finally:
            os.close(handle)

    # -- the walk --

    def _parts(self, path: str) -> list[str]:
        if "\0" in path:
            raise EditError("a path has no zero bytes")
        if path.startswith("/"):
            for alias in self._aliases:
                if path == alias or path.startswith(alias + "/"):
                    path = path[len(alias) :]
                    break
            else:
                raise EditError(f"{path} lies outside of the workspace {self.root}")
        return [part for part in path.split("/") if part not in ("", ".")]

    @contextmanager
    def _parent(self, path: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """A handle of the directory that holds `path`, and its name there ("." for the workspace itself)."""
        handles = [os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            parts, links = self._parts(path), 0
            while parts:
                part, *parts = parts
                if part == "..":
                    if len(handles) == 1:
                        raise EditError(f"{path} leads out of the workspace {self.root}")
                    os.close(handles.pop())
                    continue
                target = _link(part, handles[-1])
                if target is not None:
                    links += 1
                    if links > MAX_LINKS:
                        raise EditError(f"{path} has too many symbolic links")
                    if target.startswith("/"):
                        while len(handles) > 1:
                            os.close(handles.pop())
                    parts = [*self._target(path, target), *parts]
                elif parts:
                    handles.append(self._directory(handles[-1], part, make))
                else:
                    yield handles[-1], part
                    return
            yield handles[-1], "."
        finally:
            for handle in handles:
                os.close(handle)

    def _target(self, path: str, target: str) -> list[str]:
        try:
            return self._parts(target)
        except EditError as error:
            raise EditError(f"{path} is a symbolic link that leads out of the workspace") from error

    def _directory(self, parent: int, name: str, make: bool) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        os.mkdir(name, 0o755, dir_fd=parent)
        handle = os.open(name, _DIRECTORY, dir_fd=parent)
        if self._user:
            os.fchown(handle, self._user.uid, self._user.gid)
        return handle


def _link(name: str, parent: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None


def _text(given: dict[str, Any], name: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str):
        raise EditError(f"{name} is missing")
    return value


def _range(view_range: Any, lines: int) -> tuple[int, int]:
    if view_range is None:
        return 1, lines
    match view_range:
        case [int(first), int(last)] if 1 <= first <= max(lines, 1) and (last == -1 or last >= first):
            return first, lines if last == -1 else min(last, lines)
    raise EditError(f"view_range must be [first, last] within 1 to {lines}; last may be -1")


def _numbered(lines: list[str], first: int) -> str:
    return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, first))


def _around(text: str, before: str, new: str) -> str:
    start = max(0, before.count("\n") - NEAR)
    end = before.count("\n") + new.count("\n") + NEAR + 1
    return bounded_text(_numbered(text.split("\n")[start:end], start + 1), 4_000, 4_000)


def _listing(handle: int, under: str, depth: int) -> Iterator[str]:
    with os.scandir(handle) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_directory in found:
        if name.startswith(".") or name in ("node_modules", "__pycache__"):
            continue
        yield f"{under}{name}{'/' if is_directory else ''}"
        if is_directory and depth > 1:
            with suppress(OSError):
                below = os.open(name, _DIRECTORY, dir_fd=handle)
                try:
                    yield from _listing(below, f"{under}{name}/", depth - 1)
                finally:
                    os.close(below)
