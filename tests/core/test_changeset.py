"""What a runner posts is read strictly, and what the App should not commit is held with its reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bot.core import results
from bot.core.ceilings import Reason
from bot.core.changeset import MAX_BYTES, Changeset, File, Malformed, matches, objections, read

BASE = "a" * 40
WORKFLOWS = (".github/workflows/**",)


def of(*files: dict[str, Any]) -> Changeset:
    return read({"base": BASE, "files": list(files)})


def text(path: str, content: str = "x\n", mode: str = "100644") -> dict[str, Any]:
    return {"path": path, "mode": mode, "text": content}


@pytest.mark.parametrize(
    ("file", "why"),
    [
        pytest.param(text("src/app.py"), None, id="an ordinary file"),
        pytest.param(text("bin/run", mode="100755"), None, id="an executable"),
        pytest.param({"path": "old.py", "deleted": True}, None, id="a deletion"),
        pytest.param(text("a/b/link", "../c", "120000"), None, id="a link inside the tree"),
        pytest.param(text(".gitignore"), None, id="a name that only begins with .git"),
        pytest.param(text(".github/workflows/ci.yml"), "forbids", id="a workflow"),
        pytest.param({"path": ".github/workflows/ci.yml", "deleted": True}, "forbids", id="deleting one"),
        pytest.param(text(".GitHub/Workflows/ci.yml"), "forbids", id="a workflow in capitals"),
        pytest.param(text("../outside"), "not a path inside", id="upwards"),
        pytest.param(text("a/../../outside"), "not a path inside", id="upwards on the way"),
        pytest.param(text("/etc/passwd"), "not a path inside", id="absolute"),
        pytest.param(text("C:/windows"), "not a path inside", id="a drive"),
        pytest.param(text("a\\b"), "not a path inside", id="a backslash"),
        pytest.param(text("a//b"), "not a path inside", id="an empty part"),
        pytest.param(text("./a"), "not a path inside", id="a dot part"),
        pytest.param(text(".git/hooks/post-checkout"), "git's own", id="git's directory"),
        pytest.param(text("sub/.GIT/config"), "git's own", id="git's directory in capitals"),
        pytest.param(text("git~1/config"), "git's own", id="git's directory by its short name"),
        pytest.param(text(".git /config"), "git's own", id="git's directory with a space that NTFS drops"),
        pytest.param(text(".g\u200bit/config"), "git's own", id="git's directory with a letter HFS+ ignores"),
        pytest.param(text("a\nb"), "control characters", id="a newline in a name"),
        pytest.param(text("link", "/etc/passwd", "120000"), "leads out", id="a link to an absolute path"),
        pytest.param(text("a/link", "../../x", "120000"), "leads out", id="a link upwards out of the tree"),
        pytest.param(text("link", ".git/config", "120000"), "leads out", id="a link into git's directory"),
        pytest.param(text("k", "-----BEGIN RSA PRIVATE KEY-----"), "a private key", id="a private key"),
        pytest.param(text("k", "t = 'run_" + "a" * 43 + "'"), "a run token", id="a run token of ours"),
        pytest.param(text("k", "sk-ant-api03-" + "a" * 90), "an Anthropic", id="an Anthropic key"),
        pytest.param(text("k", "ghs_" + "a" * 36), "a GitHub token", id="a GitHub token"),
        pytest.param(text("k", "ghs_1.eyJ" + "a-._" * 20), "a GitHub token", id="a long GitHub token"),
        pytest.param(text("k", "AKIA" + "A" * 16), "an AWS", id="an AWS key"),
        pytest.param(
            {"path": "k", "base64": base64.b64encode(b"\0-----BEGIN PRIVATE KEY-----").decode()},
            "a private key",
            id="a private key in a binary file",
        ),
        pytest.param(text("big", "x" * (MAX_BYTES + 1)), "bytes, more than", id="too large"),
    ],
)
def test_what_may_not_be_committed_is_held_with_its_reason(file: dict[str, Any], why: str | None) -> None:
    found = objections(of(file), WORKFLOWS)
    assert (found == ()) if why is None else (len(found) == 1 and why in found[0])


@pytest.mark.parametrize(
    ("path", "pattern", "covered"),
    [
        ("a/b/c.py", "a/**", True),
        ("a", "a/**", True),
        ("ab/c", "a/**", False),
        ("a/b.py", "a/*.py", True),
        ("a/b/c.py", "a/*.py", False),
        ("a/b/c.py", "**/c.py", True),
        ("c.py", "**/c.py", True),
        ("deep/down/.env", ".env", True),
        ("deep/.env.local", ".env*", True),
        ("infra/main.tf", "infra/", True),
        ("a/b", "/a/b", True),
        (".github", ".github/workflows/**", True),
        (".gith", ".github/workflows/**", False),
        ("src/x+y.py", "src/x+y.py", True),
    ],
)
def test_a_forbidden_pattern_covers(path: str, pattern: str, covered: bool) -> None:
    assert matches(path, pattern) is covered


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ([], "object with base and files"),
        ({"base": "main", "files": []}, "full SHA"),
        ({"base": BASE, "files": [{"path": ""}]}, "needs a path"),
        ({"base": BASE, "files": [{"path": "a"}]}, "needs text, base64 or deleted"),
        ({"base": BASE, "files": [text("a", mode="160000")]}, "mode must be"),
        ({"base": BASE, "files": [{"path": "a", "base64": "?"}]}, "cannot be decoded"),
        ({"base": BASE, "files": [{"path": "a", "text": "\ud800"}]}, "not valid Unicode"),
        ({"base": BASE, "files": [text("a"), text("a")]}, "twice"),
    ],
)
def test_a_changeset_that_cannot_be_read_is_refused_with_a_sentence(raw: Any, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read(raw)


def test_a_binary_file_has_no_text() -> None:
    assert File("a", "100644", b"\0").text is None
    assert File("a", "100644", b"\xff").text is None
    assert File("a", "100644", "ü".encode()).text == "ü"


def test_a_result_is_read_whole() -> None:
    result = results.read(
        json.dumps(
            {
                "outcome": "halted",
                "reason": "stuck_loop",
                "summary": "tried\0",
                "changeset": {"base": BASE, "files": [text("a")]},
                "check": {"command": "make test", "exit_code": 2, "output": "x" * 50_000},
                "isolation": "user",
                "tool_calls": 12,
                "engine": {"name": "opus", "version": "1"},
            }
        ).encode()
    )
    assert (result.outcome, result.reason, result.tool_calls) == ("halted", Reason.STUCK, 12)
    assert result.summary == "tried\ufffd"
    assert result.check is not None
    assert (result.check.exit_code, len(result.check.output)) == (2, 20_000)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"outcome": "won"}', b'{"outcome": "done", "reason": "bored"}', b"[" * 100_000,
     b'{"outcome": "done", "check": {"command": "x", "exit_code": true}}'],
)  # fmt: skip
def test_a_result_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        results.read(body)
