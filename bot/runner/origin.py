"""Where a checkout comes from: `origin`, branch, commit. Nothing of it is needed, so nothing fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bot.core.laptop import Checkout, remote


def checkout(folder: Path) -> Checkout:
    """What git says of the checkout that `folder` is in; nothing of a folder without git or `origin`."""
    found = remote(_git(folder, "remote", "get-url", "origin"))
    if found is None:
        return Checkout()
    host, repository = found
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    return Checkout(host, repository, branch, _git(folder, "rev-parse", "--verify", "--quiet", "HEAD"))


def _git(folder: Path, *words: str) -> str:
    """The answer's one line; "" where there is none."""
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return ""
    return said.stdout.decode(errors="replace").strip() if said.returncode == 0 else ""
