"""Why a person has to look at a run's work before it is committed, and who may then let it through."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bot.core import secrets
from bot.core.changeset import Changeset, File, matches, seen
from bot.core.policy import FORBIDDEN, forbidden
from bot.core.roles import Role

MAX_FILES = 300
MAX_BYTES = 5 * 1024 * 1024  # of one changeset
MOST_PATH, MOST_NAME = 4_095, 255  # bytes: Linux' PATH_MAX and NAME_MAX
# With the short names that NTFS may have for it (git's path.c, is_ntfs_dotgitmodules).
_MODULES = re.compile(r"\.gitmodules|gitmod~[1-4]|g?i?7?e?b?a?~[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Objection:
    """`path` may be "", and is fit to be shown. `needs`: who may overrule it, at least; None: nobody."""

    path: str
    why: str
    needs: Role | None
    secret: bool = False

    def __str__(self) -> str:
        return f"`{self.path}` {self.why}" if self.path else self.why


def objections(changeset: Changeset, forbidden: Iterable[str]) -> tuple[Objection, ...]:
    """One for each reason; none: commit it. `forbidden`: the policy's patterns."""
    found: list[Objection] = []
    patterns = tuple(dict.fromkeys((*FORBIDDEN, *forbidden)))
    for file in changeset.files:
        found += _of_file(file, patterns)
    if len(changeset.files) > MAX_FILES:
        why = f"it changes {len(changeset.files)} files, more than {MAX_FILES}"
        found.append(Objection("", why, Role.WRITE))
    size = sum(len(file.content or b"") for file in changeset.files)
    if size > MAX_BYTES:
        found.append(Objection("", f"it is {size:,} bytes, more than {MAX_BYTES:,}", Role.WRITE))
    return tuple(found)


def needed(objections: Iterable[Objection]) -> Role | None:
    """The least role that may overrule them all; None: nobody may."""
    roles = [one.needs for one in objections]
    known = [role for role in roles if role is not None]
    return max(known, default=Role.WRITE) if len(known) == len(roles) else None


def _of_file(file: File, patterns: tuple[str, ...]) -> list[Objection]:
    shown = _shown(file.path)
    if why := _astray(file.path):
        return [Objection(shown, why, None)]
    found: list[Objection] = []
    as_it_stands = next((p for p in patterns if matches(file.path, p)), None)
    if pattern := as_it_stands or forbidden(file.path, patterns):
        # What decides about the next run is nobody's to wave through: whoever wants it pushes it themselves.
        always = pattern in FORBIDDEN
        why = f"is under `{pattern}`, which {'no run may change' if always else 'the policy forbids'}"
        found.append(Objection(shown, why, None if always else Role.MAINTAIN))
    if file.mode == "120000" and any(_MODULES.fullmatch(_folded(part)) for part in file.path.split("/")):
        found.append(Objection(shown, "is a symbolic link that git takes from nobody", None))
    if file.mode == "120000" and file.content is not None and _leaves(file):
        found.append(Objection(shown, "is a symbolic link that leads out of the repository", Role.MAINTAIN))
    if file.content is not None and (secret := next(secrets.find(file.content, file.path), None)):
        found.append(Objection(shown, f"holds what looks like {secret.what}", Role.MAINTAIN, secret=True))
    return found


def _astray(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or re.match(r"[A-Za-z]:", path):
        return "is not a path inside the repository"
    if any(part in ("", ".", "..") for part in parts):
        return "is not a path inside the repository"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "has control characters in its name"
    if len(path.encode()) > MOST_PATH or any(len(part.encode()) > MOST_NAME for part in parts):
        return "has a longer name than file systems take, and could be checked out nowhere"
    # git's own names, as file systems that fold case or drop trailing dots and streams would see them.
    if any(_dotgit(part) for part in parts):
        return "lies in git's own directory"
    return None


def _dotgit(part: str) -> bool:
    return _folded(part) in (".git", "git~1")  # the other one is its short name


def _folded(part: str) -> str:
    """A name as file systems see it that fold case, and drop streams, trailing dots and spaces."""
    return seen(part).casefold().split(":", 1)[0].rstrip(". ")


def _leaves(link: File) -> bool:
    target = (link.content or b"").decode(errors="replace")
    if target.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", target):
        return True
    place: list[str] = link.path.split("/")[:-1]
    named = False
    for part in target.replace("\\", "/").split("/"):
        if part == "..":
            # What was named may itself be a link, and then upwards from there is anywhere.
            if named or not place:
                return True
            place.pop()
        elif part not in ("", "."):
            named = True
            place.append(part)
    return bool(place) and _dotgit(place[0])


def _shown(path: str) -> str:
    safe = "".join(c if c.isprintable() and c != "`" else "?" for c in path)
    return safe if len(safe) <= 120 else safe[:117] + "..."
