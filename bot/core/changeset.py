"""What an agent made, as its runner posted it: read strictly, and judged before the App commits it.

The runner is not trusted: it shares a machine with what the agent executed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

MODES = ("100644", "100755", "120000")
MAX_FILES = 300
MAX_BYTES = 5 * 1024 * 1024  # of one changeset; more is held for a human


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


def objections(changeset: Changeset, forbidden: Iterable[str]) -> tuple[str, ...]:
    """Why a human has to look at it before it is committed, one phrase each; none: commit it."""
    found: list[str] = []
    patterns = tuple(forbidden)
    for file in changeset.files:
        shown = _shown(file.path)
        if why := _astray(file.path):
            found.append(f"`{shown}` {why}")
            continue
        if pattern := next((p for p in patterns if matches(file.path, p)), None):
            found.append(f"`{shown}` is under `{pattern}`, which the policy forbids")
        if file.mode == "120000" and file.content is not None and _leaves(file):
            found.append(f"`{shown}` is a symbolic link that leads out of the repository")
        if file.content is not None and (what := secret_in(file.content)):
            found.append(f"`{shown}` holds what looks like {what}")
    if len(changeset.files) > MAX_FILES:
        found.append(f"it changes {len(changeset.files)} files, more than {MAX_FILES}")
    size = sum(len(file.content or b"") for file in changeset.files)
    if size > MAX_BYTES:
        found.append(f"it is {size:,} bytes, more than {MAX_BYTES:,}")
    return tuple(found)


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


def _astray(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or re.match(r"[A-Za-z]:", path):
        return "is not a path inside the repository"
    if any(part in ("", ".", "..") for part in parts):
        return "is not a path inside the repository"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "has control characters in its name"
    # git's own names, as file systems that fold case or drop trailing dots and streams would see them.
    if any(_dotgit(part) for part in parts):
        return "lies in git's own directory"
    return None


def _dotgit(part: str) -> bool:
    # Zero-width characters are ignored by HFS+, trailing dots and spaces by NTFS; GIT~1 is its short name.
    folded = "".join(c for c in part if c not in "\u200b\u200c\u200d\u2060\ufeff").casefold()
    folded = folded.split(":", 1)[0].rstrip(". ")
    return folded in (".git", "git~1")


def _leaves(link: File) -> bool:
    target = (link.content or b"").decode(errors="replace")
    if target.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", target):
        return True
    place: list[str] = link.path.split("/")[:-1]
    for part in target.replace("\\", "/").split("/"):
        if part == "..":
            if not place:
                return True
            place.pop()
        elif part not in ("", "."):
            place.append(part)
    return bool(place) and _dotgit(place[0])


# Well-known shapes of credentials: the issuers' own documentation of their prefixes.
_SECRETS: Sequence[tuple[str, re.Pattern[bytes]]] = (
    ("a private key", re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    ("a run token of this service", re.compile(rb"\brun_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")),
    ("an Anthropic API key", re.compile(rb"\bsk-ant-[A-Za-z0-9_-]{24,}")),
    ("a GitHub token", re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9._-]{36,}|github_pat_[A-Za-z0-9_]{50,})")),
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a Google API key", re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a Slack token", re.compile(rb"\bxox[abposr]-[0-9A-Za-z-]{20,}")),
    ("a Stripe live key", re.compile(rb"\b[rs]k_live_[0-9A-Za-z]{20,}")),
    ("an npm token", re.compile(rb"\bnpm_[0-9A-Za-z]{36}\b")),
)  # fmt: skip


def secret_in(content: bytes) -> str | None:
    """What kind of credential the content seems to hold."""
    return next((what for what, pattern in _SECRETS if pattern.search(content)), None)


def _shown(path: str) -> str:
    safe = "".join(c if c.isprintable() and c != "`" else "?" for c in path)
    return safe if len(safe) <= 120 else safe[:117] + "..."
