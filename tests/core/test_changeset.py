"""What a runner posts is read strictly, and what the App should not commit is held with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.core import results
from bot.core.ceilings import Reason
from bot.core.changeset import Changeset, File, Malformed, matches, read
from bot.core.objections import MAX_BYTES, needed, objections
from bot.core.roles import Role

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
        pytest.param(text(".github/workflows/ci.yml"), "no run may", id="a workflow"),
        pytest.param({"path": ".github/workflows/ci.yml", "deleted": True}, "no run may", id="deleting one"),
        pytest.param(text(".GitHub/Workflows/ci.yml"), "no run may", id="a workflow in capitals"),
        pytest.param(
            text(".github/workflows\u200b/ci.yml"), "no run may", id="a workflow with a letter HFS+ ignores"
        ),
        pytest.param(text(".github./workflows/ci.yml"), "no run may", id="a workflow with a dot NTFS drops"),
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
        pytest.param(
            text(".g\u200eit/config"),
            "git's own",
            id="git's directory with a mark of direction, as HFS+ sees it",
        ),
        pytest.param(text(".gitmodules", "a", "120000"), "git takes from nobody", id="a link for submodules"),
        pytest.param(text("a/GITMOD~1", "b", "120000"), "git takes from nobody", id="one by its short name"),
        pytest.param(text("GI7EBA~1 .", "b", "120000"), "git takes from nobody", id="and by the other one"),
        pytest.param(text(".gitmodules", "a"), None, id="a file for submodules"),
        pytest.param(text("é" * 128), "longer name", id="a name of 256 bytes"),
        pytest.param(text("a/" * 2_048 + "b"), "longer name", id="a path of 4,097 bytes"),
        pytest.param(text("a/" * 2_047 + "b"), None, id="a path of 4,095 bytes"),
        pytest.param(text("a\nb"), "control characters", id="a newline in a name"),
        pytest.param(text("link", "/etc/passwd", "120000"), "leads out", id="a link to an absolute path"),
        pytest.param(text("a/link", "../../x", "120000"), "leads out", id="a link upwards out of the tree"),
        pytest.param(text("link", ".git/config", "120000"), "leads out", id="a link into git's directory"),
        # Where a/b/d is a link to a directory of the root, d/../.. is above the root.
        pytest.param(
            text("a/b/l", "d/../..", "120000"), "leads out", id="a link upwards through another one"
        ),
        pytest.param(text("a/b/l", "../../c/d", "120000"), None, id="a link upwards, then down"),
        pytest.param(text("k", f"a = '{'sk-ant-api03-' + 'a' * 90}'"), "an Anthropic API key", id="a secret"),
        pytest.param(text("conf/.env", "A=1"), "a file for credentials", id="a file that is all secrets"),
        pytest.param(text("big", "x" * (MAX_BYTES + 1)), "bytes, more than", id="too large"),
    ],
)
def test_what_may_not_be_committed_is_held_with_its_reason(file: dict[str, Any], why: str | None) -> None:
    found = objections(of(file), WORKFLOWS)
    assert (found == ()) if why is None else (len(found) == 1 and why in str(found[0]))


@pytest.mark.parametrize(
    ("files", "role"),
    [
        pytest.param([text("big", "x" * (MAX_BYTES + 1))], Role.WRITE, id="size"),
        pytest.param([text(f"{n}.txt") for n in range(301)], Role.WRITE, id="many files"),
        pytest.param([text("link", "/etc/passwd", "120000")], Role.MAINTAIN, id="a link out of the tree"),
        pytest.param([text("k", "run_" + "a" * 43)], Role.MAINTAIN, id="a secret"),
        pytest.param([text("infra/main.tf")], Role.MAINTAIN, id="a path of the policy's"),
        pytest.param([text("infra/main.tf"), text("big", "x" * (MAX_BYTES + 1))], Role.MAINTAIN, id="two"),
        pytest.param([text(".github/agent.yml")], None, id="the policy itself"),
        pytest.param([text(".github/workflows/ci.yml"), text("big", "x")], None, id="a workflow"),
        pytest.param([text("../outside")], None, id="no path of the tree"),
        pytest.param([text(".git/hooks/pre-commit")], None, id="git's directory"),
    ],
)
def test_who_may_overrule_what(files: list[dict[str, Any]], role: Role | None) -> None:
    found = objections(of(*files), ["infra/**"])
    assert found
    assert needed(found) == role


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
        ({"base": BASE, "files": [text("a\ud800")]}, "path of a file is not valid Unicode"),
        ({"base": BASE, "files": [{"path": "\udfff", "deleted": True}]}, "not valid Unicode"),
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


@pytest.mark.parametrize("place", ["message", "summary", "command", "output", "cut off"])
def test_a_secret_in_the_words_of_a_result_is_left_out_and_the_words_say_so(place: str) -> None:
    secret = "ghs_" + "a" * 40
    words = {"message": "", "summary": "", "command": "x", "output": ""}
    filler = "x " * 9_988 if place == "cut off" else ""
    words["summary" if place == "cut off" else place] = f"{filler}it is {secret} and more"
    check = {"command": words["command"], "exit_code": 1, "output": words["output"] + "y " * 3}
    said = {"outcome": "failed", "message": words["message"], "summary": words["summary"], "check": check}
    result = results.read(json.dumps(said).encode())
    assert result.check is not None
    whole = " ".join((result.message, result.summary, result.check.command, result.check.output))
    assert "ghs_" not in whole
    assert "(a GitHub token" in whole


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"outcome": "won"}', b'{"outcome": "done", "reason": "bored"}', b"[" * 100_000,
     b'{"outcome": "done", "check": {"command": "x", "exit_code": true}}'],
)  # fmt: skip
def test_a_result_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        results.read(body)
