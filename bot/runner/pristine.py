"""The runner's own git directory, out of the agent's reach: what the work is compared with.

The agent has a `.git` too, a copy that it may do with as it likes; nothing of ours ever reads it.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.runner.isolation import User

# Files are laid out and compared byte for byte: no filter, no line endings of the platform. This file goes
# before every .gitattributes (gitattributes(5)).
_ATTRIBUTES = "* -text -eol -ident -filter -working-tree-encoding -crlf\n"
# What tools leave behind and repositories forget to ignore. A repository's own rules go first.
_EXCLUDED = """\
__pycache__/
*.py[cod]
.pytest_cache/
.mypy_cache/
.ruff_cache/
.hypothesis/
.tox/
.nox/
.venv/
.coverage
*.egg-info/
node_modules/
.DS_Store
"""
_SETTINGS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.untrackedCache=false", "core.fileMode=true",
    "core.symlinks=true", "core.autocrlf=false", "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null", "core.quotePath=false", "gc.auto=0", "maintenance.auto=false",
    "submodule.recurse=false", "fetch.recurseSubmodules=false", "protocol.ext.allow=never",
    "safe.directory=*", "credential.helper=", "advice.detachedHead=false",
)  # fmt: skip

_KEPT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
         "http_proxy", "https_proxy", "no_proxy")  # fmt: skip


class GitFailed(Exception):
    """git could not do it; a sentence with the last that it said."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit: `kind` is blob or commit (a submodule)."""

    mode: str
    kind: str
    sha: str
    size: int


class Pristine:
    """A bare repository that only the runner's user may enter."""

    def __init__(self, git_dir: Path, env: Mapping[str, str]) -> None:
        self.git_dir = git_dir
        path = protected(env.get("PATH", os.defpath))
        self._git = shutil.which("git", path=path) or "git"
        self._env = {name: env[name] for name in _KEPT if name in env} | {
            "PATH": path,
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(git_dir),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }

    @classmethod
    def create(cls, git_dir: Path, env: Mapping[str, str], sha256: bool = False) -> Pristine:
        """An empty one. Raises GitFailed."""
        made = cls(git_dir, env)
        git_dir.mkdir(mode=0o700, parents=True)
        name = "sha256" if sha256 else "sha1"
        made.run("init", "--quiet", "--bare", "--template=", f"--object-format={name}", str(git_dir))
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info" / "attributes").write_text(_ATTRIBUTES)
        (git_dir / "info" / "exclude").write_text(_EXCLUDED)
        return made

    def command(self, *args: str) -> list[str]:
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        return [self._git, *settings, *args]

    def environment(self, work: Path | None = None, index: Path | None = None) -> dict[str, str]:
        env = dict(self._env)
        if work is not None:
            env["GIT_WORK_TREE"] = str(work)
        if index is not None:
            env["GIT_INDEX_FILE"] = str(index)
        return env

    def run(
        self,
        *args: str,
        stdin: bytes = b"",
        work: Path | None = None,
        index: Path | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = 600,
    ) -> bytes:
        """What git printed. Raises GitFailed. `env`: for what must not stand in arguments."""
        try:
            done = subprocess.run(
                self.command(*args),
                input=stdin,
                env=self.environment(work, index) | dict(env or {}),
                cwd=work or self.git_dir,
                capture_output=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise GitFailed(f"git {args[0]} did not end within {seconds:g} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise GitFailed(f"git {args[0]} failed: {said[-1]}")
        return done.stdout

    def files(self, commit: str) -> dict[str, Entry]:
        """Every file of a commit by its path; bytes that are not UTF-8 as surrogates."""
        found = {}
        for line in self.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit).split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                mode, kind, sha, size = about.decode().split()
                found[os.fsdecode(path)] = Entry(mode, kind, sha, int(size) if size != "-" else 0)
        return found

    def blobs(self, entries: Sequence[Entry]) -> Iterator[bytes]:
        """The contents of some files."""
        for entry in entries:
            yield self.run("cat-file", "blob", entry.sha)

    def lay_out(self, commit: str, work: Path, user: User | None = None) -> None:
        """The commit's files in the empty folder `work`, with a `.git` for the agent. Raises GitFailed."""
        with _index() as index:
            self.run("read-tree", commit, work=work, index=index)
            self.run("checkout-index", "--all", "--force", "--quiet", work=work, index=index)
            own = work / ".git"
            shutil.copytree(self.git_dir, own, symlinks=True)
            (own / "HEAD").write_text(commit + "\n")
            (own / "FETCH_HEAD").unlink(missing_ok=True)
            shutil.copyfile(index, own / "index")
        theirs = Pristine(own, self._env)
        theirs.run("config", "core.bare", "false")
        theirs.run("update-index", "-q", "--refresh", work=work)
        if user is not None:
            give(work, user)


def protected(path: str) -> str:
    """The folders of a PATH in which only their owners can put a program: we may run it as root, after the
    agent had its time. (Of GitHub's own machines' PATH some folders are everybody's.)"""

    def kept(folder: Path) -> bool:
        try:
            modes = [each.stat().st_mode for each in (folder, *folder.parents)]
        except OSError:
            return False
        above = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes[1:])
        return not above and not modes[0] & stat.S_IWOTH

    folders = [folder for folder in path.split(os.pathsep) if folder.startswith("/")]
    return os.pathsep.join(f for f in folders if kept(Path(f).resolve())) or os.defpath


def give(folder: Path, user: User) -> None:
    """Make a folder and all in it the user's, following no link."""
    os.chown(folder, user.uid, user.gid)
    for _, folders, files, handle in os.fwalk(folder):
        for name in (*folders, *files):
            os.chown(name, user.uid, user.gid, dir_fd=handle, follow_symlinks=False)


@contextmanager
def _index() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tollgate-index-") as folder:
        yield Path(folder) / "index"
