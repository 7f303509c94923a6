"""The job's checkout, on which a workflow step works: as the step found it, and what is different afterwards.

Both are commits of a repository of ours, made without a hook, a filter or a rule of the checkout's own.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bot.core.changeset import Changeset
from bot.runner import changeset
from bot.runner.checkout import fetch
from bot.runner.isolation import User
from bot.runner.pristine import GitFailed, Pristine, give

_NAMES = {
    f"GIT_{who}_{what}": said
    for who in ("AUTHOR", "COMMITTER")
    for what, said in (("NAME", "Tollgate"), ("EMAIL", "tollgate@localhost"), ("DATE", "@0 +0000"))
}


class Workspace:
    """A checkout and the repository in which it is looked at. Every method may raise GitFailed or OSError."""

    def __init__(self, folder: Path, pristine: Pristine, found: str) -> None:
        self.folder = folder
        self.pristine = pristine
        self.found = found  # the commit of what was there

    @classmethod
    def open(cls, git_dir: Path, env: Mapping[str, str]) -> Workspace:
        """The folder of GITHUB_WORKSPACE; where it is empty, GITHUB_SHA is fetched with the job's token."""
        folder = Path(_needed(env, "GITHUB_WORKSPACE")).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            made = cls(folder, Pristine.create(git_dir, env), "")
            made.found = made.take()
            return made
        sha = _needed(env, "GITHUB_SHA")
        server = env.get("GITHUB_SERVER_URL") or "https://github.com"
        url = f"{server.rstrip('/')}/{_needed(env, 'GITHUB_REPOSITORY')}.git"
        pristine = fetch(git_dir, url, sha, env.get("GITHUB_TOKEN", ""), env)
        owner = folder.stat()
        pristine.lay_out(sha, folder)
        if owner.st_uid != os.geteuid():
            give(folder, User("", owner.st_uid, owner.st_gid))
        return cls(folder, pristine, sha)

    def take(self) -> str:
        """A commit of all that is work in it now: what git follows here, and what it would add."""
        listed = [name for name in self._listed("--cached", "--others") if self._is_file(name)]
        index = self.pristine.git_dir / "tollgate-index"
        index.unlink(missing_ok=True)
        given = b"".join(os.fsencode(name) + b"\0" for name in dict.fromkeys(listed))
        self.pristine.run(
            "update-index", "--add", "-z", "--stdin", stdin=given, work=self.folder, index=index
        )
        tree = self.pristine.run("write-tree", index=index).decode().strip()
        return self.pristine.run("commit-tree", tree, "-m", "As it was", env=_NAMES).decode().strip()

    def patch(self) -> bytes:
        """What is different from what was found, as `git apply` takes it."""
        asked = (
            "diff-tree",
            "-p",
            "--binary",
            "--full-index",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
        )
        return self.pristine.run(*asked, "--src-prefix=a/", "--dst-prefix=b/", self.found, self.take())

    def lay_out(self, work: Path, user: User | None) -> None:
        """A copy in the empty folder `work`, with what git ignores: installed packages, built files."""
        self.pristine.lay_out(self.found, work)
        for name in self._listed("--others", "--ignored", "--directory"):
            _copy(self.folder / name, work / name)
        if user is not None:
            give(work, user)

    def put(self, changes: Changeset) -> None:
        """Changes that were made in a copy, as its owner's. Raises ValueError for a path that leads out."""
        changeset.apply(changes, self.folder)
        own, owner = os.geteuid(), self.folder.stat()
        for file in changes.files if own != owner.st_uid else ():
            path = self.folder / file.path
            for each in (path, *path.parents[: len(Path(file.path).parts) - 1]):
                with suppress(FileNotFoundError):
                    if each.lstat().st_uid == own:
                        os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def keeps_a_token(self) -> bool:
        """Whether the checkout's own settings hold what git sends as a credential."""
        try:
            said = (self.folder / ".git" / "config").read_text(encoding="utf-8", errors="replace").lower()
        except OSError:
            return False
        return "extraheader" in said or "x-access-token" in said

    def _listed(self, *which: str) -> list[str]:
        own = self.folder / ".git"
        git = Pristine(own, self.pristine.environment()) if own.exists() else self.pristine
        ours = f"--exclude-from={self.pristine.git_dir / 'info' / 'exclude'}"
        said = git.run("ls-files", "-z", *which, "--exclude-standard", ours, work=self.folder)
        return [os.fsdecode(name) for name in said.split(b"\0") if name]

    def _is_file(self, name: str) -> bool:
        """Not a folder (a submodule, a repository inside), nor gone, nor a pipe."""
        try:
            mode = (self.folder / name).lstat().st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _needed(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise GitFailed(f"{name} is not set: a step needs a job of GitHub Actions around it")
    return env[name]


def _copy(source: Path, to: Path) -> None:
    """A file, link or folder; no link is followed, and what is none of these (a pipe) is left out."""
    if source.is_symlink() or source.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to, follow_symlinks=False)
    elif source.is_dir():
        shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True, ignore=_no_file)


def _no_file(folder: str, names: list[str]) -> list[str]:
    def kept(mode: int) -> bool:
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)

    return [name for name in names if not kept(os.lstat(os.path.join(folder, name)).st_mode)]
