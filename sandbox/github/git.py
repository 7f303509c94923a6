"""A bare git repository behind the sandbox's GitHub, through git's own plumbing: modes and bytes are kept."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

NO_SHA = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def environment(**more: str) -> dict[str, str]:
    """The environment of a git that reads nobody's own configuration and asks nobody for a password."""
    return {
        **os.environ,  # noqa: TID251 - PATH and friends for a child process
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **more,
    }


class GitError(Exception):
    """What git said when it refused."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who wrote a commit, and when (seconds since epoch, UTC)."""

    name: str
    email: str
    at: float


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit object, parsed."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree: `size` is None for everything but a blob."""

    path: str
    mode: str
    type: str
    sha: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Changed:
    """One file of a diff; `patch` is None for a binary file."""

    path: str
    previous: str | None
    status: str
    additions: int
    deletions: int
    sha: str
    patch: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A path to write in a tree; `sha` None takes it away."""

    path: str
    mode: str
    sha: str | None


STATUS = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}
PERSON = re.compile(r"^(.*) <(.*)> (\d+) ([+-]\d{4})$")


@dataclass
class Git:
    """A bare repository at `path`. Objects never change, so what was parsed once is remembered."""

    path: Path
    _commits: dict[str, Commit] = field(default_factory=dict)
    _diffs: dict[tuple[str, str], list[Changed]] = field(default_factory=dict)
    _bases: dict[tuple[str, str], str | None] = field(default_factory=dict)
    _merges: dict[tuple[str, str], str | None] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, default_branch: str = "main") -> Git:
        """An empty bare repository that serves what GitHub does: any commit by its SHA, filters, pushes."""
        path.mkdir(parents=True, exist_ok=True)
        git = cls(path)
        git.run("init", "--quiet", "--bare", f"--initial-branch={default_branch}", ".")
        git.configure()
        return git

    @classmethod
    def clone(cls, source: Path, path: Path) -> Git:
        """A bare copy of the branches of `source`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        git = cls(path.parent)
        git.run("clone", "--quiet", "--bare", "--no-hardlinks", str(source), str(path))
        copy = cls(path)
        copy.configure()
        return copy

    def configure(self) -> None:
        with (self.path / "config").open("a", encoding="utf-8") as config:
            config.write(
                "[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n"
                "[http]\n\treceivepack = true\n[gc]\n\tauto = 0\n[transfer]\n\tadvertiseSID = false\n"
            )

    def run(self, *args: str, input: bytes | None = None, **env: str) -> bytes:
        """The output of `git ARGS`. Raises GitError with what git wrote."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.path,
            input=input,
            capture_output=True,
            env=environment(**env),
            check=False,
        )
        if done.returncode:
            raise GitError(done.stderr.decode(errors="replace").strip() or f"git {args[0]} failed")
        return done.stdout

    def text(self, *args: str) -> str:
        return self.run(*args).decode("utf-8", errors="replace")

    # -- references --

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Every reference that starts with `prefix`, and what it points at."""
        lines = self.text("for-each-ref", "--format=%(objectname) %(refname)").splitlines()
        pairs = (line.split(" ", 1) for line in lines)
        return {name: sha for sha, name in pairs if name.startswith(prefix)}

    def branches(self) -> dict[str, str]:
        return {name.removeprefix("refs/heads/"): sha for name, sha in self.refs("refs/heads/").items()}

    def branch(self, name: str) -> str | None:
        return self.resolve(f"refs/heads/{name}")

    def resolve(self, name: str) -> str | None:
        """The commit that a branch, tag or SHA names; None if there is none."""
        if not name or name.startswith("-"):
            return None
        try:
            return self.text(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
            ).strip()
        except GitError:
            return None

    def set_ref(self, ref: str, sha: str | None) -> None:
        """Points `ref` at `sha`, or removes it. Raises GitError for a malformed name."""
        if sha is None:
            self.run("update-ref", "-d", ref)
        else:
            self.run("check-ref-format", ref)
            self.run("update-ref", ref, sha)

    # -- objects --

    def kind(self, sha: str) -> str | None:
        """`commit`, `tree`, `blob` or `tag`; None when there is no such object."""
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            return None
        try:
            return self.text("cat-file", "-t", sha).strip()
        except GitError:
            return None

    def blob(self, sha: str) -> bytes:
        return self.run("cat-file", "blob", sha)

    def commit(self, sha: str) -> Commit:
        """The commit, parsed. Raises GitError if there is none of that name."""
        if sha not in self._commits:
            self._commits[sha] = parse_commit(sha, self.run("cat-file", "commit", sha))
        return self._commits[sha]

    def tree(self, treeish: str, recursive: bool = False) -> list[Entry]:
        """The entries of a tree; with `recursive`, of all below it too (trees included)."""
        args = ["ls-tree", "-z", "--long", *(["-r", "-t"] if recursive else []), treeish]
        entries = []
        for line in self.run(*args).split(b"\0"):
            if line:
                head, path = line.decode("utf-8", errors="surrogateescape").split("\t", 1)
                mode, kind, sha, size = head.split()
                entries.append(Entry(path, mode, kind, sha, int(size) if size.isdigit() else None))
        return entries

    def entry(self, treeish: str, path: str) -> Entry | None:
        """What stands at `path`, or None."""
        found = self.run("ls-tree", "-z", "--long", treeish, "--", path).split(b"\0")
        if not found[0]:
            return None
        head, name = found[0].decode("utf-8", errors="surrogateescape").split("\t", 1)
        mode, kind, sha, size = head.split()
        return Entry(name, mode, kind, sha, int(size) if size.isdigit() else None)

    def read(self, treeish: str, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        entry = self.entry(treeish, path)
        return self.blob(entry.sha) if entry and entry.type == "blob" else None

    def write_blob(self, content: bytes) -> str:
        return self.run("hash-object", "-w", "--stdin", input=content).decode().strip()

    def write_tree(self, base: str | None, changes: list[Change]) -> str:
        """The tree of `base` with `changes`. Raises GitError for what git will not have."""
        plain: list[Change] = []
        for change in changes:
            if change.mode == "040000" and change.sha:  # a whole tree: its files
                inside = self.tree(change.sha, recursive=True)
                plain += [
                    Change(f"{change.path}/{e.path}", e.mode, e.sha) for e in inside if e.type != "tree"
                ]
            elif change.sha is None and base and (e := self.entry(base, change.path)) and e.type == "tree":
                inside = self.tree(e.sha, recursive=True)
                plain += [Change(f"{change.path}/{e.path}", e.mode, None) for e in inside if e.type != "tree"]
            else:
                plain.append(change)
        lines = "".join(f"{c.mode if c.sha else '0'} {c.sha or NO_SHA}\t{c.path}\0" for c in plain)
        with tempfile.TemporaryDirectory(prefix="tree-") as folder:
            index = str(Path(folder) / "index")
            self.run("read-tree", base or "--empty", GIT_INDEX_FILE=index)
            self.run("update-index", "-z", "--index-info", input=lines.encode(), GIT_INDEX_FILE=index)
            return self.run("write-tree", GIT_INDEX_FILE=index).decode().strip()

    def write_files(self, base: str | None, files: dict[str, str | bytes | None]) -> str:
        """The tree of `base` with these files (a text that starts with `#!` is executable; None removes)."""
        changes = []
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            mode = "100755" if data is not None and data.startswith(b"#!") else "100644"
            changes.append(Change(path, mode, None if data is None else self.write_blob(data)))
        return self.write_tree(base, changes)

    def write_commit(
        self, tree: str, parents: list[str], message: str, author: Person, committer: Person | None = None
    ) -> str:
        """A new commit; its message is kept to the byte."""
        by = committer or author
        return (
            self.run(
                "commit-tree",
                tree,
                *(arg for parent in parents for arg in ("-p", parent)),
                input=message.encode(),
                GIT_AUTHOR_NAME=author.name,
                GIT_AUTHOR_EMAIL=author.email,
                GIT_AUTHOR_DATE=f"{int(author.at)} +0000",
                GIT_COMMITTER_NAME=by.name,
                GIT_COMMITTER_EMAIL=by.email,
                GIT_COMMITTER_DATE=f"{int(by.at)} +0000",
            )
            .decode()
            .strip()
        )

    # -- history --

    def is_ancestor(self, old: str, new: str) -> bool:
        return self.merge_base(old, new) == old

    def merge_base(self, one: str, other: str) -> str | None:
        key = (one, other)
        if key not in self._bases:
            try:
                self._bases[key] = self.text("merge-base", one, other).strip()
            except GitError:
                self._bases[key] = None
        return self._bases[key]

    def log(self, *what: str, limit: int = 1000) -> list[Commit]:
        """Commits, newest first; `what` as for `git rev-list`."""
        return [self.commit(sha) for sha in self.text("rev-list", f"--max-count={limit}", *what).split()]

    def diff(self, old: str, new: str) -> list[Changed]:
        """What changed from one tree to the other, file by file."""
        key = (old, new)
        if key not in self._diffs:
            self._diffs[key] = self._diff(old, new)
        return self._diffs[key]

    def _diff(self, old: str, new: str) -> list[Changed]:
        raw = self.run("diff-tree", "-r", "-z", "-M", "--raw", "--numstat", "--no-commit-id", old, new)
        fields = raw.decode("utf-8", errors="surrogateescape").split("\0")
        states: list[tuple[str, str, str | None, str]] = []  # status, path, previous, sha
        counts: list[tuple[int, int, bool]] = []
        at = 0
        while at < len(fields) and fields[at].startswith(":"):
            _, _, _, sha, status = fields[at].split(" ")
            moved = status[0] in "RC"
            previous, path = (fields[at + 1], fields[at + 2]) if moved else (None, fields[at + 1])
            states.append((status[0], path, previous, sha))
            at += 3 if moved else 2
        while at < len(fields) and fields[at]:
            added, removed, path = fields[at].split("\t")
            counts.append((0, 0, True) if added == "-" else (int(added), int(removed), False))
            at += 1 if path else 3
        changed = []
        for (status, path, previous, sha), (added_lines, removed_lines, binary) in zip(
            states, counts, strict=True
        ):
            patch = None if binary else self._patch(old, new, path, previous)
            old_sha = sha if status != "D" else self._old_sha(old, path)
            changed.append(
                Changed(path, previous, STATUS[status], added_lines, removed_lines, old_sha, patch)
            )
        return changed

    def _old_sha(self, old: str, path: str) -> str:
        entry = self.entry(old, path)
        return entry.sha if entry else NO_SHA

    def _patch(self, old: str, new: str, path: str, previous: str | None) -> str:
        paths = [previous, path] if previous else [path]
        text = self.text("diff-tree", "-p", "-M", "--no-commit-id", old, new, "--", *paths)
        start = text.find("\n@@ ")
        return text[start + 1 :].rstrip("\n") if start >= 0 else ""

    def merge_tree(self, base: str, head: str) -> str | None:
        """The tree of a merge of two commits, or None where they conflict."""
        key = (base, head)
        if key not in self._merges:
            try:
                self._merges[key] = self.text("merge-tree", "--write-tree", base, head).split("\n", 1)[0]
            except GitError:
                self._merges[key] = None
        return self._merges[key]

    def rpc(self, service: str, body: bytes, advertise: bool, protocol: str) -> bytes:
        """One exchange of git's smart HTTP: `service` is `upload-pack` or `receive-pack`."""
        flags = ["--stateless-rpc", *(["--http-backend-info-refs"] if advertise else [])]
        done = subprocess.run(
            ["git", service, *flags, "."],
            cwd=self.path,
            input=body,
            capture_output=True,
            env=environment(**({"GIT_PROTOCOL": protocol} if protocol else {})),
            check=False,
        )
        if done.returncode and not done.stdout:
            raise GitError(done.stderr.decode(errors="replace").strip())
        return done.stdout


def parse_commit(sha: str, raw: bytes) -> Commit:
    """A commit object from the bytes of `git cat-file commit`."""
    head, _, message = raw.decode("utf-8", errors="replace").partition("\n\n")
    tree, parents, people = "", [], {}
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        if key == "tree":
            tree = value
        elif key == "parent":
            parents.append(value)
        elif key in ("author", "committer") and (found := PERSON.match(value)):
            people[key] = Person(found[1], found[2], float(found[3]))
    return Commit(sha, tree, tuple(parents), people["author"], people["committer"], message.rstrip("\n"))
