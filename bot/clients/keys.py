"""The upstream's keys by the name of their variable; a value that is a path is read from there each time.

So a key is changed by changing its file, without a restart: the next request is sent with the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bot.clients.anthropic import Key

DEFAULT = "ANTHROPIC_API_KEY"
_KEY = re.compile(r"[!-~]+")  # what goes into a header as it is


def is_path(value: str) -> bool:
    """Whether a variable's value names a file; no key begins with a slash."""
    return value.startswith("/")


def is_key(value: str) -> bool:
    """Whether it can be sent at all: a file with two lines, for one, holds none."""
    return _KEY.fullmatch(value) is not None


class Keys:
    """Safe from many threads."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self._told = dict(told)

    def get(self, name: str) -> Key | None:
        """The key of that name as it is now, the default for ""; None where there is none."""
        name = name or DEFAULT
        value = self._told.get(name, "")
        if is_path(value):
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                value = ""
        return Key(name, value) if is_key(value) else None

    def all(self) -> dict[str, str]:
        """Every value by its name."""
        found = (self.get(name) for name in self._told)
        return {key.name: key.value for key in found if key is not None}
