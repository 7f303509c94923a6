"""What an agent made, as its runner posted it: read strictly.

The runner is not trusted: it shares a machine with what the agent executed.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

MODES = ("100644", "100755", "120000")
# What HFS+ leaves out of a name (git's utf8.c, next_hfs_char), and what is as invisible to a person.
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u206a-\u206f\ufeff]")


@dataclass(frozen=True, slots=True)
class File:
    """`content` is None for a deleted file; for a symlink (120000) it is the target."""

    path: str
    mode: str
    content: bytes | None

    @property
    def text(self) -> str | None:
        """As text, if it is; None for binary and deleted files."""
        if self.content is None or b"\0" in self.content:
            return None
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Changeset:
    """Files that differ from the commit `base`."""

    base: str
    files: tuple[File, ...]

    def __bool__(self) -> bool:
        return bool(self.files)


class Malformed(Exception):
    """A sentence for the runner: what of its result cannot be read."""


def read(raw: Any) -> Changeset:
    """A changeset from the JSON of a result. Raises Malformed."""
    if raw is None:
        return Changeset("", ())
    if not isinstance(raw, dict) or not isinstance(raw.get("files"), list):
        raise Malformed("changeset must be an object with base and files")
    base = raw.get("base")
    if not isinstance(base, str) or not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", base):
        raise Malformed("changeset.base must be the full SHA of a commit")
    files = tuple(_file(entry) for entry in raw["files"])
    paths = [file.path for file in files]
    if len(set(paths)) != len(paths):
        raise Malformed("changeset.files names a path twice")
    return Changeset(base, files)


def _file(raw: Any) -> File:
    if not isinstance(raw, dict) or not isinstance(raw.get("path"), str) or not raw["path"]:
        raise Malformed("every file of a changeset needs a path")
    path = raw["path"]
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise Malformed("the path of a file is not valid Unicode")
    if raw.get("deleted") is True:
        return File(path, "100644", None)
    mode = raw.get("mode", "100644")
    if mode not in MODES:
        raise Malformed(f"{path}: mode must be one of {', '.join(MODES)}")
    if isinstance(raw.get("text"), str):
        try:
            return File(path, mode, raw["text"].encode())
        except UnicodeEncodeError as error:
            raise Malformed(f"{path}: text is not valid Unicode") from error
    if isinstance(raw.get("base64"), str):
        try:
            return File(path, mode, base64.b64decode(raw["base64"], validate=True))
        except (binascii.Error, ValueError) as error:
            raise Malformed(f"{path}: base64 cannot be decoded") from error
    raise Malformed(f"{path}: needs text, base64 or deleted")


def seen(name: str) -> str:
    """A name without the letters that some file systems leave out of it."""
    return _UNSEEN.sub("", name)


def matches(path: str, pattern: str) -> bool:
    """Whether a forbidden pattern covers a path; case does not matter, for some file systems ignore it."""
    path, pattern = path.casefold(), pattern.casefold().removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    if pattern.endswith("/**") and (path + "/").startswith(pattern[:-2]):
        return True
    if re.split(r"[*?]", pattern)[0].startswith(path + "/"):
        return True  # a file in the place of its directory takes all of it away
    if "/" not in pattern:  # a bare name forbids it at every depth
        return any(fnmatchcase(part, pattern) for part in path.split("/"))
    expression = "".join(
        {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
        for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    )
    return re.fullmatch(expression, path, re.DOTALL) is not None
