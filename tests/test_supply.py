"""No credential in tree or history, no package that is not in the lock, no silence taken for an answer."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.supply.credentials import PLANTED, in_history, in_tree
from tests.supply.vulnerabilities import Unasked, lines

ROOT = Path(__file__).parent.parent
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,]+\])?==([^\s;\\]+)", re.MULTILINE)


def test_no_credential_is_in_the_tree() -> None:
    assert [str(found) for found in in_tree(ROOT)] == []


def test_each_planted_example_is_of_a_file_that_is_there() -> None:
    assert [path for path, _ in PLANTED if not (ROOT / path).is_file()] == []


def git(folder: Path, *words: str) -> None:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


def test_a_credential_that_was_taken_out_again_is_found_in_the_history(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "settings.py").write_text("\nkey = 'sk-ant-" + "a1b2c3d4" * 4 + "'\n")
    git(tmp_path, "add", ".")
    assert [str(found) for found in in_tree(tmp_path)] == ["settings.py:2: an Anthropic API key"]
    git(tmp_path, "commit", "--quiet", "-m", "one")
    (tmp_path / "settings.py").write_text("key = ''\n")
    git(tmp_path, "commit", "--quiet", "-am", "two")
    assert list(in_tree(tmp_path)) == []
    assert [found.what for found in in_history(tmp_path)] == ["an Anthropic API key"]


def versions(file: str) -> dict[str, str]:
    pinned = PINNED.findall((ROOT / file).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned}


def test_what_runs_is_the_lock_and_each_line_of_it_has_its_hashes() -> None:
    locked = versions("requirements.lock")
    assert versions("requirements.txt").items() <= locked.items()
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    pinned = [entry for entry in entries if PINNED.match(entry)]
    assert len(pinned) == len(locked)
    assert all("--hash=sha256:" in entry for entry in pinned)


@pytest.mark.parametrize("file", ["action.yml", "deploy/Containerfile", "docs/deploy.md"])
def test_whatever_installs_the_product_takes_nothing_without_its_hash(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "requirements.lock" in line and "install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    assert not re.search(r"install[^\n]*-r requirements\.txt", text)


NOTHING = {"name": "a", "version": "1", "vulns": []}
HOLE = {"name": "b", "version": "2", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["3"]}]}
UNTOLD = {"name": "c", "skip_reason": "not found"}


def test_a_known_hole_is_named_with_what_mends_it_and_so_is_what_nobody_knows() -> None:
    assert lines([NOTHING]) == []
    assert lines([NOTHING, HOLE]) == ["b 2: CVE-2026-1, mended in 3"]
    assert lines([NOTHING, UNTOLD]) == ["c: nothing could be told"]


def test_an_index_that_tells_nothing_has_not_said_that_there_is_none() -> None:
    with pytest.raises(Unasked, match="nothing is known"):
        lines([UNTOLD, UNTOLD])
