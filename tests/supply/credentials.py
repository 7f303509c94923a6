"""Credentials in the files of this repository and its history, by the rules that an agent's work is held to.

Whatever is planted on purpose, as an example of what is found, is named here with its place.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.core import secrets

_KEY, _RSA = b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN RSA PRIVATE KEY-----"
_HERE = "tests/supply/credentials.py"  # which has the beginnings of them all
# A file, and how what is found in it begins.
PLANTED = (
    ("bot/core/secret_rules.json", b"bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t"),
    ("tests/clients/test_redirects.py", b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ"),
    ("tests/clients/test_usage_api.py", b"sk-ant-api03-0123456789abcdefghij-wxyz"),
    ("tests/clients/test_usage_api.py", b"ANTHROPIC_API_KEY_2"),
    ("tests/core/test_changeset.py", _RSA + b'"), "a private key"'),
    ("tests/core/test_secrets.py", _KEY + b"abcdefghijklmnop"),
    ("tests/core/test_secrets.py", _KEY + b'", "-----END'),
    ("tests/core/test_secrets.py", _RSA + b'\\n{BODY}"'),
    ("tests/core/test_secrets.py", b"aB3dE6gH9jK2mN5pQ8sT1vW4"),
    ("tests/stories/test_finish.py", _KEY + b'\\n" + "MIIEvQIBADANBgkq"'),
    ("tests/test_logs.py", _RSA + b"\\nMIIEowIBAAKCAQEA\\n"),
    ("tests/test_services.py", _RSA + b'",\n'),
    ("tests/web/test_drift.py", b"sk-ant-admin-that-nobody-may-see"),
    ("tests/web/test_settings.py", b"sk-ant-of-the-evals-that-nobody-may-see"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A credential's kind and its file; never the credential."""

    path: str
    what: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def in_tree(root: Path) -> Iterator[Found]:
    """In the files that git follows, as they stand now."""
    listed = _git(root, "ls-files", "-z").decode(errors="surrogateescape").split("\0")
    for path in listed:
        if path and (root / path).is_file():
            yield from _in_file(path, (root / path).read_bytes())


def in_history(root: Path) -> Iterator[Found]:
    """In every file that any commit has, whatever became of it."""
    listed = _git(root, "rev-list", "--objects", "--all").decode(errors="surrogateescape").splitlines()
    paths = {name: path for name, _, path in (line.partition(" ") for line in listed) if path}
    for name, content in _objects(root, tuple(paths)):
        yield from _in_file(paths[name], content)


def _in_file(path: str, content: bytes) -> Iterator[Found]:
    if b"\0" in content[:8000]:  # as git tells binary files
        return
    for secret in secrets.find(content, path):
        text = content[secret.start : secret.end]
        if not any(path in (where, _HERE) and text.startswith(begins) for where, begins in PLANTED):
            yield Found(path, secret.what, content.count(b"\n", 0, secret.start) + 1)


def _objects(root: Path, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The files among these objects."""
    asked = ["git", "cat-file", "--batch", "--buffer"]
    with subprocess.Popen(asked, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
        assert git.stdin is not None
        assert git.stdout is not None
        stdin = git.stdin

        def ask() -> None:
            with stdin:
                stdin.write("".join(f"{name}\n" for name in names).encode())

        threading.Thread(target=ask, daemon=True).start()
        while head := git.stdout.readline():
            name, kind, size = head.decode().split()
            content = git.stdout.read(int(size) + 1)[:-1]
            if kind == "blob":
                yield name, content


def _git(root: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True).stdout
