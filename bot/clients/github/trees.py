"""Files as a commit has them, with their modes: what a patch starts from."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import TYPE_CHECKING

from bot.clients.github.errors import GitHubError
from bot.clients.github.scopes import LOOK
from bot.clients.github.shapes import Repo
from bot.core.changeset import File

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection


def files_at(wire: Connection, repo: Repo, sha: str, paths: Collection[str]) -> dict[str, File]:
    """Those of the paths that are files or links at this commit, by path. Raises GitHubError."""
    tree = wire.call(repo, LOOK, "GET", f"/git/commits/{sha}")["tree"]["sha"]
    listed = wire.call(repo, LOOK, "GET", f"/git/trees/{tree}", {"recursive": "1"})
    if listed["truncated"]:
        raise GitHubError(f"the tree of {sha[:12]} is too large for GitHub to list")
    wanted = set(paths)
    found = {}
    for entry in listed["tree"]:
        if entry["type"] == "blob" and entry["path"] in wanted:
            blob = wire.call(repo, LOOK, "GET", f"/git/blobs/{entry['sha']}")
            content = base64.b64decode(blob["content"])
            found[entry["path"]] = File(entry["path"], entry["mode"], content)
    return found
